"""Webhooks on the Workspace screen: the list, what became of deliveries, and all that can be done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import frames
import msgspec
import pytest
from frames import shows, text_of
from rich.cells import cell_len
from scenes import NOW, WORKSPACE, until
from textual.pilot import Pilot
from webhook_stage import (
    DEAD,
    DELIVERIES,
    FAILING,
    GOOD,
    REFUSED,
    SECRET,
    USUAL,
    WEBHOOKS,
    Market,
    acting,
    ago,
    app_in,
    delivery,
    opened,
    webhook,
)
from workspace_stage import SIZES, screen_of, stored

from luxxon_core.events.domain import Kind
from luxxon_core.webhooks.schemas import Webhook
from luxxon_tui.rows import width_of
from luxxon_tui.screens import webhook_panels as panels
from luxxon_tui.screens.webhook_cards import EVENTS, FIRST, WebhookCard
from luxxon_tui.screens.webhook_panels import Sent
from luxxon_tui.store import Who

STATES = ("loading", "empty", "filled", "failed", "offline", "reading", "refused")


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
