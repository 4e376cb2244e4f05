"""Cameras at the marketplace: online, asked for, taken by hand or by rule, and given back."""

from __future__ import annotations

from pathlib import Path

import frames
import pytest
from camera_stage import looked, market, only, opened
from filmed import Cameras
from frames import BRUSSELS, shows, text_of
from scenes import until

from luxxon_tui.operate.alarm import notification


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cameras:
    """Two cameras, one that is locked, and a plugin with a fault."""
    cameras = Cameras()
    only(cameras, monkeypatch, tmp_path)
    return cameras


async def test_an_assignment_is_asked_about_and_taken_by_hand() -> None:
    api = market()
    app = opened(api)
    bells: list[None] = []
    async with app.run_test(size=(120, 36)) as pilot:
        app.bell = lambda: bells.append(None)  # type: ignore[method-assign]
        screen = await looked(app)
        await pilot.press("space")
        await until(lambda: api.availability_state == "ONLINE")
        await shows(app, "1 online")
        await until(lambda: api.listeners == 1)
        session = api.assign(requested_lat=50.8520, requested_lng=4.3560, max_duration_seconds=600)
        await shows(app, "Incoming assignment")
        text = text_of(app)
        assert "10:00 at most" in text and "0.60 USDC" in text and "before the market's fee" in text
        assert bells and not api.called("sessions.start")
        await pilot.press("a")
        await until(lambda: bool(api.called("sessions.start")))
        await until(lambda: "Publishing" in text_of(app) and "keyframes asked" in text_of(app))
        api.move(session.id, "ENDED")
        await until(lambda: "waits for an" in text_of(app))
        await pilot.press("space")
        await until(lambda: api.availability_state == "OFFLINE" and not screen.desk.operations)


async def test_one_that_is_declined_is_left_alone() -> None:
    api = market()
    app = opened(api)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await looked(app)
        await pilot.press("space")
        await until(lambda: api.listeners == 1)
        api.assign()
        await shows(app, "Assignment")
        await pilot.press("d")
        operation = screen.desk.operations["ptz"]
        await until(lambda: operation.offer is None)
        api.assign()
        await until(lambda: operation.offer is not None)
        assert not api.called("sessions.start")


async def test_by_rule_nobody_is_asked() -> None:
    api = market()
    app = opened(api)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("u", "space")
        await until(lambda: api.listeners == 1)
        far = api.assign(requested_lat=50.95)
        await shows(app, "11498 m away, more than")
        operation = screen.desk.operations["ptz"]
        assert operation.offer is not None
        assert operation.offer.session_id == far.id and not api.called("sessions.start")
        await pilot.press("d")
        near = api.assign(requested_lat=50.8466, requested_lng=4.3528)
        await until(lambda: [call["session_id"] for call in api.called("sessions.start")][:1] == [near.id])


async def test_a_camera_that_is_online_stays_open_on_other_screens(found: Cameras) -> None:
    api = market()
    app = opened(api)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("enter", "space")
        await until(lambda: api.listeners == 1)
        await pilot.press("3")
        await until(lambda: app.current_mode == "sessions")
        api.assign()
        await until(lambda: any("1:00 at most" in one.message for one in app._notifications))
        assert screen.desk.links["ptz"].is_open
    assert api.availability_state == "OFFLINE", "leaving the console takes it off"
    assert all(source.closed for source in found.sources)


async def test_a_market_that_refuses_is_told() -> None:
    from luxxon_core.kernel.errors import NotAuthorized

    api = market()
    api.failure = NotAuthorized("apiKey:scope", "This key may not operate")
    app = opened(api)
    async with app.run_test(size=(120, 36)) as pilot:
        await looked(app)
        await pilot.press("space")
        await shows(app, "This key may not operate")


async def test_stuck_assignments_are_given_back_after_a_question() -> None:
    cancelled: list[str] = []
    api = market()

    async def cancel_all() -> None:
        cancelled.append("all")

    api.sessions.cancel_all_assignments = cancel_all  # type: ignore[attr-defined]
    app = opened(api)
    async with app.run_test(size=(120, 36)) as pilot:
        await looked(app)
        app.store.put(frames.session(1, "ASSIGNED", BRUSSELS, 1, side="operator"))
        await pilot.press("X")
        await shows(app, "Give back 1 assignment")
        assert not cancelled
        await pilot.press("enter")
        await until(lambda: cancelled == ["all"])


def test_a_notification_says_no_more_than_text() -> None:
    assert notification("Title", "a\x1b]0;b\x07", {}) == "\x1b]9;Title: a]0;b\x07"
    assert notification("T;", "w", {"TERM": "foot"}) == "\x1b]777;notify;T,;w\x1b\\"
    assert notification("T", "w", {"TMUX": "1"}).startswith("\x1bPtmux;\x1b\x1b]9;")
