"""The embedded chain as a process: same answers, and it never outlives its owner."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from structlog.testing import capture_logs

from luxxon_core.adapters.chain import embedded_process
from luxxon_core.adapters.chain.embedded_process import ChainProcess
from luxxon_core.kernel.errors import InvalidInput, StartError

OWNER = """
import asyncio, json, sys
from pathlib import Path
from luxxon_core.adapters.chain.embedded_process import ChainProcess
async def main():
    chain = await ChainProcess.start(Path(sys.argv[1]))
    print(json.dumps(chain.rpc_url), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
SOMEBODY = "0x" + "11" * 20


async def answering(rpc_url: str) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as http:
        while True:
            try:
                await http.post(rpc_url, json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


def chains_in(directory: Path) -> list[psutil.Process]:
    """Chains that this process runs there; one that was killed and waits to be reaped is none."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if "embedded_process" in command and str(directory) in command:
                found.append(child)
    return found


async def child_in(directory: Path, but: int = 0) -> psutil.Process:
    """The chain's process, once there is one that is not ``but``."""
    async with asyncio.timeout(30):
        while True:
            for child in chains_in(directory):
                if child.pid != but:
                    return child
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(chain: ChainProcess) -> AsyncIterator[asyncio.Task[None]]:
    watching = asyncio.create_task(chain.watch())
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await chain.close()


async def balance(rpc_url: str, address: str) -> int:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [address, "latest"]}
    async with httpx.AsyncClient() as http:
        return int((await http.post(rpc_url, json=request)).json()["result"], 16)


async def test_it_serves_and_keeps_its_state(tmp_path: Path) -> None:
    first = await ChainProcess.start(tmp_path / "chain")
    assert len(await first.faucet(SOMEBODY, 7, 5)) == 2
    with pytest.raises(InvalidInput):
        await first.faucet("0xnobody", 1, 1)
    await first.close()
    second = await ChainProcess.start(tmp_path / "chain")
    try:
        assert second.settlement_address == first.settlement_address
        assert second.relayer.address == first.relayer.address
        assert await balance(second.rpc_url, SOMEBODY) == 7
        signature = await second.relayer.sign_digest(b"\x01" * 32)
        assert signature.y_parity in (0, 1)
    finally:
        await second.close()


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    first = await ChainProcess.start(tmp_path / "chain")
    try:
        with pytest.raises(StartError, match="used by another process"):
            await ChainProcess.start(tmp_path / "chain")
    finally:
        await first.close()


def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "chain")]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    rpc_url = json.loads(owner.stdout.readline())
    assert asyncio.run(balance(rpc_url, SOMEBODY)) == 0
    (child,) = psutil.Process(owner.pid).children()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert gone and not alive


async def test_a_killed_child_comes_back_at_the_same_url_with_the_same_state(tmp_path: Path) -> None:
    chain = await ChainProcess.start(tmp_path / "chain")
    with capture_logs() as logs:
        async with watched(chain):
            await chain.faucet(SOMEBODY, 7, 5)
            url = chain.rpc_url
            for _ in range(2):
                child = await child_in(tmp_path)
                child.kill()
                await child_in(tmp_path, but=child.pid)
                await answering(url)
                assert chain.rpc_url == url and await balance(url, SOMEBODY) == 7
            await chain.faucet(SOMEBODY, 1, 0)
            assert await balance(url, SOMEBODY) == 8
    ended = [entry for entry in logs if entry["event"] == "chain.ended"]
    assert [(entry["log_level"], entry["status"]) for entry in ended] == [("error", -signal.SIGKILL)] * 2
    assert [entry["again_in"] for entry in ended] == [0, embedded_process.BACK_OFF_SECONDS[0]]


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_closing_during_a_restart_leaves_no_child(tmp_path: Path, cancelled_first: bool) -> None:
    chain = await ChainProcess.start(tmp_path / "chain")
    async with watched(chain) as watching:
        first = await child_in(tmp_path)
        first.kill()
        second = await child_in(tmp_path, but=first.pid)
        if cancelled_first:
            watching.cancel()
        await chain.close()
        assert not second.is_running()
        await asyncio.wait({watching}, timeout=5)
        assert watching.cancelled() if cancelled_first else watching.result() is None
    assert not chains_in(tmp_path)


async def test_closing_is_no_death(tmp_path: Path) -> None:
    chain = await ChainProcess.start(tmp_path / "chain")
    with capture_logs() as logs:
        async with watched(chain) as watching:
            await chain.close()
            await asyncio.wait_for(watching, 5)
    assert logs == []
    assert not chains_in(tmp_path)


async def test_a_chain_that_cannot_come_back_is_tried_again_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_process, "BACK_OFF_SECONDS", (0.1, 0.2))
    chain = await ChainProcess.start(tmp_path / "chain")
    key = tmp_path / "chain" / "keys" / "owner.json"
    with capture_logs() as logs:
        async with watched(chain):
            key.rename(key.with_suffix(".away"))
            (await child_in(tmp_path)).kill()
            async with asyncio.timeout(30):
                while not any(entry["event"] == "chain.restart_failed" for entry in logs):
                    await asyncio.sleep(0.05)
            key.with_suffix(".away").replace(key)
            await answering(chain.rpc_url)
    assert sum(entry["event"] == "chain.restarted" for entry in logs) == 1
