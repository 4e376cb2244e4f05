"""The first start: what each page says and refuses, and the ways through it against real servers."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import CONFIG, NOW, PLAIN, shows, text_of
from rich.cells import cell_len
from scenes import until
from textual.pilot import Pilot
from textual.widgets import Input
from watchdog import watched

from luxxon_core.client import Luxxon, keystore
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import InvalidInput, LuxxonError
from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.embedded import Child
from luxxon_tui.connect.profiles import chosen
from luxxon_tui.connect.signing import act_for, sign_in
from luxxon_tui.connect.signing import found as founded
from luxxon_tui.context import ConsoleContext
from luxxon_tui.rows import width_of
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens.first_start import FirstStart
from luxxon_tui.screens.first_start_pages import Place
from luxxon_tui.screens.first_start_work import (
    NOT_REACHED,
    Checked,
    check,
    explained,
    origin,
    profile_name,
    slug_of,
)
from luxxon_tui.screens.wallet_figures import ChainFacts
from luxxon_tui.store import Readiness, Store
from luxxon_tui.views import Failure
from luxxon_tui.widgets.field import Field

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
PASSPHRASE = "correct-horse"
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
START = 120.0


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LUXXON_API_KEY", "LUXXON_URL", "LUXXON_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "config" / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_WALLET", str(tmp_path / "config" / "wallet.json"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    yield


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[str]:
    """A marketplace of its own; its URL without a path."""
    arguments = ("serve", "--port", "0", "--data-dir", str(tmp_path / "server"))
    child = await Child.start(*arguments, told=lambda _line: None, where=tmp_path, environment={})
    try:
        yield str((await child.event("serving"))["url"]).removesuffix("/api/v1")
    finally:
        await child.close()


def fresh(first: str = "sessions", **facts: Any) -> ConsoleApp:
    """The console as it opens when nobody has chosen a profile."""
    context = ConsoleContext(zone=PLAIN.zone, fresh=True, **facts)
    return ConsoleApp(facts=context, clock=lambda: NOW, first=first)


def on(app: ConsoleApp) -> FirstStart:
    screen = app.screen
    assert isinstance(screen, FirstStart)
    return screen


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Type into the line that has the focus, in one go."""
    field = pilot.app.focused
    assert isinstance(field, Field)
    field.value = text
    await pilot.pause()


