"""The embedded chain in a process of its own, for as long as its owner lives.

The EVM holds the interpreter for 10 to 30 ms a call, which a media relay in the same process would show as
jitter; and its imports take two seconds that a start can spend on the other core. The child serves JSON-RPC
as the chain does in-process; the owner holds its standard input, whose end, however it comes, ends the child.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from luxxon_core.adapters.chain.signer import DeferredSigner, LocalSigner
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError

INVALID_PARAMS = -32602


class ChainProcess:
    """A running chain; :meth:`start` makes it, :meth:`close` ends it.

    Attributes:
        rpc_url: the JSON-RPC endpoint.
        usdc_address: the test token, EIP-55.
        settlement_address: the settlement contract, EIP-55.
        platform_wallet: who receives the fees, EIP-55.
        relayer: the key that may settle; it holds ETH for gas.
    """

    chain_id = 31337

    def __init__(self, child: subprocess.Popen[bytes], said: dict[str, str], data_dir: Path) -> None:
        self._child = child
        self.rpc_url = said["rpcUrl"]
        self.usdc_address = said["usdc"]
        self.settlement_address = said["settlement"]
        self.platform_wallet = said["platform"]
        self.relayer = DeferredSigner(said["relayer"], lambda: _relayer(data_dir))

    @classmethod
    async def start(cls, data_dir: Path, port: int = 0) -> ChainProcess:
        """Open the chain kept in ``data_dir``, or make one. Port 0 takes a free one.

        Raises:
            StartError: the directory or the port is in use, or its keys cannot be opened.
        """
        child = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once
            [sys.executable, "-m", __name__, str(data_dir), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C of the terminal is the owner's to handle
        )
        try:
            assert child.stdout is not None
            line = await asyncio.to_thread(child.stdout.readline)
            said = json.loads(line) if line else {"error": "it ended without a word"}
            if "error" in said:
                raise StartError(message=f"the embedded chain does not start: {said['error']}")
        except BaseException:
            _end(child)
            raise
        return cls(child, said, data_dir)

    async def close(self) -> None:
        """End the child and wait for it. Idempotent."""
        await asyncio.to_thread(_end, self._child)

    async def faucet(self, address: str, eth_wei: int, usdc_micro: int) -> list[str]:
        """Give test money to an address; the hashes of the transactions that did it, mined already.

        Raises:
            InvalidInput: not an address, or more than 100 ETH or 1 000 000 USDC at once.
            ExternalError: the chain does not answer.
        """
        import aiohttp

        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "luxxon_faucet",
            "params": [address, hex(eth_wei), hex(usdc_micro)],
        }
        try:
            async with aiohttp.ClientSession() as http, http.post(self.rpc_url, json=request) as response:
                answer: dict[str, Any] = await response.json()
        except aiohttp.ClientError as error:
            raise ExternalError("chain:faucet") from error
        if "error" in answer:
            kind = InvalidInput if answer["error"]["code"] == INVALID_PARAMS else ExternalError
            raise kind("faucet:amount", answer["error"]["message"])
        hashes: list[str] = answer["result"]
        return hashes


def _relayer(data_dir: Path) -> LocalSigner:
    from luxxon_core.adapters.chain.embedded_keys import ChainKeys

    return ChainKeys.load(data_dir / "keys").relayer


def _end(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


async def _serve(data_dir: Path, port: int) -> None:
    """The child: run the chain until standard input ends."""
    from luxxon_core.adapters.chain.embedded import EmbeddedChain

    try:
        chain = await EmbeddedChain.start(data_dir, port)
    except StartError as error:
        _say({"error": error.message})
        return
    _say(
        {
            "rpcUrl": chain.rpc_url,
            "usdc": chain.usdc_address,
            "settlement": chain.settlement_address,
            "platform": chain.platform_wallet,
            "relayer": chain.relayer.address,
        }
    )
    await asyncio.to_thread(sys.stdin.buffer.read)
    await chain.close()


def _say(message: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _main() -> None:
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    _main()
