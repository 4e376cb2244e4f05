"""What every screen of the console is: header, content, footer, and four designed states."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.rows import Row
from luxxon_tui.screens.table import tabs
from luxxon_tui.store import Readiness, Store, Unwatch
from luxxon_tui.views import Failure
from luxxon_tui.widgets.footer import Footer
from luxxon_tui.widgets.header import WIDE, Header, header
from luxxon_tui.widgets.lines import Draw, Lines
from luxxon_tui.widgets.note import note_rows
from luxxon_tui.widgets.question import Question, question_card

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_tui.app import ConsoleApp
    from luxxon_tui.store.follow import Follower

FRAME_CELLS = ("readiness", "progress", "failure", "link", "as_of", "who", "config", "wallet", "side")
"""What header and states are made of; every screen watches these."""
TALL = 34
"""Rows from which there is room for more than the least; columns are the header's."""


@dataclass(frozen=True, slots=True)
class Loading:
    """Nothing to show yet."""

    what: str
    """``sessions``: it is said to be loading."""


@dataclass(frozen=True, slots=True)
class Empty:
    """There is nothing, which is no fault."""

    title: str
    """``no sessions yet``"""
    help: tuple[Row | str, ...] = ()
    """What to do next."""


Condition = Loading | Empty | Failure | None
"""What stands instead of the content; None is the content itself."""


class Thing(NamedTuple):
    """Something that the palette can find: a session, a camera, a place."""

    title: str
    help: str
    open: Callable[[], object]


