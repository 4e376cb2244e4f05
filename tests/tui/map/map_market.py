"""A marketplace behind the real SDK: what it answers is a table, what it was asked is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from frames import PLAIN, stored
from scenes import NOW, WORKSPACE, until
from textual.pilot import Pilot

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import iso
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.context import ConsoleContext
from luxxon_tui.map.widget import MapView
from luxxon_tui.screens.map import MapScreen
from luxxon_tui.store import Side, Store

COVERAGE = (
    (50.8505, 4.3512, 600, "PTZ"),
    (50.8480, 4.3550, 420, "FIXED"),
    (50.8330, 4.3660, 900, "PHONE"),
    (50.8676, 4.3737, 700, "DRONE"),
    (40.70, -74.00, 500, "PTZ"),
    (40.71, -74.10, 500, "PTZ"),
    (34.00, -118.00, 3_000, "PTZ"),
    (35.68, 139.70, 5_000, "PHONE"),
    (-23.50, -46.60, 5_000, "PHONE"),
    (-33.90, 151.20, 4_000, "DRONE"),
    (28.60, 77.20, 4_000, None),
    (6.50, 3.40, 500, "PHONE"),
    (64.10, -21.90, 50_000, "FIXED"),
)
DEMAND = (
    (52.5, 13.4, 3),
    (48.85, 2.35, 5),
    (41.8, -87.6, 9),
    (19.0, 72.8, 9),
    (22.3, 114.1, 5),
    (-12.0, -77.0, 2),
    (50.84, 4.36, 4),
)
QUOTE = "1c9e7a40-0000-4000-8000-000000000009"
SESSION = "0000002a-53d1-4b6f-9a2e-0d1f6c5b7e21"


def refusal(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message})


@dataclass
class Stand:
    """What answers, and what it was asked."""

    coverage: tuple[tuple[float, float, float, str | None], ...] = COVERAGE
    demand: tuple[tuple[float, float, int], ...] = DEMAND
    rate: int = 1000
    lifetime: float = 24.0
    refuse: dict[str, httpx.Response] = field(default_factory=dict)
    """By method and path."""
    silent: set[str] = field(default_factory=set)
    """Paths that nothing answers at."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, Any]]:
        """What was sent to an operation."""
        return [what for each, what in self.asked if each == name]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        name = f"{request.method} {path}"
        sent = json.loads(request.content) if request.content else dict(request.url.params)
        self.asked.append((name, sent))
        if path in self.silent:
            raise httpx.ConnectError("nobody there", request=request)
        if name in self.refuse:
            return self.refuse[name]
        return httpx.Response(200, json={"data": self._answer(name, sent)})

    def _answer(self, name: str, sent: dict[str, Any]) -> object:  # noqa: PLR0911  # one for each operation
        match name:
            case "GET /coverage":
                keys = ("lat", "lng", "radiusMeters", "deviceKind")
                return [dict(zip(keys, each, strict=True)) for each in self.coverage]
            case "GET /demand":
                return [
                    {"lat": lat, "lng": lng, "requests": many, "unmet": 0, "avgMaxPriceMicroUsdc": None}
                    for lat, lng, many in self.demand
                ]
            case "GET /pricing/quote":
                return {
                    "quoteId": QUOTE,
                    "ratePerSecondMicroUsdc": str(self.rate),
                    "estimatedTotalMicroUsdc": str(self.rate * int(float(sent["durationSeconds"]))),
                    "supplyFactor": 1.0,
                    "demandFactor": 1.0,
                    "corridorMultiplier": 1.0,
                    "baseRatePerSecondMicroUsdc": "1000",
                    "expiresAt": iso(NOW + timedelta(seconds=self.lifetime)),
                }
            case "GET /sessions/open":
                return []
            case "POST /sessions":
                return self.session("REQUESTED", sent)
        if name == f"POST /sessions/{SESSION}/dispatch":
            return self.session("ASSIGNED", self.of("POST /sessions")[-1])
        if name == f"DELETE /sessions/{SESSION}":
            return self.session("CANCELLED", self.of("POST /sessions")[-1])
        if name == f"PATCH /workspaces/{WORKSPACE}":
            return self.workspace(sent)
        raise AssertionError(name)

    def session(self, state: str, sent: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": SESSION,
            "consumerWorkspaceId": WORKSPACE,
            "operatorWorkspaceId": None,
            "state": state,
            "maxDurationSeconds": int(sent["maxDurationSeconds"]),
            "waitTimeoutSeconds": int(sent["waitTimeoutSeconds"]),
            "ratePerSecondMicroUsdc": str(self.rate),
            "holdMicroUsdc": str(self.rate * int(sent["maxDurationSeconds"])),
            "startedAt": None,
            "endedAt": iso(NOW) if state == "CANCELLED" else None,
            "cleanSeconds": 0,
            "chargedMicroUsdc": "0",
            "settlementTxHash": None,
            "videoBackendRef": None,
            "createdAt": iso(NOW),
            "requestedLat": sent["lat"],
            "requestedLng": sent["lng"],
        }

    def workspace(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": WORKSPACE,
            "slug": "acme-drones",
            "name": "acme-drones",
            "walletAddress": "0x" + "1" * 40,
            "roles": ["SUPPLIER"],
            "availabilityState": "OFFLINE",
            "coverageLat": sent["coverageLat"],
            "coverageLng": sent["coverageLng"],
            "coverageRadiusMeters": sent["coverageRadiusMeters"],
            "deviceKind": None,
            "lastSeenAt": None,
            "createdAt": iso(NOW),
            "createdByWallet": "0x" + "1" * 40,
            "deletedAt": None,
        }


