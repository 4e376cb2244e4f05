"""One preview of the wall, and how several share the room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.worker import Worker

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui import format as fmt
from luxxon_tui.rows import Row, Span, cut, first_fit, row, spread, width_of
from luxxon_tui.screens.picture_panels import dimmed, plate
from luxxon_tui.screens.scene import Scene, state
from luxxon_tui.video import SignalMeter, VideoFeed
from luxxon_tui.views import SignalView
from luxxon_tui.widgets import bars
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.picture import HIGH, WIDE, Picture

MOST = 8
"""Tiles that stand side by side; more sessions are turned to as pages."""
GUTTER = 2
"""Columns between two tiles."""
TALL = 9
"""Rows of a tile from which it has a bar of its windows."""
FPS_MOST, FPS_TOGETHER = 30, 80
"""Frames a second of one tile, and of all tiles together: eight have ten each."""
AGAIN_SECONDS, AGAIN_LAST = 2.0, 16.0
"""Wait before a stream that broke is opened again; it doubles up to the last."""


class Grid(NamedTuple):
    columns: int
    rows: int


def caption_rows(tile_rows: int) -> int:
    """Rows under the picture of a tile this high."""
    return 3 if tile_rows >= TALL else 2


def arranged(count: int, width: int, height: int) -> Grid:
    """The grid in which ``count`` pictures of the usual shape are largest in so many cells."""

    def area(columns: int) -> int:
        rows = -(-count // columns)
        across = (width - (columns - 1) * GUTTER) // columns
        down = height // rows - caption_rows(height // rows)
        wide = min(across, down * 2 * WIDE // HIGH)
        return wide if across > 0 and down > 0 else 0

    columns = max(range(1, max(1, count) + 1), key=lambda each: (area(each), -each))
    return Grid(columns, -(-max(1, count) // columns))


def frame_seconds(tiles: int) -> float:
    """Time from a frame to the next where so many tiles are played."""
    return 1 / min(FPS_MOST, FPS_TOGETHER / max(1, tiles))


def caption(
    scene: Scene, place: str, width: int, *, bar: bool, focused: bool, broken: bool = False
) -> list[Row]:
    """State, place and time; clean and lost stretches; what it has cost and how it comes."""
    session = scene.session
    if session is None:
        return []
    glyph = state(scene)
    name = Span(place, "accent" if focused else "text", bold=True)
    time = row(Span(fmt.listed(session.elapsed_ms / 1000), "muted" if scene.offline else "bright"))
    head = spread(width, row(Span(glyph.text[:2], glyph.role), name), time)
    amount = Span(fmt.usdc(session.charged_micro, fmt.CHARGED), "muted" if scene.offline else "text")
    unit, what = Span(" USDC", "muted"), _coming(scene, broken=broken)
    fits = (_apart(width, left, what) for left in (row(amount, unit), row(amount)))
    foot = first_fit(width, *fits, cut(row(what), width))
    total = session.max_seconds * 1000
    meter = [bars.meter(width, session.elapsed_ms, total, session.losses)] if bar else []
    return [head, *meter, foot]


def _apart(width: int, left: Row, right: Span) -> Row:
    """Both with a space between, as wide as that must be."""
    gap = max(1, width - width_of(left) - width_of((right,)))
    return row(left, Span(" " * gap), right)


def _coming(scene: Scene, *, broken: bool) -> Span:
    """How the picture comes, in a few cells."""
    signal, session = scene.signal, scene.session
    if scene.offline:
        return Span("no link", "warn")
    if broken:
        return Span("no stream", "bad")
    if signal.age_ms is None:
        return Span("opening", "muted")
    if signal.stalled:
        return Span("no picture", "bad")
    if session is not None and session.lost_now is not None:
        return Span("lost", "bad")
    return Span(f"{signal.fps:.0f} fps", "muted") if signal.fps else Span(f"{fmt.NONE} fps", "faint")


def fault_plate(fault: str, width: int) -> tuple[Row, ...]:
    """What stands on the picture of a tile whose stream broke."""
    lines = (Span("✕ no stream", "bright", bold=True), Span(fault))
    return tuple(
        row(Span(f" {cut((line,), max(1, width - 2))[0].text} ", line.role, line.bold, on="bg"))
        for line in lines
    )


class Tile(Vertical, can_focus=True):
    """Plays one session while it is started.

    Args:
        session_id: whose.
        open_video: opens its stream.
        meter: takes readings of it.
        pause: seconds from a frame to the next, asked for every frame.
    """

    DEFAULT_CSS = """
    Tile { width: 1fr; height: 1fr; }
    Tile Lines { height: auto; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    class Chosen(Message):
        """Clicked twice."""

    def __init__(
        self,
        session_id: str,
        open_video: Callable[[], VideoFeed],
        meter: SignalMeter,
        pause: Callable[[], float],
    ) -> None:
        super().__init__()
        self.session_id = session_id
        self.fault = ""
        """Why there is no stream."""
        self._open, self._meter, self._pause = open_video, meter, pause
        self._video: VideoFeed | None = None
        self._playing: Worker[None] | None = None
        self._signal = SignalView()

    def compose(self) -> ComposeResult:
        yield Picture(reserve=2)
        yield Lines()

    @property
    def picture(self) -> Picture:
        return self.query_one(Picture)

    @property
    def playing(self) -> bool:
        """Whether its stream is open, or being opened."""
        return self._playing is not None

    def start(self) -> None:
        """Fetch and draw frames until :meth:`stop`."""
        if self._playing is None and self.is_mounted:
            self._playing = self.run_worker(self._play, name=f"tile {self.session_id}", exit_on_error=True)

    def stop(self) -> None:
        """Let the stream go; the last frame stays."""
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    def signal(self) -> SignalView:
        """A reading of the stream; the last one while there is none."""
        if self._video is not None:
            self._signal = self._meter.sample(self._video.stream())
        return self._signal

    def show(self, scene: Scene, place: str) -> None:
        """Put figures under the picture, and a plate on one that is not live."""
        rows = caption_rows(self.size.height)
        picture = self.picture
        if picture.reserve != rows:
            picture.reserve = rows
            picture.refresh(layout=True)
        width = picture.size.width
        words = fault_plate(self.fault, width) if self.fault and not scene.offline else plate(scene, width)
        picture.mark(dimmed=dimmed(scene) or bool(self.fault), plate=words)
        focused, bar, broken = self.has_focus, rows > 2, bool(self.fault)
        self.query_one(Lines).redraw(
            lambda wide: caption(scene, place, wide, bar=bar, focused=focused, broken=broken)
        )

    async def _play(self) -> None:
        again = AGAIN_SECONDS
        while True:
            video = self._video = self._open()
            try:
                await self._frames(video)
            except LuxxonError as error:
                self.fault = error.message
            finally:
                self._video = None
                await video.close()
            await asyncio.sleep(again)
            again = min(2 * again, AGAIN_LAST)

    async def _frames(self, video: VideoFeed) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            source = await video.frame()
            begun = clock()
            self._meter.arrived()
            self.fault = ""
            self.picture.show(source)
            await asyncio.sleep(max(0.0, self._pause() * 0.95 - (clock() - begun)))

    def on_click(self, event: object) -> None:
        if getattr(event, "chain", 1) == 2:
            self.post_message(self.Chosen())

    def on_unmount(self) -> None:
        self.stop()
