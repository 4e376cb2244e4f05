"""The panels beside the map as widgets: they take a view, and tell what was typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from luxxon_tui import format as fmt
from luxxon_tui.map import operate, request
from luxxon_tui.map.operate import OperateView
from luxxon_tui.map.request import RequestView, coordinates
from luxxon_tui.rows import Span, cut, row, section
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.lines import Draw, Lines
from luxxon_tui.widgets.primary import Primary

TALL_BUTTON = 3


class RequestPanel(Vertical):
    """What is asked for, and what it costs."""

    DEFAULT_CSS = """
    RequestPanel { height: 1fr; }
    RequestPanel .entry { height: 1; margin: 0 0 1 0; }
    RequestPanel .entry > Lines { width: 9; }
    RequestPanel .entry > Field { width: 1fr; padding: 0; }
    RequestPanel #place-entry { margin: 0; }
    RequestPanel #place-name { height: 1; margin: 0 0 1 0; }
    RequestPanel #ask { margin: 1 0; }
    RequestPanel #yours { margin: 1 0 0 0; }
    RequestPanel.-dense .entry, RequestPanel.-dense #place-name { margin: 0; }
    RequestPanel.-dense #quote { margin: 1 0 0 0; }
    RequestPanel.-dense #ask { margin: 1 0 0 0; }
    RequestPanel.-small .entry > Lines { width: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = []

    class Changed(Message):
        """Seconds were typed; None is what cannot be."""

        def __init__(self, name: str, seconds: int | None) -> None:
            super().__init__()
            self.name, self.seconds = name, seconds

    class PlaceEntered(Message):
        """A place was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self._view: RequestView | None = None
        self._full = self._wide = False

    def compose(self) -> ComposeResult:
        usual = fmt.hms(request.DEFAULT_SECONDS)
        yield Lines(id="title")
        yield from _entry("place", Field(placeholder=request.NO_PLACE, id="place"))
        yield Lines(id="place-name")
        yield from _entry("up to", Field(usual, id="up-to"))
        yield from _entry("wait", Field(usual, id="wait"))
        yield Lines(id="quote")
        yield Primary(self._label, "enter", id="ask")
        yield Lines(id="notice")
        yield Lines(id="yours")

    def _label(self) -> str:
        return "Find a place" if self._view is None or self._view.point is None else "Request live view"

    def show(self, view: RequestView, *, full: bool, wide: bool) -> None:
        """Draw a view: ``full`` with gaps and a tall button, ``wide`` with wide labels."""
        before, self._view = self._view, view
        self._full, self._wide = full, wide
        self.set_class(not full, "-dense")
        self.set_class(not wide, "-small")
        if view.point is not None and (before is None or before.point != view.point):
            with self.prevent(Input.Changed):
                self.query_one("#place", Field).value = coordinates(view.point)
        focused = any(each.has_focus for each in self.query(Field))
        indent = 10 if wide else 7
        named = row(" " * indent, Span(view.place, "muted"))
        self._rows("title", lambda width: [section(width, "Request", focused=focused)])
        self._rows("place-name", lambda width: [cut(named, width)])
        self.query_one("#up-to").set_class(view.max_seconds is None, "-invalid")
        self.query_one("#wait").set_class(view.wait_seconds is None, "-invalid")
        self.count(view)

    def count(self, view: RequestView) -> None:
        """Draw a view that differs from the one that is shown in what time has done to it."""
        self._view, full, wide = view, self._full, self._wide
        notice = request.notice_rows(view, 999, full=full)
        room = self.screen.size.height - 4 - (23 if full else 16) - len(notice)
        self._rows("quote", lambda width: request.quote_rows(view, width, full=full))
        self._rows("notice", lambda width: request.notice_rows(view, width, full=full))
        self._rows("yours", lambda width: request.yours_rows(view, width, max(1, room), full=wide))
        awaited = view.quoting and view.online  # pressed now, it is asked as soon as there is a price
        off = not (view.ready or view.point is None or awaited)
        pressing(self.query_one(Primary), off=off, tall=full)

    def _rows(self, name: str, draw: Draw) -> None:
        self.query_one(f"#{name}", Lines).redraw(draw)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id in request.LIMITS:
            low, high = request.LIMITS[event.input.id]
            self.post_message(self.Changed(event.input.id, request.seconds_of(event.value, low, high)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "place":
            self.post_message(self.PlaceEntered(event.value.strip()))
            return
        low, high = request.LIMITS[str(event.input.id)]
        seconds = request.seconds_of(event.value, low, high)
        if seconds is not None:
            with self.prevent(Input.Changed):
                event.input.value = fmt.hms(seconds)
            self.screen.focus_next()


class OperatePanel(Vertical):
    """The circle that is covered, and who asks inside it."""

    DEFAULT_CSS = """
    OperatePanel { height: 1fr; }
    OperatePanel #save { margin: 1 0; }
    OperatePanel #asked { margin: 1 0 0 0; }
    OperatePanel.-dense #save { margin: 1 0 0 0; }
    """

    def compose(self) -> ComposeResult:
        yield Lines(id="circle")
        yield Primary(lambda: "Save coverage", "enter", id="save")
        yield Lines(id="advice")
        yield Lines(id="asked")

    def show(self, view: OperateView, *, full: bool) -> None:
        """Draw a view."""
        self.set_class(not full, "-dense")
        room = max(2, self.screen.size.height - 4 - (18 if full else 14))
        self.query_one("#circle", Lines).redraw(lambda width: operate.coverage_rows(view, width, full=full))
        self.query_one("#advice", Lines).redraw(lambda width: operate.advice_rows(view, width))
        self.query_one("#asked", Lines).redraw(lambda width: operate.asked_rows(view, width, room))
        pressing(self.query_one(Primary), off=not view.ready, tall=full)


def pressing(button: Primary, *, off: bool, tall: bool) -> None:
    """Redraw a button, off or not."""
    button.off = off
    button.styles.height = TALL_BUTTON if tall else 1
    button.redraw()


def _entry(label: str, field: Field) -> ComposeResult:
    with Horizontal(classes="entry", id=f"{field.id}-entry"):
        yield Lines(lambda _width: [row(Span(label, "muted"))])
        yield field