def console(
    stand: Stand, store: Store, *, side: Side = Side.REQUEST, facts: ConsoleContext = PLAIN
) -> ConsoleApp:
    """The console on its map, its clock standing still, with a filled store and ``stand`` to ask."""
    store.side.set(side)
    app = ConsoleApp(store=store, facts=facts, clock=lambda: NOW, first="map")
    api = Luxxon(
        "http://market/api/v1", api_key="lxxn_test_0", retry=False, transport=httpx.MockTransport(stand)
    )
    app.server.connected = Connected(api)
    return app


def screen_of(app: ConsoleApp) -> MapScreen:
    """The Map screen, under any card."""
    screen = app.screen_stack[0]
    assert isinstance(screen, MapScreen)
    return screen


async def settled(pilot: Pilot[Any], *, priced: bool = True) -> MapScreen:
    """Wait for coastlines, cameras, names and the price."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    screen = screen_of(app)
    await screen.query_one(MapView).loaded.wait()
    if screen.online and screen.condition() is None:
        await until(lambda: screen.desk.loaded or screen.desk.refusal is not None)
    if priced:
        await until(lambda: screen.desk.price.quote is not None)
    await until(lambda: all(screen.desk.names.of(each).full for each in _named(screen)))
    await pilot.pause()
    screen.redraw()
    await pilot.pause()
    return screen


def _named(screen: MapScreen) -> list[Any]:
    desk = screen.desk
    cameras = [camera.point for camera, _ in desk.near.measured[:6]]
    from luxxon_tui.map.scenery import own_sessions

    sessions = [each.requested for each in own_sessions(screen.store) if each.requested]
    return [*cameras, *sessions, *([desk.place] if desk.place else [])]


@asynccontextmanager
async def opened(
    stand: Stand | None = None,
    *,
    state: str = "filled",
    size: tuple[int, int] = (120, 36),
    side: Side = Side.REQUEST,
    priced: bool = True,
    change: Callable[[Store], object] = lambda _store: None,
) -> AsyncIterator[tuple[Pilot[Any], MapScreen, Stand]]:
    """The map as a user has it before them."""
    stand, store = stand or Stand(), stored(state)
    change(store)
    app = console(stand, store, side=side)
    async with app.run_test(size=size) as pilot:
        screen = await settled(pilot, priced=priced and side is Side.REQUEST and state == "filled")
        yield pilot, screen, stand
    if app.api is not None:
        await app.api.close()
