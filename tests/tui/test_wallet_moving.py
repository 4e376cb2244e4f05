"""The Wallet screen with keys and mouse: moving money in steps, and what may not be moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import frames
import httpx
import msgspec
import pytest
from frames import TX, shows, text_of
from scenes import WALLET, WORKSPACE, until
from wallet_stage import CONTRACT, EVENTS, USDC, config_of, filled, ledger, screen_of, stored

from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainHead, ChainRefused, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.wallet.schemas import DepositAuthorization
from luxxon_tui.connect.opening import Connected
from luxxon_tui.connect.vault import OpenVault
from luxxon_tui.screens import wallet_reading
from luxxon_tui.screens.wallet_figures import Progress
from luxxon_tui.store import Who
from luxxon_tui.widgets.field import Field


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
    store.config.set(msgspec.structs.replace(config_of(CONTRACT), chain_id=chain_id))

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
        app.store.config.set(config_of("0x" + "9" * 40))
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