class ScreenPane(Screen[None]):
    """One screen of the console. See ``docs/console.md``.

    A subclass yields its widgets from ``body`` and puts what the store knows into them in ``draw``, which is
    called, at most once a frame, after any cell in ``WATCHES`` has changed, after a resize, and when the
    screen is shown. Drawing the same again costs next to nothing.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012  # Textual's own declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (TALL, "-tall")]  # noqa: RUF012
    NAME: ClassVar[str] = ""
    """As in the table of screens."""
    WATCHES: ClassVar[tuple[str, ...]] = ()
    """Cells of the store beyond those of the frame."""
    PARTS: ClassVar[tuple[type[Widget], ...]] = ()
    """Widgets of its own that have named actions."""
    TICKS: ClassVar[bool] = False
    """Whether it is drawn once a second as well, for what counts down; ``ticks`` says so for the moment."""

    DEFAULT_CSS = """
    ScreenPane { layout: vertical; }
    ScreenPane > #content { height: 1fr; padding: 0 1; }
    ScreenPane > #note { height: 1fr; display: none; padding: 1 3; }
    ScreenPane.-noted > #note { display: block; }
    ScreenPane.-noted > #content { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._unwatch: Unwatch | None = None
        self._due = False
        self._held: Widget | None = None
        """What had the focus before a note took the content's place."""

    # -- what a screen is made of

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Container(id="content"):
            yield from self.body()
        yield Lines(id="note")
        yield Footer()

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        yield from ()

    def draw(self) -> None:
        """Put what the store knows into the widgets. Must not wait, nor change the store."""

    def ticks(self) -> bool:
        """Whether something counts down, or up, right now."""
        return self.TICKS

    def tick(self) -> None:
        """Draw what time alone changes, the header too; once a second while it ``ticks``."""
        self.redraw()

    def empty(self) -> Empty | None:
        """What to say when there is nothing to show; asked when everything has been read."""
        return None

    def condition(self) -> Condition:
        """Which state the screen is in. Offline is none of them: what was read stays, under a banner."""
        store = self.store
        readiness = store.readiness.value
        if readiness is Readiness.FAILED:
            return store.failure.value
        if readiness is Readiness.LOADING and store.as_of.value is None:
            return Loading(store.progress.value or self.NAME.lower())
        return self.empty()

    def things(self) -> Iterable[Thing]:
        """What the palette can find on this screen."""
        return ()

    @classmethod
    def bindings(cls) -> Iterable[BindingType]:
        """All bindings of the screen and its parts."""
        for part in (cls, *cls.PARTS):
            yield from part.BINDINGS

    # -- what a screen has at hand

    @property
    def console_app(self) -> ConsoleApp:
        from luxxon_tui.app import ConsoleApp

        app = self.app
        assert isinstance(app, ConsoleApp)
        return app

    @property
    def store(self) -> Store:
        return self.console_app.store

    @property
    def api(self) -> Luxxon | None:
        """The SDK's client; None while there is no server."""
        return self.console_app.api

    @property
    def follower(self) -> Follower | None:
        return self.console_app.follower

    @property
    def wide(self) -> bool:
        """At least 110 columns."""
        return self.app.size.width >= WIDE

    @property
    def tall(self) -> bool:
        """At least 34 rows."""
        return self.app.size.height >= TALL

    @property
    def zone(self) -> tzinfo | None:
        """Of times of day; None is the computer's own."""
        return self.console_app.facts.zone

    def now(self) -> datetime:
        """The console's clock, UTC."""
        return self.console_app.clock()

    def call(self, work: Coroutine[Any, Any, object], failing: str, *, group: str = "call") -> Worker[None]:
        """Run ``work`` beside the screen; where the server refuses, a toast says ``failing`` and why.

        Args:
            failing: ``the session was not ended``.
            group: a later call of the same group takes the place of one that still runs.
        """

        async def told() -> None:
            try:
                await work
            except LuxxonError as error:
                self.notify(f"{failing}: {error.message}", severity="error")

        worker = self.run_worker(told(), name=failing, group=group, exclusive=True, exit_on_error=True)
        self.console_app.workers.close_with(worker, work)
        return worker

    async def confirmed(self, question: Question) -> bool:
        """Ask once. For use in a worker (:meth:`call`)."""
        card = question_card(question)
        answer: bool | None = await self.app.push_screen_wait(card)
        return bool(answer)

    def copy(self, text: str, told: str) -> None:
        """To the clipboard, over SSH too (OSC 52); ``told`` is the toast."""
        self.app.copy_to_clipboard(text)
        self.notify(told, timeout=4)

    # -- the machinery

    def on_mount(self) -> None:
        self._unwatch = self.store.watch((*FRAME_CELLS, *self.WATCHES), self.due)
        self._second = self.set_interval(1.0, self._each_second)
        self.redraw()

    def on_unmount(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    @property
    def on_stage(self) -> bool:
        """Whether it can be seen, be it under a card."""
        return self.is_mounted and self in self.app.screen_stack

    def due(self) -> None:
        """Draw soon: once, however often it is asked for until then; when the screen is shown again if it is
        hidden now."""
        if not self._due and self.on_stage:
            self._due = True
            self.call_next(self.redraw)

    def redraw(self) -> None:
        """Draw now."""
        self._due = False
        if not self.is_mounted or not self.is_attached or not self.size or self.header is None:
            return
        self.redraw_header()
        condition = self.condition()
        self._note(condition is not None)
        if condition is None:
            self.draw()
        else:
            self.query_one("#note", Lines).redraw(lambda width: note_rows(condition, width))
        self.refresh_bindings()

    def _note(self, noted: bool) -> None:
        """Show the note or the content; what is hidden does not keep the focus, and has it again later."""
        before = self.has_class("-noted")
        self.set_class(noted, "-noted")
        if noted and self.focused is not None:
            self._held = self.focused
            self.set_focus(None)
        elif before and not noted and self._held is not None:
            self.set_focus(self._held)

    @property
    def header_rows(self) -> Draw:
        """The three rows at the top, as they are now."""
        view, listed, name = self.console_app.header_view(), tabs(), self.NAME
        return lambda width: header(view, width, listed, name)

    @property
    def header(self) -> Header | None:
        """None is left while the console closes. Asked each second: it looks no further than it has to."""
        return next((each for each in self.children if isinstance(each, Header)), None)

    def redraw_header(self) -> None:
        """Draw the header alone."""
        header = self.header
        if header is not None:
            header.redraw(self.header_rows)

    def _each_second(self) -> None:
        if not self.on_stage:
            return
        if self.ticks():
            self.tick()
        else:
            self.redraw_header()

    def on_resize(self) -> None:
        self.redraw()

    def on_screen_resume(self) -> None:
        self.redraw()
