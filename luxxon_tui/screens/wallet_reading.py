"""What the Wallet screen reads: the chain, the settlement contract that was known, the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.events import Unmount

from luxxon_core.kernel.errors import Conflict, LuxxonError
from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui import format as fmt
from luxxon_tui.screens import wallet_course as course
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.pane import ScreenPane
from luxxon_tui.screens.wallet_chain import DEVELOPMENT, KnownContracts, facts_of, open_chain
from luxxon_tui.screens.wallet_figures import ChainFacts, Kind, Line, Move
from luxxon_tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from luxxon_core.client.wallet import ChainClient
    from luxxon_core.http.schemas import Config
    from luxxon_core.wallet.schemas import OnChainEvent, WalletState

PAGE = 200
NEEDS_WALLET = "An API key moves no money. Open a profile with a wallet (luxxon wallet new) to top up."


class ReadingPane(ScreenPane):
    """What is known of a wallet, read again when the server tells of another pool or block."""

    def __init__(self) -> None:
        super().__init__()
        self._facts: ChainFacts | None = None
        self._fault = ""
        self._amount = 25 * MICRO_PER_USDC
        self._topping: Move | None = None
        self._leaving: Move | None = None
        self._events: tuple[OnChainEvent, ...] = ()
        self._events_read = self._complete = False
        self._kind, self._span = Kind.ALL, course.Span.MONTH
        self._chain: tuple[Config, ChainClient] | None = None
        self._contracts: KnownContracts | None = None
        self._before = ""
        self._read_for: tuple[str | None, WalletState | None, Config | None] | None = None

    # -- what it shows

    @property
    def address(self) -> str | None:
        """Of the wallet that owns the pool; None where this key may not know it."""
        wallet, workspace = self.store.wallet.value, self.store.workspace.value
        return wallet.wallet_address if wallet else workspace.wallet_address if workspace else None

    @property
    def locked_out(self) -> str:
        """Why nothing can be moved here; empty where it can."""
        who, address = self.store.who.value, self.address
        if who is None or not who.is_wallet:
            return NEEDS_WALLET
        if address is not None and who.wallet is not None and address.lower() != who.wallet.lower():
            return f"The pool belongs to {fmt.short_hash(address)}: sign in with that wallet to move it."
        return ""

    @property
    def busy(self) -> bool:
        """Whether money is moving."""
        return any(move is not None and move.running for move in (self._topping, self._leaving))

    @property
    def rows(self) -> RowList:
        return self.query_one("#ledger", RowList)

    def lines(self) -> list[Line]:
        """The whole ledger, newest first."""
        store = self.store
        return figures.ledger(self._events, store.sessions.value, store.places.value, store.pool_micro)

    @property
    def development(self) -> bool:
        """Whether the chain gives test money away."""
        config = self.store.config.value
        return config is not None and config.environment == "TEST" and config.chain_id == DEVELOPMENT

    # -- reading

    def take(
        self, facts: ChainFacts | None, events: Sequence[OnChainEvent], *, complete: bool = True
    ) -> None:
        """Take what was read: the chain's facts, and the ledger's events, newest first."""
        self._facts, self._events = facts, tuple(events)
        self._complete = self._events_read = complete
        self.due()

    @on(Unmount)
    async def _close_chain(self) -> None:
        if self._chain is not None:
            chain, self._chain = self._chain[1], None
            await chain.__aexit__()

    def _read(self) -> None:
        """Read the chain and the ledger anew when the server has told of another pool or block."""
        store = self.store
        mark = self.address, store.wallet.value, store.config.value
        if self.api is None or store.offline is not None or mark == self._read_for or self.busy:
            return
        before, self._read_for = self._read_for, mark
        # a function, not its coroutine: one that is pushed out before it began would never be awaited
        self.run_worker(self._read_chain, name="chain", group="chain", exclusive=True)  # type: ignore[arg-type]
        pools = [wallet.tracked_balance if wallet else None for wallet in (before and before[1], mark[1])]
        if not self._events_read or pools[0] != pools[1]:
            self.call(self._read_events(), "the ledger was not read", group="ledger")

    async def _read_chain(self) -> None:
        """A chain that does not answer is told in its panel."""
        address = self.address
        if address is None:
            return
        try:
            await self._look_at_contract()
            self._facts, self._fault = await facts_of(await self._client(), address), ""
        except LuxxonError as error:
            self._fault = error.message
        self.due()

    async def _client(self) -> ChainClient:
        """Of the chain that the server names now.

        Raises:
            NoChain: it names none.
        """
        config = self.store.config.value
        if config is None:
            raise Conflict("wallet:config", "The server has not told its chain yet")
        if self._chain is None or self._chain[0] != config:
            before, self._chain = self._chain, (config, await open_chain(config))
            if before is not None:
                await before[1].__aexit__()
        return self._chain[1]

    async def _look_at_contract(self) -> None:
        config = self.store.config.value
        if config is None or self.api is None:
            return
        if self._contracts is None:
            self._contracts = KnownContracts(await asyncio.to_thread(self._contracts_file))
        known = await self._contracts.seen(self.market, config.settlement_address)
        self._before = "" if known == config.settlement_address else known

    def _contracts_file(self) -> Path | None:
        from luxxon_core.profiles import console_file

        return console_file().with_name("contracts.json") if self.console_app.server.profile_name else None

    @property
    def market(self) -> str:
        """What the contract is remembered by: the server's address, or the profile's name where the server
        is on this machine and changes its port."""
        app = self.console_app
        embedded = app.connected is not None and app.connected.embedded_url is not None
        return app.server.profile_name if embedded or self.api is None else self.api.base_url

    async def _read_events(self) -> None:
        assert self.api is not None
        who = self.store.who.value
        if who is not None and not who.may("wallet:read"):
            return
        page = await self.api.wallet.events(limit=PAGE)
        known = {event.id for event in page}
        older = [event for event in self._events if event.id not in known]
        overlapping = len(older) < len(self._events)
        if older and overlapping:
            page = [*page, *older]
        else:
            self._complete = len(page) < PAGE
        self._events, self._events_read = tuple(page), True
        self.due()
        await self._name_sessions()

    async def _name_sessions(self) -> None:
        """Read the sessions that payments are of and that are not known: they tell which way money went."""
        follower, sessions = self.follower, self.store.sessions.value
        if follower is None:
            return
        wanted = [event.related_session for event in self._events if event.related_session]
        missing = self.store.missing.value
        await follower.bill_all([key for key in wanted if key not in sessions and key not in missing][:PAGE])

    def on_row_list_ended(self, event: RowList.Ended) -> None:
        event.stop()
        if self.api is not None and not self._complete and self._events and self.store.offline is None:
            self.call(self._older(), "older entries were not read", group="ledger")

    async def _older(self) -> None:
        assert self.api is not None
        page = await self.api.wallet.events(cursor=self._events[-1].id, limit=PAGE)
        self._events, self._complete = (*self._events, *page), len(page) < PAGE
        self.due()
        await self._name_sessions()
