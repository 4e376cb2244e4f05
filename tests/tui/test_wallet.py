"""The Wallet screen: what there is, moving it, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import frames
import httpx
import msgspec
import pytest
from frames import SESSIONS, TX, shows, text_of
from rich.cells import cell_len
from scenes import CONFIG, NOW, WALLET, WORKSPACE, until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainHead, ChainRefused, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.wire import Timestamp, to_builtins
from luxxon_core.wallet.schemas import DepositAuthorization, OnChainEvent
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.connect.vault import OpenVault
from luxxon_tui.rows import Row, width_of
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens import wallet_panels as panels
from luxxon_tui.screens import wallet_reading
from luxxon_tui.screens.wallet import WalletScreen
from luxxon_tui.screens.wallet_figures import ChainFacts, Kind, Progress
from luxxon_tui.store import Store, Who
from luxxon_tui.widgets.field import Field

USDC = 1_000_000
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
FACTS = ChainFacts(86_250_000, 41_200_000_000_000_000, 12_400_000, 0, 19_204_771, 1_100_000, 440 * 10**9, 41)


def event(number: int, kind: str, amount: int, hours_ago: float, session: str | None = None) -> OnChainEvent:
    return OnChainEvent(
        f"{number:08x}-1111-4b6f-9a2e-0d1f6c5b7e21",
        WORKSPACE,
        kind,
        TX,
        str(19_204_771 - int(hours_ago * 1800)),
        Timestamp.of(NOW - timedelta(hours=hours_ago)),
        str(amount),
        session,
    )


EVENTS = (
    event(1, "SETTLE", 151_000, 0.8, SESSIONS[3].id),
    event(2, "SETTLE", 509_150, 0.9, SESSIONS[4].id),
    event(3, "SETTLE", 42_000, 1.8, SESSIONS[5].id),
    event(4, "SETTLE", 163_200, 2.6, SESSIONS[7].id),
    event(5, "DEPOSIT", 10_000_000, 20),
    event(6, "APPROVAL", 10_000_000, 20.1),
    event(7, "SETTLE", 240_000, 26, SESSIONS[10].id),
    event(8, "WITHDRAWAL", 5_000_000, 24 * 9),
    event(9, "SETTLE", 1_204_000, 24 * 12, "00000063-53d1-4b6f-9a2e-0d1f6c5b7e21"),
    event(10, "DEPOSIT", 9_037_000, 24 * 23),
)


def stored(state: str, *, wallet: bool = True) -> Store:
    """A store in one of the states, with a wallet signed in unless it is an API key's."""
    store = frames.stored(state)
    if state == "loading":
        return store
    store.config.set(_config(CONTRACT))
    if state == "empty":
        store.wallet.set(None)
        store.workspace.set(None)
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", scopes=("sessions:read",)))
    elif wallet:
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", role="OWNER", wallet=WALLET))
    return store


def _config(contract: str) -> Config:
    return msgspec.structs.replace(CONFIG, settlement_address=contract)


def screen_of(app: ConsoleApp) -> WalletScreen:
    screen = frames.pane(app)
    assert isinstance(screen, WalletScreen)
    return screen


