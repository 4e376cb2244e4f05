"""What the tests of the Wallet screen show: a chain, events, stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import frames
import msgspec
from frames import SESSIONS, TX
from scenes import CONFIG, NOW, WALLET, WORKSPACE, until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_core.http.schemas import Config
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.wallet.schemas import OnChainEvent
from luxxon_tui.app import ConsoleApp
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.wallet import WalletScreen
from luxxon_tui.screens.wallet_figures import ChainFacts
from luxxon_tui.store import Store, Who

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
    store.config.set(config_of(CONTRACT))
    if state == "empty":
        store.wallet.set(None)
        store.workspace.set(None)
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", scopes=("sessions:read",)))
    elif wallet:
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", role="OWNER", wallet=WALLET))
    return store


def config_of(contract: str) -> Config:
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


def ledger(pool: int | None = 12_400_000) -> list[figures.Line]:
    sessions = {view.id: view for view in SESSIONS}
    return figures.ledger(EVENTS, sessions, frames.PLACES, pool)
