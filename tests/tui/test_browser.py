"""A session in a browser: opened where its user sees it, otherwise its address is told."""

from __future__ import annotations

import webbrowser
from typing import Any

import pytest
from frames import text_of
from scenes import LINK, LIVE, OFFLINE, WAITING, RecordedFeed, console, settle, until, watching

from luxxon_core.kernel.errors import NotAuthorized
from luxxon_core.links.schemas import Link
from luxxon_tui.app import ConsoleApp
from luxxon_tui.browser import within_reach
from luxxon_tui.rows import Span
from luxxon_tui.widgets.card import Card, CardLines

DESK = {"DISPLAY": ":0"}
FAR = {**DESK, "SSH_CONNECTION": "192.0.2.1 50022 192.0.2.2 22"}


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser has been given; there is one, and a display."""
    given: list[str] = []

    def take(url: str) -> bool:
        given.append(url)
        return True

    for name in ("BROWSER", "SSH_CONNECTION", "SSH_TTY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", take)
    return given


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
    monkeypatch: pytest.MonkeyPatch, pages: list[str], where: str
) -> None:
    if where == "far":
        monkeypatch.setenv("SSH_CONNECTION", FAR["SSH_CONNECTION"])
    elif where == "no display":
        monkeypatch.delenv("DISPLAY")
        monkeypatch.setattr("sys.platform", "linux")
    else:
        monkeypatch.setattr(webbrowser, "open", lambda _url: False)
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
    ],
)
def test_a_browser_is_seen_where_its_user_sits(environment: Any, platform: str, seen: bool) -> None:
    assert within_reach(environment, platform) is seen
