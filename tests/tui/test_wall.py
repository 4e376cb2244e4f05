"""The wall: several live sessions side by side, each with its own state, and no more fetched than is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from frames import (
    BOGOTA,
    BRUSSELS,
    LAGOS,
    LISBON,
    NAIROBI,
    PLAIN,
    TOKYO,
    console,
    filled,
    session,
    shows,
    text_of,
)
from PIL import Image
from rich.cells import cell_len
from scenes import GOOD, NOW, OFFLINE, STALLED, RecordedVideo, picture, until
from textual.pilot import Pilot

from luxxon_core.kernel.errors import VideoError
from luxxon_tui.app import ConsoleApp
from luxxon_tui.rows import width_of
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.screens.scene import Scene
from luxxon_tui.screens.wall import WallScreen
from luxxon_tui.screens.wall_tiles import MOST, arranged, caption, caption_rows, frame_seconds
from luxxon_tui.video import Stream
from luxxon_tui.views import LiveView, Loss, Phase, SessionView, SignalView

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
PLACES = (BRUSSELS, NAIROBI, BOGOTA, TOKYO, LISBON, LAGOS)
STILLS = [picture(320, 180), picture(320, 180).rotate(180)]


def live(count: int) -> list[SessionView]:
    return [
        session(40 + n, "LIVE", PLACES[n % 6], 30 - n, lasted=100 + 7 * n, lost=n % 3) for n in range(count)
    ]


class Playing(RecordedVideo):
    """A stream that is told to break."""

    def __init__(self, stream: Stream = GOOD, number: int = 0) -> None:
        super().__init__(stream, STILLS[number % 2])
        self.broken = asyncio.Event()

    async def frame(self) -> Image.Image:
        got, broke = asyncio.create_task(self.frames.get()), asyncio.create_task(self.broken.wait())
        try:
            done, _ = await asyncio.wait((got, broke), return_when=asyncio.FIRST_COMPLETED)
        finally:
            got.cancel()
            broke.cancel()
        if got in done:
            return got.result()
        raise VideoError("whep:closed", "the camera has left")


class Streams:
    """What the console has opened, by session."""

    def __init__(self, app: ConsoleApp, sessions: Sequence[SessionView], stalled: Sequence[str] = ()) -> None:
        self.opened: dict[str, list[Playing]] = {each.id: [] for each in sessions}
        self.stalled = stalled
        app.open_video = self.open  # type: ignore[method-assign,assignment]

    def open(self, session_id: str) -> Playing:
        number = list(self.opened).index(session_id)
        playing = Playing(STALLED if session_id in self.stalled else GOOD, number)
        self.opened[session_id].append(playing)
        return playing

    @property
    def running(self) -> set[str]:
        return {one for one, streams in self.opened.items() if any(not each.closed for each in streams)}


def wall_of(app: ConsoleApp) -> WallScreen:
    screen = app.screen
    assert isinstance(screen, WallScreen)
    return screen


async def opened(pilot: Pilot[Any], streams: Streams) -> WallScreen:
    """Open the wall and wait until each tile shows a picture."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await until(lambda: app.loaded)
    await pilot.press("g")
    await until(lambda: isinstance(app.screen, WallScreen))
    wall = wall_of(app)
    await until(lambda: bool(wall.wall.tiles))
    await until(lambda: all(tile.picture.latest is not None for tile in wall.wall.tiles))
    wall.redraw()
    await pilot.pause()
    return wall


def made(count: int, **more: Any) -> tuple[ConsoleApp, Streams, list[SessionView]]:
    sessions = live(count)
    app = console(filled(sessions), "live", context=PLAIN)
    return app, Streams(app, sessions, **more), sessions


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_wall(snap_compare: Callable[..., bool], count: int, size: tuple[int, int]) -> None:
    app, streams, _ = made(count)

    async def before(pilot: Pilot[Any]) -> None:
        await opened(pilot, streams)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("state", ["stalled", "broken", "offline", "empty"])
def test_the_wall_in_trouble(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    sessions = live(4)
    app = console(filled(sessions), "live")
    streams = Streams(app, sessions, [sessions[1].id] if state == "stalled" else ())

    async def before(pilot: Pilot[Any]) -> None:
        wall = await opened(pilot, streams)
        if state == "broken":
            streams.opened[sessions[1].id][-1].broken.set()
            await until(lambda: any(tile.fault for tile in wall.wall.tiles))
        elif state == "offline":
            app.store.link.set(OFFLINE.link)
            app.store.as_of.set(OFFLINE.as_of)
        elif state == "empty":
            app.store.put(*(replace(each, state="ENDED", ended_at=NOW) for each in sessions))
        await pilot.pause()
        wall.redraw()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50), (80, 50)], ids=str)
@pytest.mark.parametrize("count", range(2, 9))
async def test_every_row_is_filled_exactly(count: int, size: tuple[int, int]) -> None:
    app, streams, _ = made(count)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, streams)
        strips = app.screen._compositor.render_strips()
        text = text_of(app)
    assert [sum(cell_len(part) for part, _, _ in strip) for strip in strips] == [size[0]] * size[1]
    assert text.count("USDC") >= 1 and "30 fps" in text


