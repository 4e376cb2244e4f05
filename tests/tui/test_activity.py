"""The Activity screen: what it lists, how it is narrowed and held, and what an embedded server tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import frames
import pytest
from frames import NOW, SESSIONS, shows, text_of
from scenes import until
from textual.pilot import Pilot

from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.rows import Row, width_of
from luxxon_tui.screens import activity_panels as panels
from luxxon_tui.screens.activity import ActivityScreen
from luxxon_tui.screens.activity_panels import Counters, Kind, Log, Party
from luxxon_tui.store import Readiness, Store
from luxxon_tui.store.state import Happening

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
LIVE, WAITING, PAID, SERVED = SESSIONS[0].id, SESSIONS[1].id, SESSIONS[3].id, SESSIONS[4].id


def event(seconds_ago: float, name: str, session: str | None, words: str) -> Happening:
    return Happening(NOW - timedelta(seconds=seconds_ago), name, session, words)


EVENTS = (
    event(600, "session.state", SERVED, "ENDED"),
    event(560, "settlement.state", SERVED, "SUBMITTED 0.599000 USDC"),
    event(540, "settlement.state", SERVED, "CONFIRMED 0.599000 USDC"),
    event(104, "session.state", LIVE, "REQUESTED"),
    event(103, "session.state", LIVE, "ASSIGNED"),
    event(102, "video.connected", LIVE, "video"),
    event(102, "session.state", LIVE, "LIVE"),
    event(59, "window.opened", LIVE, "not charged from now on: no frames"),
    event(58, "window.closed", LIVE, "charged again after 1.0 s: no frames"),
    event(48, "session.state", WAITING, "REQUESTED"),
    event(20, "quality.degraded", LIVE, "picture frozen"),
    event(18, "quality.restored", LIVE, "picture good again, was frozen"),
    event(4, "settlement.state", PAID, "FAILED 0.151000 USDC, parked"),
)
LOG = tuple(
    json.dumps(
        {"event": name, "level": level, "timestamp": (NOW + timedelta(seconds=at)).isoformat(), **more}
    )
    for at, name, level, more in (
        (-300, "serving", "info", {"url": "http://127.0.0.1:40123/api/v1"}),
        (-60, "settlement.moved", "info", {"state": "CONFIRMED"}),
        (-30, "worker failed", "warning", {"worker": "sweeper", "again_in": 2}),
    )
)
BEFORE = Counters(100.0, 4000)
FIGURES = Counters(102.0, 4025, 3, 1, 2, 2, 1, 4.2, (("sweeper", 2), ("relayer", 1)))


def stored(state: str, *, embedded: bool = False) -> Store:
    store = frames.stored(state)
    if state in ("filled", "offline"):
        for each in EVENTS:
            store.note(each)
    if embedded:
        store.server_log.set(LOG)
    return store


def screen_of(app: ConsoleApp) -> ActivityScreen:
    screen = frames.pane(app)
    assert isinstance(screen, ActivityScreen)
    return screen


def listed(app: ConsoleApp) -> list[str]:
    """The words of the lines, from the top."""
    screen = screen_of(app)
    return [screen._lines[item.key].words for item in screen.rows.items if item.key]


# -- the list


async def test_the_newest_come_first_and_are_followed() -> None:
    app = frames.console(stored("filled"), "activity")
    async with app.run_test(size=(120, 36)) as pilot:
        await shows(app, "FAILED 0.151000 USDC")
        assert listed(app) == [each.words for each in reversed(EVENTS)]
        app.store.note(event(0, "session.state", LIVE, "ENDED"))
        await until(lambda: listed(app)[0] == "ENDED")
        assert screen_of(app).chosen == app.store.activity.value[-1], "the cursor was at the top, and is"
        await pilot.press("down")
        below = screen_of(app).chosen
        app.store.note(event(0, "settlement.state", LIVE, "PENDING 0.101000 USDC"))
        await until(lambda: listed(app)[0].startswith("PENDING"))
        assert screen_of(app).chosen == below, "a chosen line stays chosen"


async def test_it_is_held_still_and_goes_on() -> None:
    app = frames.console(stored("filled"), "activity")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "FAILED 0.151000 USDC")
        await pilot.press("space")
        app.store.note(event(0, "session.state", LIVE, "ENDED"))
        await shows(app, "paused, 1 new")
        assert listed(app)[0].startswith("FAILED")
        await pilot.press("space")
        await until(lambda: listed(app)[0] == "ENDED")
        assert "paused" not in text_of(app)


async def test_it_is_narrowed_by_kind_side_and_session() -> None:
    app = frames.console(stored("filled"), "activity")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "all 13")
        await pilot.press("f")
        await until(lambda: set(listed(app)) == {"ENDED", "REQUESTED", "ASSIGNED", "LIVE"})
        await pilot.press("escape", "s", "s")
        await shows(app, "← served")
        assert len(listed(app)) == 3
        await pilot.press("escape", "down", "i")
        await until(lambda: len(listed(app)) == 8)
        assert LIVE[:8] in text_of(app)
        await pilot.press("i")
        await until(lambda: len(listed(app)) == 13)
        await pilot.press("s", "s", "f", "f", "f")
        await shows(app, "no event passes this filter")


async def test_a_line_is_copied_and_its_session_opened() -> None:
    app = frames.console(stored("filled"), "activity")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "FAILED 0.151000 USDC")
        await pilot.press("c")
        assert app.clipboard == f"2026-05-13T14:02:07.000Z settlement.state {EVENTS[-1].words} {PAID}"
        await pilot.press("down", "enter")
        await until(lambda: app.current_mode == "live")
        assert app.store.watched.value == LIVE


# -- the server on this machine


async def test_an_embedded_server_tells_its_counters_and_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="embedded", first="activity")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.store.readiness.value in (Readiness.READY, Readiness.FAILED), 120)
        await shows(app, "Server")
        await until(lambda: len(screen_of(app)._rates) >= 2, 30)
        counters = screen_of(app)._counters
        assert counters is not None and counters.answers > 5 and screen_of(app)._rates[-1] >= 0
        await shows(app, "on this machine")
        assert "live inputs" in text_of(app), text_of(app)
        last = json.loads(app.store.server_log.value[-1])["event"]
        await shows(app, str(last)[:12])
        await pilot.resize_terminal(80, 24)
        await until(lambda: "live inputs" not in text_of(app))
        await pilot.press("l")
        await shows(app, "live inputs")
        await pilot.press("escape")
        await shows(app, "nothing has happened yet")


def test_counters_out_of_the_text() -> None:
    text = """# HELP luxxon_http_answers_total x
