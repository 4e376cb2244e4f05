"""The ways through the first start, against real servers."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from first_start_stage import KEY, choose, fresh, on, own_folders, serving, typed
from frames import shows, text_of
from scenes import until
from watchdog import watched

from luxxon_core.client import Luxxon, keystore
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.profiles import ProfileTable
from luxxon_tui.connect.profiles import chosen
from luxxon_tui.connect.signing import act_for, sign_in
from luxxon_tui.connect.signing import found as founded
from luxxon_tui.screens.first_start import FirstStart
from luxxon_tui.screens.first_start_pages import Place
from luxxon_tui.screens.first_start_work import NOT_REACHED, check, explained, profile_name
from luxxon_tui.store import Readiness

PASSPHRASE = "correct-horse"
START = 120.0


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folders(tmp_path, monkeypatch)


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(tmp_path) as url:
        yield url


async def test_try_it_here_up_to_the_first_picture(tmp_path: Path) -> None:
    market = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = fresh("map", remember=True, profiles={"embedded": market})
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "Try it here")
        assert "Connect" in text_of(app)
        await pilot.press("1", "3")  # no key of the console reaches what is under it
        assert on(app).place is Place.WELCOME
        async with watched() as standstills:
            await pilot.press("enter")
            await shows(app, "Which camera")
            await pilot.press("escape")
            await shows(app, "Try it here")
            await pilot.press("enter", "enter")
            await shows(app, "◐ starting a marketplace")
            await until(lambda: on(app).place is Place.READY, START)
        assert standstills.worst < 0.25, standstills
        await shows(app, "at most 0.06 of 20.00 test USDC")
        assert chosen(None)[0] == "embedded" and not chosen(None)[2].fresh
        await pilot.press("enter")
        await until(lambda: not isinstance(app.screen, FirstStart), 30)
        await shows(app, "LIVE")
        session = app.store.live[0]
        await until(lambda: app.store.sessions.value[session.id].clean_seconds >= 1, 30)
        assert session.max_seconds == 60


async def test_connect_with_a_fresh_wallet(market: str, tmp_path: Path) -> None:
    app = fresh(remember=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, "Connect")
        await shows(app, "Which marketplace")
        await typed(pilot, market.removeprefix("http://"))
        await shows(app, "● reachable")
        await shows(app, "test money")
        await shows(app, "chain 31337")
        await pilot.press("enter")
        await choose(pilot, "Make a wallet")
        await shows(app, "once more")
        await typed(pilot, PASSPHRASE)
        await pilot.press("enter")
        await typed(pilot, "something else")
        await pilot.press("enter")
        await shows(app, "the two passphrases are not the same")
        await typed(pilot, PASSPHRASE)
        assert PASSPHRASE not in text_of(app)
        await pilot.press("enter")
        await until(lambda: on(app).place is Place.FOUND, 30)
        path = tmp_path / "config" / "wallet.json"
        address = keystore.address_in(path)

        await pilot.press("escape")  # back: the wallet is there, and not asked for again
        await choose(pilot, "Go on with")
        await until(lambda: on(app).place is Place.FOUND, 30)
        assert keystore.address_in(path) == address and not path.with_stem("wallet-2").exists()

        await typed(pilot, "A")
        await pilot.press("enter")
        await shows(app, "three letters")
        await typed(pilot, "Acme Drones")
        await pilot.press("enter")
        await until(lambda: on(app).place is Place.TOP_UP, 30)
        await choose(pilot, "Get test money")
        await choose(pilot, "Top up 25 USDC")
        await shows(app, "Top up 25 USDC?")
        await pilot.press("enter")
        await until(lambda: "✓ deposit" in text_of(app) or "25.00 USDC" in text_of(app), 30)
        await choose(pilot, "Open the console")
        await until(lambda: app.store.readiness.value is Readiness.READY, 30)
        who = app.store.who.value
        assert who is not None and who.workspace_name == "Acme Drones" and who.wallet == address
        await shows(app, "no sessions yet")
        assert not isinstance(app.screen, FirstStart), "the passphrase is not asked for again"
    name, profile, context = chosen(None)
    assert profile.url == market and profile.wallet == path and profile.workspace == who.workspace_id
    assert not context.fresh and name == profile_name(market, ())
    written = (tmp_path / "config" / "luxxon.toml").read_text()
    assert PASSPHRASE not in written and tomllib.loads(written)["profile"] == name


async def test_connect_with_an_imported_key_and_no_top_up(market: str, tmp_path: Path) -> None:
    app = fresh(remember=True)
    async with app.run_test(size=(120, 36)) as pilot:
        await choose(pilot, "Connect")
        await typed(pilot, f"{market}/api/v1")
        await pilot.press("enter")
        await choose(pilot, "Import a key")
        await typed(pilot, "not a key")
        for _ in range(2):
            await pilot.press("enter")
            await typed(pilot, PASSPHRASE)
        await pilot.press("enter")
        await shows(app, "Not a private key")
        await until(lambda: getattr(app.focused, "id", "") == "field-0")
        await typed(pilot, KEY)
        assert KEY not in text_of(app)
        await pilot.press("enter", "enter", "enter")
        await until(lambda: on(app).place is Place.FOUND, 30)
        await typed(pilot, "acme")
        await pilot.press("enter")
        await until(lambda: on(app).place is Place.TOP_UP, 30)
        await choose(pilot, "Not now")
        await until(lambda: app.store.readiness.value is Readiness.READY, 30)
        who = app.store.who.value
        assert who is not None and who.wallet == LocalWallet.from_key(KEY).address


async def test_connect_with_an_api_key(market: str, tmp_path: Path) -> None:
    async with Luxxon(f"{market}/api/v1") as api:
        owner = LocalWallet.from_key(KEY)
        await founded(api, owner, slug="acme-keys", name="Acme Keys", roles=["CONSUMER"])
        workspace = await act_for(api, await sign_in(api, owner), "acme-keys")
        scopes = ("sessions:read", "wallet:read")
        made = await api.workspaces.create_api_key(workspace, label="console", scopes=scopes)
    app = fresh(remember=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, "Connect")
        await typed(pilot, market)
        await pilot.press("enter")
        await choose(pilot, "Use an API key")
        for wrong, told in (("two words", "That is no API key"), ("lxxn_test_wrong", "check the key")):
            await typed(pilot, wrong)
            await pilot.press("enter")
            await shows(app, told)
        await typed(pilot, made.plaintext)
        assert made.plaintext not in text_of(app)
        await pilot.press("enter")
        await until(lambda: app.store.readiness.value is Readiness.READY, 30)
        who = app.store.who.value
        assert who is not None and who.workspace_name == "Acme Keys" and not who.is_wallet
    _, profile, _ = chosen(None)
    assert profile.api_key == made.plaintext
    assert (tmp_path / "config" / "luxxon.toml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"/api/v1/health": {"ok": True, "surface": "api", "version": "0.0.1", "buildSha": ""}}, "0.0.1"),
        ({}, "no Luxxon market"),
    ],
    ids=["too old", "none"],
)
async def test_what_answers_otherwise_is_told_in_one_line(answers: dict[str, Any], told: str) -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"data": answers.get(request.path, {"chain": 1})})

    server = web.Application()
    server.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        with pytest.raises(LuxxonError) as raised:
            await check(f"{host}:{port}")
        failure = explained(raised.value, NOT_REACHED)
        assert told in failure.title and "\n" not in failure.title and failure.remedy
    finally:
        await runner.cleanup()


async def test_a_webcam_that_is_chosen_is_what_runs(tmp_path: Path) -> None:
    """There is none here, which is told with its reason; the test card is chosen instead."""
    market = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = fresh("map", remember=True, profiles={"embedded": market})
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "Try it here")
        await pilot.press("enter")
        await choose(pilot, "A webcam")
        await shows(app, "◐ starting a marketplace")
        await until(lambda: "The camera cannot be opened" in text_of(app), START)
        assert app.server.profile_name == "embedded" and chosen(None)[2].fresh, "not kept"
        await pilot.press("escape")
        await choose(pilot, "A test card")
        await until(lambda: on(app).place is Place.READY, START)
        assert chosen(None)[1].camera is None


async def test_a_server_that_is_none_says_what_can_be_done(market: str) -> None:
    app = fresh()
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, "Connect")
        await typed(pilot, "localhost:1")
        await shows(app, "Nothing listens at localhost:1")
        await pilot.press("enter")
        await shows(app, "Nothing listens at localhost:1")
        assert on(app).place is Place.SERVER
        await typed(pilot, "http://[")
        await shows(app, "That is no address")
        await typed(pilot, market)
        await shows(app, "● reachable")


async def test_a_keystore_that_is_there_is_offered_and_a_wrong_passphrase_told(
    market: str, tmp_path: Path
) -> None:
    wallet = await asyncio.to_thread(LocalWallet.create)
    await asyncio.to_thread(keystore.write, tmp_path / "config" / "wallet.json", wallet, PASSPHRASE)
    app = fresh()
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, "Connect")
        await typed(pilot, market)
        await pilot.press("enter")
        await choose(pilot, f"Use {wallet.address[:6]}")
        await typed(pilot, "wrong")
        await pilot.press("enter")
        await shows(app, "does not open")
        await typed(pilot, PASSPHRASE)
        await pilot.press("enter")
        await until(lambda: on(app).place is Place.FOUND, 30)


async def test_a_marketplace_that_does_not_start_can_be_left_and_tried_again(tmp_path: Path) -> None:
    data = tmp_path / "market"
    data.mkdir()
    (data / "server").write_text("in the way")
    app = fresh(profiles={"embedded": ProfileTable(embedded=True, data_dir=data)})
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "Try it here")
        await pilot.press("enter", "enter")
        await until(lambda: "✕" in text_of(app), START)
        await shows(app, "Try again")
        await pilot.press("escape")
        await shows(app, "Which camera")
        assert app.store.readiness.value is Readiness.IDLE
