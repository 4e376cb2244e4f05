"""The chain that comes with the package: a real EVM, with standard JSON-RPC on loopback.

It holds a test token that behaves as USDC does and the settlement contract, and survives restarts when it has
a directory. A marketplace runs it in a process of its own (:mod:`.embedded_process`); only tests start it in
theirs. The EVM has one thread to itself, because a call into it blocks for milliseconds to seconds, and the
endpoint goes on accepting requests meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.kernel.errors import InvalidInput, StartError

if TYPE_CHECKING:
    from luxxon_core.adapters.chain.embedded_evm import Evm
    from luxxon_core.adapters.chain.embedded_http import RpcServer
    from luxxon_core.adapters.chain.embedded_keys import ChainKeys
    from luxxon_core.adapters.chain.embedded_rpc import Rpc
    from luxxon_core.adapters.chain.embedded_store import ChainStore
    from luxxon_core.adapters.chain.signer import LocalSigner

ETHER = 10**18
OWNER_WEI = 10**9 * ETHER
RELAYER_WEI = 10**4 * ETHER
MAX_FAUCET_WEI = 100 * ETHER
MAX_FAUCET_UUSDC = 10**6 * 10**6

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class EmbeddedChain:
    """A running chain; :meth:`start` makes it, :meth:`close` ends it.

    Attributes:
        rpc_url: the JSON-RPC endpoint.
        chain_id: 31337.
        usdc_address: the test token, EIP-55.
        settlement_address: the settlement contract, EIP-55.
        relayer: the key that may settle; it holds ETH for gas.
        platform_wallet: who receives the fees, EIP-55.
    """

    chain_id = 31337

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._server: RpcServer | None = None
        self._machine: _Machine | None = None

    @classmethod
    async def start(cls, data_dir: Path | None, port: int = 0) -> EmbeddedChain:
        """Open the chain kept in ``data_dir``, or make one; None keeps it in memory. Port 0 takes a free one.

        Raises:
            StartError: another process uses the directory, its keys cannot be opened, or the port is taken.
        """
        chain = cls(ThreadPoolExecutor(1, thread_name_prefix="luxxon-chain"))
        try:
            machine = chain._machine = await chain._run(lambda: _Machine(data_dir))
            from luxxon_core.adapters.chain.embedded_http import RpcServer

            server = RpcServer(lambda request: chain._run(lambda: machine.rpc.answer(request)))
            await server.start(port)
            chain._server = server
        except BaseException:
            await chain.close()
            raise
        _log.info("chain.started", rpc_url=chain.rpc_url, block=machine.first_block)
        return chain

    async def close(self) -> None:
        """Stop answering and close the file. Safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        machine, self._machine = self._machine, None
        if machine is not None:
            await self._run(machine.store.close)
        self._executor.shutdown(wait=False)

    @property
    def rpc_url(self) -> str:
        if self._server is None:
            raise StartError("chain:closed", "The embedded chain is not running")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def usdc_address(self) -> str:
        return self._open.usdc_address

    @property
    def settlement_address(self) -> str:
        return self._open.settlement_address

    @property
    def relayer(self) -> LocalSigner:
        return self._open.keys.relayer

    @property
    def platform_wallet(self) -> str:
        return self._open.keys.platform.address

    async def faucet(self, address: str, eth_wei: int, usdc_micro: int) -> list[str]:
        """Give test money to an address; the hashes of the transactions that did it, mined already.

        Also reachable by any script as ``luxxon_faucet(address, wei, microUsdc)`` on the RPC.

        Raises:
            InvalidInput: not an address, or more than 100 ETH or 1 000 000 USDC at once.
        """
        from luxxon_core.adapters.chain.embedded_evm import RpcError

        try:
            return await self._run(lambda: self._open.faucet(address, hex(eth_wei), hex(usdc_micro)))
        except RpcError as error:
            raise InvalidInput("faucet:amount", error.message) from error

    @property
    def _open(self) -> _Machine:
        if self._machine is None:
            raise StartError("chain:closed", "The embedded chain is not running")
        return self._machine

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