luxxon_http_answers_total{method="GET",route="/me",status="200",code="OK"} 7.0
luxxon_http_answers_total{method="POST",route="/sessions",status="409",code="CONFLICT"} 2.0
luxxon_edge_live_inputs 1.0
luxxon_edge_viewers 2.0
luxxon_sessions_open{state="LIVE"} 1.0
luxxon_sessions_open{state="REQUESTED"} 2.0
luxxon_settlements_unconfirmed{state="PENDING"} 3.0
luxxon_settlement_oldest_unconfirmed_seconds 1.5e+00
luxxon_worker_failures_total{worker="sweeper"} 2.0
luxxon_worker_failures_total{worker="relayer"} 0.0
something_else 9
"""
    found = panels.counters(text, 5.0)
    assert found == Counters(5.0, 9, 0, 1, 2, 3, 3, 1.5, (("sweeper", 2),))
    assert panels.counters("", 1.0) == Counters(1.0)
    assert FIGURES.per_second(BEFORE) == 12.5
    assert BEFORE.per_second(None) is None and BEFORE.per_second(FIGURES) is None


# -- how it looks


def words(rows: list[Row]) -> str:
    return "\n".join("".join(span.text for span in each) for each in rows)


@pytest.mark.parametrize("width", [24, 40, 78, 118])
def test_nothing_is_wider_than_its_place(width: int) -> None:
    sessions = {view.id: view for view in SESSIONS}
    for kind in Kind:
        for party in Party:
            log = Log(EVENTS, sessions, frames.PLACES, NOW.tzinfo, kind, party, LIVE)
            assert width < 40 or width_of(panels.filters(log, width, held=12_345)) <= width
    log = Log(EVENTS, sessions, frames.PLACES, NOW.tzinfo)
    if width >= 40:
        assert max(width_of(item.content(width - 1)) for item in panels.items(log)) <= width - 1
        assert max(map(width_of, panels.heads(width))) <= width
        rows = panels.server(FIGURES, (3.0, 12_345.6), "", width)
        assert max(map(width_of, rows)) <= width and "3 failed" in words(rows)
    hostile = ('{"event": "a\\u001b[2Jb", "level": "error"}', "\x1b]0;x\x07 no json", "[1]", "x" * 500)
    rows = panels.server_log((*LOG, *hostile), width, 20, NOW.tzinfo)
    assert max(map(width_of, rows)) <= width and "\x1b" not in words(rows)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("state", [*frames.STATES, "embedded", "paused", "server"])
def test_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    embedded = state in ("embedded", "server")

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await pilot.pause()
        screen = screen_of(app)
        if embedded:
            screen._rates = [4.0 + 3 * (place % 7) for place in range(80)]
            screen._counters = BEFORE
            screen.take(FIGURES)
            screen.redraw()
        if state == "paused":
            await pilot.press("space", "down")
            app.store.note(event(0, "session.state", LIVE, "ENDED"))
        if state == "server":
            await pilot.press("l")
        await until(lambda: app.loaded)
        await pilot.pause()

    kind = state if state in frames.STATES else "filled"
    app = frames.console(stored(kind, embedded=embedded), "activity")
    assert snap_compare(app, terminal_size=size, run_before=before)
