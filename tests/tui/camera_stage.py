"""The Cameras screen as its tests open it: over cameras found at once, with a marketplace or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from filmed import Cameras
from frames import console, filled
from scenes import WORKSPACE, until
from textual.pilot import Pilot

from luxxon_core.testing import FakeMarketplace
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.widgets.picture import Picture


def only(cameras: Cameras, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """These are all the cameras there are; what is kept of them is kept in a folder of the test."""
    monkeypatch.setattr(CamerasScreen, "FINDER", lambda: cameras)
    monkeypatch.setattr(CamerasScreen, "IDENTITIES", lambda _api: cameras)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(folder / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_SECRETS_FILE", str(folder / "secrets.json"))


def market() -> FakeMarketplace:
    """Of the workspace that is signed in."""
    return FakeMarketplace(workspace_id=WORKSPACE)


def opened(api: FakeMarketplace | None = None) -> ConsoleApp:
    """The console on the screen, signed in at a marketplace when there is one."""
    app = console(filled(()), "cameras")
    if api is not None:
        app.server.connected = Connected(api)  # type: ignore[arg-type]
    return app


def screen_of(app: ConsoleApp) -> CamerasScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, CamerasScreen)
    return screen


async def looked(app: ConsoleApp) -> CamerasScreen:
    """Once every camera has been looked at."""
    await until(lambda: isinstance(app.screen_stack[0], CamerasScreen))
    screen = screen_of(app)
    await until(lambda: screen.desk.found and all(link.seen for link in screen.desk.links.values()))
    await until(lambda: all(link.state in ("CLOSED", "FAILED") for link in screen.desk.links.values()))
    return screen


async def afresh(pilot: Pilot[Any]) -> None:
    """Paint the preview as if nothing had been there: noise keeps what was shown before."""
    await pilot.pause(0.5)
    picture = pilot.app.screen.query_one(Picture)
    picture._painter = None
    picture._paint()
    await pilot.pause()
