"""What the tests of webhooks on the Workspace screen show: their deliveries, and a server in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import frames
import httpx
import msgspec
from frames import shows
from scenes import NOW, WORKSPACE, until
from textual.pilot import Pilot
from workspace_stage import screen_of, stored

from luxxon_core.client import Luxxon
from luxxon_core.kernel.wire import Timestamp, to_builtins
from luxxon_core.webhooks.domain.deliveries import USUAL_KINDS
from luxxon_core.webhooks.schemas import Attempt, Delivery, Webhook
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.screens.webhook_panels import BY_OWNER, Sent
from luxxon_tui.store import Who

SECRET = "whsec_" + "q" * 43 + "="
REFUSED = "The URL must begin with https://"
USUAL = [kind.value for kind in USUAL_KINDS]


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def webhook(number: int, url: str, **more: Any) -> Webhook:
    fields: dict[str, Any] = {
        "description": "",
        "events": USUAL,
        "enabled": True,
        "disabled_at": None,
        "disabled_reason": None,
        "failing_since": None,
        "last_success_at": None,
        "held_until": None,
        "former_secret_until": None,
    }
    at = Timestamp.of(ago(days=30 - number))
    found = {name: Timestamp.of(each) if isinstance(each, datetime) else each for name, each in more.items()}
    identity = f"{number:08x}-3333-4b6f-9a2e-0d1f6c5b7e21"
    return Webhook(id=identity, workspace_id=WORKSPACE, url=url, created_at=at, **{**fields, **found})


def delivery(
    of: Webhook, number: int, kind: str, state: str, *attempts: tuple[int | None, str | None], **more: Any
) -> Delivery:
    """Made ``number`` minutes ago; attempts are a status and a fault each."""
    made = ago(minutes=number)
    tried = [
        Attempt(Timestamp.of(made + timedelta(seconds=5 * place)), status, fault, 41 + place)
        for place, (status, fault) in enumerate(attempts)
    ]
    pending = state == "PENDING"
    fields: dict[str, Any] = {
        "id": f"{number:08x}-4444-{of.id[:4]}-9a2e-0d1f6c5b7e21",
        "webhook_id": of.id,
        "type": kind,
        "event_id": str(1000 - number),
        "cause": "EVENT",
        "state": state,
        "created_at": Timestamp.of(made),
        "finished_at": None if pending else Timestamp.of(made + timedelta(seconds=1)),
        "next_attempt_at": Timestamp.of(NOW + timedelta(minutes=2)) if pending and attempts else None,
        "attempts": tried,
    }
    return Delivery(**{**fields, **more})


GOOD = webhook(
    1,
    "https://news.example/luxxon",
    last_success_at=ago(seconds=12),
    former_secret_until=NOW + timedelta(hours=9),
)
FAILING = webhook(
    2, "https://desk.example:8443/in/events?team=night", failing_since=ago(hours=2), events=["session.state"]
)
DEAD = webhook(
    3,
    "https://old.example/hook",
    enabled=False,
    disabled_at=ago(days=2),
    disabled_reason="no delivery succeeded for 72 hours; the last one: HTTP 502",
    failing_since=ago(days=5),
)
WEBHOOKS = (GOOD, FAILING, DEAD)
DELIVERIES = {
    GOOD.id: [
        delivery(GOOD, 0, "settlement.state", "PENDING"),
        delivery(GOOD, 1, "session.state", "SUCCEEDED", (200, None)),
        delivery(GOOD, 3, "window.closed", "SUCCEEDED", (503, "HTTP 503"), (204, None), cause="REPLAY"),
        delivery(GOOD, 4, "quality.degraded", "FAILED", (None, "no answer within 15 seconds")),
        delivery(GOOD, 5, "webhook.test", "SUCCEEDED", (200, None), cause="TEST", event_id=None),
    ],
    FAILING.id: [
        delivery(FAILING, minute, "session.state", "PENDING", *[(500, "HTTP 500")] * 3) for minute in (2, 7)
    ],
    DEAD.id: [delivery(DEAD, 3000, "session.state", "FAILED")],
}


def sent_of(deliveries: dict[str, list[Delivery]]) -> dict[str, Sent]:
    return {
        name: Sent(tuple(found), sum(each.state == "PENDING" for each in found))
        for name, found in deliveries.items()
    }


def opened(state: str, chosen: Webhook = GOOD) -> Callable[[Pilot[Any]], Any]:
    """The list is open; in which state it is, too: being read, empty, refused."""

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(lambda: app.loaded)
        screen = screen_of(app)
        screen.take((), (), ())
        if state in ("filled", "offline"):
            screen.webhooks.take(WEBHOOKS, sent_of(DELIVERIES))
        elif state == "empty":
            screen.webhooks.take((), {})
        elif state == "refused":
            screen.webhooks._fault = "Too many requests; try again in 20 s"
        if state != "loading":
            await pilot.press("w")
        await pilot.pause()
        screen._list("webhooks").choose(chosen.id)
        await pilot.pause()
        await pilot.pause()

    return before


def app_in(state: str, role: str = "OWNER") -> ConsoleApp:
    """The console on the screen; the workspace is there even where it has no webhooks."""
    known = state if state in frames.STATES and state != "empty" else "filled"
    return frames.console(stored(known, role=role), "workspace")


class Market:
    """The webhooks of one workspace, behind the wire."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.webhooks = {each.id: each for each in webhooks}
        self.deliveries = {each.id: list(DELIVERIES.get(each.id, [])) for each in webhooks}
        self.asked: list[tuple[str, str, Any]] = []
        self.outcome: tuple[int | None, str | None] = (200, None)
        self.refusal = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if not path.startswith("/webhooks"):
            return self.said([])
        body = json.loads(request.content) if request.content else None
        if request.method != "GET":
            self.asked.append((request.method, path, body))
        if self.refusal or (request.method == "POST" and path == "/webhooks" and body["url"][:5] != "https"):
            error = {"code": "INVALID_INPUT", "message": self.refusal or REFUSED, "detail": "webhook:url"}
            return httpx.Response(400, json={"status": "error", **error, "requestId": "r"})
        return self.said(self.answer(request, path, body))

    def said(self, data: Any) -> httpx.Response:
        return httpx.Response(200, json={"status": "success", "data": data, "requestId": "r"})

    def answer(self, request: httpx.Request, path: str, body: Any) -> Any:
        _, _, webhook_id, *rest = *path.split("/"), ""
        if path == "/webhooks" and request.method == "GET":
            return [to_builtins(each) for each in self.webhooks.values()]
        if path == "/webhooks":
            made = webhook(9, body["url"], events=body["events"])
            self.webhooks[made.id], self.deliveries[made.id] = made, []
            return {**to_builtins(made), "secret": SECRET}
        if rest[0]:
            return self.acted(request, self.webhooks[webhook_id], rest, body)
        found = self.webhooks[webhook_id]
        if request.method == "DELETE":
            del self.webhooks[webhook_id]
            return {"ok": True, "id": webhook_id}
        if request.method == "PATCH":
            reason = None if body["enabled"] else BY_OWNER
            at = None if body["enabled"] else Timestamp.of(NOW)
            found = msgspec.structs.replace(
                found, enabled=body["enabled"], disabled_reason=reason, disabled_at=at
            )
            self.webhooks[webhook_id] = found
        return to_builtins(found)

    def acted(self, request: httpx.Request, found: Webhook, rest: list[str], body: Any) -> Any:
        if rest[0] == "deliveries":
            return self.log(request, self.deliveries[found.id], rest[1])
        if rest[0] == "test":
            made = delivery(found, 0, "webhook.test", "PENDING", cause="TEST", id=WORKSPACE)
            self.deliveries[found.id].insert(0, made)
            return to_builtins(made)
        if rest[0] == "replay":
            return {"count": 12 if "since" in body else 1, "complete": True}
        return {**to_builtins(found), "secret": SECRET}

    def log(self, request: httpx.Request, log: list[Delivery], delivery_id: str) -> Any:
        if delivery_id:  # by now it has been sent
            status, fault = self.outcome
            done = msgspec.structs.replace(
                log[0],
                state="FAILED" if fault else "SUCCEEDED",
                attempts=[Attempt(Timestamp.of(NOW), status, fault, 41)],
            )
            log[0] = done
            return to_builtins(done)
        state = request.url.params.get("state")
        return [to_builtins(each) for each in log if state in (None, each.state)]


@asynccontextmanager
async def acting(market: Market, role: str = "OWNER", *, opened: bool = True) -> AsyncIterator[Any]:
    """The screen, read from a market."""
    app = frames.console(stored("filled", role=role), "workspace")
    if role == "key":
        app.store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", scopes=("webhooks:write",)))
    async with (
        Luxxon("http://market.test/api/v1", transport=httpx.MockTransport(market)) as api,
        app.run_test(size=(120, 36), notifications=True) as pilot,
    ):
        app.server.connected = Connected(api)
        screen_of(app).redraw()
        await until(lambda: screen_of(app).webhooks._webhooks is not None)
        if opened:
            await pilot.press("w")
            await shows(app, "Last deliveries" if market.webhooks else "no webhooks yet")
        yield app, pilot
