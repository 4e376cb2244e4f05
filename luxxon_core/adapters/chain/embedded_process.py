"""The embedded chain in a process of its own, for as long as its owner lives.

The EVM holds the interpreter for 10 to 30 ms a call, which a media relay in the same process would show as
jitter; and its imports take two seconds that a start can spend on the other core. The child serves JSON-RPC
as the chain does in-process; the owner holds its standard input, whose end, however it comes, ends the child.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import structlog

from luxxon_core.adapters.chain.signer import DeferredSigner, LocalSigner
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError

INVALID_PARAMS = -32602
END_SECONDS = 10.0
BACK_OFF_SECONDS = (0.5, 30.0)
"""Pause before the second restart in a row and the longest; it doubles in between. The first is at once."""

STEADY_SECONDS = 60.0
"""Who ran this long did not die of its start."""

_log = structlog.get_logger(__name__)


class ChainProcess:
    """A running chain; :meth:`start` makes it, :meth:`watch` keeps it running, :meth:`close` ends it.

    Attributes:
        rpc_url: the JSON-RPC endpoint; it stays the same for life.
        usdc_address: the test token, EIP-55.
        settlement_address: the settlement contract, EIP-55.
        platform_wallet: who receives the fees, EIP-55.
        relayer: the key that may settle; it holds ETH for gas.
    """

    chain_id = 31337

    def __init__(self, child: Process, said: dict[str, str], data_dir: Path) -> None:
        self._child = child
        self._said = said
        self._data_dir = data_dir
        self._launching = asyncio.Lock()
        self._closing = asyncio.Event()
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
        child = await _launch(data_dir, port)
        try:
            return cls(child, await _first_words(child), data_dir)
        except BaseException:
            await _end(child)
            raise

    async def watch(self) -> None:
        """Start the child again whenever it ends, on the same directory and port, until :meth:`close`.

        One that keeps ending is started less and less often. One caller at a time; cancelling is safe.
        """
        pause = 0.0
        started = asyncio.get_running_loop().time()
        while True:
            status = await self._child.wait()
            if self._closing.is_set():
                return
            if asyncio.get_running_loop().time() - started >= STEADY_SECONDS:
                pause = 0.0
            _log.error("chain.ended", status=status, again_in=pause)
            if pause and await self._closed_within(pause):
                return
            pause = min(max(2 * pause, BACK_OFF_SECONDS[0]), BACK_OFF_SECONDS[1])
            started = asyncio.get_running_loop().time()
            await self._restart()

    async def _restart(self) -> None:
        port = int(self.rpc_url.rsplit(":", 1)[1])
        try:
            async with self._launching:  # close() waits for the child that it has to end
                if self._closing.is_set():
                    return
                self._child = await _launch(self._data_dir, port)
            said = await _first_words(self._child)
            if said != self._said:  # settling against it would pay with another chain's money
                raise StartError(message="the directory now holds another chain")
        except (StartError, OSError) as error:
            if not self._closing.is_set():
                _log.error("chain.restart_failed", reason=str(error))
            await _end(self._child)
        else:
            _log.warning("chain.restarted", rpc_url=self.rpc_url)

    async def _closed_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the child and wait for it, also while it restarts. Idempotent."""
        self._closing.set()
        async with self._launching:
            child = self._child
        await _end(child)

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
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ExternalError("chain:faucet") from error
        if "error" in answer:
            kind = InvalidInput if answer["error"]["code"] == INVALID_PARAMS else ExternalError
            raise kind("faucet:amount", answer["error"]["message"])
        hashes: list[str] = answer["result"]
        return hashes


def _relayer(data_dir: Path) -> LocalSigner:
    from luxxon_core.adapters.chain.embedded_keys import ChainKeys

    return ChainKeys.load(data_dir / "keys").relayer


async def _launch(data_dir: Path, port: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", __name__, str(data_dir), str(port)),
        stdin=PIPE,
        stdout=PIPE,
        # our settings are none of its business, and some are secrets
        env={name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")},
        start_new_session=True,  # a Ctrl-C of the terminal is the owner's to handle
    )


async def _first_words(child: Process) -> dict[str, str]:
    """What a child says once it serves.

    Raises:
        StartError: it cannot.
    """
    assert child.stdout is not None
    line = await child.stdout.readline()
    said: dict[str, str] = json.loads(line) if line else {"error": "it ended without a word"}
    if "error" in said:
        raise StartError(message=f"the embedded chain does not start: {said['error']}")
    return said


async def _end(child: Process) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), END_SECONDS)
    except TimeoutError:
        child.kill()
        await child.wait()


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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    _main()
