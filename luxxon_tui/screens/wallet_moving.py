"""Moving money: into the pool in two steps, out of it in one; test money."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.widgets import Input

from luxxon_core.kernel.errors import InvalidInput, LuxxonError
from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, row, spread
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.wallet_chain import KnownContracts, facts_of
from luxxon_tui.screens.wallet_figures import ChainFacts, Move
from luxxon_tui.screens.wallet_reading import ReadingPane
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.question import Question

if TYPE_CHECKING:
    from luxxon_core.client.wallet import ChainClient, LocalWallet

COUNTED_SECONDS = 30
"""How long the market is given to count what the chain has confirmed; no event tells of it."""
TEST_WEI, TEST_USDC = 10**18, 100_000_000


class MovingPane(ReadingPane):
    """Asks once with the cost, then shows each step as it goes."""

    async def _owner(self) -> LocalWallet | None:
        """The wallet that owns the pool, unlocked; None where its passphrase is not given.

        Raises:
            InvalidInput: another wallet has signed in, or none.
        """
        if self.locked_out:
            raise InvalidInput("wallet:owner", self.locked_out)
        wallet = await self.console_app.wallet()
        if wallet is not None and self.address is not None and wallet.address.lower() != self.address.lower():
            raise InvalidInput(
                "wallet:owner", f"The keystore is of {fmt.short_hash(wallet.address)}, not the pool's"
            )
        return wallet

    async def _now(self) -> tuple[ChainClient, ChainFacts]:
        """The chain and what it says at this moment."""
        await self._look_at_contract()  # what is asked next says so where it is not the one known before
        chain = await self._client()
        assert self.address is not None, "there is an owner"
        self._facts, self._fault = await facts_of(chain, self.address), ""
        return chain, self._facts

    def action_top_up(self) -> None:
        self.call(self._top_up(self._amount), "not topped up", group="money")

    async def _top_up(self, amount: int) -> None:
        owner = await self._owner()
        if owner is None:
            return
        chain, facts = await self._now()
        if facts.usdc < amount:
            raise InvalidInput("wallet:balance", f"the wallet holds {figures.short(facts.usdc)} USDC")
        if not await self.confirmed(self._cost(amount, facts)):
            return
        self._take(top=figures.top_up(amount, facts))
        try:
            if facts.gasless:
                await self._sponsored(chain, owner, amount)
            else:
                await chain.top_up(owner, amount, self._step, self._sent)
            await self._counted(facts.pool, chain)
        except LuxxonError as error:
            await self._stopped(error)
        else:
            self._take(top=self._topping and self._topping.done())
            self.notify(f"{figures.short(amount)} USDC are in the pool", title="topped up", timeout=6)

    def _cost(self, amount: int, facts: ChainFacts) -> Question:
        steps = figures.top_up(amount, facts).steps
        skipped = any(step.progress is figures.Progress.SKIPPED for step in steps)
        how = "One transaction: the pool may take this much already." if skipped else "Two transactions."
        fee = spread(
            38, row(Span("network fee, at most", "muted")), row(figures.ether(facts.fee), _unit("ETH"))
        )
        if facts.gasless:
            how = "The wallet has too little ETH: it signs, the market sends."
            fee = spread(38, row(Span("network fee", "muted")), row("none", _unit("")))
        pool = self.store.pool_micro if self.store.pool_micro is not None else facts.pool
        lines: list[Row | str] = [how, EMPTY]
        if self._before:
            lines = [row(Span("▲ ", "warn"), "the contract is not the one known before"), *lines]
        lines += [
            spread(38, row(Span("from the wallet", "muted")), _usdc(facts.usdc - amount, " left")),
            fee,
            spread(38, row(Span("pool after", "muted")), row(_bold(pool + amount), _unit("USDC"))),
        ]
        return Question(f"Top up {figures.short(amount)} USDC?", tuple(lines), "top up", "not now")

    async def _sponsored(self, chain: ChainClient, owner: LocalWallet, amount: int) -> None:
        """By signature: the server sends it and pays the gas."""
        assert self.api is not None
        self._step("sign")
        authorization = await chain.authorize(owner, amount)
        self._step("deposit")
        self._sent((await self.api.wallet.deposit(authorization)).tx_hash)
        await chain.deposited(authorization)

    def _step(self, name: str) -> None:
        self._take(top=self._topping and self._topping.begin(name))

    def _sent(self, tx: str) -> None:
        self._take(top=self._topping and self._topping.sent(tx))

    def _take(self, *, top: Move | None) -> None:
        self._topping = top
        self.due()

    async def _counted(self, before: int, chain: ChainClient) -> None:
        """Wait until the market's figure of the pool has moved from what the chain said before; it follows
        the chain some blocks behind, which are counted on the way, and tells of deposits by no event."""
        follower = self.follower
        seen, mark = self.store.pool_micro, None
        for _ in range(COUNTED_SECONDS * 2):
            wallet = self.store.wallet.value
            if follower is None or wallet is None or self.store.pool_micro not in (seen, before):
                return
            head, counted = (await chain.head()).number, int(wallet.last_sync_block)
            mark = mark or figures.BlockMark.at(head, counted)
            self._mined(mark, head, counted)
            await follower.refresh_wallet()
            await asyncio.sleep(0.5)

    def _mined(self, mark: figures.BlockMark, head: int, counted: int) -> None:
        if self._topping is not None and self._topping.running:
            self._topping = self._topping.mined(mark, head, counted)
        elif self._leaving is not None and self._leaving.running:
            self._leaving = self._leaving.mined(mark, head, counted)
        self.due()

    async def _stopped(self, error: LuxxonError) -> None:
        """Mark the step, and look what the chain says now: what is approved is so for good."""
        self._take(top=self._topping and self._topping.failed(error.message))
        await self._read_chain()

    def action_withdraw(self) -> None:
        self._leaving = None if not self.busy else self._leaving
        field = self.query_one("#amount", Field)
        field.can_focus = True
        self.set_focus(field)
        self.redraw()

    def _leave_field(self) -> None:
        """Empty the line that is typed into, and give the keys back to the ledger."""
        field = self.query_one("#amount", Field)
        field.value = ""
        field.remove_class("-invalid")
        self.set_focus(self.rows)
        field.can_focus = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        pool = max(0, (self.store.pool_micro or 0) - self.store.held_micro)
        amount = pool if event.value.strip() == "all" else figures.amount_of(event.value)
        field = self.query_one("#amount", Field)
        field.set_class(not amount, "-invalid")
        if not amount:
            self.notify(figures.no_amount(event.value), severity="error")
            return
        if amount > pool:
            field.add_class("-invalid")
            self.notify(f"at most {figures.short(pool)} USDC can be withdrawn", severity="error")
            return
        self.call(self._withdraw(amount), "not withdrawn", group="money")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.input.remove_class("-invalid")

    async def _withdraw(self, amount: int) -> None:
        owner = await self._owner()
        if owner is None:
            return
        chain, facts = await self._now()
        if facts.wei == 0:
            raise InvalidInput("wallet:gas", "a withdrawal needs a little ETH for gas in the wallet")
        if not await self.confirmed(self._leave(amount, facts)):
            return
        self._leaving = figures.withdrawal(amount).begin("withdraw")
        self._leave_field()
        self.redraw()

        def sent(tx: str) -> None:
            self._leaving = self._leaving and self._leaving.sent(tx)
            self.due()

        try:
            await chain.withdraw(owner, amount, sent)
            await self._counted(facts.pool, chain)
        except LuxxonError as error:
            self._leaving = self._leaving and self._leaving.failed(error.message)
            await self._read_chain()
        else:
            self._leaving = self._leaving and self._leaving.done()
            self.notify(f"{figures.short(amount)} USDC are in the wallet", title="withdrawn", timeout=6)
        self.due()

    def _leave(self, amount: int, facts: ChainFacts) -> Question:
        pool = self.store.pool_micro if self.store.pool_micro is not None else facts.pool
        to = fmt.short_hash(self.address or "")
        lines = (
            spread(38, row(Span("to the wallet", "muted")), row(to)),
            spread(
                38, row(Span("network fee, at most", "muted")), row(figures.ether(facts.fee), _unit("ETH"))
            ),
            spread(38, row(Span("pool after", "muted")), row(_bold(pool - amount), _unit("USDC"))),
        )
        return Question(f"Withdraw {figures.short(amount)} USDC?", lines, "withdraw", "not now")

    def action_faucet(self) -> None:
        self.call(self._faucet(), "no test money", group="faucet")

    async def _faucet(self) -> None:
        chain, address = await self._client(), self.address
        if address is not None:
            await chain.faucet(address, TEST_WEI, TEST_USDC)
            await self._read_chain()
            self.notify(
                f"{figures.short(TEST_USDC)} USDC and 1 ETH for testing", title="test money", timeout=5
            )

    def action_accept(self) -> None:
        config = self.store.config.value
        if config is not None and self._contracts is not None:
            self.call(self._accept(self._contracts, config.settlement_address), "not kept", group="contract")

    async def _accept(self, known: KnownContracts, contract: str) -> None:
        await known.keep(self.market, contract)
        self._before = ""
        self.due()


def _unit(unit: str) -> Span:
    return Span(f" {unit:<4}", "muted")


def _bold(micro: int) -> Span:
    return Span(fmt.usdc(micro, fmt.CHARGED), "bright", bold=True)


def _usdc(micro: int, more: str) -> Row:
    return row(fmt.usdc(micro, fmt.CHARGED), Span(f" USDC{more}", "muted"))
