"""Live says where and who in words, where these are known, as the other screens do."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from frames import BRUSSELS, SESSIONS, console, filled, shows, text_of

from luxxon_core.kernel.geo import Point
from luxxon_tui import places
from luxxon_tui.store.state import Readiness, Who

OPERATOR = "d17c9ac2-95a7-4198-b35a-000000000001"


def live_session(operator: str = OPERATOR):
    return replace(SESSIONS[0], operator=operator)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=str)
async def test_names_the_place_and_keeps_its_numbers(size: tuple[int, int]) -> None:
    app = console(filled((live_session(),)), "live")
    async with app.run_test(size=size):
        await shows(app, "● Brussels, Belgium")
        assert f"{BRUSSELS.lat:.4f}"[:6] in text_of(app), "the numbers stand under Position"


async def test_a_name_that_is_found_later_takes_the_numbers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled((live_session(),))
    names, may = store.places.value, threading.Event()

    def found(_: Iterable[Point]) -> Mapping[Point, str]:
        may.wait(60)
        return names

    monkeypatch.setattr(places, "_named", found)
    store.places.set({})
    app = console(store, "live")
    async with app.run_test(size=(80, 24)):
        try:
            await shows(app, f"● {BRUSSELS.lat:.4f}")
        finally:
            may.set()
        await shows(app, "● Brussels, Belgium")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=str)
async def test_an_operator_has_its_name_or_a_short_one(size: tuple[int, int]) -> None:
    store = filled((live_session(),))
    app = console(store, "live")
    async with app.run_test(size=size):
        await shows(app, "d17c9ac2")
        assert "d17c9ac2-" not in text_of(app), "never an identifier at full length"
        store.names.set({OPERATOR: "testcard"})
        await shows(app, "testcard")
        store.names.set({})
        store.who.set(Who("w", "acme", memberships=((OPERATOR, "roof-cameras", "OWNER"),)))
        await shows(app, "roof-cameras")
        assert "d17c9ac2" not in text_of(app)


async def test_says_what_it_waits_for_while_a_marketplace_starts() -> None:
    store = filled()
    store.forget()
    store.readiness.set(Readiness.LOADING)
    store.progress.set("starting a marketplace of your own")
    app = console(store, "map")
    async with app.run_test(size=(80, 24)):
        await shows(app, "◌ starting a marketplace of your own")
        store.progress.set("making a workspace and test money")
        await shows(app, "◌ making a workspace and test money")
        assert "no API" not in text_of(app)
