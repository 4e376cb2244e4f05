"""anvil, foundry's development node, as a chain under test: a process on loopback, ended by its own id.

It mines as it is told: a block for each transaction, or one every ``block_time`` seconds; it can be killed
and started again on its state, and asked to drop blocks (``anvil_rollback``), which no other chain here does.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

import aiohttp
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector as selector
from services import missing
from web3 import Web3

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded_keys import ChainKeys
from luxxon_core.adapters.chain.signer import LocalSigner

PROGRAM = Path(__file__).parent / "node" / "node_modules" / ".bin" / "anvil"
INSTALL = "make services (npm has it for Linux on x86-64)"
START_S = 20.0
RECEIPT_S = 20.0
_LISTENING = re.compile(r"^Listening on 127\.0\.0\.1:(\d+)", re.MULTILINE)


class AnvilError(Exception):
    """anvil's JSON-RPC error object, or a transaction of ours that failed."""


class Anvil:
    """A running node; :meth:`start` makes it, :meth:`close` ends it and has its state written down.

    Attributes:
        rpc_url: the JSON-RPC endpoint; WebSocket connections are accepted at the same port.
        pid: the process.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))
        self._ids = count(1)
        self.port = port
        self.pid = process.pid
        self.rpc_url = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(
        cls,
        directory: Path,
        *options: str,
        block_time: float | None = None,
        port: int = 0,
        kept: bool = True,
    ) -> Self:
        """Start on what ``directory`` holds, or anew; without anvil the test is skipped, in CI it fails.

        Args:
            directory: where state (written at the end, and every second) and log are kept.
            options: further options of the program.
            block_time: seconds between blocks; None mines each transaction at once.
            port: 0 takes a free one.
            kept: whether the state is written at all: that takes the longer the more blocks there are.
        """
        if not PROGRAM.exists():
            missing("anvil", INSTALL)
        log = directory / "anvil.log"
        command = [str(PROGRAM), "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337"]
        command += ["--cache-path", str(directory / "states")]  # else each run leaves gigabytes in ~/.foundry
        command += options
        if kept:
            command += ["--state", str(directory / "anvil.json"), "--state-interval", "1"]
        if block_time is not None:
            command += ["--block-time", str(block_time)]
        return cls(*await asyncio.to_thread(_spawn, command, log))

    async def rpc(self, method: str, *params: Any) -> Any:
        """The result of a call.

        Raises:
            AnvilError: the node answers with an error.
        """
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(self.rpc_url, json=request) as response:
            answer = await response.json()
        if "error" in answer:
            raise AnvilError(answer["error"])
        return answer["result"]

    async def send(self, **transaction: Any) -> dict[str, Any]:
        """Send from an account that anvil signs for, the first unless told; the receipt once it is mined."""
        transaction.setdefault("from", (await self.rpc("eth_accounts"))[0])
        tx_hash = await self.rpc("eth_sendTransaction", transaction)
        deadline = time.monotonic() + RECEIPT_S
        while (receipt := await self.rpc("eth_getTransactionReceipt", tx_hash)) is None:
            assert time.monotonic() < deadline, "not mined"
            await asyncio.sleep(0.01)
        if receipt["status"] != "0x1":
            raise AnvilError(f"transaction {tx_hash} failed")
        found: dict[str, Any] = receipt
        return found

    async def close(self) -> None:
        """End it; its state is written before it goes. Safe to call twice."""
        await self._session.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)

    async def kill(self) -> None:
        """End it as a crash does: what is kept is the state of up to a second ago."""
        await self._session.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)


def _spawn(command: list[str], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The process and its port, once it listens."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    deadline = time.monotonic() + START_S
    try:
        while (found := _LISTENING.search(text := log.read_text(errors="replace"))) is None:
            assert process.poll() is None, f"anvil ended: {text[-500:]}"
            assert time.monotonic() < deadline, f"anvil does not listen: {text[-500:]}"
            time.sleep(0.01)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, int(found[1])


class AnvilChain:
    """Token and settlement contract on an :class:`Anvil`, with what tests ask of any development chain."""

    chain_id = 31337

    def __init__(self, node: Anvil, keys: ChainKeys, usdc_address: str, settlement_address: str) -> None:
        self.node, self.keys = node, keys
        self.rpc_url = node.rpc_url
        self.usdc_address, self.settlement_address = usdc_address, settlement_address
        self.relayer: LocalSigner = keys.relayer
        self.platform_wallet = keys.platform.address

    @classmethod
    async def deploy(cls, node: Anvil) -> Self:
        """Both contracts, with new keys; owner and relayer hold ETH."""
        keys = ChainKeys.load(None)
        for signer in (keys.owner, keys.relayer):
            await node.rpc("anvil_setBalance", signer.address, hex(10**22))
        usdc = await deploy(node, artifact("TestUSDC").bytecode)
        roles = (usdc, keys.platform.address, keys.relayer.address, keys.owner.address)
        arguments = encode(["address"] * 4, roles)
        settlement = await deploy(node, artifact("LuxxonSettlement").bytecode + arguments)
        return cls(node, keys, usdc, settlement)

    async def faucet(self, address: str, eth_wei: int, usdc_micro: int) -> None:
        """Give test money to an address."""
        if eth_wei:
            held = int(await self.node.rpc("eth_getBalance", address, "latest"), 16)
            await self.node.rpc("anvil_setBalance", address, hex(held + eth_wei))
        if usdc_micro:
            mint = call("mint(address,uint256)", address, usdc_micro)
            await self.node.send(to=self.usdc_address, data=mint)


async def deploy(node: Anvil, code: bytes) -> str:
    """Create a contract; its address, EIP-55."""
    receipt = await node.send(data="0x" + code.hex())
    return Web3.to_checksum_address(receipt["contractAddress"])


def call(signature: str, *arguments: Any) -> str:
    """Call data, as hexadecimal; the arguments' types are those of the signature, without tuples."""
    types = signature[signature.index("(") + 1 : -1]
    encoded = encode(types.split(","), arguments) if types else b""
    return "0x" + (selector(signature) + encoded).hex()


@asynccontextmanager
async def anvil_chain(
    directory: Path, *, block_time: float | None = None, kept: bool = True
) -> AsyncIterator[AnvilChain]:
    """A node with the contracts, for the time of a test."""
    node = await Anvil.start(directory, block_time=block_time, kept=kept)
    try:
        yield await AnvilChain.deploy(node)
    finally:
        await node.close()