async def filled(pilot: Pilot[Any]) -> None:
    """The chain and the ledger have been read."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await until(lambda: app.loaded)
    if app.store.as_of.value is not None and app.store.pool_micro is not None:
        screen_of(app).take(FACTS, EVENTS)
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("state", frames.STATES)
async def test_every_row_fits(state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "wallet")
    async with app.run_test(size=size) as pilot:
        await filled(pilot)
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("state", frames.STATES)
def test_it_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "wallet")
    assert snap_compare(app, terminal_size=size, run_before=filled)


MOVES = {
    "key": "an API key",
    "approving": "step 1",
    "failed": "step 2 failed",
    "done": "both steps",
    "changed": "another contract",
}


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("what", MOVES)
def test_moving_looks(snap_compare: Callable[..., bool], what: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await filled(pilot)
        screen = screen_of(pilot.app)  # type: ignore[arg-type]
        move = figures.top_up(25 * USDC, FACTS).begin("approve").sent(TX)
        if what == "failed":
            move = move.begin("deposit").sent("0x" + "ab" * 32).failed("deposit(uint256) reverted in 0xabab")
        if what == "done":
            move = move.begin("deposit").sent("0x" + "ab" * 32).done()
        if what in ("approving", "failed", "done"):
            screen._topping = move
        if what == "changed":
            screen._before = "0x" + "9" * 40
        screen.redraw()
        await pilot.pause()

    app = frames.console(stored("filled", wallet=what != "key"), "wallet")
    assert snap_compare(app, terminal_size=size, run_before=before)


# -- figures


def words(rows: list[Row]) -> str:
    return "\n".join("".join(span.text for span in each) for each in rows)


def ledger(pool: int | None = 12_400_000) -> list[figures.Line]:
    sessions = {view.id: view for view in SESSIONS}
    return figures.ledger(EVENTS, sessions, frames.PLACES, pool)


def test_the_balance_runs_back_from_the_pool() -> None:
    final = [line for line in ledger() if line.state == "final"]
    assert [line.balance for line in final[:3]] == [12_400_000, 12_551_000, 12_551_000]
    for after, line in pairwise(final):
        if after.balance is not None and line.balance is not None:
            assert line.balance == after.balance - (after.change or 0)


def test_what_an_unknown_session_did_is_not_guessed() -> None:
    lines = {line.key[:8]: line for line in ledger()}
    unknown, before = lines["00000009"], lines["0000000a"]
    assert unknown.what == "settled" and unknown.balance is not None and unknown.change is None
    assert before.balance is None, "nothing says which way the money went"


def test_open_and_unpaid_sessions_stand_before_what_is_final() -> None:
    lines = ledger()
    assert [line.state for line in lines[:4]] == ["open", "open", "sent", "parked"]
    assert all(line.state == "final" for line in lines[4:])


def test_a_payment_that_was_earned_leaves_the_pool_as_it_was() -> None:
    line = next(line for line in ledger() if line.what == "earned")
    assert line.amount > 0 and line.change == 0


def test_the_course_ends_at_the_pool_and_starts_empty_or_unknown() -> None:
    lines = [line for line in ledger() if line.key[:8] <= "00000008"]
    for complete in (True, False):
        values = figures.course(lines, 12_400_000, NOW, figures.Span.MONTH, 60, complete=complete)
        assert values[-1] == 12.4
        assert (values[0] is None) is not complete


@pytest.mark.parametrize(("top", "step"), [(12.6, 4), (0.3, 0.1), (1000, 250), (16, 4), (0, 0.01)])
def test_four_ticks_reach_the_top(top: float, step: float) -> None:
    assert figures.tick(top) == pytest.approx(step)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("25", 25 * USDC), ("0.25", 250_000), ("0,5", 500_000), ("0", None), ("-1", None), ("1e3", None),
     ("0.0000001", None), (" 3 ", 3 * USDC), ("all", None)],
)  # fmt: skip
def test_amounts_as_people_type_them(text: str, amount: int | None) -> None:
    assert figures.amount_of(text) == amount


HEAVY = panels.Wallet(
    WALLET,
    987_654_321_123_456,
    (12, 123_456_789_000),
    replace(FACTS, usdc=10**16, wei=10**22, rpc_ms=14_999, base_fee=10**12),
    "",
    "",
    123_456_789_123_456,
    chain_name="Some Layer Two With A Long Name",
    contract=CONTRACT,
    contract_before="0x" + "9" * 40,
    faucet=True,
)


@pytest.mark.parametrize("shown", [HEAVY, replace(HEAVY, chain=None, fault="eth_call: ConnectError " * 9),
                                   replace(HEAVY, locked_out=wallet_reading.NEEDS_WALLET)])  # fmt: skip
def test_rows_keep_to_their_width(shown: panels.Wallet) -> None:
    failed = figures.top_up(shown.amount, FACTS).begin("deposit").sent(TX).failed("reverted " * 30)
    for move in (None, failed, figures.top_up(5 * USDC, FACTS).begin("approve").sent(TX)):
        now = replace(shown, topping=move, leaving=move)
        for width in (36, 38):
            rows = [*panels.balances(now, width), *panels.chain(now, width), *panels.withdraw(now, width)]
            rows += [*panels.top_up(now, width, tall=True), *panels.top_up(now, width, tall=False)]
            assert max(map(width_of, rows)) <= width
    long = [replace(line, amount=-(10**14), balance=10**15, told="x" * 90) for line in ledger()]
    for width in (40, 78, 130):
        rows = [item.content(width - 1) for item in panels.items(long, NOW, frames.PLAIN.zone)]
        assert max(map(width_of, rows)) <= width - 1
        assert max(map(width_of, panels.ledger_head(width, Kind.TOP_UPS, 12_345))) <= width
        chart = panels.Chart(tuple(long), 10**15, NOW, frames.PLAIN.zone)
        assert max(map(width_of, panels.chart(chart, width, 8))) <= width


# -- moving money


class Chain:
    """A chain in memory: a wallet, its pool, and what is to go wrong."""

    def __init__(self, *, wei: int = 10**18, fails: str = "") -> None:
        self.balances = {"usdc": 100 * USDC, "pool": 12_400_000, "allowance": 0, "wei": wei}
        self.fails, self.calls = fails, list[str]()
        self.closed = False

    async def head(self) -> ChainHead:
        return ChainHead(19_204_771, 10**6, 2 * 10**6)

    async def usdc(self, _wallet: str) -> int:
        return self.balances["usdc"]

    async def eth(self, _wallet: str) -> int:
        return self.balances["wei"]

    async def pool(self, _wallet: str) -> int:
        return self.balances["pool"]

    async def allowance(self, _wallet: str) -> int:
        return self.balances["allowance"]

    async def top_up(
        self, _wallet: LocalWallet, amount: int, step: Callable[[str], None], sent: Callable[[str], None]
    ) -> None:
        if self.balances["allowance"] < amount:
            step("approve")
            sent("0x" + "aa" * 32)
            self.calls.append("approve")
            self.balances["allowance"] = amount
        step("deposit")
        sent("0x" + "bb" * 32)
        self.calls.append("deposit")
        if self.fails == "deposit":
            raise ChainRefused(message="deposit(uint256) reverted")
        self.balances["usdc"] -= amount
        self.balances["pool"] += amount

    async def withdraw(self, _wallet: LocalWallet, amount: int, sent: Callable[[str], None]) -> None:
        self.calls.append("withdraw")
        sent("0x" + "cc" * 32)
        if self.fails == "withdraw":
            raise ChainRefused(message="withdraw(uint256) reverted")
        self.balances["pool"] -= amount

    async def authorize(self, wallet: LocalWallet, amount: int) -> DepositAuthorization:
        self.calls.append("sign")
        nonce, signature = "0x" + "11" * 32, "0x" + "22" * 65
        return DepositAuthorization(wallet.address, str(amount), 0, 2**40, nonce, signature)

    async def deposited(self, _authorization: DepositAuthorization) -> None:
        self.calls.append("deposited")

    async def faucet(self, _wallet: str, wei: int, amount: int) -> None:
        self.balances["wei"] += wei
        self.balances["usdc"] += amount

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


def told(data: object) -> dict[str, object]:
    return {"status": "success", "data": data, "requestId": "r"}


def server(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/wallet/deposits"):
        return httpx.Response(200, json=told({"txHash": "0x" + "dd" * 32}))
    if request.url.path.endswith("/wallet/events"):
        return httpx.Response(200, json=told([to_builtins(each) for each in EVENTS]))
    return httpx.Response(404, json={})


@asynccontextmanager
async def moving(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, *, chain_id: int = 84532
) -> AsyncIterator[Any]:
    """The Wallet screen of a wallet that is signed in, on a chain in memory."""
    owner = LocalWallet.create()
    store = stored("filled")
    store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", role="OWNER", wallet=owner.address))
    pool = msgspec.structs.replace(store.wallet.value, wallet_address=owner.address)
    store.wallet.set(pool)
    store.config.set(msgspec.structs.replace(_config(CONTRACT), chain_id=chain_id))

    async def opened(_config: Config) -> Chain:
        return chain

    monkeypatch.setattr(wallet_reading, "open_chain", opened)
    app = frames.console(store, "wallet")
    network = httpx.MockTransport(server)
    async with (
        Luxxon("http://market.test/api/v1", transport=network) as api,
        app.run_test(size=(120, 36), notifications=True) as pilot,
    ):
        app.server.connected = Connected(api, OpenVault(owner, Path("/nowhere")))
        screen_of(app).redraw()
        await shows(app, "block 19")
        await shows(app, "withdrawn")
        yield app, pilot


async def test_a_top_up_asks_with_its_cost_and_shows_both_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    async with moving(chain, monkeypatch) as (app, pilot):
        await pilot.press("right", "t")
        await shows(app, "Top up 50 USDC?")
        told = text_of(app)
        assert "0.000001 ETH" in told and "62.400000" in told and "Two transactions" in told
        await pilot.press("escape")
        await pilot.pause()
        assert chain.calls == []
        await pilot.press("t")
        await shows(app, "Top up 50 USDC?")
        await pilot.press("enter")
        await shows(app, "topped up")
        await shows(app, "0xaaaa…aaaa   confirmed")
        assert chain.calls == ["approve", "deposit"] and "0xbbbb…bbbb   confirmed" in text_of(app)
    assert chain.closed


async def test_after_a_failed_deposit_only_the_deposit_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(fails="deposit")
    async with moving(chain, monkeypatch) as (app, pilot):
        await pilot.press("t")
        await shows(app, "Top up 25 USDC?")
        await pilot.press("enter")
        await shows(app, "reverted")
        move = screen_of(app)._topping
        assert move is not None
        assert [step.progress for step in move.steps] == [Progress.DONE, Progress.FAILED]
        await shows(app, "deposit again")
        chain.fails = ""
        await pilot.press("t")
        await shows(app, "One transaction")
        await pilot.press("enter")
        await shows(app, "topped up")
        assert chain.calls == ["approve", "deposit", "deposit"]


async def test_without_eth_the_wallet_signs_and_the_market_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(wei=0)
    async with moving(chain, monkeypatch) as (app, pilot):
        await shows(app, "the market sends it")
        await pilot.press("t")
        await shows(app, "it signs, the market sends")
        await pilot.press("enter")
        await shows(app, "topped up")
        assert chain.calls == ["sign", "deposited"]


async def test_more_than_the_wallet_holds_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    async with moving(chain, monkeypatch) as (app, pilot):
        await pilot.press("o")
        await shows(app, "How much USDC")
        await pilot.press(*"lots", "enter")
        await shows(app, "no amount of USDC")
        await pilot.press("ctrl+u", *"100.5", "enter")
        await until(lambda: screen_of(app)._amount == 100_500_000)
        await pilot.press("t")
        await shows(app, "the wallet holds 100 USDC")
        assert chain.calls == []


async def test_a_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(fails="withdraw")
    async with moving(chain, monkeypatch) as (app, pilot):
        await pilot.press("w", *"12", "enter")
        await shows(app, "at most 11.8 USDC")  # sessions hold the rest
        field = app.screen.query_one("#amount", Field)
        assert field.has_class("-invalid") and chain.calls == []
        field.value = ""
        await pilot.press(*"all", "enter")
        await shows(app, "Withdraw 11.8 USDC?")
        await pilot.press("enter")
        await shows(app, "reverted")
        chain.fails = ""
        await pilot.press("w", *"2.5", "enter")
        await shows(app, "Withdraw 2.5 USDC?")
        await pilot.press("enter")
        await shows(app, "withdrawn")
        await until(lambda: chain.balances["pool"] == 9_900_000)


async def test_test_money_only_on_a_development_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    async with moving(chain, monkeypatch) as (app, pilot):
        assert "test money" not in text_of(app)
        await pilot.press("m")
    assert chain.balances["usdc"] == 100 * USDC
    chain = Chain()
    async with moving(chain, monkeypatch, chain_id=31337) as (app, pilot):
        await pilot.press("m")
        await shows(app, "200.000000")


async def test_another_contract_is_told_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with moving(Chain(), monkeypatch) as (app, pilot):
        assert "has changed" not in text_of(app)
        app.store.config.set(_config("0x" + "9" * 40))
        await shows(app, "the contract has changed")
        assert "was 0x5FbD…0aa3" in text_of(app)
        await pilot.press("t")
        await shows(app, "not the one known before")
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("y")
        await until(lambda: "has changed" not in text_of(app))


async def test_an_api_key_reads_and_is_told_what_the_rest_needs() -> None:
    app = frames.console(stored("filled", wallet=False), "wallet")
    async with app.run_test(size=(120, 36)) as pilot:
        await filled(pilot)
        text = text_of(app)
        assert "12.400000" in text and "luxxon wallet" in text and "t top up" not in text
        await pilot.press("c")
        assert app.clipboard == WALLET


async def test_the_pool_of_another_wallet_is_not_topped_up() -> None:
    store = stored("filled")
    store.who.set(Who(WORKSPACE, "acme-drones", role="ADMIN", wallet="0x" + "1" * 40))
    app = frames.console(store, "wallet")
    async with app.run_test(size=(120, 36)) as pilot:
        await filled(pilot)
        assert "belongs to 0x71C4…9F02" in text_of(app) and "t top up" not in text_of(app)


async def test_filter_days_mouse_and_an_entry_in_full() -> None:
    app = frames.console(stored("filled"), "wallet")
    async with app.run_test(size=(120, 36)) as pilot:
        await filled(pilot)
        await pilot.press("f")
        await shows(app, "top-ups 4")
        assert "Brussels, 599 s" not in text_of(app)
        await pilot.press("enter")
        await shows(app, "transaction")
        assert TX[:40] in text_of(app)
        await pilot.press("escape", "d")
        await shows(app, "Pool, 7 days")
        await pilot.click("#topping", offset=(2, 1))
        await until(lambda: screen_of(app)._amount == 5 * USDC)
        assert next(iter(screen_of(app).things())).title.startswith("Ledger: paid 0.151")


def saved(folder: Path) -> list[str]:
    """The lines of what was saved, if anything was yet."""
    return "".join(path.read_text() for path in folder.glob("*.csv")).splitlines()


async def test_the_ledger_is_saved(tmp_path: Path) -> None:
    facts = replace(frames.PLAIN, save_folder=tmp_path)
    app = frames.console(stored("filled"), "wallet", context=facts)
    async with app.run_test(size=(120, 36)) as pilot:
        await filled(pilot)
        await pilot.press("e")
        await until(lambda: bool(saved(tmp_path)))
    lines = saved(tmp_path)
    assert len(lines) == 1 + len(ledger()) and "10.000000" in "".join(lines)
