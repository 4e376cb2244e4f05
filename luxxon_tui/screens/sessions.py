"""The Sessions screen: both sides, what became of each, and what it cost or brought."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from luxxon_core.kernel.errors import InvalidState
from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.places import place_of
from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.save import folder, save_receipt
from luxxon_tui.screens import session_list
from luxxon_tui.screens.pane import Empty, ScreenPane, Thing
from luxxon_tui.screens.session_detail import Detail, detail
from luxxon_tui.screens.session_figures import Filter, Listing, Order, settling
from luxxon_tui.screens.session_roll import Roll
from luxxon_tui.store.state import is_open
from luxxon_tui.views import PHASES, Phase, SessionView
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.question import Question
from luxxon_tui.widgets.row_list import RowList

DETAIL = 46
TODAY_FROM = 34
"""Rows of the terminal from which the sums of today are shown."""


class SessionsScreen(ScreenPane):
    """A list and, beside or instead of it, one session."""

    NAME = "Sessions"
    WATCHES = ("sessions", "places", "names", "complete")
    PARTS = (RowList,)
    AUTO_FOCUS = "#list"
    CSS = f"""
    SessionsScreen #split {{ height: 1fr; }}
    SessionsScreen #left {{ width: 1fr; height: 1fr; }}
    SessionsScreen #top {{ height: 1; margin-bottom: 1; }}
    SessionsScreen.-short #top {{ margin-bottom: 0; }}
    SessionsScreen #filters {{ width: 1fr; }}
    SessionsScreen #search {{ width: 18; display: none; }}
    SessionsScreen.-searching #search {{ display: block; }}
    SessionsScreen #list {{ height: 1fr; }}
    SessionsScreen #today {{ height: auto; margin-top: 1; display: none; }}
    SessionsScreen.-tall #today {{ display: block; }}
    SessionsScreen #detail {{ width: {DETAIL}; margin-left: 3; height: 1fr; }}
    SessionsScreen.-narrow #detail {{ display: none; width: 1fr; margin-left: 0; }}
    SessionsScreen.-narrow.-opened #detail {{ display: block; }}
    SessionsScreen.-narrow.-opened #left {{ display: none; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        action("sessions.search", "slash", "search", "Search by place, state, side or id"),
        action("sessions.filter", "f", "filter", "Show the next kind: open, settling, done, trouble"),
        action("sessions.sort", "o", "sort", "Sort by the next: newest, amount, length, clean"),
        action("sessions.watch", "w", "watch", "Show the session on the Live screen"),
        action("sessions.end", "e", "end", "End the session; asks once"),
        action("sessions.cancel", "e", "cancel", "Cancel the request; asks once"),
        action("sessions.save", "s", "save receipt", "Save the receipt as JSON"),
        action("sessions.explorer", "x", "explorer", "Open the payment in the chain's explorer", show=False),
        action("sessions.copy_id", "c", "copy id", "Copy the session's id", show=False),
        action("sessions.back", "escape", "back", "Back to the list; ends the search"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._filter, self._order, self._search = Filter.ALL, Order.NEWEST, ""
        self._roll = Roll(self.console_app.facts.zone)

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            with Vertical(id="left"):
                with Horizontal(id="top"):
                    yield Lines(id="filters")
                    yield Field(placeholder="place, state", id="search")
                yield Lines(id="heads")
                yield RowList(id="list")
                yield Lines(id="today")
            yield Lines(id="detail")

    # -- what it shows

    @property
    def rows(self) -> RowList:
        return self.query_one("#list", RowList)

    @property
    def view(self) -> SessionView | None:
        """The session under the cursor."""
        key = self.rows.key
        return self.store.sessions.value.get(key) if key else None

    def empty(self) -> Empty | None:
        if self.store.sessions.value:
            return None
        told: list[Row | str] = ["Sessions that you ask for, or film, are listed here."]
        if self.console_app.has("map"):
            told += [EMPTY, row(Span("1", "text", bold=True), Span(" finds a place to ask for", "muted"))]
        return Empty("no sessions yet", tuple(told))

    def ticks(self) -> bool:
        """While something is waited for."""
        view = self.view
        return bool(self.store.index.open) or (view is not None and settling(view))

    def listing(self) -> Listing:
        """What the list shows now."""
        store = self.store
        self._roll.follow(store.index)
        return Listing(
            self._roll,
            store.places.value,
            self.now(),
            self.zone,
            self._filter,
            self._order,
            self._search,
            store.offline is not None,
        )

    def draw(self) -> None:
        listing = self.listing()
        searching = self.has_class("-searching")
        self.query_one("#filters", Lines).redraw(
            lambda width: [session_list.filters(listing, width, searching=searching)]
        )
        self.query_one("#heads", Lines).redraw(lambda width: session_list.heads(width, listing.order))
        items = session_list.items(listing)
        self.rows.fill(items)
        if self.tall:
            left = self.query_one("#left").size.height
            room = max(0, left - 5 - max(len(items), 4))
            self.query_one("#today", Lines).redraw(
                lambda width: session_list.today_rows(listing, width, room)
            )
        self._draw_detail()

    def _draw_detail(self) -> None:
        view, store = self.view, self.store
        panel = self.query_one("#detail", Lines)
        if view is None:
            none = row(Span("no session passes this filter", "faint"))
            panel.redraw(lambda _width: [none] if store.sessions.value else [])
            return
        shown = Detail(
            view,
            store.places.value,
            self.now(),
            self.zone,
            self.has_class("-opened"),
            store.offline is not None,
            store.called(view.operator) if view.operator else "",
        )
        room = self.query_one("#split").size.height
        panel.redraw(lambda width: detail(shown, width, room))

    def things(self) -> Iterable[Thing]:
        """None: the palette has all sessions already."""
        return ()

    # -- what happens on it

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._draw_detail()
        self.refresh_bindings()
        self._read_bills()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        if self.wide or self.has_class("-opened"):
            self.action_watch()
        else:
            self._open(opened=True)

    def on_row_list_ended(self, event: RowList.Ended) -> None:
        event.stop()
        follower = self.follower
        if follower is not None and not self.store.complete.value and self.store.offline is None:
            self.call(follower.older(), "older sessions were not read", group="older")

    def _open(self, *, opened: bool) -> None:
        self.set_class(opened, "-opened")
        self.redraw()

    def _read_bills(self) -> None:
        """Read the receipts that the list and the detail need and that have not been read yet."""
        follower = self.follower
        if follower is None or self.store.offline is not None:
            return
        rows, sessions = self.rows, self.store.sessions.value
        shown = [item.key for item in rows.items[rows.first : rows.first + rows.size.height]]
        keys = [key for key in dict.fromkeys([rows.key, *shown]) if key is not None]
        wanted = [key for key in keys if key in sessions and needs_bill(sessions[key])]
        if wanted:
            self.call(follower.bill_all(wanted), "receipts were not read", group="bills")

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        view, here = self.view, self.condition() is None
        opened = self.has_class("-opened") and not self.wide
        online = self.store.offline is None
        live = view is not None and PHASES.get(view.state) is Phase.LIVE
        waiting = view is not None and PHASES.get(view.state) is Phase.WAITING and view.side == "consumer"
        allowed = {
            "search": here and not isinstance(self.focused, Input),
            "filter": here and not opened,
            "sort": here and not opened,
            "watch": view is not None and here,
            "end": live and online,
            "cancel": waiting and online,
            "save": view is not None and view.billed and view.started_at is not None and not is_open(view),
            "explorer": view is not None and view.tx_url is not None,
            "copy_id": view is not None,
            "back": self.has_class("-opened") or self.has_class("-searching") or bool(self._search),
        }
        return allowed.get(action, True)

    def action_filter(self) -> None:
        self.action_filter_by(self._filter.next.name)

    def action_filter_by(self, name: str) -> None:
        self._filter = Filter[name]
        self.redraw()

    def action_sort(self) -> None:
        self._order = self._order.next
        self.redraw()

    def action_search(self) -> None:
        self.add_class("-searching")
        self._open(opened=False)
        self.set_focus(self.query_one("#search", Field))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search = event.value
        self.redraw()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self.set_focus(self.rows)

    def action_back(self) -> None:
        if self.has_class("-opened"):
            self._open(opened=False)
            return
        self.query_one("#search", Field).value = ""
        self.remove_class("-searching")
        self.set_focus(self.rows)
        self.redraw()

    def action_watch(self) -> None:
        if (view := self.view) is not None:
            self.console_app.watch_session(view.id)

    def action_end(self) -> None:
        if (view := self.view) is not None:
            self.call(self._end(view), "the session was not ended")

    async def _end(self, view: SessionView) -> None:
        so_far = row(
            Span("so far ", "muted"), f"{view.clean_seconds} s", Span(" for ", "muted"),
            fmt.usdc(view.charged_micro, fmt.CHARGED), Span(" USDC", "muted"),
        )  # fmt: skip
        facts = (
            place_of(self.store, view.requested),
            "The camera stops, and this cannot be undone.",
            EMPTY,
            so_far,
        )
        if await self.confirmed(Question("End the session?", facts, "end now", "let it run")) and self.api:
            try:
                await self.api.sessions.end(view.id)
            except InvalidState:
                return  # it has ended by itself: that is what was asked for

    def action_cancel(self) -> None:
        if (view := self.view) is not None:
            self.call(self._cancel(view), "the request was not cancelled")

    async def _cancel(self, view: SessionView) -> None:
        facts = (place_of(self.store, view.requested), "Nothing has been charged.")
        if (
            await self.confirmed(Question("Cancel the request?", facts, "cancel it", "go on waiting"))
            and self.api
        ):
            await self.api.sessions.cancel(view.id)

    async def action_save(self) -> None:
        view = self.view
        if view is None:
            return
        try:
            where = folder(self.console_app.facts.save_folder)
            path = await asyncio.to_thread(save_receipt, view, where, self.now().astimezone(self.zone))
        except OSError as error:
            self.notify(f"not saved: {error.strerror or error}", severity="error")
        else:
            self.notify(str(path), title="saved", timeout=6)

    def action_explorer(self) -> None:
        if (view := self.view) is not None and view.tx_url:
            self.app.open_url(view.tx_url)

    def action_copy_id(self) -> None:
        if (view := self.view) is not None:
            self.copy(view.id, "session id copied")


def needs_bill(view: SessionView) -> bool:
    """Whether a session's receipt would tell more than is known."""
    return view.started_at is not None and not view.billed
