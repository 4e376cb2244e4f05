"""The command line around the demo: the headless server, the list of cameras, no terminal."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import Run


async def test_the_console_needs_a_terminal(luxxon: Run) -> None:
    process = await luxxon()
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (2, b"")
    assert len(err.decode().splitlines()) == 1
    assert b"terminal" in err


async def test_the_cameras_that_are_installed(luxxon: Run) -> None:
    process = await luxxon("plugins")
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err
    keys = [line.split()[0] for line in out.decode().splitlines()]
    assert keys == ["drone", "file", "rtsp", "testcard", "webcam"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_server_ends_gracefully(luxxon: Run, tmp_path: Path, number: signal.Signals) -> None:
    process = await luxxon("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while (
            match := re.search(rb"http://127\.0\.0\.1:\d+/api/v1", await process.stderr.readline())
        ) is None:
            assert process.returncode is None
    async with httpx.AsyncClient() as http:
        health = (await http.get(match[0].decode() + "/health")).json()
    assert health["data"]["ok"] is True
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err
    assert b"Traceback" not in err


async def test_a_wrong_database_address_is_one_line_without_the_password(luxxon: Run, tmp_path: Path) -> None:
    for address in ("mysql://u:hunter2@h/db", "garbage hunter2", "postgresql://u:hunter2@127.0.0.1:1/db"):
        process = await luxxon(
            "serve", "--port", "0", "--data-dir", str(tmp_path / "data"), LUXXON_DATABASE_URL=address
        )
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2, err
        said = [line for line in err.decode().splitlines() if line.startswith("luxxon: ")]
        assert len(said) == 1, err
        assert b"hunter2" not in err
        assert b"Traceback" not in err
