"""The Workspace screen: its name, its members, its keys, its cameras."""

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
from scenes import NOW, WALLET, WORKSPACE, until
from textual.pilot import Pilot
from workspace_stage import (
    AGENT,
    BERLIN,
    DEVICES,
    KEYS,
    MEMBERS,
    OTHER,
    PLAINTEXT,
    SIZES,
    SPENT,
    Market,
    acting,
    filled,
    key,
    limited,
    screen_of,
    stored,
)

from luxxon_core.client import Luxxon
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.rows import width_of
from luxxon_tui.screens import workspace_panels as panels
from luxxon_tui.screens.workspace_cards import MintCard, SecretCard
from luxxon_tui.screens.workspace_panels import Device
from luxxon_tui.store import Who
from luxxon_tui.widgets.row_list import RowList


@pytest.fixture(autouse=True)
def _no_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def with_budgets(pilot: Pilot[Any]) -> None:
    await filled(pilot)
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    screen_of(app).take(MEMBERS, (AGENT, SPENT, *KEYS), DEVICES)
    await pilot.pause()
    screen_of(app)._list("keys").choose(AGENT.id)
    await pilot.pause()
    await pilot.pause()


@SIZES
@pytest.mark.parametrize("state", frames.STATES)
async def test_every_row_fits(state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "workspace")
    async with app.run_test(size=size) as pilot:
        await filled(pilot)
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


@SIZES
@pytest.mark.parametrize("state", frames.STATES)
def test_it_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "workspace")
    assert snap_compare(app, terminal_size=size, run_before=filled)


