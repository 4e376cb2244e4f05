"""The Live screen as it looks: pictures that change only when the look does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scenes import ALL, GOOD, STALLED, console, settle
from textual.pilot import Pilot

from luxxon_tui.widgets.picture import Picture

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
STATES = ["empty", "waiting", "live", "stalled", "offline", "ended"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("state", STATES)
def test_live(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    stream = STALLED if state in ("stalled", "offline") else GOOD
    view = ALL["losing" if state == "stalled" else state]

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, view, stream=stream)  # type: ignore[arg-type]
        await pilot.pause()

    assert snap_compare(console(view, stream=stream), terminal_size=size, run_before=before)


def test_half_blocks(snap_compare: Callable[..., bool]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, ALL["live"])  # type: ignore[arg-type]
        picture = pilot.app.screen.query_one(Picture)
        picture._coarse, picture._painter = True, None
        picture._paint()
        pilot.app.screen._draw()  # type: ignore[attr-defined]
        await pilot.pause()

    assert snap_compare(console(ALL["live"]), terminal_size=SIZES["80x24"], run_before=before)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_a_link_for_a_phone(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, ALL["live"])  # type: ignore[arg-type]
        await pilot.press("p")
        await pilot.pause()

    assert snap_compare(console(ALL["live"]), terminal_size=size, run_before=before)
