"""The console never stands still for longer than a person notices."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from frames import SESSIONS, console, filled, session, shows
from scenes import until
from watchdog import LIMIT, PERIOD, Standstills, least, watched

from luxxon_core.kernel.geo import Point
from luxxon_tui.map.widget import MapView
from luxxon_tui.views import SessionView
from luxxon_tui.widgets.card import Card

pytestmark = pytest.mark.alone


def over(many: int) -> list[SessionView]:
    return [session(100 + n, "ENDED", Point(50 + n % 500 / 1000, 4), 30 + n, lasted=60) for n in range(many)]


MANY = over(500)
LAYOUT = 0.150
"""Seconds that a first showing or a new size may take: Textual arranges and paints everything at once."""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.parametrize("many", [500, 10_000])
@pytest.mark.parametrize("screen", ["live", "sessions"])
async def test_events_and_keys_are_taken_at_once(screen: str, many: int) -> None:
    async def play() -> Standstills:
        app = console(filled((*SESSIONS, *over(many))), screen)
        app.alone = True
        async with app.run_test(size=(120, 36)) as pilot:
            await until(lambda: app.loaded)
            await pilot.pause(0.2)
            async with watched() as found:
                for second in range(20):
                    view = app.store.sessions.value[SESSIONS[0].id]
                    seconds = view.clean_seconds + 1
                    metered = replace(view, clean_seconds=seconds, charged_micro=seconds * 1000)
                    app.store.put(replace(metered, elapsed_ms=view.elapsed_ms + 1000))
                    await pilot.press("down" if second % 2 else "pagedown")
                await pilot.press("f", "o", "ctrl+r")
        return found

    found = await least(play)
    assert found.worst <= LIMIT, found


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)], ids="{0[0]}x{0[1]}".format)
async def test_a_card_over_the_map_is_drawn_at_once(size: tuple[int, int]) -> None:
    async def play() -> Standstills:
        app = console(filled((*SESSIONS, *MANY)), "map")
        app.alone = True
        async with app.run_test(size=size) as pilot:
            await until(lambda: app.loaded)
            await app.screen.query_one(MapView).loaded.wait()
            await pilot.pause(0.2)
            async with watched() as found:
                await asyncio.sleep(PERIOD)  # the first card costs most: it is watched, too
                for _ in range(3):
                    await pilot.press("q")
                    await until(lambda: isinstance(app.screen, Card))
                    for second in range(3):
                        view = app.store.sessions.value[SESSIONS[0].id]
                        app.store.put(replace(view, elapsed_ms=view.elapsed_ms + 1000 * second))
                        await pilot.pause(0.02)
                    await pilot.press("escape")
                    await until(lambda: not isinstance(app.screen, Card))
                    await pilot.press("left")
        return found

    found = await least(play)
    assert found.worst <= LIMIT, found


async def test_a_first_showing_and_a_new_size_are_short() -> None:
    async def play() -> Standstills:
        app = console(filled((*SESSIONS, *MANY)), "sessions")
        app.alone = True
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: app.loaded)
            async with watched() as found:
                await pilot.press("2")
                await shows(app, "Meter")
                await pilot.press("3")
                await pilot.resize_terminal(120, 36)
                await shows(app, "So far")
        return found

    found = await least(play, LAYOUT)
    assert found.worst <= LAYOUT, found
