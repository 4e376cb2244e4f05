"""The Activity screen: what happened, newest first; of an embedded server its counters and its log."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Unmount

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.actions import action
from luxxon_tui.rows import EMPTY, Span, row
from luxxon_tui.screens import activity_panels as panels
from luxxon_tui.screens.activity_panels import Counters, Kind, Log, Party
from luxxon_tui.screens.first_start_work import client_of
from luxxon_tui.screens.pane import Empty, ScreenPane
from luxxon_tui.store.state import Happening
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon

FIGURES_SECONDS = 2.0
"""Between two readings of the counters, of which no event tells, while they are looked at."""
KEPT_RATES = 200


class ActivityScreen(ScreenPane):
    """A list of events and, beside or instead of it, the server on this machine."""

    NAME = "Activity"
    WATCHES = ("activity", "sessions", "places", "server_log")
    PARTS = (RowList,)
    AUTO_FOCUS = "#list"
    CSS = """
    ActivityScreen #split { height: 1fr; }
    ActivityScreen #left { width: 1fr; height: 1fr; }
    ActivityScreen #filters { margin-bottom: 1; }
    ActivityScreen.-short #filters { margin-bottom: 0; }
    ActivityScreen #list { height: 1fr; }
    ActivityScreen #none { height: 1fr; display: none; }
    ActivityScreen #right { width: 40; height: 1fr; margin-left: 3; display: none; }
    ActivityScreen #server { margin-bottom: 1; }
    ActivityScreen.-embedded.-wide #right { display: block; }
    ActivityScreen.-embedded.-narrow.-log #right { display: block; width: 1fr; margin-left: 0; }
    ActivityScreen.-embedded.-narrow.-log #left { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        action("activity.pause", "space", "pause", "Hold the list still, and let it go on"),
        action("activity.kind", "f", "filter", "Show the next kind: sessions, money, picture"),
        action("activity.side", "s", "side", "Show what was asked for, what was served, or both"),
        action("activity.only", "i", "its session", "Show this session's events alone, or all again"),
        action("activity.copy_line", "c", "copy", "Copy the line, with its whole time and id"),
        action("activity.log", "l", "server log", "Show the server on this machine instead of the list"),
        action("activity.back", "escape", "back", "Take all filters away"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._kind, self._party = Kind.ALL, Party.BOTH
        self._only: str | None = None
        self._paused: tuple[Happening, ...] | None = None
        """The events as they were when the list was paused."""
        self._lines: dict[str, Happening] = {}
        self._counters: Counters | None = None
        self._rates: list[float] = []
        self._fault = ""
        self._local: tuple[str, Luxxon] | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            with Vertical(id="left"):
                yield Lines(id="filters")
                yield Lines(id="heads")
                yield RowList(id="list")
                yield Lines(id="none")
            with Vertical(id="right"):
                yield Lines(id="server")
                yield Lines(id="log")

    def on_mount(self) -> None:
        self.set_interval(FIGURES_SECONDS, self._look)
        self._look()

    @on(Unmount)
    async def _close(self) -> None:
        local, self._local = self._local, None
        if local is not None:
            await local[1].close()

    # -- what it shows

    @property
    def rows(self) -> RowList:
        return self.query_one("#list", RowList)

    @property
    def embedded_url(self) -> str | None:
        """Of the server on this machine, where the console runs one."""
        connected = self.console_app.connected
        return connected.embedded_url if connected else None

    @property
    def embedded(self) -> bool:
        return self.embedded_url is not None or bool(self.store.server_log.value)

    @property
    def chosen(self) -> Happening | None:
        """The event under the cursor."""
        return self._lines.get(self.rows.key or "")

    def empty(self) -> Empty | None:
        if self.store.activity.value or self.embedded:
            return None
        told = ["Sessions, payments and faults are told here as they happen, from now on."]
        more = [EMPTY, row(Span("1", "text", bold=True), Span(" finds a place to ask for", "muted"))]
        return Empty("nothing has happened yet", (*told, *(more if self.console_app.has("map") else ())))

    def listing(self) -> Log:
        """What the list shows now."""
        store = self.store
        events = store.activity.value if self._paused is None else self._paused
        return Log(
            events, store.sessions.value, store.places.value, self.console_app.facts.zone,
            self._kind, self._party, self._only,
        )  # fmt: skip

    def draw(self) -> None:
        self.set_class(self.embedded, "-embedded")
        log, now, rows = self.listing(), self.store.activity.value, self.rows
        held = None if self._paused is None else _since(self._paused, now)
        self.query_one("#filters", Lines).redraw(lambda width: [panels.filters(log, width, held=held)])
        self.query_one("#heads", Lines).redraw(panels.heads)
        follows = not rows.items or rows.key == rows.items[0].key
        self._lines = dict(log.shown)
        items = panels.items(log)
        rows.fill(items)
        if follows and items and items[0].key is not None:
            rows.choose(items[0].key)
        rows.display = bool(items)
        none = self.query_one("#none", Lines)
        none.display = not items
        words = "no event passes this filter" if log.events else "nothing has happened yet"
        none.redraw(lambda _width: [row(Span(f"  {words}", "faint"))])
        self._draw_server()

    def _draw_server(self) -> None:
        if not self.embedded:
            return
        counters, rates, fault = self._counters, tuple(self._rates), self._fault
        self.query_one("#server", Lines).redraw(lambda width: panels.server(counters, rates, fault, width))
        lines, zone = self.store.server_log.value, self.console_app.facts.zone
        height = self.query_one("#split").size.height - len(self.query_one("#server", Lines).rows) - 1
        self.query_one("#log", Lines).redraw(lambda width: panels.server_log(lines, width, height, zone))

    # -- the server on this machine

    def _look(self) -> None:
        """Read its counters, while they can be seen."""
        seen = self.wide or self.has_class("-log")
        if self.on_stage and seen and self.embedded_url is not None and self.store.offline is None:
            self.run_worker(self._read(self.embedded_url), name="figures", group="figures", exclusive=True)

    async def _read(self, url: str) -> None:
        try:
            client = await self._client(url)
            answer = await client.raw("GET", "/metrics")
        except LuxxonError as error:
            self._fault = error.message
        else:
            self.take(panels.counters(answer.text, monotonic()))
        self.due()

    async def _client(self, url: str) -> Luxxon:
        """A client of the server's root, where the counters are."""
        if self._local is None or self._local[0] != url:
            before, self._local = self._local, (url, await client_of(url, path=""))
            self._counters, self._rates = None, []
            if before is not None:
                await before[1].close()
        return self._local[1]

    def take(self, counters: Counters) -> None:
        """Take a reading."""
        rate = counters.per_second(self._counters)
        self._counters, self._fault = counters, ""
        if rate is not None:
            self._rates = [*self._rates[-(KEPT_RATES - 1) :], rate]

    # -- keys

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self.refresh_bindings()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        chosen = self.chosen
        if chosen is not None and chosen.session_id is not None:
            self.console_app.watch_session(chosen.session_id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        listed = self.condition() is None and not (self.has_class("-log") and not self.wide)
        chosen = self.chosen if listed else None
        narrowed = self._kind is not Kind.ALL or self._party is not Party.BOTH or self._only is not None
        allowed = {
            "pause": listed,
            "kind": listed,
            "side": listed,
            "only": self._only is not None or (chosen is not None and chosen.session_id is not None),
            "copy_line": chosen is not None,
            "log": self.embedded and not self.wide,
            "back": narrowed or (self.has_class("-log") and not self.wide),
        }
        return allowed.get(action, True)

    def action_pause(self) -> None:
        self._paused = self.store.activity.value if self._paused is None else None
        self.redraw()

    def action_kind(self) -> None:
        self.action_kind_by(self._kind.next.name)

    def action_kind_by(self, name: str) -> None:
        self._kind = Kind[name]
        self.redraw()

    def action_side(self) -> None:
        self._party = self._party.next
        self.redraw()

    def action_only(self) -> None:
        chosen = self.chosen
        self._only = None if self._only is not None or chosen is None else chosen.session_id
        self.redraw()

    def action_copy_line(self) -> None:
        if (chosen := self.chosen) is not None:
            self.copy(panels.copied(chosen), "line copied")

    def action_log(self) -> None:
        self.toggle_class("-log")
        self._look()
        self.redraw()

    def action_back(self) -> None:
        if self.has_class("-log") and not self.wide:
            self.action_log()
            return
        self._kind, self._party, self._only = Kind.ALL, Party.BOTH, None
        self.redraw()


def _since(held: tuple[Happening, ...], now: tuple[Happening, ...]) -> int:
    """How many events have come since; the store forgets the oldest, so that lengths do not tell."""
    if not held:
        return len(now)
    last = next((place for place in range(len(now) - 1, -1, -1) if now[place] == held[-1]), -1)
    return len(now) - last - 1
