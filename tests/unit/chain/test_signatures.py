"""Signatures of wallets: accounts with a key here, contracts on a running chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from eth_account import Account
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luxxon_core.adapters.chain import signatures
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.signatures import HALF_ORDER, MAX_SIGNATURE, EthereumWallets
from luxxon_core.kernel.errors import ExternalError, InvalidInput
from tests.smart_wallets import SUFFIX, Deployer, creation, signed, wrapped

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "Luxxon — sign in to prove wallet ownership."
ORDER = 2 * HALF_ORDER + 1
owner, thief = Account.create(), Account.create()
GENUINE = signed(owner, MESSAGE)


@dataclass
class Stage:
    wallets: EthereumWallets
    deployer: Deployer
    rpc: RpcChain

    async def accepts(self, wallet: str, signature: bytes, message: str = MESSAGE) -> bool:
        return await self.wallets.verify(wallet, message, "0x" + signature.hex())


def rpc_of(chain: EmbeddedChain, url: str | None = None) -> RpcChain:
    return RpcChain(
        url or chain.rpc_url, chain.settlement_address, chain.usdc_address, chain_id=chain.chain_id
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain() -> AsyncIterator[EmbeddedChain]:
    running = await EmbeddedChain.start(None)
    yield running
    await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(chain: EmbeddedChain) -> AsyncIterator[Stage]:
    rpc = rpc_of(chain)
    async with httpx.AsyncClient() as http:
        deployer = await Deployer.funded(chain.rpc_url, chain.faucet, http)
        yield Stage(EthereumWallets(rpc), deployer, rpc)
    await rpc.close()


# -- accounts with a key ----------------------------------------------------------------------------------


async def local(signature: bytes | str, wallet: str = owner.address, message: str = MESSAGE) -> bool:
    text = signature if isinstance(signature, str) else "0x" + signature.hex()
    return await EthereumWallets().verify(wallet, message, text)


def parts(signature: bytes) -> tuple[int, int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64] - 27


def joined(r: int, s: int, *last: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes(last)


async def test_the_forms_that_wallets_write() -> None:
    r, s, parity = parts(GENUINE)
    assert await local(GENUINE)
    assert await local(joined(r, s, parity)), "v of 0 or 1"
    assert await local(joined(r, s | parity << 255)), "EIP-2098"
    assert await local("0X" + GENUINE.hex().upper())
    assert await local(GENUINE.hex()), "eth_account prints it without 0x"


async def test_a_signature_has_one_value_of_s_only() -> None:
    r, s, parity = parts(GENUINE)
    assert not await local(joined(r, ORDER - s, 28 - parity)), "EIP-2"


async def test_other_parities_lengths_accounts_and_texts_are_wrong() -> None:
    r, s, parity = parts(GENUINE)
    for v in (2, 26, 29, 27 + 2 * 31337 + 8 + parity, 255):
        assert not await local(joined(r, s, v % 256))
    assert not await local(joined(r, s, 28 - parity))
    assert not await local(GENUINE[:-2])
    assert not await local(GENUINE + b"\0")
    assert not await local(GENUINE, wallet=thief.address)
    assert not await local(GENUINE, message=MESSAGE + "\n")


@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, HALF_ORDER, ORDER, 2**256 - 1])
async def test_numbers_off_the_curve_are_wrong(r: int, s: int) -> None:
    for v in (27, 28):
        assert not await local(joined(r, s, v))
    assert not await local(joined(r, s))


@settings(max_examples=200)
@given(st.text(max_size=200) | st.from_regex(r"0x[0-9a-f]{128,132}", fullmatch=True))
@example("0x" + "ab" * 65 + " ")
@example("0x" + "ab " * 65)
@example("0x" + "ab" * 64 + "a")
@example("0x" + "٣" * 130)
async def test_any_text_is_a_wrong_signature(text: str) -> None:
    assert not await local(text)


@pytest.mark.parametrize("address", ["", "0x", "0x12", "11" * 20, "0x" + "g" * 40])
async def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInput):
        EthereumWallets().checksum(address)


# -- contracts that exist (ERC-1271) ----------------------------------------------------------------------


async def test_a_wallet_that_is_a_contract_says_itself_whose_signature_is_good(stage: Stage) -> None:
    wallet = await stage.deployer.wallet(owner.address)
    assert await stage.accepts(wallet, GENUINE)
    assert not await stage.accepts(wallet, signed(thief, MESSAGE))
    assert not await stage.accepts(wallet, GENUINE, MESSAGE + ".")
    assert not await stage.accepts(wallet, b"")
    assert not await local(GENUINE, wallet), "no chain, no contract"


async def test_an_account_without_code_is_its_key_alone(stage: Stage) -> None:
    assert await stage.accepts(owner.address, GENUINE)
    assert not await stage.accepts(thief.address, GENUINE)
    assert not await stage.accepts("0x" + "00" * 20, GENUINE)


async def test_precompiles_are_no_wallets(stage: Stage) -> None:
    factory = await stage.deployer.factory()
    for number in range(1, 18):
        address = f"0x{number:040x}"
        assert not await stage.accepts(address, GENUINE)
        assert not await stage.accepts(address, wrapped(factory, creation(owner.address, 99), GENUINE))


async def test_the_chain_is_asked_no_more_than_it_must(stage: Stage) -> None:
    asked: list[str] = []

    class Counted(RpcChain):
        async def _rpc(self, method: str, *params: object) -> object:
            asked.append(method)
            return await super()._rpc(method, *params)

    wallet = await stage.deployer.wallet(owner.address)
    rpc = Counted(stage.deployer.rpc_url, wallet, wallet, chain_id=31337)
    wallets = EthereumWallets(rpc)
    for address, signature, expected in (
        (owner.address, GENUINE, []),
        (owner.address, b"\0" * (MAX_SIGNATURE + 1), []),
        (owner.address, b"", []),
        (owner.address, b"torn" + SUFFIX, []),
        (thief.address, GENUINE, ["eth_getCode"]),
        (wallet, GENUINE, ["eth_getCode", "eth_call"]),
        (wallet, wrapped(wallet, b"", GENUINE), ["eth_call"]),
    ):
        asked.clear()
        await wallets.verify(address, MESSAGE, "0x" + signature.hex())
        assert asked == expected
    await rpc.close()


MAGIC = "1626ba7e" + "00" * 28
HOSTILE = {
    "stops": "00",
    "reverts": "5f5ffd",
    "reverts with the magic value": f"7f{MAGIC}5f5260205ffd",
    "invalid opcode": "fe",
    "31 bytes": f"7f{MAGIC}5f52601f5ff3",
    "nothing": "5f5ff3",
    "a flag": "60015f5260205ff3",
    "magic with dirt behind": f"7f{MAGIC[:-2]}015f5260205ff3",
    "magic on the right": "631626ba7e5f5260205ff3",
    "a megabyte": "62100000" + "5ff3",
    "a megabyte reverted": "62100000" + "5ffd",
    "burns all gas": "5b5f56",
    "recursion": "5f5f5f5f5f305af1" + "5f5260205ff3",
    "writes": f"60015f557f{MAGIC}5f5260205ff3",
    "destroys itself": "32ff",
}


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")
@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_contract_has_no_good_signature_and_no_time(stage: Stage, code: str) -> None:
    wallet = await stage.deployer.raw(code)
    started = time.monotonic()
    assert not await stage.accepts(wallet, GENUINE)
    prepared = wrapped(await stage.deployer.wallet(owner.address), b"", GENUINE)
    assert not await stage.accepts(wallet, prepared)
    assert not await stage.accepts(thief.address, wrapped(wallet, b"", GENUINE)), "as a factory"
    assert time.monotonic() - started < 15


async def test_magic_in_exactly_32_bytes_or_more_is_a_yes(stage: Stage) -> None:
    """What the hostile ones miss by a byte: the decoding of a bytes4 takes longer answers as well."""
    for code in (f"7f{MAGIC}5f5260205ff3", f"7f{MAGIC}5f5260405ff3"):
        assert await stage.accepts(await stage.deployer.raw(code), GENUINE)


async def test_a_signature_has_a_longest_form(stage: Stage) -> None:
    yes = await stage.deployer.raw(f"7f{MAGIC}5f5260205ff3")
    assert await stage.accepts(yes, b"\xff" * MAX_SIGNATURE)
    assert not await stage.accepts(yes, b"\xff" * (MAX_SIGNATURE + 1))


# -- contracts to be (ERC-6492) ---------------------------------------------------------------------------


async def test_a_wallet_signs_before_it_is_deployed_and_after(stage: Stage) -> None:
    factory = await stage.deployer.factory()
    wallet = await stage.deployer.future_wallet(factory, owner.address, 1)
    deployment = creation(owner.address, 1)
    genuine, forged = (wrapped(factory, deployment, signed(who, MESSAGE)) for who in (owner, thief))
    for _ in range(2):
        assert await stage.accepts(wallet, genuine)
        assert not await stage.accepts(wallet, forged)
        assert not await stage.accepts(wallet, genuine, MESSAGE + ".")
        assert await stage.rpc.code(wallet) == b"", "what was tried leaves nothing behind"
    assert not await stage.accepts(wallet, GENUINE), "not wrapped, and nobody there"
    await stage.deployer.send(factory, deployment)
    assert await stage.accepts(wallet, genuine), "deployed since: asked as it is, the factory would revert"
    assert await stage.accepts(wallet, GENUINE)
    assert not await stage.accepts(wallet, forged)


async def test_a_factory_that_makes_another_wallet_or_none_proves_nothing(stage: Stage) -> None:
    factory = await stage.deployer.factory()
    wallet = await stage.deployer.future_wallet(factory, owner.address, 2)
    foreign = await stage.deployer.future_wallet(factory, thief.address, 2)
    stolen = signed(thief, MESSAGE)
    assert await stage.accepts(foreign, wrapped(factory, creation(thief.address, 2), stolen))
    assert not await stage.accepts(wallet, wrapped(factory, creation(thief.address, 2), stolen))
    for call in (b"", b"\xde\xad\xbe\xef", creation(owner.address, 3)):
        assert not await stage.accepts(wallet, wrapped(factory, call, GENUINE))
    for nobody in ("0x" + "00" * 20, owner.address, wallet):
        assert not await stage.accepts(wallet, wrapped(nobody, creation(owner.address, 2), GENUINE))
    assert not await stage.accepts(owner.address, wrapped(factory, creation(owner.address, 2), GENUINE)), (
        "a key's signature needs no wrapper, and in one it is a contract's"
    )


async def test_a_wallet_that_exists_may_have_to_be_prepared(stage: Stage) -> None:
    wallet = await stage.deployer.wallet(owner.address, active=False)
    activate = bytes.fromhex("0f15f4c0")
    assert not await stage.accepts(wallet, GENUINE)
    assert await stage.accepts(wallet, wrapped(wallet, activate, GENUINE))
    assert not await stage.accepts(wallet, wrapped(wallet, activate, signed(thief, MESSAGE)))
    assert not await stage.accepts(wallet, wrapped(wallet, b"\xde\xad\xbe\xef", GENUINE))
    assert not await stage.accepts(wallet, GENUINE), "nothing of it stayed"


@settings(max_examples=60)
@given(body=st.binary(max_size=300), cut=st.integers(0, 400), where=st.integers(0, 300))
async def test_any_wrapper_is_a_wrong_signature(body: bytes, cut: int, where: int) -> None:
    genuine = wrapped("0x" + "11" * 20, b"call", GENUINE)
    for torn in (body + SUFFIX, genuine[:cut] + SUFFIX, genuine[:where] + body + genuine[where:]):
        if torn == genuine or not torn.endswith(SUFFIX):
            continue
        found = signatures._unwrapped(torn)
        assert found is None or len(found.signature) <= len(torn)


# -- a chain that fails -----------------------------------------------------------------------------------


async def node(answer: object, status: int = 200) -> tuple[web.AppRunner, str]:
    """A JSON-RPC endpoint that says the same to everything."""

    async def say(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], **answer}, status=status)  # type: ignore[dict-item]

    app = web.Application()
    app.router.add_post("/", say)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32005, "message": "daily request count exceeded, request rate limited"}},
        {"error": {"code": -32603, "message": "Internal error"}},
        {"result": None},
        {"result": "0xzz"},
        {},
    ],
    ids=["limited", "internal", "null", "no hex", "nothing"],
)
async def test_a_node_that_answers_with_an_error_proves_nothing_either_way(
    chain: EmbeddedChain, answer: object
) -> None:
    runner, url = await node(answer)
    rpc = rpc_of(chain, url)
    wallets = EthereumWallets(rpc)
    try:
        for signature in (signed(thief, MESSAGE), wrapped(owner.address, b"", GENUINE)):
            with pytest.raises(ExternalError):
                await wallets.verify(owner.address, MESSAGE, "0x" + signature.hex())
        assert await wallets.verify(owner.address, MESSAGE, "0x" + GENUINE.hex()), "a key needs no chain"
    finally:
        await rpc.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "execution reverted"),
        (-32000, "out of gas"),
        (-32000, "execution aborted (timeout = 5s)"),
        (-32000, "invalid opcode: INVALID"),
        (-32003, "EVM error OutOfGas"),
    ],
)
async def test_a_contract_that_fails_in_any_nodes_words_is_a_wrong_signature(
    chain: EmbeddedChain, code: int, said: str
) -> None:
    runner, url = await node({"error": {"code": code, "message": said}})
    rpc = rpc_of(chain, url)
    signature = "0x" + wrapped(thief.address, b"", GENUINE).hex()
    try:
        assert not await EthereumWallets(rpc).verify(owner.address, MESSAGE, signature)
    finally:
        await rpc.close()
        await runner.cleanup()


async def test_a_chain_that_is_gone_or_silent_is_an_upstream_failure(
    chain: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for url in ("http://127.0.0.1:1", f"http://127.0.0.1:{port}"):
        rpc = rpc_of(chain, url)
        monkeypatch.setattr(signatures, "CHECK_SECONDS", 0.5)
        with pytest.raises(ExternalError):
            await EthereumWallets(rpc).verify(owner.address, MESSAGE, "0x" + signed(thief, MESSAGE).hex())
        await rpc.close()
    silent.close()