async def choose(pilot: Pilot[Any], words: str) -> None:
    """Move to the option with these words, and take it."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await shows(app, words)
    rows = on(app).query_one("#options")
    for _ in range(10):
        marked = next((line for line in text_of(app).splitlines() if "▎" in line), "")
        if words in marked:
            break
        await pilot.press("down")
    else:
        raise AssertionError(text_of(app))
    rows.focus()
    await pilot.press("enter")


# -- against real servers


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
        await shows(app, "check the address, that the server runs")
        await pilot.press("enter")
        await shows(app, "check the address, that the server runs")
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


# -- what is refused, and what is derived


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("market.example.org", "https://market.example.org"),
        ("localhost:3010", "http://localhost:3010"),
        ("127.0.0.1:3010/api/v1", "http://127.0.0.1:3010"),
        (" HTTPS://Market.Example.org/x?y ", "https://market.example.org"),
    ],
)
def test_an_address_as_people_write_it(text: str, found: str) -> None:
    assert origin(text) == found
    ProfileTable(url=found)


@pytest.mark.parametrize("text", ["", "http://", "ftp://x", "http://a b", "http://u:p@x", "http://x:y"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        origin(text)


def test_names_of_profiles_and_workspaces() -> None:
    assert profile_name("https://m.example.org:8443", ()) == "m-example-org-8443"
    assert profile_name("https://a.b", {"a-b", "a-b-2"}) == "a-b-3"
    assert slug_of(" Acme  Drones! ") == "acme-drones"


# -- how it looks

FACTS = ChainFacts(10**8, 10**18, 0, 0, 1, 10**9, 4 * 10**14, 3)
CHECKED = Checked("http://market.example.org", CONFIG, 12)
ADDRESS = "0x71C4000000000000000000000000000000009F02"
LONG = "/home/somebody-with-a-long-name/of/a/folder/in/a/folder/that/goes/on/and/on/wallet.json"
EVERY = [
    pages.welcome(),
    pages.camera(),
    pages.starting(),
    pages.ready(webcam=False, cost=60_000, seconds=60, pool=20_000_000),
    pages.ready(webcam=True, cost=None, seconds=60, pool=0),
    pages.server(""),
    pages.wallet([(LONG, ADDRESS)], "0x" + "1" * 40),
    pages.make(LONG),
    pages.import_key(LONG),
    pages.open_keystore(LONG),
    pages.api_key(),
    pages.workspace([("1", "a" * 80, "OWNER")], None),
    pages.found(first=True),
    pages.top_up(CONFIG, ADDRESS, FACTS),
    pages.top_up(CONFIG, ADDRESS, None),
]


@pytest.mark.parametrize("width", [30, 74, 114])
def test_nothing_is_wider_than_its_place(width: int) -> None:
    wrong = Failure("The server cannot be reached " * 4, "", "check the address " * 8)
    for page in EVERY:
        rows = pages.heading(page, width)
        rows += [pages.option(each, pages.widest(page.options), width) for each in page.options]
        assert max(map(width_of, rows)) <= width
    for place in Place:
        assert max(map(width_of, pages.top(place, width))) <= width
    assert max(map(width_of, pages.status(checked=CHECKED, wrong=wrong, width=width))) <= width


@pytest.mark.parametrize("page", EVERY[:-1], ids=range(len(EVERY) - 1))
def test_no_words_are_cut_at_80_columns(page: pages.Page) -> None:
    if any(LONG in str(part) or "a" * 80 in str(part) for part in (page.told, page.options)):
        return
    wide = pages.widest(page.options)
    for line in [*pages.heading(page, 74), *(pages.option(each, wide, 73) for each in page.options)]:
        assert not any(span.text.endswith("…") and cell_len(span.text) > 13 for span in line), line


SHOWN = ("welcome", "checked", "failed", "working", "wallet", "passphrase", "workspace", "top up", "ready")


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("shown", SHOWN)
def test_looks(snap_compare: Callable[..., bool], shown: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        screen = FirstStart()
        await app.push_screen(screen)
        await pilot.pause()
        prepare(screen, shown)
        for field in screen.query(Input):
            field.cursor_blink = False
        await until(lambda: app.loaded)
        await pilot.pause()

    app = ConsoleApp(store=Store(), facts=PLAIN, clock=lambda: NOW, first="sessions")
    assert snap_compare(app, terminal_size=size, run_before=before)


def prepare(screen: FirstStart, shown: str) -> None:
    """Bring it to a page as it looks on the way."""
    places = {
        "checked": Place.SERVER, "failed": Place.SERVER, "working": Place.STARTING, "wallet": Place.WALLET,
        "passphrase": Place.IMPORT, "workspace": Place.WORKSPACE, "top up": Place.TOP_UP,
        "ready": Place.READY,
    }  # fmt: skip
    screen._trail = [Place.WELCOME]
    screen._keystores = [("/home/you/.config/luxxon/wallet.json", ADDRESS)]
    screen._path = Path("/home/you/.config/luxxon/wallet-2.json")
    screen._members = [("1", "acme-drones", "OWNER"), ("2", "north-roofs", "VIEWER")]
    screen.checked, screen._facts, screen._cost = CHECKED, FACTS, 60_000
    screen._wallet = LocalWallet.from_key(KEY)
    screen._typed = "http://market.example.org"
    screen._enter(places.get(shown, Place.WELCOME))
    if shown == "failed":
        screen.checked = None
        screen._fail(Failure("The server cannot be reached", "", "check the address, and that it runs"))
    if shown == "working":
        screen._phases = [("starting a marketplace of your own", 0.0, 6.1), ("signing in", 0.0, 0.4)]
        screen._draw()
