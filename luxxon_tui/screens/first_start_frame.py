"""What every page of the first start has: lines to choose or to fill, what is under way, what failed."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.actions import action
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens import first_start_work as work
from luxxon_tui.screens.first_start_pages import Page, Place
from luxxon_tui.screens.first_start_work import Checked
from luxxon_tui.store import Unwatch
from luxxon_tui.views import Failure
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.footer import Footer
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.row_list import Item, RowList

if TYPE_CHECKING:
    from luxxon_tui.app import ConsoleApp

BLANKS = 3


class PageScreen(ModalScreen[None]):
    """Pages, one after the other; ``esc`` goes back to the one before, and what was given there is kept.

    A subclass says what a page holds (:meth:`page`) and what happens in it; a choice ``verb:noun`` calls its
    method ``_choose_verb``.
    """

    AUTO_FOCUS = None
    CSS = """
    FirstStart { layout: vertical; background: $background; }
    FirstStart #top { dock: top; height: 3; }
    FirstStart #page { height: 1fr; padding: 1 3; scrollbar-size-vertical: 1; }
    FirstStart #heading { margin-bottom: 1; }
    FirstStart #options { height: auto; max-height: 10; margin-bottom: 1; }
    FirstStart .blank { height: 1; margin-bottom: 1; }
    FirstStart .label { width: 14; }
    FirstStart Field { max-width: 66; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        action("first.back", "escape", "back", "Back to the page before; nothing is asked twice"),
        action("first.next", "down", "next", "To the next line", show=False, do="app.focus_next"),
        action("first.before", "up", "before", "To the line before", show=False, do="app.focus_previous"),
        action("app.keys", "question_mark", "keys", "What the keys do here", do="app.keys"),
        action("app.leave", "q", "quit", "Leave the console", do="app.leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.place = Place.WELCOME
        self._trail: list[Place] = []
        self._wrong: Failure | None = None
        self._phases: list[tuple[str, float, float | None]] = []
        """What is being done: words, when it began, when it ended."""
        self._unwatch: Unwatch | None = None
        self.checked: Checked | None = None
        """What was found at the address of the server page."""

    def __repr__(self) -> str:
        return f"FirstStart({self.place.name})"  # it knows a passphrase

    # -- what a subclass says

    def page(self) -> Page:
        """What the open page says."""
        raise NotImplementedError

    def submit(self) -> None:
        """``enter`` in the last line of the page."""
        raise NotImplementedError

    def entered(self) -> None:
        """A page has been opened."""

    def typed(self, text: str) -> None:
        """A line has become ``text``."""

    def heard(self) -> None:
        """The store has changed."""

    # -- what it is made of

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        with VerticalScroll(id="page", can_focus=False):
            yield Lines(id="heading")
            yield RowList(id="options")
            for number in range(BLANKS):
                with Horizontal(id=f"blank-{number}", classes="blank"):
                    label = Lines(id=f"label-{number}")
                    label.add_class("label")
                    yield label
                    yield Field(id=f"field-{number}")
            yield Lines(id="status")
        yield Footer()

    def on_mount(self) -> None:
        self._unwatch = self.console.store.watch(("readiness", "progress", "failure"), self.heard)
        self.set_interval(0.5, self._tick)
        self._enter(Place.WELCOME)

    async def on_unmount(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    @property
    def console(self) -> ConsoleApp:
        from luxxon_tui.app import ConsoleApp

        app = self.app
        assert isinstance(app, ConsoleApp)
        return app

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return any(ended is None for _, _, ended in self._phases)

    # -- from page to page

    def _enter(self, place: Place) -> None:
        """Open a page. Fields are as the page says: secrets begin empty."""
        self.place, self._wrong, self._phases = place, None, []
        page = self.page()
        for number in range(BLANKS):
            there = number < len(page.blanks)
            self.query_one(f"#blank-{number}").display = there
            field = self.query_one(f"#field-{number}", Field)
            with field.prevent(Input.Changed):
                field.value = page.blanks[number].value if there else ""
            if there:
                blank = page.blanks[number]
                field.password, field.placeholder = blank.secret, blank.hint
                label = self.query_one(f"#label-{number}", Lines)
                label.redraw(partial(pages.label, blank))
        self._draw(fresh=True)
        self._focus(page)
        self.entered()

    def _go(self, place: Place) -> None:
        self._trail.append(self.place)
        self._enter(place)

    def _focus(self, page: Page) -> None:
        empty = next((number for number, one in enumerate(page.blanks) if not one.value), 0)
        if page.blanks:
            self.set_focus(self.query_one(f"#field-{empty}", Field))
        else:
            self.set_focus(self.query_one("#options", RowList) if page.options else None)

    def _draw(self, *, fresh: bool = False) -> None:
        if not self.is_mounted:
            return
        page, place = self.page(), self.place
        self.query_one("#top", Lines).redraw(lambda width: pages.top(place, width))
        self.query_one("#heading", Lines).redraw(lambda width: pages.heading(page, width))
        rows = self.query_one("#options", RowList)
        options = self._options(page)
        rows.display = bool(options)
        wide = pages.widest(options)
        before = len(rows.items)
        rows.fill([Item(each.key, partial(pages.option, each, wide)) for each in options])
        if fresh and options:
            rows.choose(options[0].key)
        if before != len(options):
            rows.refresh(layout=True)
        if options and not page.blanks and self.focused is None:  # they were away while something was done
            self.set_focus(rows)
        now, wrong = monotonic(), self._wrong
        phases = [(words, (ended or now) - begun, ended is not None) for words, begun, ended in self._phases]
        checked = self.checked if place is Place.SERVER and not phases else None
        hint = "goes on, from the last line" if len(page.blanks) > 1 else "goes on"
        hint = hint if page.blanks and not self.busy else ""
        self.query_one("#status", Lines).redraw(
            lambda width: pages.status(phases=phases, checked=checked, wrong=wrong, hint=hint, width=width)
        )
        self.refresh_bindings()

    def _options(self, page: Page) -> tuple[pages.Option, ...]:
        if self.place is Place.STARTING and self._wrong is not None:
            return (pages.Option("again", "Try again", "esc goes back"),)
        return () if self.busy else page.options

    def _tick(self) -> None:
        if self.busy:
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return bool(self._trail) and self.place is not Place.READY
        return True

    def action_back(self) -> None:
        """To the page before; what is under way is given up."""
        self.workers.cancel_group(self, "step")
        if self.place is Place.STARTING:
            self.app.workers.cancel_group(self.app, "server")
            self.console.store.forget()
        self._enter(self._trail.pop())

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        offered = [option.key for option in self._options(self.page())]
        if self.busy or event.key not in offered:  # a second click, once the first has led on
            return
        assert event.key is not None
        verb, _, noun = event.key.partition(":")
        getattr(self, f"_choose_{verb}")(*([noun] if noun else []))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._wrong = None
        self.typed(event.value)
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """``enter`` goes to the next line; in the last one, on."""
        event.stop()
        page = self.page()
        number = int((event.input.id or "field-0").removeprefix("field-"))
        if number + 1 < len(page.blanks):
            self.set_focus(self.query_one(f"#field-{number + 1}", Field))
        elif not self.busy:
            self.submit()

    def _value(self, number: int) -> str:
        return self.query_one(f"#field-{number}", Field).value

    # -- work beside the screen

    def _step(self, steps: Coroutine[Any, Any, None], failing: str) -> None:
        """Run ``steps``; what keeps them from their end is told on the page."""

        async def told() -> None:
            try:
                await steps
            except LuxxonError as error:
                self._fail(work.explained(error, failing))

        self._wrong, self._phases = None, []
        worker = self.run_worker(told(), name=failing, group="step", exclusive=True, exit_on_error=True)
        self.console.workers.close_with(worker, steps)

    async def _during(self, words: str, doing: Awaitable[Any]) -> Any:
        """Await something and show that it is under way, and for how long."""
        self._doing(words)
        found = await doing
        self._doing(None)
        return found

    def _doing(self, words: str | None) -> None:
        """The next thing is under way; None: nothing is."""
        now = monotonic()
        if self._phases and self._phases[-1][2] is None:
            last, begun, _ = self._phases[-1]
            if last == words:
                return
            self._phases[-1] = last, begun, now
        if words is not None:
            self._phases.append((words, now, None))
        self._draw()

    def _fail(self, failure: Failure) -> None:
        self._wrong = failure
        self._phases = [phase for phase in self._phases if phase[2] is not None]
        self._draw()
        page = self.page()
        if self.focused is None or not self.focused.display:
            self._focus(page)
        if self.place is Place.STARTING:
            self.set_focus(self.query_one("#options", RowList))
        elif failure.detail in ("wallet:key", "wallet:missing"):
            self.set_focus(self.query_one("#field-0", Field))
