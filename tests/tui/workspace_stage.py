"""What the tests of the Workspace screen show: members, keys, cameras, and a server in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import frames
import httpx
import msgspec
import pytest
from frames import shows
from scenes import NOW, WALLET, WORKSPACE, until
from textual.pilot import Pilot

from luxxon_core.access.schemas import ApiKey, Budget, KeyArea, Member
from luxxon_core.client import Luxxon
from luxxon_core.kernel.wire import Timestamp, to_builtins
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.screens.workspace import WorkspaceScreen
from luxxon_tui.screens.workspace_panels import Device
from luxxon_tui.store import Store, Who

SIZES = pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
OTHER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
THIRD = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PLAINTEXT = "lux_test_" + "0123456789abcdef" * 3


def member(address: str, role: str, days: int) -> Member:
    return Member(address, role, Timestamp.of(NOW - timedelta(days=days)))


def key(
    number: int, label: str, *scopes: str, revoked: float | None = None, used: float | None = None
) -> ApiKey:
    """``revoked`` and ``used``: seconds ago."""
    ended = None if revoked is None else NOW - timedelta(seconds=revoked)
    return ApiKey(
        f"{number:08x}-2222-4b6f-9a2e-0d1f6c5b7e21",
        WORKSPACE,
        f"lux_test_{number:04x}",
        label,
        "TEST",
        list(scopes),
        None if used is None else Timestamp.of(NOW - timedelta(seconds=used)),
        None if ended is None else Timestamp.of(ended),
        None if ended is None else Timestamp.of(ended + timedelta(seconds=60)),
        Timestamp.of(NOW - timedelta(days=number)),
        WALLET,
    )


def limited(found: ApiKey, daily: int | None, spent: int, one: int | None = None, *areas: KeyArea) -> ApiKey:
    """With a budget; amounts in µUSDC."""
    left = None if daily is None else str(max(0, daily - spent))
    midnight = Timestamp.of(NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
    texts = (None if daily is None else str(daily), None if one is None else str(one))
    return msgspec.structs.replace(found, budget=Budget(*texts, list(areas), str(spent), left, midnight))


BERLIN = KeyArea(52.52, 13.4, 2000, "Berlin")
MEMBERS = (member(WALLET, "OWNER", 120), member(OTHER, "ADMIN", 31), member(THIRD, "VIEWER", 2))
KEYS = (
    key(1, "notebook", "sessions:read", "sessions:create", "pricing:read", "wallet:read", used=600),
    key(2, "ptz-04", "sessions:read", "sessions:operate", used=12),
    key(3, "old edge box", "sessions:read", "sessions:operate", revoked=17),
    key(4, "last year's newsroom bot", "sessions:read", revoked=86_400 * 9),
)
AGENT = limited(
    key(5, "agent", "sessions:read", "sessions:create", used=40),
    5_000_000,
    250_000,
    1_000_000,
    BERLIN,
    KeyArea(-33.86, 151.21, 500),
)
SPENT = limited(key(6, "night watch", "sessions:create"), 2_000_000, 2_000_000)
DEVICES = (
    Device("roof", "rtsp-ptz", "roof", "ONLINE"),
    Device("desk", "webcam", "desk", "OFFLINE"),
    Device("drone", "mavlink", "drone-9", None),
)


def stored(state: str, *, role: str = "OWNER") -> Store:
    """A store in one of the states, with a wallet of a role; ``key`` is an API key."""
    store = frames.stored(state)
    if state == "empty":
        store.who.set(Who(wallet=WALLET))
        store.workspace.set(None)
    elif state != "loading" and role != "key":
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", role=role, wallet=WALLET))
    return store


def screen_of(app: ConsoleApp) -> WorkspaceScreen:
    screen = frames.pane(app)
    assert isinstance(screen, WorkspaceScreen)
    return screen


async def filled(pilot: Pilot[Any]) -> None:
    """The lists have been read."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await until(lambda: app.loaded)
    who = app.store.who.value
    if who is not None and who.workspace_id is not None:
        lists = (MEMBERS, KEYS) if who.is_wallet else (None, None)
        screen_of(app).take(*lists, DEVICES)
    await pilot.pause()
    await pilot.pause()


class Market:
    """Members and keys of one workspace, behind the wire."""

    def __init__(self) -> None:
        self.members = {each.wallet_address: each for each in MEMBERS}
        self.keys = {each.id: each for each in KEYS}
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(f"/api/v1/workspaces/{WORKSPACE}")
        body = json.loads(request.content) if request.content else None
        if request.method != "GET":
            self.asked.append((request.method, path, body))
        answer = self.answer(request.method, path, body)
        return httpx.Response(200, json={"status": "success", "data": answer, "requestId": "r"})

    def answer(self, method: str, path: str, body: Any) -> Any:  # noqa: PLR0911  # one each
        if path == "/members" and method == "POST":
            made = member(body["walletAddress"], body["role"], 0)
            self.members[made.wallet_address] = made
            return to_builtins(made)
        if path.startswith("/members/"):
            gone = self.members.pop(path.removeprefix("/members/"))
            return {"removed": True, "walletAddress": gone.wallet_address, "consistencyToken": None}
        if path == "/members":
            return [to_builtins(each) for each in self.members.values()]
        if path == "/api-keys" and method == "POST":
            made_key = key(9, body["label"], *body["scopes"])
            self.keys[made_key.id] = made_key
            return {**to_builtins(made_key), "plaintext": PLAINTEXT}
        if path.endswith("/revoke"):
            found = self.keys[path.split("/")[2]]
            at = NOW
            ended = msgspec.structs.replace(
                found,
                revoked_at=Timestamp.of(at),
                grace_period_end=Timestamp.of(at + timedelta(seconds=60)),
            )
            self.keys[ended.id] = ended
            return to_builtins(ended)
        if path == "/api-keys":
            return [to_builtins(each) for each in self.keys.values()]
        return []


@asynccontextmanager
async def acting(market: Market, clock: list[datetime] | None = None) -> AsyncIterator[Any]:
    """The screen of an owner, read from a market."""
    app = frames.console(stored("filled"), "workspace")
    if clock is not None:
        app.clock = lambda: clock[0]
    async with (
        Luxxon("http://market.test/api/v1", transport=httpx.MockTransport(market)) as api,
        app.run_test(size=(120, 36), notifications=True) as pilot,
    ):
        app.server.connected = Connected(api)
        screen_of(app).redraw()
        await shows(app, "notebook")
        yield app, pilot
