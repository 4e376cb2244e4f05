"""The Wallet screen: what there is, moving it into the pool and out of it, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Click
from textual.widgets import Input

from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.rows import EMPTY, Span, row, section
from luxxon_tui.save import folder
from luxxon_tui.screens import wallet_course as course
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens import wallet_panels as panels
from luxxon_tui.screens.pane import Empty, Thing
from luxxon_tui.screens.wallet_export import save_ledger
from luxxon_tui.screens.wallet_figures import Line
from luxxon_tui.screens.wallet_moving import MovingPane
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.row_list import RowList


class WalletScreen(MovingPane):
    """Balances, top-up, withdrawal and chain at the left; course and ledger at the right."""

    NAME = "Wallet"
    WATCHES = ("sessions", "places", "workspace")
    PARTS = (RowList,)
    CSS = """
    WalletScreen #split { height: 1fr; }
    WalletScreen #left { width: 38; height: 1fr; }
    WalletScreen.-narrow #left { width: 36; }
    WalletScreen #right { width: 1fr; height: 1fr; margin-left: 3; }
    WalletScreen.-narrow #right { margin-left: 2; }
    WalletScreen .part { margin-bottom: 1; }
    WalletScreen.-short #chain { margin-bottom: 0; }
    WalletScreen #withdraw { height: 1; }
    WalletScreen #withdraw-label { width: 8; }
    WalletScreen #amount { width: 1fr; }
    WalletScreen #ledger { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        action("wallet.top_up", "t", "top up", "Move the chosen amount of USDC into the pool; asks once"),
        action("wallet.withdraw", "w", "withdraw", "Move USDC out of the pool into the wallet"),
        action("wallet.filter", "f", "filter", "Show the next kind: top-ups, paid, earned"),
        action("wallet.export", "e", "export", "Save the ledger as CSV"),
        action("wallet.copy_address", "c", "copy address", "Copy the wallet's address"),
        action("wallet.faucet", "m", "test money", "Get test money from the development chain"),
        action("wallet.accept", "y", "it is right", "Take the changed contract as the right one"),
        action("wallet.less", "left", "less", "The preset before", show=False, do="preset(-1)"),
        action("wallet.more", "right", "more", "The next preset", show=False, do="preset(1)"),
        action("wallet.other", "o", "other amount", "Type another amount to top up", show=False),
        action("wallet.span", "d", "days", "Show the pool over 30 days, 7 days or one", show=False,
               do="next_span"),
        action("wallet.explorer", "x", "explorer", "Open the payment in the chain's explorer", show=False),
        action("wallet.back", "escape", "back", "Leave the line that is typed into", show=False),
    ]  # fmt: skip

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            with Vertical(id="left"):
                for name in ("balances", "topping"):
                    part = Lines(id=name)
                    part.add_class("part")
                    yield part
                yield Lines(id="withdraw-head")
                with Horizontal(id="withdraw"):
                    yield Lines(lambda _width: [row(Span("amount", "muted"))], id="withdraw-label")
                    yield Field(placeholder="0.00 USDC, or all", id="amount")
                leaving = Lines(id="leaving")
                leaving.add_class("part")
                yield leaving
                yield Lines(id="chain")
            with Vertical(id="right"):
                chart = Lines(id="chart")
                chart.add_class("part")
                yield chart
                yield Lines(id="ledger-head")
                yield RowList(id="ledger")

    def on_mount(self) -> None:
        self.query_one("#amount", Field).can_focus = False  # only when asked for: letters are keys here
        self.set_focus(self.rows)

    def on_click(self, event: Click) -> None:
        if event.widget is self.query_one("#amount", Field) and self.check_action("withdraw", ()):
            self.action_withdraw()

    # -- what it shows

    def view(self) -> panels.Wallet:
        """What the panels at the left show now."""
        store, config = self.store, self.store.config.value
        held = [view for view in store.open if view.side == "consumer"]
        return panels.Wallet(
            address=self.address,
            pool=store.pool_micro,
            held=(len(held), store.held_micro),
            chain=self._facts,
            fault=self._fault,
            locked_out=self.locked_out,
            amount=self._amount,
            topping=self._topping,
            leaving=self._leaving,
            chain_name=config.chain_name if config else "",
            contract=config.settlement_address if config else "",
            contract_before=self._before,
            faucet=self.development and not self.locked_out,
            offline=store.offline is not None,
        )

    def empty(self) -> Empty | None:
        if self.address is not None:
            return None
        who = self.store.who.value
        if who is not None and not who.may("wallet:read"):
            needs = "It needs the scope wallet:read: mint such a key, or sign in with a wallet."
            return Empty("this key may not read the wallet", tuple(panels.wrapped(needs, 70)))
        return Empty("no wallet", ("There is no workspace to hold a pool yet.",))

    def draw(self) -> None:
        shown, tall = self.view(), self.tall
        self.query_one("#balances", Lines).redraw(lambda width: panels.balances(shown, width))
        self.query_one("#topping", Lines).redraw(lambda width: panels.top_up(shown, width, tall=tall))
        key = (
            EMPTY
            if self.locked_out
            else row(
                Span("w", "text", action="screen.withdraw"),
                Span(" withdraw", "muted", action="screen.withdraw"),
            )
        )
        lit = self._leaving is not None and self._leaving.running
        self.query_one("#withdraw-head", Lines).redraw(
            lambda width: [section(width, "Withdraw", key, focused=lit)]
        )
        self.query_one("#amount", Field).disabled = bool(self.locked_out) or self.busy
        self.query_one("#leaving", Lines).redraw(lambda width: panels.withdraw(shown, width))
        self.query_one("#chain", Lines).redraw(lambda width: panels.chain(shown, width))
        self._draw_ledger()
        self._read()

    def _draw_ledger(self) -> None:
        lines, now = self.lines(), self.now()
        chart = panels.Chart(tuple(lines), self.store.pool_micro, now, self.zone, self._span, self._complete)
        height = 8 if self.tall else 4
        self.query_one("#chart", Lines).redraw(lambda width: panels.chart(chart, width, height))
        shown, kind = figures.passing(lines, self._kind), self._kind
        self.query_one("#ledger-head", Lines).redraw(
            lambda width: panels.ledger_head(width, kind, len(shown))
        )
        self.rows.fill(panels.items(shown, now, self.zone))

    def things(self) -> Iterable[Thing]:
        """Entries of the ledger that have a transaction."""
        for line in self.lines():
            if line.state == "final":
                at = line.at.astimezone(self.zone)
                title = f"Ledger: {line.what} {figures.short(abs(line.amount))} USDC"
                yield Thing(title, f"{at:%d %b %H:%M}  {line.told}", partial(self._tell, line))

    # -- other keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        here, online = self.condition() is None, self.store.offline is None
        typing = isinstance(self.focused, Input)
        move = here and online and not self.locked_out and not self.busy
        allowed: dict[str, Callable[[], bool]] = {
            "top_up": lambda: move,
            "withdraw": lambda: move and not typing,
            "preset": lambda: here and not self.locked_out and not self.busy,
            "other": lambda: move,
            "filter": lambda: here,
            "export": lambda: here and bool(self._events),
            "copy_address": lambda: self.address is not None,
            "faucet": lambda: here and online and self.development and not self.locked_out,
            "accept": lambda: here and bool(self._before),
            "next_span": lambda: here,
            "explorer": lambda: self._tx_url() is not None,
            "back": lambda: typing,
        }
        return allowed[action]() if action in allowed else True

    def action_preset(self, by: int) -> None:
        every = [preset * MICRO_PER_USDC for preset in figures.PRESETS]
        near = min(range(len(every)), key=lambda place: abs(every[place] - self._amount))
        self._choose(every[max(0, min(len(every) - 1, near + by))])

    def action_amount(self, usdc: int) -> None:
        self._choose(usdc * MICRO_PER_USDC)

    def _choose(self, amount: int) -> None:
        if not self.busy:
            self._amount, self._topping = amount, None
            self.redraw()

    def action_other(self) -> None:
        self.call(self._other(), "no amount", group="amount")

    async def _other(self) -> None:
        wrong, value = "", ""
        while True:
            card = Ask("Top up", "How much USDC, such as 12.5", wrong=wrong, value=value)
            typed: str | None = await self.app.push_screen_wait(card)
            if typed is None:
                return
            amount = figures.amount_of(typed)
            if amount is not None:
                self._choose(amount)
                return
            wrong, value = figures.no_amount(typed), typed

    def action_next_span(self) -> None:
        self._span = self._span.next
        self.redraw()

    def action_span(self, name: str) -> None:
        self._span = course.Span[name]
        self.redraw()

    def action_filter(self) -> None:
        self._kind = self._kind.next
        self.redraw()

    def action_copy_address(self) -> None:
        if self.address is not None:
            self.copy(self.address, "address copied")

    def action_back(self) -> None:
        self._leave_field()

    async def action_export(self) -> None:
        lines = figures.passing(self.lines(), self._kind)
        try:
            where = folder(self.console_app.facts.save_folder)
            path = await asyncio.to_thread(save_ledger, lines, where, self.now().astimezone(self.zone))
        except OSError as error:
            self.notify(f"not saved: {error.strerror or error}", severity="error")
        else:
            self.notify(str(path), title="saved", timeout=6)

    def _line(self) -> Line | None:
        """The entry under the cursor."""
        return next((line for line in self.lines() if line.key == self.rows.key), None)

    def _tx_url(self) -> str | None:
        line, config = self._line(), self.store.config.value
        if line is None or line.tx is None or config is None or not config.explorer_url:
            return None
        return f"{config.explorer_url.rstrip('/')}/tx/{line.tx}"

    def action_explorer(self) -> None:
        if (url := self._tx_url()) is not None:
            self.app.open_url(url)

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self.refresh_bindings()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        if (line := self._line()) is not None:
            self._tell(line)

    def _tell(self, line: Line) -> None:
        """An entry in full."""
        at = line.at.astimezone(self.zone)
        facts = [
            ("when", f"{at:%d %b %Y %H:%M:%S}"),
            ("what", f"{line.what} {line.told}".strip()),
            ("amount", f"{fmt.usdc(line.amount, fmt.CHARGED)} USDC"),
            ("session", line.session or ""),
            ("block", fmt.grouped(line.block) if line.block else ""),
            ("transaction", line.tx or ""),
        ]
        rows = [row(Span("Ledger", "bright", bold=True)), EMPTY]
        for name, value in facts:
            for number, piece in enumerate(panels.wrapped(value, 44) if value else ()):
                rows.append(row(Span(f"{'' if number else name:<13}", "muted"), piece))
        self.app.push_screen(Card(rows))
