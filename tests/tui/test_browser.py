"""A session in a browser: opened where its user sees it, otherwise its address is told."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from frames import text_of
from scenes import LINK, LIVE, OFFLINE, WAITING, RecordedFeed, console, settle, until, watching

from luxxon_core.kernel.errors import NotAuthorized
from luxxon_core.links.schemas import Link
from luxxon_tui import browser
from luxxon_tui.app import ConsoleApp
from luxxon_tui.browser import is_page, within_reach
from luxxon_tui.rows import Span
from luxxon_tui.widgets.card import Card, CardLines

DESK = {"DISPLAY": ":0"}
FAR = {**DESK, "SSH_CONNECTION": "192.0.2.1 50022 192.0.2.2 22"}


BROWSER = """#!{python}
import json, os, sys, time
null, page = os.stat(os.devnull), sys.argv[1].removeprefix("file://")
private = [page, os.path.dirname(page)] if page[0] == "/" else []
facts = {{
    "argv": sys.argv[1:],
    "page": open(page).read() if os.path.exists(page) else "",
    "modes": [os.stat(one).st_mode & 0o777 for one in private],
    "quiet": [os.path.samestat(os.fstat(number), null) for number in range(3)],
    "session": os.getsid(0),
    "pid": os.getpid(),
}}
print("a browser's noise", flush=True)
with open({told!r} + ".part", "w") as file:
    json.dump(facts, file)
os.rename({told!r} + ".part", {told!r})
time.sleep({stays})
sys.exit({code})
"""


@pytest.fixture(autouse=True)
def no_snaps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the machine of the tests has."""
    monkeypatch.setattr(browser, "SNAPS", tmp_path / "none")


class Program:
    """A browser that tells what it has been given."""

    def __init__(self, folder: Path, name: str = "firefox", *, stays: float = 0, code: int = 0) -> None:
        self._told = folder / f"{name}.json"
        self.path = folder / name
        body = BROWSER.format(python=sys.executable, told=str(self._told), stays=stays, code=code)
        self.path.write_text(body)
        self.path.chmod(0o700)

    @property
    def ran(self) -> bool:
        return self._told.exists()

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self._told.read_text()))


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk with a display, and no browser that anybody has named."""
    for name in ("BROWSER", "SSH_CONNECTION", "SSH_TTY", "WAYLAND_DISPLAY", "VSCODE_IPC_HOOK_CLI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where a browser has been led; there is one."""
    given: list[str] = []

    async def take(address: str) -> bool:
        given.append(led(written(address)))
        return True

    monkeypatch.setattr(browser, "opened", take)
    return given


def written(address: str) -> str:
    """What a file's address leads to."""
    return Path(url2pathname(urlsplit(address).path)).read_text()


