"""Debian's Chromium without a screen, driven over the Chrome DevTools Protocol.

One process serves a whole run; each ``Browser`` is a connection to it with a browser context of its own, so
cookies, permissions and pages of one test are gone when it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

INSTALL = "make services (as root on Debian: apt-get install chromium)"
READY_SECONDS = 30
ANSWER_SECONDS = 60.0
"""For one command: a script that awaits may take as long as what it waits for."""

ARGUMENTS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    # Pages beside the one in front are watched as well.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    # A machine without a network has no other address.
    "--allow-loopback-in-peer-connection",
)


class PageError(AssertionError):
    """A script in a page threw, or a command was refused."""


def program() -> str | None:
    """Path of Debian's Chromium, or None."""
    return shutil.which("chromium")


@contextmanager
def running(executable: str) -> Iterator[str]:
    """The WebSocket URL of a new Chromium process, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="luxxon-chromium-", ignore_cleanup_errors=True) as folder:
        profile = Path(folder)
        command = [executable, *ARGUMENTS, f"--user-data-dir={profile}"]
        if (setpriv := shutil.which("setpriv")) is not None:
            command[:0] = [setpriv, "--pdeathsig=KILL"]  # a run that is killed takes its browser along
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to be root otherwise
        with (profile / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": folder},
                start_new_session=True,
            )
        try:
            yield _wait(profile, process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def _wait(profile: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            port, path = (profile / "DevToolsActivePort").read_text().split()
        except (OSError, ValueError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((profile / "log").read_text(errors="replace")) from None
            time.sleep(0.02)
        else:
            return f"ws://127.0.0.1:{port}{path}"


class Browser:
    """A connection with one browser context. Made by ``connected``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._context = ""

    async def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of one command. Raises PageError when it is refused."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json(message)
            answered = await asyncio.wait_for(answer, ANSWER_SECONDS)
        finally:
            del self._answers[number]
        if "error" in answered:
            raise PageError(f"{method}: {answered['error']['message']}")
        result: dict[str, Any] = answered["result"]
        return result

    async def page(self, url: str) -> Page:
        """A new window, with ``url`` loaded."""
        target = await self.command(
            "Target.createTarget", url="about:blank", browserContextId=self._context, newWindow=True
        )
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"], target["targetId"])
        await page.enable()
        await page.load(url)
        return page

    async def grant(self, origin: str, *permissions: str) -> None:
        """Answer a page's question for ``videoCapture``, ``geolocation`` and the like beforehand."""
        await self.command(
            "Browser.grantPermissions",
            origin=origin,
            permissions=permissions,
            browserContextId=self._context,
        )

    async def deny(self, origin: str, permission: str) -> None:
        """Refuse ``camera``, ``geolocation`` or another name of the Permissions API."""
        await self.command(
            "Browser.setPermission",
            origin=origin,
            permission={"name": permission},
            setting="denied",
            browserContextId=self._context,
        )

    async def _open(self) -> None:
        self._context = (await self.command("Target.createBrowserContext"))["browserContextId"]

    async def _close(self) -> None:
        await self.command("Target.disposeBrowserContext", browserContextId=self._context)

    async def _read(self) -> None:
        async for message in self._socket:
            received = json.loads(message.data)
            if (answer := self._answers.get(received.get("id", 0))) is not None:
                if not answer.done():
                    answer.set_result(received)
            elif (page := self._pages.get(received.get("sessionId", ""))) is not None:
                page.event(received["method"], received["params"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(PageError("Chromium is gone"))


@asynccontextmanager
async def connected(endpoint: str) -> AsyncIterator[Browser]:
    """Connect to the process at ``endpoint``."""
    async with aiohttp.ClientSession() as http, http.ws_connect(endpoint, max_msg_size=0) as socket:
        browser = Browser(socket)
        reader = asyncio.create_task(browser._read())
        try:
            await browser._open()
            yield browser
            await browser._close()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


class Page:
    """One window: scripts go in, values come out; what it says on its console is kept."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self._loaded = asyncio.Event()
        self.console: list[str] = []
        """Messages, uncaught exceptions and violations of the content security policy, in order."""

    async def enable(self) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.command(method, self._session, **parameters)

    async def load(self, url: str) -> None:
        """Open ``url`` and wait for its load event."""
        self._loaded.clear()
        opened = await self.command("Page.navigate", url=url)
        if opened.get("errorText"):
            raise PageError(f"{opened['errorText']}: {url}")
        await asyncio.wait_for(self._loaded.wait(), ANSWER_SECONDS)

    async def evaluate(self, script: str, *, gesture: bool = False) -> Any:
        """The value of an expression, awaited when it is a promise. Raises PageError when it throws."""
        answer = await self.command(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=gesture,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def call(self, function: str, *arguments: Any) -> Any:
        """What ``function`` returns for arguments that JSON can carry."""
        return await self.evaluate(f"{function}({', '.join(map(json.dumps, arguments))})")

    async def until(self, expression: str, seconds: float = 15.0) -> Any:
        """Wait for an expression to be true, and return it."""
        async with asyncio.timeout(seconds):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.05)
            return value

    async def close(self) -> None:
        """Close the window at once, as a user does: the page's own code does not run on."""
        await self._browser.command("Target.closeTarget", targetId=self._target)

    def event(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.consoleAPICalled":
            said = (str(part.get("value", part.get("description", ""))) for part in parameters["args"])
            self.console.append(f"{parameters['type']}: {' '.join(said)}")
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.console.append(f"exception: {details.get('exception', {}).get('description', details)}")
        elif method == "Log.entryAdded":
            entry = parameters["entry"]
            self.console.append(f"{entry['level']}: {entry['text']}")
