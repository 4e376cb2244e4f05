"""The Live screen: the picture, what it costs, how good it is, and the receipt when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.worker import Worker

from luxxon_core.kernel.errors import InvalidState, LuxxonError
from luxxon_tui.actions import action
from luxxon_tui.feed import SessionFeed
from luxxon_tui.operate.hand import Hand, move_keys
from luxxon_tui.rows import EMPTY
from luxxon_tui.save import folder, save_frame, save_receipt
from luxxon_tui.screens import meter_panels, picture_panels
from luxxon_tui.screens.live_links import LiveLinks
from luxxon_tui.screens.live_panels import NARROW_BELOW, SIDE_NARROW, WIDE_BELOW, beside, side_width, under
from luxxon_tui.screens.pane import Condition
from luxxon_tui.screens.scene import Scene
from luxxon_tui.screens.wall import Wall, WallScreen
from luxxon_tui.store.state import is_open
from luxxon_tui.video import SignalMeter, VideoFeed
from luxxon_tui.views import STALL_MS, LiveView, Phase, SignalView
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.footer import Footer
from luxxon_tui.widgets.header import Header
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.picture import Picture
from luxxon_tui.widgets.question import Question, question_card

SAMPLE_SECONDS = 0.5
FRAME_SECONDS = 1 / 30
REST_SECONDS = 3.0
"""For so long the stream is kept while another screen is shown: who only looks there has it at once again."""
PARTS = 6


class LiveScreen(LiveLinks):
    """Follows one session. Everything it draws is a pure function of a :class:`Scene`."""

    NAME = "Live"
    AUTO_FOCUS = ""
    WATCHES = ("sessions", "watched", "missing", "workspace", "places", "names")
    PARTS = (Wall, WallScreen)
    CSS = """
    #body { height: 1fr; padding: 0 1; }
    #main { width: 1fr; height: 1fr; }
    #side { width: 24; margin-left: 2; }
    #below { height: 2; padding: 0 1; display: none; }
    LiveScreen.-narrow #below { display: block; }
    LiveScreen.-wide #side { margin-left: 3; }
    LiveScreen.-full #side, LiveScreen.-full #under, LiveScreen.-full #below { display: none; }
    LiveScreen.-full Header { display: none; height: 1; }
    LiveScreen.-full.-offline Header { display: block; }
    LiveScreen.-full #body { padding: 0; }
    LiveScreen.-full #main { align: center middle; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        action("live.end", "e", "end", "End the session; asks once"),
        action("live.save_frame", "s", "save frame", "Save the newest frame at its full size"),
        action("live.save_receipt", "s", "save receipt", "Save the receipt as JSON"),
        action("live.full_screen", "f", "full screen", "The picture alone, and back"),
        action("live.wall", "g", "wall", "Every live session side by side"),
        action("live.leave_full_screen", "escape", "back", "", show=False),
        action("live.browser", "w", "browser", "Watch in a browser, by a link that can watch and end"),
        action("live.copy_url", "c", "copy URL", "Copy the stream's WHEP URL: whoever has it can watch"),
        action(
            "live.phone", "p", "phone", "A link for a phone as a QR code: whoever has it can watch and end"
        ),
        *move_keys("live"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._feed: SessionFeed | None = None
        self._following: str | None = None
        self._video: VideoFeed | None = None
        self._watching: Worker[None] | None = None
        self._asking: Card | None = None
        self._asked_of: SessionFeed | None = None
        """Of the session that the question is about."""
        self._hand = Hand()
        self._walled = False
        """Whether the wall stands over this screen: it fetches its pictures itself."""
        self._rested, self._opens_until = False, 0.0
        self._stale = False  # whether the picture is of before a rest
        app = self.console_app
        self._facts = app.facts
        self._clock = app.clock
        self._meter = SignalMeter(app.clock)
        self.scene = Scene(LiveView(Phase.LOADING), SignalView(), app.facts, app.clock())

    # -- layout

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield Picture(id="picture", reserve=NARROW_BELOW)
                yield Lines(id="under")
            yield Lines(id="side")
        yield Lines(id="below")
        yield Footer()

    @property
    def _full(self) -> bool:
        """Whether there is room for section lines, graphs of two rows and the position circle."""
        return self.has_class("-wide") and self.has_class("-tall")

    @property
    def _picture(self) -> Picture:
        return self.query_one(Picture)

    @property
    def _stands(self) -> bool:
        """Whether its parts are there: what comes while the console closes finds some of them gone."""
        parts = self.query("Header, Picture, #under, #below, #side, #body")
        return self.is_mounted and len(parts) == PARTS

    def on_mount(self) -> None:
        self._sampling = self.set_interval(SAMPLE_SECONDS, self._tick)
        self._draw()

    def on_resize(self) -> None:
        wide = self.has_class("-wide")
        self.query_one("#side").styles.width = (
            side_width(*self.size, full=self._full) if wide else SIDE_NARROW
        )
        self._draw()

    def condition(self) -> Condition:
        """None: its states stand on the picture."""
        return None

    def draw(self) -> None:
        wanted = self._wanted()
        if self._feed is None or wanted != self._following:
            self._follow(wanted)
        self._draw()

    def _wanted(self) -> str | None:
        """The chosen session; else the one that is on the screen, until it is over and another is open."""
        store, current = self.store, self._following
        if store.watched.value is not None or current is None:
            return store.shown
        now = store.sessions.value.get(current)
        return current if now is not None and is_open(now) else store.shown or (current if now else None)

    def on_screen_resume(self) -> None:
        if self.is_mounted:
            self.on_resize()  # the terminal may have another size than when a card covered this screen
            if self._rested:  # until then the last picture and its figures stand
                self._rested, self._opens_until = False, monotonic() + STALL_MS / 1000
            self.take(self.scene.view)

    def on_screen_suspend(self) -> None:
        self.set_timer(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        """Fetch and decode nothing while nothing can be seen; the last picture stays."""
        if not self.on_stage and self._watching is not None:
            self._close_video()
            self._rested = self._stale = True

    # -- what comes in

    def _follow(self, session_id: str | None) -> None:
        """Show another session."""
        self._following = session_id
        feed = self._feed = self.console_app.feed_for(session_id)
        self._close_video()
        self._meter, self._stale = SignalMeter(self._clock), False
        self.query_one(Picture).clear()
        fresh = Scene(LiveView(Phase.LOADING), SignalView(), self._facts, self._clock())
        self.scene = fresh
        self.run_worker(
            self._views(feed), name="session", group="session", exclusive=True, exit_on_error=True
        )

    async def _views(self, feed: SessionFeed) -> None:
        async for view in feed.views():
            if not self._stands:
                return
            self.take(view)

    def _close_video(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = self._video = None

    def take(self, view: LiveView) -> None:
        """Show a view; the picture is opened when the session goes live and closed when it is over."""
        before, self.scene = self.scene, replace(self.scene, view=view, now=self._clock())
        if view.phase is Phase.LIVE:
            if self._watching is None and not self._walled and self.on_stage:
                self._watching = self.run_worker(self._stream(), name="video", exit_on_error=True)
        else:
            self._close_video()  # over, or forgotten with the server that it was of
        self._withdraw_question()
        self._draw()
        if before.view.phase is not view.phase or bool(before.offline) != bool(self.scene.offline):
            self.refresh_bindings()

    async def _stream(self) -> None:
        loop = asyncio.get_running_loop()
        self._video = video = self.console_app.open_video(self._following)
        try:
            while True:
                source = await video.frame()
                self._meter.arrived()
                started = loop.time()
                self._show(source)
                await asyncio.sleep(max(0.0, FRAME_SECONDS * 0.9 - (loop.time() - started)))
        except LuxxonError:
            self._watching = None  # the stream is over; the next view tells whether to open another
        finally:
            await video.close()

    def _show(self, source: object) -> None:
        if not self._stands or not self.on_stage:
            return
        first = self._picture.latest is None or self._stale
        self._opens_until, self._stale = 0.0, False
        self._picture.show(source)  # type: ignore[arg-type]
        if first or self.scene.signal.stalled:
            self._tick()
            self.refresh_bindings()

    def _tick(self) -> None:
        if not self.on_stage:
            return
        if self._video is not None and self.scene.live and monotonic() >= self._opens_until:
            self.scene = replace(self.scene, signal=self._meter.sample(self._video.stream()))
        self.scene = replace(self.scene, now=self._clock())
        self._withdraw_question()
        self._draw()

    # -- what goes out

    def _draw(self) -> None:
        if not self._stands:
            return
        scene = self.scene = self._named(replace(self.scene, driver=self._picture.driver_name))
        full, wide = self._full, self.has_class("-wide")
        self.set_class(scene.offline is not None, "-offline")
        self.redraw_header()
        self._picture.reserve = (
            0 if self.has_class("-full") else (WIDE_BELOW if full else NARROW_BELOW - 2 * (not wide))
        )
        self._picture.mark(
            dimmed=self._stale or picture_panels.dimmed(scene),
            plate=picture_panels.plate(scene, self._picture.size.width),
        )
        self.query_one("#under", Lines).redraw(lambda width: under(scene, width, full=full, wide=wide))
        self.query_one("#below", Lines).redraw(lambda width: [EMPTY, meter_panels.timeline(scene, width)])
        side = self.query_one("#side", Lines)
        room = self.query_one("#body").size.height or self.size.height
        held = self._hand.held
        side.redraw(lambda width: beside(scene, width, room, full=full, held=held))

    def _named(self, scene: Scene) -> Scene:
        """With names in the place of numbers."""
        session, store = scene.session, self.store
        if session is None:
            return scene
        place = store.places.value.get(session.requested) if session.requested else None
        operator = store.called(session.operator) if session.operator else None
        return replace(scene, place=place, operator=operator)

    def redraw_header(self) -> None:
        if not self.has_class("-full"):
            super().redraw_header()
            return
        rows, header = self.header_rows, self.header
        if header is not None:  # alone with the picture, the banner is all that is left
            header.redraw(lambda width: rows(width)[2:])

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        scene = self.scene
        allowed = {
            "end": scene.live and not scene.offline,
            "save_frame": not (scene.billed or self._stale)
            and self.is_mounted
            and self._picture.latest is not None,
            "save_receipt": scene.billed,
            "copy_url": scene.live and scene.session is not None and scene.session.stream_url is not None,
            "phone": scene.live and not scene.offline,
            "browser": scene.live and not scene.offline,
            "leave_full_screen": self.has_class("-full"),
            "wall": len(self.store.live) > 1,
            "move": scene.live and not scene.offline and self._hand.may(scene.session, *parameters),
            "home": scene.live and not scene.offline and self._hand.may(scene.session, "home"),
        }
        return allowed.get(action, True)

    def action_end(self) -> None:
        session = self.scene.session
        if session is None:
            return
        facts = ("The camera stops, and this cannot be undone.", EMPTY, meter_panels.so_far(session))
        self._asking = question_card(Question("End the session?", facts, "end now", "keep watching"))
        self._asked_of = self._feed
        self.app.push_screen(self._asking, self._ended)

    def _withdraw_question(self) -> None:
        """Close the question once there is nothing to end, or another session is shown; under another card it
        waits for its turn."""
        stands = self.scene.live and self._asked_of is self._feed
        if self._asking is not None and not stands and self._asking.is_current:
            self._asking.dismiss(False)

    def _ended(self, confirmed: bool | None) -> None:
        self._asking, feed = None, self._asked_of
        if confirmed and self.scene.live and feed is not None and feed is self._feed:
            self.run_worker(self._end(feed), name="end", exit_on_error=True)

    async def _end(self, feed: SessionFeed) -> None:
        try:
            await feed.end()
        except InvalidState:
            feed.retry()  # it has ended by itself: that is what was asked for
        except LuxxonError as error:
            self.notify(f"the session was not ended: {error.message}", severity="error")

    async def action_save_frame(self) -> None:
        source = self._picture.latest
        if source is not None:
            await self._save(save_frame, source, folder(self._facts.save_folder), self.scene.session)

    async def action_save_receipt(self) -> None:
        if self.scene.session is not None:
            await self._save(save_receipt, self.scene.session, folder(self._facts.save_folder))

    async def _save(self, write: Callable[..., object], *what: object) -> None:
        at = self._clock().astimezone(self._facts.zone)
        try:
            path = await asyncio.to_thread(write, *what, at)
        except OSError as error:
            self.notify(f"not saved: {error.strerror or error}", severity="error")
        else:
            self.notify(str(path), title="saved", timeout=6)

    def action_full_screen(self) -> None:
        self.toggle_class("-full")
        self._draw()
        self._picture.refresh(layout=True)
        self.refresh_bindings()

    def action_wall(self) -> None:
        self._walled = True
        self._close_video()
        self.app.push_screen(WallScreen(), self._alone_again)

    def _alone_again(self, _: None) -> None:
        self._walled = False
        self.take(self.scene.view)

    def action_leave_full_screen(self) -> None:
        self.action_full_screen()

    def action_move(self, direction: str) -> None:
        if self.api is not None and self.scene.session is not None and self._hand.press(direction):
            self.call(self._hand.move(self.api, self.scene.session, direction), "not moved", group="move")
        self._draw()

    def action_home(self) -> None:
        if self.api is not None and self.scene.session is not None:
            self.call(self._hand.home(self.api, self.scene.session), "not moved", group="home")