@pytest.mark.parametrize(
    ("count", "size", "grid"),
    [
        (2, (78, 19), (2, 1)),
        (4, (78, 19), (2, 2)),
        (8, (78, 19), (4, 2)),
        (3, (118, 31), (2, 2)),
        (8, (198, 45), (4, 2)),
        (2, (60, 45), (1, 2)),
    ],
    ids=str,
)
def test_pictures_are_as_large_as_the_room_allows(
    count: int, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert arranged(count, *size) == grid


def test_eight_share_what_two_have() -> None:
    assert [round(1 / frame_seconds(count)) for count in (1, 2, 4, 8)] == [30, 30, 20, 10]
    assert caption_rows(6) == 2 and caption_rows(12) == 3


HEAVY = replace(
    live(1)[0],
    charged_micro=72_345_000_000,
    elapsed_ms=80_000_000,
    max_seconds=86_400,
    losses=(Loss("NETWORK_ERROR", 79_000_000, None),),
)


@pytest.mark.parametrize("view", [live(2)[1], HEAVY], ids=["usual", "heavy"])
@pytest.mark.parametrize("link", [LiveView(Phase.LIVE).link, OFFLINE.link], ids=["online", "offline"])
def test_captions_keep_to_their_width(view: SessionView, link: Any) -> None:
    for signal in (
        SignalView(),
        SignalView(1280, 720, "vp8", "WHEP", 29.8, 1e6, 0, 38),
        SignalView(age_ms=9e6),
    ):
        scene = Scene(LiveView(Phase.LIVE, link, view, NOW), signal, PLAIN, NOW)
        for width in range(12, 70):
            for place in (
                "Brussels, Belgium",
                "Llanfairpwllgwyngyllgogerychwyrndrobwllll, GB",
            ):
                rows = caption(scene, place, width, bar=True, focused=True)
                assert max(map(width_of, rows)) <= width


async def test_arrows_move_and_enter_enlarges() -> None:
    app, streams, sessions = made(4)
    async with app.run_test(size=(120, 36)) as pilot:
        wall = await opened(pilot, streams)
        names = [tile.session_id for tile in wall.wall.tiles]
        assert names == [each.id for each in sessions] and wall.wall.chosen is wall.wall.tiles[0]
        await pilot.press("right", "down")
        assert wall.wall.chosen is wall.wall.tiles[3]
        await pilot.press("down", "right", "left")
        assert wall.wall.chosen is wall.wall.tiles[2]
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, LiveScreen))
        assert app.store.watched.value == sessions[2].id
        await until(lambda: streams.running == {sessions[2].id})
        await pilot.press("g")
        await until(lambda: streams.running == {each.id for each in sessions})
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, LiveScreen) and streams.running == {sessions[2].id})


async def test_a_click_chooses_and_a_second_one_enlarges() -> None:
    app, streams, sessions = made(4)
    async with app.run_test(size=(120, 36)) as pilot:
        wall = await opened(pilot, streams)
        await pilot.click(wall.wall.tiles[1])
        assert wall.wall.chosen is wall.wall.tiles[1]
        await pilot.click(wall.wall.tiles[1], times=2)
        await until(lambda: isinstance(app.screen, LiveScreen))
        assert app.store.watched.value == sessions[1].id


async def test_only_what_can_be_seen_is_fetched() -> None:
    app, streams, sessions = made(MOST + 3)
    async with app.run_test(size=(120, 36)) as pilot:
        wall = await opened(pilot, streams)
        first, rest = {each.id for each in sessions[:MOST]}, {each.id for each in sessions[MOST:]}
        assert streams.running == first and "11 live, page 1 of 2" in text_of(app)
        await pilot.press("pagedown")
        await until(lambda: streams.running == rest)
        assert len(wall.wall.tiles) == 3
        await pilot.press("3")
        await until(lambda: not streams.running)
        await pilot.press("2")
        await until(lambda: streams.running == rest)


async def test_one_that_breaks_comes_back_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luxxon_tui.screens.wall_tiles.AGAIN_SECONDS", 0.05)
    app, streams, sessions = made(3)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot, streams)
        before = {one: list(each) for one, each in streams.opened.items()}
        broken = before[sessions[1].id][-1]
        broken.broken.set()
        await until(lambda: len(streams.opened[sessions[1].id]) > len(before[sessions[1].id]))
        assert broken.closed
        assert all(streams.opened[each.id] == before[each.id] for each in (sessions[0], sessions[2]))


async def test_a_session_that_ends_goes_and_the_focus_to_its_neighbour() -> None:
    app, streams, sessions = made(3)
    async with app.run_test(size=(120, 36)) as pilot:
        wall = await opened(pilot, streams)
        await pilot.press("right")
        app.store.put(replace(sessions[1], state="ENDED", ended_at=NOW))
        await until(lambda: streams.running == {sessions[0].id, sessions[2].id})
        assert wall.wall.chosen is not None and wall.wall.chosen.session_id == sessions[2].id
        app.store.put(*(replace(each, state="ENDED", ended_at=NOW) for each in sessions))
        await shows(app, "nothing is live")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, LiveScreen))


async def test_the_wall_is_offered_only_for_several() -> None:
    app, _, _ = made(1)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded)
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(app.screen, LiveScreen)
