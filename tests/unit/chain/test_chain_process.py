"""The embedded chain as a process: same answers, and it never outlives its owner."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

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
