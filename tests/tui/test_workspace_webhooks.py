"""Webhooks on the Workspace screen: the list, what became of deliveries, and all that can be done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import frames
import httpx
import msgspec
import pytest
from frames import shows, text_of
from rich.cells import cell_len
from scenes import NOW, WALLET, WORKSPACE, until
from textual.pilot import Pilot

from luxxon_core.client import Luxxon
from luxxon_core.events.domain import Kind
from luxxon_core.kernel.wire import Timestamp, to_builtins
from luxxon_core.webhooks.domain.deliveries import USUAL_KINDS
from luxxon_core.webhooks.schemas import Attempt, Delivery, Webhook
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.rows import width_of
from luxxon_tui.screens import webhook_panels as panels
from luxxon_tui.screens.webhook_cards import EVENTS, FIRST, WebhookCard
from luxxon_tui.screens.webhook_panels import Sent
from luxxon_tui.screens.workspace import WorkspaceScreen
from luxxon_tui.store import Store, Who

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


def stored(state: str, *, role: str = "OWNER") -> Store:
    """A store in one of the states, with a wallet of a role; ``key`` is an API key."""
    store = frames.stored("filled" if state == "empty" else state)
    if state != "loading" and role != "key":
        store.who.set(Who(WORKSPACE, "acme-drones", "acme-drones", role=role, wallet=WALLET))
    return store


def screen_of(app: ConsoleApp) -> WorkspaceScreen:
    screen = frames.pane(app)
    assert isinstance(screen, WorkspaceScreen)
    return screen


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


SIZES = pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
STATES = ("loading", "empty", "filled", "failed", "offline", "reading", "refused")


def app_in(state: str, role: str = "OWNER") -> ConsoleApp:
    return frames.console(stored(state if state in frames.STATES else "filled", role=role), "workspace")


@pytest.fixture(autouse=True)
def _no_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@SIZES
@pytest.mark.parametrize("state", STATES)
async def test_every_row_of_webhooks_fits(state: str, size: tuple[int, int]) -> None:
    app = app_in(state)
    async with app.run_test(size=size) as pilot:
        await opened(state)(pilot)
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


@SIZES
@pytest.mark.parametrize("state", [one for one in STATES if one not in ("loading", "failed")])
def test_webhooks_look(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    assert snap_compare(app_in(state), terminal_size=size, run_before=opened(state))


@SIZES
@pytest.mark.parametrize("chosen", [FAILING, DEAD], ids=["failing", "disabled"])
def test_trouble_looks(snap_compare: Callable[..., bool], chosen: Webhook, size: tuple[int, int]) -> None:
    assert snap_compare(app_in("filled"), terminal_size=size, run_before=opened("filled", chosen))


@SIZES
@pytest.mark.parametrize("role", ["VIEWER", "key"])
def test_who_may_not_is_told(snap_compare: Callable[..., bool], role: str, size: tuple[int, int]) -> None:
    assert snap_compare(app_in("filled", role), terminal_size=size, run_before=opened("filled"))


@SIZES
def test_the_form_looks(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await opened("filled")(pilot)
        pilot.app.push_screen(WebhookCard(wrong=REFUSED))
        await pilot.pause()
        await pilot.press(*"http", "tab", "down")
        await pilot.pause()

    assert snap_compare(app_in("filled"), terminal_size=size, run_before=before)


def test_every_event_can_be_ticked_and_the_usual_ones_are() -> None:
    assert list(EVENTS) == [kind.value for kind in Kind]
    assert list(FIRST) == USUAL


def test_rows_of_webhooks_keep_to_their_width() -> None:
    zone, who = frames.PLAIN.zone, stored("filled").who.value
    long = webhook(9, f"https://{'a' * 900}.example/x", description="d" * 200, failing_since=ago(days=400))
    held = webhook(10, "https://b.example", held_until=NOW + timedelta(hours=3))
    dead = msgspec.structs.replace(DEAD, disabled_reason="a reason " * 60)
    fault = "a certificate that nobody signed " * 9
    log = Sent(
        (
            delivery(long, 1, "settlement.state", "PENDING", (None, fault)),
            delivery(long, 2, "k" * 60, "FAILED", (None, fault)),
            delivery(long, 60 * 24 * 9, "session.state", "PENDING"),
        ),
        panels.PENDING_READ,
    )
    every = (*WEBHOOKS, long, held, dead)
    for width in (60, 65, 78, 140):
        items = [
            *panels.items(every, dict.fromkeys([one.id for one in every], log), who, "", NOW, zone),
            *panels.items(every, {}, who, "", NOW, zone),
            *panels.items(None, {}, who, fault, NOW, zone),
            *panels.items((), {}, who, "", NOW, zone),
            *panels.items(None, {}, Who(WORKSPACE), "", NOW, zone),
        ]
        rows = [item.content(width - 1) for item in items]
        assert max(map(width_of, rows)) <= width - 1
        rows = [line for one in every for line in panels.detail(one, log, NOW, zone, width, fault=fault)]
        rows += [panels.head(who, every, width, focused=True), panels.summary(every, width)]
        assert max(map(width_of, rows)) <= width


# -- against a server in memory


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
            reason = None if body["enabled"] else panels.BY_OWNER
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


async def test_the_closed_list_says_what_needs_a_look_and_opens() -> None:
    async with acting(Market(*WEBHOOKS), opened=False) as (app, pilot):
        await shows(app, "Webhooks 3")
        assert "✕ 1 disabled" in text_of(app) and "▲ 1 failing" in text_of(app)
        assert GOOD.url not in text_of(app)
        await pilot.press("w")
        await shows(app, "HTTP 200 in 41 ms")
        text = text_of(app)
        assert GOOD.url in text and "works" in text and "failing since 12:02" in text and "disabled" in text
        await shows(app, "2 pending")
        assert "API keys" not in text
        await pilot.press("down", "down")
        await shows(app, "no delivery succeeded for 72 hours")
        await pilot.press("escape")
        await shows(app, "API keys")
        assert app.focused is screen_of(app)._list("keys")


@pytest.mark.parametrize("role", ["ADMIN", "key"])
async def test_a_webhook_is_made_and_its_secret_shown_once(role: str) -> None:
    market = Market()
    async with acting(market, role) as (app, pilot):
        await pilot.press("plus")
        await shows(app, "New webhook")
        await pilot.press(*"ftp://x", "enter")
        await shows(app, REFUSED)
        await pilot.press("ctrl+u", *"https://mine.example/in", "tab", "space", "enter")
        await shows(app, "The secret of mine.example")
        assert SECRET not in text_of(app) and "whsec_••" in text_of(app)
        await pilot.press("enter")
        await shows(app, "copy it first")
        await pilot.press("c")
        assert app.clipboard == SECRET
        await pilot.press("enter")
        await shows(app, "https://mine.example/in")
        await shows(app, "nothing sent yet: t sends a test")
        chosen = screen_of(app).webhooks.chosen
        assert chosen is not None and chosen.url == "https://mine.example/in"
        assert SECRET not in text_of(app)
    assert [body["url"] for _, _, body in market.asked] == ["ftp://x", "https://mine.example/in"]
    assert market.asked[1][2]["events"] == USUAL[1:], "the first one was unticked"


async def test_a_test_says_how_it_went() -> None:
    market = Market(GOOD)
    async with acting(market) as (app, pilot):
        await pilot.press("t")
        await shows(app, "test: HTTP 200 in 41 ms")
        market.outcome = (500, "HTTP 500")
        await pilot.press("t")
        await shows(app, "test: HTTP 500")
    assert [path for _, path, _ in market.asked] == [f"/webhooks/{GOOD.id}/test"] * 2


async def test_what_did_not_arrive_is_sent_again() -> None:
    market = Market(FAILING, GOOD)
    async with acting(market) as (app, pilot):
        await pilot.press("p")
        await shows(app, "Send desk.example:8443 again")
        await pilot.press("down", "enter")
        await shows(app, "12 to be sent")
        await pilot.press("p")
        await shows(app, "Send desk.example:8443 again")
        await pilot.press("end", "enter")
        await shows(app, "1 to be sent")
    (_, path, since), (_, _, one) = market.asked
    assert path == f"/webhooks/{FAILING.id}/replay"
    assert since == {"since": "2026-05-12T14:02:11.000Z"}
    assert one == {"deliveryId": DELIVERIES[FAILING.id][0].id}


async def test_a_secret_is_changed_after_a_question() -> None:
    market = Market(GOOD)
    async with acting(market) as (app, pilot):
        await pilot.press("s")
        await shows(app, "Make a new secret?")
        await pilot.press("escape")
        await pilot.pause()
        assert market.asked == []
        await pilot.press("s")
        await shows(app, "Make a new secret?")
        await pilot.press("enter")
        await shows(app, "The secret of news.example")
        await pilot.press("v")
        await shows(app, SECRET)
        await pilot.press("enter")
        await until(lambda: app.screen is screen_of(app))
        assert SECRET not in text_of(app)


async def test_a_webhook_is_disabled_enabled_and_deleted() -> None:
    market = Market(GOOD)
    async with acting(market) as (app, pilot):
        await pilot.press("e")
        await shows(app, "Disable the webhook?")
        await pilot.press("enter")
        await shows(app, "disabled by its owner")
        await pilot.press("t", "p")
        await pilot.pause()
        assert app.screen is screen_of(app), "nothing can be sent to it"
        await pilot.press("e")
        await shows(app, "p sends what it missed")
        await shows(app, "works")
        await pilot.press("x")
        await shows(app, "Delete the webhook?")
        await pilot.press("enter")
        await shows(app, "no webhooks yet")
    assert [(method, body) for method, _, body in market.asked] == [
        ("PATCH", {"enabled": False}),
        ("PATCH", {"enabled": True}),
        ("DELETE", None),
    ]


async def test_a_refusal_is_told_in_the_servers_words() -> None:
    market = Market(GOOD)
    async with acting(market) as (app, pilot):
        market.refusal = "The webhook is disabled: enable it first"
        await pilot.press("t")
        await shows(app, "not tested: The webhook is disabled: enable it first")
        assert GOOD.url in text_of(app), "what was read stays"


async def test_what_is_sent_meanwhile_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luxxon_tui.screens.workspace_webhooks.AGAIN_SECONDS", 0.05)
    market = Market(GOOD)
    async with acting(market) as (app, _pilot):
        market.deliveries[GOOD.id].insert(0, delivery(GOOD, 0, "video.connected", "SUCCEEDED", (202, None)))
        await shows(app, "HTTP 202 in 41 ms")


@pytest.mark.parametrize("role", ["VIEWER", "key"])
async def test_who_may_not_changes_nothing(role: str) -> None:
    app = frames.console(stored("filled", role=role), "workspace")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened("filled")(pilot)
        words = "makes and changes webhooks" if role == "VIEWER" else panels.NO_SCOPE
        assert words in text_of(app)
        for pressed in ("plus", "t", "p", "s", "e", "x"):
            await pilot.press(pressed)
        await pilot.pause()
        assert app.screen is screen_of(app)


async def test_the_palette_acts_and_finds() -> None:
    market = Market(*WEBHOOKS)
    async with acting(market, opened=False) as (app, pilot):
        await pilot.press("ctrl+p", *"webhook https://old", "enter")
        await shows(app, "no delivery succeeded for 72 hours")
        chosen = screen_of(app).webhooks.chosen
        assert chosen is not None and chosen.id == DEAD.id
        await pilot.press("c")
        assert app.clipboard == DEAD.id
        await pilot.press("ctrl+p", *"Delete the chosen webhook", "enter")
        await shows(app, "Delete the webhook?")