class _Machine:
    """What lives on the chain's thread, its imports included: they take most of the start."""

    def __init__(self, data_dir: Path | None) -> None:
        import sqlite3

        from luxxon_core.adapters.chain.embedded_evm import Evm
        from luxxon_core.adapters.chain.embedded_keys import ChainKeys
        from luxxon_core.adapters.chain.embedded_rpc import Rpc
        from luxxon_core.adapters.chain.embedded_store import ChainStore

        self.keys: ChainKeys = ChainKeys.load(data_dir / "keys" if data_dir else None)
        owner, relayer = (bytes.fromhex(key.address[2:]) for key in (self.keys.owner, self.keys.relayer))
        try:
            self.store: ChainStore = ChainStore(data_dir / "chain.sqlite" if data_dir else None)
        except sqlite3.OperationalError as error:
            raise StartError("chain:busy", f"The chain in {data_dir} is used by another process") from error
        try:
            self.evm: Evm = Evm(self.store, {owner: OWNER_WEI, relayer: RELAYER_WEI})
            self.usdc_address, self.settlement_address = self._contracts()
        except BaseException:
            self.store.close()
            raise
        self.first_block: int = self.evm.head.block_number
        self.rpc: Rpc = Rpc(self.evm, {"luxxon_faucet": self.faucet})

    def faucet(self, address: Any, eth_wei: Any, usdc_micro: Any) -> list[str]:
        """Send ETH and mint USDC; the transactions' hashes. A zero amount sends none."""
        from luxxon_core.adapters.chain.embedded_evm import RpcError
        from luxxon_core.adapters.chain.embedded_rpc import INVALID_PARAMS, data, quantity

        receiver, wei, micro = data(address, 20), quantity(eth_wei), quantity(usdc_micro)
        if wei > MAX_FAUCET_WEI or micro > MAX_FAUCET_UUSDC:
            raise RpcError(INVALID_PARAMS, "at most 100 ETH and 1000000 USDC at once")
        hashes = []
        if wei:
            hashes.append(self._send(receiver, b"", wei, 21_000))
        if micro:
            mint = _selector("mint(address,uint256)") + receiver.rjust(32, b"\0") + micro.to_bytes(32, "big")
            hashes.append(self._send(bytes.fromhex(self.usdc_address[2:]), mint, 0, 200_000))
        return ["0x" + tx_hash.hex() for tx_hash in hashes]

    def _contracts(self) -> tuple[str, str]:
        """The addresses of token and settlement contract, deployed now if the chain is new."""
        keys, store = self.keys, self.store
        if store.fact("owner") is None:
            usdc = self._deploy("TestUSDC")
            store.set_fact("usdc", usdc)
            roles = (usdc, keys.platform.address, keys.relayer.address, keys.owner.address)
            store.set_fact("settlement", self._deploy("LuxxonSettlement", *roles))
            store.set_fact("owner", keys.owner.address)
        if store.fact("owner") != keys.owner.address:
            raise StartError(
                "chain:keys", "The keys of the embedded chain are not those that it was made with"
            )
        usdc_address, settlement_address = store.fact("usdc"), store.fact("settlement")
        assert usdc_address and settlement_address
        return usdc_address, settlement_address

    def _deploy(self, name: str, *addresses: str) -> str:
        arguments = b"".join(bytes.fromhex(address[2:]).rjust(32, b"\0") for address in addresses)
        tx_hash = self._send(b"", artifact(name).bytecode + arguments, 0, 5_000_000)
        receipt = self.store.receipt(tx_hash)
        assert receipt
        address: str = receipt["contractAddress"]
        return address

    def _send(self, to: bytes, call: bytes, value: int, gas: int) -> bytes:
        """Sign as the owner and mine.

        Raises:
            StartError: it reverted, which none of ours does.
        """
        from eth_typing import Address

        from luxxon_core.adapters.chain.embedded_evm import CHAIN_ID, TIP
        from luxxon_core.adapters.chain.signer import DynamicFeeTransaction

        owner = self.keys.owner
        nonce = self.evm.state().get_nonce(Address(bytes.fromhex(owner.address[2:])))
        fee = 2 * self.evm.next_base_fee + TIP
        transaction = DynamicFeeTransaction(CHAIN_ID, nonce, TIP, fee, gas, to, call, value)
        raw = transaction.signed(owner.sign(transaction.digest()))
        tx_hash = self.evm.submit(self.evm.decode(raw))
        receipt = self.store.receipt(tx_hash)
        if receipt is None or receipt["status"] != "0x1":
            raise StartError("chain:reverted", "A transaction of the embedded chain's owner reverted")
        return tx_hash


def _selector(signature: str) -> bytes:
    from eth_utils.abi import function_signature_to_4byte_selector

    return function_signature_to_4byte_selector(signature)