def files(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def led(page: str) -> str:
    """Where a page leads by itself, which is also where its link goes."""
    to, link = (page.split(begin, 1)[1].split('"', 1)[0] for begin in ("url=", 'href="'))
    assert to == link
    return unescape(to)


def spans(app: ConsoleApp) -> list[Span]:
    return [span for row in app.screen.query_one(CardLines).rows for span in row]


async def test_a_key_opens_the_session_while_it_is_live(pages: list[str]) -> None:
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        assert "w browser" in text_of(app)
        await pilot.press("w")
        await until(lambda: bool(pages))
        assert pages == [LINK.url] and not isinstance(app.screen, Card)
    for view in (WAITING, OFFLINE):
        app = console(view)
        async with app.run_test() as pilot:
            await settle(app, view)
            await pilot.press("w")
            await pilot.pause()
    assert len(pages) == 1


async def test_a_refusal_is_told(pages: list[str]) -> None:
    class Refusing(RecordedFeed):
        async def link(self) -> Link:
            raise NotAuthorized("session:viewDenied")

    app = watching(Refusing(LIVE))
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        await pilot.press("w")
        await until(lambda: any("no link" in one.message for one in app._notifications))
        assert not pages and not isinstance(app.screen, Card)


@pytest.mark.parametrize("where", ["far", "no display", "no browser"])
async def test_where_none_opens_the_address_is_told(
    monkeypatch: pytest.MonkeyPatch, where: str, request: pytest.FixtureRequest
) -> None:
    real = browser.opened
    pages = request.getfixturevalue("pages")
    if where == "far":
        monkeypatch.setenv("SSH_CONNECTION", FAR["SSH_CONNECTION"])
    elif where == "no display":
        monkeypatch.delenv("DISPLAY")
        monkeypatch.setattr("sys.platform", "linux")
    else:
        monkeypatch.setenv("BROWSER", "/nowhere/browser")
        monkeypatch.setattr(browser, "opened", real)
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        await pilot.press("w")
        await until(lambda: isinstance(app.screen, Card))
        await pilot.pause()
        told = [span for span in spans(app) if span.link]
        assert "".join(span.text for span in told) == LINK.url
        assert {span.link for span in told} == {LINK.url}, "a terminal far away opens it"
        assert app.clipboard == LINK.url and not pages
        await pilot.press("escape")
        assert not isinstance(app.screen, Card)


@pytest.mark.parametrize(
    ("environment", "platform", "seen"),
    [
        (DESK, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        (FAR, "linux", False),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", False),
        ({**FAR, "BROWSER": "/vscode/helper"}, "linux", True),
        ({**DESK, "BROWSER": "w3m"}, "linux", False),
        ({**DESK, "BROWSER": "/usr/bin/lynx -accept_all_cookies %s"}, "linux", False),
        ({"BROWSER": os.pathsep.join(("www-browser", "elinks", "links"))}, "linux", False),
        ({"BROWSER": os.pathsep.join(("w3m", "firefox"))}, "linux", True),
    ],
)
def test_a_browser_is_seen_where_its_user_sits(environment: Any, platform: str, seen: bool) -> None:
    assert within_reach(environment, platform) is seen


async def test_a_browser_gets_neither_the_link_nor_the_terminal_nor_the_consoles_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Other users see what programs are started with, and whoever has the link may watch and end."""
    program = Program(tmp_path, stays=8)
    monkeypatch.setenv("BROWSER", str(program.path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    app = console(LIVE)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(app, LIVE)
            await pilot.press("w")
            await until(lambda: program.ran)
            await asyncio.sleep(3)
            assert not isinstance(app.screen, Card), "a browser that stays has taken it"
            left = time.monotonic()
        await asyncio.get_running_loop().shutdown_default_executor()
        assert time.monotonic() - left < 2, "the console does not wait for the browser"
        os.kill(program.facts["pid"], 0)
    finally:
        if program.ran:
            os.kill(program.facts["pid"], 9)
    facts = program.facts
    assert led(facts["page"]) == LINK.url
    assert LINK.url not in str(facts["argv"]) and facts["argv"][0].startswith("file://")
    assert facts["modes"] == [0o600, 0o700]
    assert all(facts["quiet"]) and facts["session"] != os.getsid(0)
    assert "noise" not in "".join(capfd.readouterr())
    assert files(tmp_path) == {"firefox", "firefox.json"}, "the page is gone"


async def test_a_browser_of_text_is_not_started_and_one_that_fails_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text, good = Program(tmp_path, "w3m"), Program(tmp_path, "good")
    fails = Program(tmp_path, "fails", code=1)
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        for commands in ([text], [text, fails]):
            monkeypatch.setenv("BROWSER", os.pathsep.join(str(one.path) for one in commands))
            await pilot.press("w")
            await until(lambda: isinstance(app.screen, Card))
            await pilot.press("escape")
    assert fails.ran
    monkeypatch.setenv("BROWSER", os.pathsep.join(str(one.path) for one in (text, fails, good)))
    assert await browser.opened("https://x.test/")
    assert good.ran and not text.ran


@pytest.mark.parametrize("snapped", [False, True], ids=["elsewhere", "a snap"])
async def test_a_browser_that_cannot_read_the_file_is_given_the_address_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, snapped: bool
) -> None:
    program = Program(tmp_path)
    monkeypatch.setenv("BROWSER", str(program.path))
    if snapped:
        (tmp_path / "snaps").mkdir()
        (tmp_path / "snaps" / "firefox").touch()
        monkeypatch.setattr(browser, "SNAPS", tmp_path / "snaps")
    else:
        monkeypatch.setenv("SSH_CONNECTION", FAR["SSH_CONNECTION"])
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        await pilot.press("w")
        await until(lambda: program.ran)
    assert program.facts["argv"] == [LINK.url]


@pytest.mark.parametrize(
    "url",
    [
        "https://x.test/\0",
        "https://x.test/a b",
        "https://x.test/\x1b]0;owned\x07",
        "https://x.test/\u202eabc",
        "https://x.test/\nb",
        "https://[::1/",
        "https://",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "-https://x.test/",
    ],
)
async def test_what_is_no_plain_address_of_a_page_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = Program(tmp_path)
    monkeypatch.setenv("BROWSER", str(program.path))
    app = console(LIVE)
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        app.open_url(url)
        await until(lambda: any("no page of the web" in one.message for one in app._notifications))
        await pilot.pause(0.2)
        assert not program.ran and not isinstance(app.screen, Card)


@pytest.mark.parametrize(
    "url", [LINK.url, "http://127.0.0.1:8402/s/a?b=1&c=%22#codec=h264", "https://[::1]/"]
)
def test_an_address_is_written_as_it_is(url: str, tmp_path: Path) -> None:
    assert is_page(url)
    with browser.handed(url, {"XDG_RUNTIME_DIR": str(tmp_path)}) as address:
        [page] = tmp_path.rglob("*.html")
        assert page.as_uri() == address and led(page.read_text()) == url
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert not list(tmp_path.iterdir())
