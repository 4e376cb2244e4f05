"""What an operator's process does when it is told to stop, and with a child that no longer lives."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from luxxon_core.operator import isolation
from luxxon_core.operator.isolation import IsolatedFleet

SERVICE = """
import asyncio, time
from luxxon_core.operator.stopping import stop_requested
from luxxon_core.runner import run

async def work():
    async with stop_requested() as stop:
        print("up", flush=True)
        {first}
        await stop.wait()
        print("stopping", flush=True)
        {then}
    return 7

run(work())
"""
CHILD = """
import os, socket, sys, time
with open(sys.argv[1], "a") as file:
    file.write("x")
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while len(open(sys.argv[1]).read()) > 1:
    out.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
    time.sleep(0.1)
time.sleep(60)
"""


async def started(first: str = "pass", then: str = "pass") -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE.format(first=first, then=then)), stdout=asyncio.subprocess.PIPE
    )
    await says(process, b"up\n")
    return process


async def says(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_the_first_signal_asks(number: signal.Signals) -> None:
    process = await started()
    process.send_signal(number)
    await says(process, b"stopping\n")
    assert await asyncio.wait_for(process.wait(), 10) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("then", ["await asyncio.Event().wait()", "time.sleep(60)"], ids=["waits", "hangs"])
async def test_the_second_signal_ends_it_whatever_it_does(number: signal.Signals, then: str) -> None:
    process = await started(then=then)
    process.send_signal(signal.SIGTERM)
    await says(process, b"stopping\n")
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 5) == -number


async def test_a_closed_terminal_asks_and_does_not_ask_twice(tmp_path: Path) -> None:
    """The kernel and the shell both tell of it, and what is logged then goes nowhere."""
    ours, theirs = pty.openpty()
    then = f"""print("lost", file=sys.stderr, flush=True)
        open({str(tmp_path / "stopped")!r}, "w").close()
        await asyncio.sleep(0.5)"""
    code = SERVICE.replace("import asyncio,", "import asyncio, sys,")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code.format(first="pass", then=then)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    async with asyncio.timeout(20):
        while b"up" not in await asyncio.to_thread(os.read, ours, 1024):
            pass
    os.close(ours)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.05)  # else the two are one to the system
    assert await asyncio.wait_for(process.wait(), 20) == 7
    assert (tmp_path / "stopped").exists()


async def test_two_signals_end_one_whose_loop_has_hung_before() -> None:
    process = await started(first="time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)  # else the two are one to the system
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == -signal.SIGTERM


async def test_a_child_that_hangs_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one says that it is ready, and then nothing; the second one lives on."""
    monkeypatch.setattr(isolation, "WATCHDOG_SECONDS", 1.5)
    monkeypatch.setattr(isolation, "STOP_SECONDS", 0.3)
    monkeypatch.setattr(isolation, "BACKOFF", (0.05, 0.1))
    starts = tmp_path / "starts"
    fleet = IsolatedFleet(["pier"], lambda camera: [sys.executable, "-c", CHILD, str(starts)])
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop))
    async with asyncio.timeout(15):
        while not starts.exists() or len(starts.read_text()) < 2:
            await asyncio.sleep(0.02)
    await asyncio.sleep(2.5)
    assert starts.read_text() == "xx", "one that gives signs of life is left alone"
    stop.set()
    assert await asyncio.wait_for(running, 10)
