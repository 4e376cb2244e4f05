"""The console on any of its screens, with a store that is filled by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from scenes import CONFIG, CONTEXT, NOW, WALLET, WORKSPACE, until

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.wallet.schemas import WalletState
from luxxon_core.workspaces.schemas import Workspace
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.screens.pane import ScreenPane
from luxxon_tui.store import Readiness, Store, Who
from luxxon_tui.views import Failure, Loss, Offline, Online, SessionView

SIZES = ((80, 24), (120, 36))
STATES = ("loading", "empty", "filled", "failed", "offline")
FAILURE = Failure("The API key was revoked", "apiKey:revoked", "check the API key, or sign in again")
OFFLINE = Offline(NOW - timedelta(seconds=8), 3, NOW + timedelta(seconds=4))
RATE = 1000
OPERATOR = "a3d1c0de-0000-4000-8000-000000000001"
TX = "0x8f3ad0ab5e7c4926b1d8fa03c55e9b7a6402d1fe38c7b5a9e0d4f61273b8c41d"

PLAIN = ConsoleContext(zone=CONTEXT.zone)

BRUSSELS, BOGOTA, TOKYO = Point(50.8503, 4.3517), Point(4.7110, -74.0720), Point(35.6762, 139.6503)
NAIROBI, LISBON, LAGOS = Point(-1.2864, 36.8172), Point(38.7223, -9.1393), Point(6.4550, 3.3841)


def session(number: int, state: str, at: Point, minutes_ago: float, **more: object) -> SessionView:
    """A session that was asked for some time before now; ``lasted`` seconds LIVE, of which ``lost`` lost."""
    lasted, lost = float(more.pop("lasted", 0)), float(more.pop("lost", 0))  # type: ignore[arg-type]
    created = NOW - timedelta(minutes=minutes_ago)
    started = created + timedelta(seconds=1.9) if lasted else None
    over = state not in ("REQUESTED", "ASSIGNED", "LIVE")
    clean = int(lasted - lost)
    charged = clean * RATE
    losses = (Loss("NETWORK_ERROR", int(lasted * 180), int(lasted * 180 + lost * 1000)),) if lost else ()
    view = SessionView(
        id=f"{number:08x}-53d1-4b6f-9a2e-0d1f6c5b7e21",
        state=state,
        created_at=created,
        max_seconds=300,
        wait_seconds=300,
        rate_micro=RATE,
        hold_micro=300 * RATE,
        requested=at,
        operator=OPERATOR,
        assigned_at=created + timedelta(seconds=0.6) if lasted else None,
        started_at=started,
        ended_at=(started or created) + timedelta(seconds=lasted or 60) if over else None,
        elapsed_ms=int(lasted * 1000),
        lost_ms=int(lost * 1000),
        clean_seconds=clean,
        charged_micro=charged,
        losses=losses,
        billed=bool(lasted),
        to_micro=charged * 85 // 100,
        fee_micro=charged - charged * 85 // 100,
    )
    return replace(view, **more)  # type: ignore[arg-type]


PAID = {"settlement": "CONFIRMED", "tx_hash": TX, "tx_url": f"https://sepolia.basescan.org/tx/{TX}"}
SESSIONS = (
    session(1, "LIVE", BRUSSELS, 1.73, lasted=102, lost=1),
    session(2, "REQUESTED", NAIROBI, 0.8),
    session(3, "ENDED", BOGOTA, 21, lasted=300, lost=8, settlement="SUBMITTED", tx_hash=TX),
    session(4, "ENDED", TOKYO, 52, lasted=151, **PAID),
    session(5, "ENDED", BRUSSELS, 67, lasted=600, lost=1, side="operator", max_seconds=600, **PAID),
    session(6, "ENDED", LISBON, 110, lasted=44, lost=2, **PAID),
    session(7, "CANCELLED", LAGOS, 124),
    session(8, "ENDED", BRUSSELS, 162, lasted=192, side="operator", **PAID),
    session(9, "ENDED", TOKYO, 195, lasted=300, lost=117, settlement="PENDING", parked=True),
    session(10, "EXPIRED", LAGOS, 260),
    session(11, "ENDED", LISBON, 60 * 26, lasted=240, **PAID),
)


PLACES = {
    BRUSSELS: "Brussels, Belgium",
    BOGOTA: "Bogotá, Colombia",
    TOKYO: "Tokyo, Japan",
    NAIROBI: "Nairobi, Kenya",
    LISBON: "Lisbon, Portugal",
    LAGOS: "Lagos, Nigeria",
}


def filled(sessions: Sequence[SessionView] = SESSIONS) -> Store:
    """Everything read a moment ago."""
    store = Store()
    store.readiness.set(Readiness.READY)
    store.link.set(Online(12))
    store.as_of.set(NOW)
    scopes = ("sessions:read", "sessions:create", "sessions:operate", "wallet:read")
    store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", scopes=scopes))
    store.config.set(CONFIG)
    at = Timestamp.of(NOW)
    store.wallet.set(WalletState(WORKSPACE, WALLET, "12400000", "19204771", at))
    store.workspace.set(
        Workspace(
            WORKSPACE,
            "acme-drones",
            "acme-drones",
            WALLET,
            ["CONSUMER", "SUPPLIER"],
            "OFFLINE",
            None,
            None,
            None,
            None,
            None,
            at,
            WALLET,
            None,
        )
    )
    store.put(*sessions)
    store.places.set(PLACES)
    store.complete.set(True)
    return store


def stored(state: str) -> Store:
    """A store in one of the ``STATES``."""
    if state == "loading":
        store = Store()
        store.readiness.set(Readiness.LOADING)
        return store
    store = filled(() if state in ("empty", "failed") else SESSIONS)
    if state == "failed":
        store.readiness.set(Readiness.FAILED)
        store.failure.set(FAILURE)
        store.link.set(Online())
    if state == "offline":
        store.link.set(OFFLINE)
        store.as_of.set(OFFLINE.since)
    return store


def console(store: Store, screen: str, *, context: ConsoleContext = PLAIN) -> ConsoleApp:
    """The console on a screen, named as in the table, in lower case."""
    return ConsoleApp(store=store, facts=context, clock=lambda: NOW, first=screen)


def pane(app: ConsoleApp) -> ScreenPane:
    """The open screen, under any card."""
    screen = app.screen_stack[0]
    assert isinstance(screen, ScreenPane)
    return screen


def text_of(app: ConsoleApp) -> str:
    """What stands on the terminal."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def shows(app: ConsoleApp, words: str) -> None:
    """Wait until words stand on the terminal."""
    await until(lambda: words in text_of(app))
