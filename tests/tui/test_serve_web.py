"""The console in a browser: who is let in, that the page needs nothing from elsewhere, and that it runs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from luxxon_core.kernel.errors import StartError
from luxxon_tui.web import PAGE, WebConsole, address

pytestmark = pytest.mark.alone


@pytest.fixture
async def served() -> AsyncIterator[str]:
    """The address of the page, as it is told to the user."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    console = WebConsole("127.0.0.1", 0, None, anyone=False, say=told.set_result)
    running = asyncio.create_task(console.run())
    try:
        yield await asyncio.wait_for(told, 10)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost", ("localhost", 8000)),
        (":9000", ("127.0.0.1", 9000)),
        ("[::1]:80", ("::1", 80)),
        ("127.9.9.9:1", ("127.9.9.9", 1)),
    ],
)
def test_addresses_of_this_machine(text: str, found: tuple[str, int]) -> None:
    assert address(text, anyone=False) == found


@pytest.mark.parametrize("text", ["0.0.0.0:8000", "[::]:80", "192.168.1.4", "example.org:80"])
def test_another_address_needs_the_flag(text: str) -> None:
    with pytest.raises(StartError, match="--serve-web-anyone"):
        address(text, anyone=False)
    assert address(text, anyone=True)


@pytest.mark.parametrize("text", ["127.0.0.1:99999", "a b", "http://x", "localhost:x", "::1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(StartError, match="HOST:PORT"):
        address(text, anyone=True)


async def test_the_page_needs_nothing_from_elsewhere(served: str) -> None:
    host = urlsplit(served).netloc
    async with aiohttp.ClientSession() as http, http.get(served) as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and f"ws://{host}" in policy
        needed = re.findall(r'(?:href|src)="([^"]+)"|url\("([^"]+)"\)', page)
        paths = {first or second for first, second in needed}
        assert len(paths) >= 4 and all(path.startswith("/") and "//" not in path for path in paths), paths
        for path in paths:
            async with http.get(f"http://{host}{path}") as file:
                assert file.status == 200 and await file.read()
    assert "http" not in PAGE.replace("{socket}", "")


async def test_who_does_not_know_the_address_sees_nothing(served: str) -> None:
    host = urlsplit(served).netloc
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/ws", "/static/js/textual.js", "/guess/", "/guess/ws"):
            async with http.get(f"http://{host}{path}", headers={"Origin": f"http://{host}"}) as answer:
                assert answer.status == 404, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
    ids=["another page", "a sandboxed page", "no page", "another name"],
)
async def test_another_page_opens_no_console(served: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{served}ws", headers=headers)
        assert refused.value.status == 403


async def test_a_console_runs_in_the_page(tmp_path: Path) -> None:
    """The command itself, and what a browser gets of it: the first start, drawn."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    clean["LUXXON_CONSOLE_FILE"] = str(tmp_path / "luxxon.toml")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luxxon_core", "--serve-web", "127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=clean,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        assert urlsplit(url).hostname == "127.0.0.1" and len(urlsplit(url).path) > 30
        origin = f"http://{urlsplit(url).netloc}"
        drawn = b""
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(f"{url}ws?width=100&height=30", headers={"Origin": origin})
            async with socket, asyncio.timeout(40):
                while b"Try it here" not in drawn:
                    message = await socket.receive()
                    assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
                    drawn += message.data if isinstance(message.data, bytes) else b""
                await socket.send_json(["stdin", "\r"])
                while b"Which camera" not in drawn:
                    message = await socket.receive()
                    drawn += message.data if isinstance(message.data, bytes) else b""
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
