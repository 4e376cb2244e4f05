"""The first start: what each page says and refuses, what is derived, and how it looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from first_start_stage import KEY, own_folders
from frames import CONFIG, NOW, PLAIN
from rich.cells import cell_len
from scenes import until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.rows import width_of
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens.first_start import FirstStart
from luxxon_tui.screens.first_start_pages import Place
from luxxon_tui.screens.first_start_work import Checked, origin, profile_name, slug_of
from luxxon_tui.screens.wallet_figures import ChainFacts
from luxxon_tui.store import Store
from luxxon_tui.views import Failure

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folders(tmp_path, monkeypatch)


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
