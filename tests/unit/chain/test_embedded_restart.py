"""The embedded chain keeps what it confirmed, whatever ends the process."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.embedded_keys import ChainKeys
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.kernel.errors import InvalidInput, StartError

RECEIVER = "0x" + "11" * 20

BUSY_CHAIN = """
import asyncio, sys
from pathlib import Path
import structlog
from luxxon_core.adapters.chain.embedded import EmbeddedChain

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    chain = await EmbeddedChain.start(Path(sys.argv[1]))
    print(chain.usdc_address, chain.settlement_address, chain.relayer.address, flush=True)
    while True:
        print((await chain.faucet(sys.argv[2], 1, 0))[0], flush=True)

asyncio.run(main())
"""


async def rpc(chain: EmbeddedChain, method: str, *params: object) -> object:
    async with httpx.AsyncClient() as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return (await http.post(chain.rpc_url, json=body)).json()["result"]


async def test_sigkill_costs_nothing_that_was_answered(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BUSY_CHAIN,
        str(tmp_path),
        RECEIVER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    addresses = (await asyncio.wait_for(process.stdout.readline(), 30)).split()
    answered = [(await asyncio.wait_for(process.stdout.readline(), 10)).decode().strip() for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).decode().split("\n")
    answered += [line for line in rest if len(line) == 66]
    await process.wait()

    chain = await EmbeddedChain.start(tmp_path)
    try:
        assert [chain.usdc_address, chain.settlement_address, chain.relayer.address] == [
            address.decode() for address in addresses
        ]
        for tx_hash in answered:
            assert await rpc(chain, "eth_getTransactionReceipt", tx_hash) is not None
        balance = await rpc(chain, "eth_getBalance", RECEIVER, "latest")
        head = await rpc(chain, "eth_blockNumber")
        # one more may have been mined whose answer never left the process
        assert int(str(balance), 16) - len(answered) in (0, 1)
        assert int(str(head), 16) == 2 + int(str(balance), 16)
        await chain.faucet(RECEIVER, 1, 7)
        assert await rpc(chain, "eth_getBalance", RECEIVER, "latest") == hex(int(str(balance), 16) + 1)
    finally:
        await chain.close()


async def test_blocks_read_the_same_after_a_restart(tmp_path: Path) -> None:
    chain = await EmbeddedChain.start(tmp_path)
    (tx_hash,) = await chain.faucet(RECEIVER, 5, 0)
    owner = ChainKeys.load(tmp_path / "keys").owner.address
    before = [
        await rpc(chain, "eth_getBlockByNumber", "latest", True),
        await rpc(chain, "eth_getTransactionReceipt", tx_hash),
        await rpc(chain, "eth_getTransactionCount", owner, "latest"),
    ]
    await chain.close()
    await chain.close()
    chain = await EmbeddedChain.start(tmp_path)
    after = [
        await rpc(chain, "eth_getBlockByNumber", "latest", True),
        await rpc(chain, "eth_getTransactionReceipt", tx_hash),
        await rpc(chain, "eth_getTransactionCount", owner, "latest"),
    ]
    await chain.close()
    assert after == before


async def test_one_process_at_a_time_uses_a_directory(tmp_path: Path) -> None:
    chain = await EmbeddedChain.start(tmp_path)
    with pytest.raises(StartError, match="another process"):
        await EmbeddedChain.start(tmp_path)
    with pytest.raises(StartError, match="taken"):
        await EmbeddedChain.start(None, int(chain.rpc_url.rsplit(":", 1)[1]))
    await chain.close()


def test_keys_are_kept_encrypted_and_to_the_owner(tmp_path: Path) -> None:
    keys = ChainKeys.load(tmp_path)
    assert ChainKeys.load(tmp_path).relayer.address == keys.relayer.address
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passphrase = (tmp_path / "passphrase").read_text()
    secret = Account.decrypt((tmp_path / "relayer.json").read_text(), passphrase)
    assert Account.from_key(secret).address == keys.relayer.address
    assert secret.hex() not in repr(keys) and keys.relayer.address in repr(keys)
    with pytest.raises(StartError):
        LocalSigner.from_keystore(tmp_path / "relayer.json", "wrong")


async def test_a_chain_without_its_keys_does_not_start(tmp_path: Path) -> None:
    chain = await EmbeddedChain.start(tmp_path)
    await chain.close()
    (tmp_path / "keys" / "owner.json").unlink()
    with pytest.raises(StartError, match="keys"):
        await EmbeddedChain.start(tmp_path)


async def test_the_faucet_has_limits() -> None:
    chain = await EmbeddedChain.start(None)
    with pytest.raises(InvalidInput):
        await chain.faucet(RECEIVER, 101 * 10**18, 0)
    with pytest.raises(InvalidInput):
        await chain.faucet("0x12", 1, 0)
    assert await chain.faucet(RECEIVER, 0, 0) == []
    await chain.close()
    with pytest.raises(StartError):
        _ = chain.rpc_url
