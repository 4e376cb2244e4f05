"""The Cameras screen: what is found, looked at and moved, and how it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from camera_stage import afresh, looked, market, only, opened, screen_of
from filmed import Cameras
from frames import BRUSSELS, SIZES, STATES, console, shows, stored, text_of
from rich.cells import cell_len
from scenes import NOW, until
from textual.pilot import Pilot
from watchdog import watched

from luxxon_core.operator.rules import Rules
from luxxon_core.source import PtzVector
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.map.widget import MapView
from luxxon_tui.operate.finding import Fault
from luxxon_tui.operate.hold import Hold
from luxxon_tui.operate.operation import Offer
from luxxon_tui.rows import width_of
from luxxon_tui.screens import cameras_pad
from luxxon_tui.screens import cameras_panels as panels
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.picture import Picture


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cameras:
    """Two cameras, one that is locked, and a plugin with a fault."""
    cameras = Cameras()
    only(cameras, monkeypatch, tmp_path)
    return cameras


# -- what is found


async def test_every_camera_has_a_card_and_every_fault_a_name(found: Cameras) -> None:
    app = opened()
    async with app.run_test(size=(120, 36)):
        await looked(app)
        for words in ("ptz-04", "drone-2", "roof", "✕ not available", "● ready", "luxxon_bad"):
            await shows(app, words)
        assert all(source.closed for source in found.sources), "only looked at"


async def test_a_device_stays_open_only_while_somebody_looks(found: Cameras) -> None:
    app = opened()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("enter")
        await until(lambda: screen.desk.links["ptz"].is_open)
        await until(lambda: screen.query_one(Picture).drawn > 2)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Card) and screen.desk.links["ptz"].is_open, "a card only covers it"
        await pilot.press("escape", "3")
        await until(lambda: not screen.desk.links["ptz"].is_open)
        assert found.sources[-1].closed
        await pilot.press("4")
        await until(lambda: screen.desk.links["ptz"].is_open)
        await pilot.press("escape")
        await until(lambda: found.sources[-1].closed)


async def test_a_plugin_that_blocks_holds_up_no_key(found: Cameras) -> None:
    found.block = 0.5
    app = opened()
    async with app.run_test(size=(120, 36)) as pilot, watched() as standstills:
        await pilot.press("u")
        await looked(app)
        await pilot.press("enter")
        await until(lambda: screen_of(app).desk.links["ptz"].is_open)
    assert standstills.worst < 0.25, standstills


# -- moving


async def test_an_arrow_moves_the_camera_until_it_is_let_go(found: Cameras) -> None:
    app = opened()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("enter")
        await until(lambda: screen.desk.links["ptz"].is_open)
        await pilot.press("right")
        await until(lambda: bool(found.told("continuous_move")))
        await shows(app, "moving right")
        velocity, timeout = found.told("continuous_move")[0].arguments
        assert velocity == PtzVector(0.5, 0, 0) and timeout <= 0.5
        await until(lambda: bool(found.told("stop")))
        moved, stopped = found.told("continuous_move")[-1], found.told("stop")[0]
        assert stopped.at - moved.at < timeout + 0.3
        await pilot.press("z")
        await until(lambda: found.told("continuous_move")[-1].arguments[0] == PtzVector(0, 0, 0.5))
        await pilot.press("h")
        await until(lambda: bool(found.told("goto_home")))


async def test_numbers_are_screens_but_after_g_presets(found: Cameras) -> None:
    app = opened()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("enter")
        await until(lambda: bool(screen.desk.links["ptz"].presets))
        await pilot.press("g", "2")
        await until(lambda: bool(found.told("goto_preset")))
        assert found.told("goto_preset")[0].arguments == ("b",) and app.current_mode == "cameras"
        await pilot.press("3")
        await until(lambda: app.current_mode == "sessions")


async def test_a_gimbal_is_aimed_in_steps(found: Cameras) -> None:
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await looked(app)
        screen.desk.links["drone"].found = replace(screen.desk.links["drone"].found)
        await pilot.press("down", "enter")
        link = screen.desk.links["drone"]
        await until(lambda: link.is_open)
        link.controls = frozenset({"gimbal", "zoom"})
        await pilot.press("down")
        await until(lambda: bool(found.told("set_pitch_yaw")))
        assert found.told("set_pitch_yaw")[0].arguments[:2] == (-3.0, 0.0)


def test_repeats_renew_and_do_not_flood() -> None:
    hold = Hold(every=0.15, seconds=0.4)
    sent = [at for at in range(0, 1000, 33) if hold.press("left", at / 1000)]
    assert 5 <= len(sent) <= 8 and hold.held(1.2) == "left" and hold.held(1.5) == ""
    assert hold.press("right", 1.0), "another direction is told at once"


# -- the camera of somebody else


async def test_the_same_keys_move_the_camera_of_a_live_session() -> None:
    from scenes import LIVE, SESSION, RecordedFeed, settle, watching

    told: list[object] = []

    class Api:
        @property
        def sessions(self) -> Api:
            return self

        async def ptz(self, session_id: str, order: object) -> None:
            told.append(order)

    for controls, moves in (((), False), (("ptz",), True)):
        view = replace(LIVE, session=replace(SESSION, controls=controls))
        app = watching(RecordedFeed(view))
        app.server.connected = Connected(Api())  # type: ignore[arg-type]
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(app, view)
            assert ("Move ─" in text_of(app)) is moves
            await pilot.press("left", "left", "h")
            await pilot.pause()
            assert bool(told) is moves
    assert [type(order).__name__ for order in told] == ["ContinuousMove", "GotoHome"], "repeats are few"
    assert told[0].timeout < 1  # type: ignore[attr-defined]


# -- how it looks


OFFER = Offer("s", BRUSSELS, 86_400, 1_000_001, NOW, "123456 m away, more than 300 m")


@pytest.mark.parametrize("width", [24, 31, 40, 60])
def test_no_row_is_wider_than_its_place(width: int) -> None:
    from luxxon_core.controls.schemas import PtzPosition, PtzPreset, PtzStatus

    presets = tuple(PtzPreset(str(n), "a preset with a long name") for n in range(12))
    status = PtzStatus(False, PtzPosition(-1, 1, 1))
    view = panels.OfferView(OFFER, NOW, BRUSSELS, 12_345, "Llanfairpwllgwyngyllgogerychwyrndrobwll", 0.85)
    faults = (Fault("luxxon_with_a_long_name", "ImportError: " + "x" * 200),) * 5
    everything = [
        *panels.offer_rows(view, width),
        *panels.fault_rows(width, faults, finding=False),
        *panels.rule_rows(Rules(300, 800, 600), True, width),
        *panels.coverage_rows(width, BRUSSELS, 45_000, online=True),
        *panels.publish_rows(panels.PublishView(NOW, name="n" * 50, failure="f" * 90), width, full=True),
    ]
    for controls in ({"ptz"}, {"gimbal", "zoom"}, set()):
        for prefixed in (False, True):
            held = frozenset(controls)
            pad = cameras_pad.PadView(held, status, presets, "left", prefixed, (-90, 180), True)
            everything += cameras_pad.pad_rows(pad, width)
            assert len(cameras_pad.pad_rows(pad, width)) == 6, "what stands below does not move"
    assert max(map(width_of, everything)) <= width


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_screen_is_filled_exactly(size: tuple[int, int]) -> None:
    app = opened()
    async with app.run_test(size=size) as pilot:
        await looked(app)
        await pilot.press("enter")
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


async def rested(pilot: Pilot[Any]) -> None:
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await until(lambda: app.loaded)
    screen = await looked(app)
    await screen.query_one(MapView).loaded.wait()
    seen = any(link.frame for link in screen.desk.links.values()) and not screen.has_class("-noted")
    await until(lambda: not seen or "quadrants" in text_of(app) or not screen.wide)
    await afresh(pilot)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
def test_cameras(
    snap_compare: Callable[..., bool], found: Cameras, state: str, size: tuple[int, int]
) -> None:
    if state == "empty":
        found.found = ()
    app = console(stored(state), "cameras")
    assert snap_compare(app, terminal_size=size, run_before=rested)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_an_open_camera(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await rested(pilot)
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await pilot.press("enter")
        link = screen_of(app).desk.links["ptz"]
        await until(lambda: link.is_open and bool(link.presets) and link.status is not None)
        await until(lambda: app.screen.query_one(Picture).drawn > 1)
        await afresh(pilot)

    assert snap_compare(opened(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_an_assignment(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    api = market()

    async def before(pilot: Pilot[Any]) -> None:
        await rested(pilot)
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await pilot.press("space")
        await until(lambda: api.listeners == 1)
        api.assign(requested_lat=BRUSSELS.lat, requested_lng=BRUSSELS.lng)
        await shows(app, "Accept")
        await shows(app, "● online")
        if screen_of(app).wide:
            await shows(app, "roof line")
            await shows(app, "tilt")
        await afresh(pilot)

    assert snap_compare(opened(api), terminal_size=size, run_before=before)