@SIZES
def test_budgets_look(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    app = frames.console(stored("filled"), "workspace")
    assert snap_compare(app, terminal_size=size, run_before=with_budgets)


@SIZES
@pytest.mark.parametrize("role", ["VIEWER", "key"])
def test_what_may_not_be_done_is_said(
    snap_compare: Callable[..., bool], role: str, size: tuple[int, int]
) -> None:
    app = frames.console(stored("filled", role=role), "workspace")
    assert snap_compare(app, terminal_size=size, run_before=filled)


@SIZES
@pytest.mark.parametrize("card", ["mint", "secret", "role", "revoke"])
def test_cards_look(snap_compare: Callable[..., bool], card: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await filled(pilot)
        app = pilot.app
        if card == "mint":
            app.push_screen(MintCard("TEST"))
            await pilot.pause()
            await pilot.press("tab", "down", "space", "tab", *"5", "tab", *"0.25", "tab", *"52.52,13.4,2km")
        elif card == "secret":
            app.push_screen(SecretCard("edge box", PLAINTEXT))
        else:
            app.server.connected = Connected(Luxxon("http://market.test/api/v1"))  # type: ignore[attr-defined]
            screen_of(app)._read_for = (WORKSPACE, "OWNER", WALLET)  # type: ignore[arg-type]
            await pilot.press(*(("shift+tab", "o") if card == "role" else ("x",)))
        await pilot.pause()
        await pilot.pause()

    app = frames.console(stored("filled"), "workspace")
    assert snap_compare(app, terminal_size=size, run_before=before)


def test_rows_keep_to_their_width() -> None:
    ample = limited(KEYS[0], 10**15, 10**15 - 1, 10**15, *[BERLIN] * 32)
    keys = (*KEYS, AGENT, SPENT, ample, limited(KEYS[1], None, 123_456))
    long = [msgspec.structs.replace(each, label="a label without an end " * 5) for each in keys]
    devices = [Device("n" * 60, "k" * 60, "w" * 40, state) for state in ("ONLINE", "BUSY", None)]
    for who in (
        None,
        Who(WORKSPACE, "n" * 80, "s" * 80, scopes=("sessions:read",) * 8),
        stored("filled").who.value,
    ):
        for width in (50, 67, 78):
            items = [
                *panels.members_items(MEMBERS, who, "", frames.PLAIN.zone),
                *panels.members_items(None, who, "a fault " * 30, frames.PLAIN.zone),
                *panels.keys_items(long, who, "", NOW, frames.PLAIN.zone),
                *panels.keys_items((), who, "", NOW, frames.PLAIN.zone),
                *panels.devices_items(devices, ""),
                *panels.devices_items((), ""),
            ]
            assert max(width_of(item.content(width - 1)) for item in items) <= width - 1
            heads = [
                panels.members_head(who, MEMBERS, width, focused=True),
                panels.keys_head(who, KEYS, width, focused=False),
                panels.devices_head(DEVICES, width, focused=False),
                *panels.facts(stored("filled").workspace.value, who, width),
                *(
                    line
                    for each in long
                    for line in panels.budget_rows(each, frames.PLAIN.zone, width, brief=width > 70)
                ),
            ]
            assert max(map(width_of, heads)) <= width


# -- against a server in memory


async def test_a_key_is_minted_and_its_plaintext_is_shown_once() -> None:
    market = Market()
    async with acting(market) as (app, pilot):
        await pilot.press("m")
        await shows(app, "New TEST key")
        await pilot.press("enter")
        await shows(app, "Say what it is for")
        await pilot.press(*"edge", "tab", "down", "down", "space", "enter")
        await shows(app, "The key of edge")
        assert PLAINTEXT not in text_of(app), "behind a key"
        await pilot.press("enter")
        await shows(app, "copy it first")
        await pilot.press("c")
        assert app.clipboard == PLAINTEXT
        await shows(app, "copied")
        await pilot.press("enter")
        await until(lambda: app.screen is screen_of(app))
        await shows(app, "API keys 3")
        assert screen_of(app)._list("keys").key == key(9, "").id
        assert PLAINTEXT not in text_of(app)
    (_, path, body) = market.asked[0]
    scopes = ["sessions:read", "sessions:operate", "pricing:read"]
    assert path == "/api-keys" and body == {"label": "edge", "environment": "TEST", "scopes": scopes}


async def test_a_key_is_minted_with_a_budget() -> None:
    market = Market()
    async with acting(market) as (app, pilot):
        await pilot.press("m")
        await shows(app, "New TEST key")
        await pilot.press(*"agent", "tab", "tab", *"five", "enter")
        await shows(app, "'five' is no amount of USDC")
        await pilot.press("ctrl+u", *"5", "tab", *"0", "tab", *"somewhere", "enter")
        await shows(app, "'somewhere' is no area, such as")
        await pilot.press("ctrl+u", *"52.52,13.4,2km,Berlin;", *"0,0,500m", "enter")
        await shows(app, "The key of agent")
    (_, _, body) = market.asked[0]
    assert body["budget"] == {
        "dailyCapMicroUsdc": "5000000",
        "sessionCapMicroUsdc": "0",
        "areas": [
            {"lat": 52.52, "lng": 13.4, "radiusMeters": 2000.0, "name": "Berlin"},
            {"lat": 0.0, "lng": 0.0, "radiusMeters": 500.0, "name": None},
        ],
    }


async def test_the_budget_of_the_chosen_key_is_shown() -> None:
    market = Market()
    market.keys = {each.id: each for each in (AGENT, SPENT, *KEYS)}
    async with acting(market) as (app, pilot):
        assert "4.75 of 5 USDC left" not in text_of(app), "the first one has no budget"
        screen_of(app)._list("keys").choose(AGENT.id)
        await pilot.press("down", "up")
        await shows(app, "4.75 of 5 USDC left")
        await shows(app, "Berlin, -33.86,151.21,500m")
        await shows(app, "2 of 2 today")


async def test_a_revoked_key_counts_its_grace_down() -> None:
    market, clock = Market(), [NOW]
    async with acting(market, clock) as (app, pilot):
        await pilot.press("x")
        await shows(app, "Revoke the key?")
        await pilot.press("escape")
        await pilot.pause()
        assert market.asked == []
        await pilot.press("x")
        await shows(app, "Revoke the key?")
        await pilot.press("enter")
        await shows(app, "works for 1:00")
        assert market.asked == [("POST", f"/api-keys/{KEYS[0].id}/revoke", None)]
        clock[0] = NOW + timedelta(seconds=23)
        await shows(app, "works for 0:37")
        clock[0] = NOW + timedelta(seconds=61)
        await shows(app, "revoked 13 May 2026")
        assert "works for" not in text_of(app)


async def test_members_are_added_changed_and_removed() -> None:
    market = Market()
    fourth = "0x" + "4" * 40
    async with acting(market) as (app, pilot):
        await pilot.press("a", *"0x12", "enter")
        await shows(app, "no address")
        await pilot.press("ctrl+u", *fourth, "enter")
        await shows(app, "Role of 0x4444")
        await pilot.press("down", "enter")
        await shows(app, "Members 4")
        screen_of(app).set_focus(screen_of(app)._list("members"))
        await pilot.press("down", "o")
        await shows(app, "Role of 0xf39F")
        await pilot.press("up", "enter")
        await until(lambda: market.members[OTHER].role == "VIEWER")
        await shows(app, "Members 4")
        await pilot.press("x")
        await shows(app, "Remove the member?")
        await pilot.press("enter")
        await shows(app, "Members 3")
    assert market.members[fourth].role == "ADMIN" and OTHER not in market.members


async def test_a_new_name_is_sent() -> None:
    market = Market()
    async with acting(market) as (app, pilot):
        await pilot.press("n")
        await shows(app, "Rename the workspace")
        await pilot.press("ctrl+u", *"north", "enter")
        await until(lambda: bool(market.asked))
    assert market.asked == [("PATCH", "", {"name": "north"})]


async def test_a_viewer_and_a_key_change_nothing() -> None:
    for role in ("VIEWER", "key"):
        app = frames.console(stored("filled", role=role), "workspace")
        async with app.run_test(size=(120, 36)) as pilot:
            await filled(pilot)
            text = text_of(app)
            assert "mints and revokes keys" in text and "m mint" not in text
            for pressed in ("m", "a", "x", "o"):
                await pilot.press(pressed)
            await pilot.pause()
            assert app.screen is screen_of(app)


async def test_a_click_chooses_and_the_palette_finds() -> None:
    app = frames.console(stored("filled"), "workspace")
    async with app.run_test(size=(120, 36)) as pilot:
        await filled(pilot)
        await pilot.click("#members", offset=(4, 1))
        members = app.screen.query_one("#members", RowList)
        assert members.key == OTHER and app.focused is members
        await pilot.press("c")
        assert app.clipboard == OTHER
        things = {thing.title: thing for thing in screen_of(app).things()}
        assert "API key notebook" in things and "Device roof" in things
        things["API key ptz-04"].open()
        await until(lambda: screen_of(app)._list("keys").key == KEYS[1].id)


async def test_the_cameras_of_the_file_are_listed(tmp_path: Path) -> None:
    (tmp_path / "luxxon.toml").write_text(
        '[cameras.roof]\ntype = "testcard"\n[cameras.desk]\ntype = "webcam:0"\n'
        '[cameras.desk.operate]\nslug = "desk-two"\n'
    )
    async with acting(Market()) as (app, _pilot):
        await shows(app, "Devices 2")
        await shows(app, "desk-two")
        await shows(app, "testcard")


async def test_a_file_with_a_fault_says_which(tmp_path: Path) -> None:
    (tmp_path / "luxxon.toml").write_text("[cameras.roof]\nlat = 5\n")
    async with acting(Market()) as (app, _pilot):
        await shows(app, "type")
        assert screen_of(app)._faults["devices"]
