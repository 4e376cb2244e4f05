"""The pages of the first start: what each says, offers and asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, row, width_of
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.wallet_chain import DEVELOPMENT
from luxxon_tui.screens.wallet_panels import wrapped
from luxxon_tui.views import Failure

if TYPE_CHECKING:
    from luxxon_core.http.schemas import Config
    from luxxon_tui.screens.first_start_work import Checked
    from luxxon_tui.screens.wallet_figures import ChainFacts

TRY = ("marketplace", "camera", "first picture")
CONNECT = ("marketplace", "wallet", "workspace", "top up")
LONGEST_LINE = 84
"""Cells; longer ones are hard to read."""
AMOUNTS = (5, 25)
"""USDC that the last step offers."""


class Place(Enum):
    """A page: the steps that it is one of, and which."""

    WELCOME = ("", 0)
    CAMERA = ("try", 1)
    STARTING = ("try", 1)
    READY = ("try", 2)
    SERVER = ("connect", 0)
    WALLET = ("connect", 1)
    MAKE = ("connect", 1)
    IMPORT = ("connect", 1)
    OPEN = ("connect", 1)
    KEY = ("connect", 1)
    WORKSPACE = ("connect", 2)
    FOUND = ("connect", 2)
    TOP_UP = ("connect", 3)

    def __new__(cls, way: str, step: int) -> Place:
        made = object.__new__(cls)
        made._value_ = len(cls.__members__)
        made.way, made.step = way, step
        return made

    way: str
    step: int


@dataclass(frozen=True, slots=True)
class Option:
    """Something to choose."""

    key: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Blank:
    """Something to type.

    Attributes:
        secret: shown as dots.
    """

    label: str
    hint: str = ""
    secret: bool = False
    value: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    told: tuple[Row | str, ...] = ()
    options: tuple[Option, ...] = ()
    blanks: tuple[Blank, ...] = ()


# -- the pages


def welcome() -> Page:
    return Page(
        "Watch a real place, live, within a minute",
        ("Cameras all over the world, paid by the second in USDC.",),
        (
            Option("try", "Try it here", "a marketplace of your own, test money, a camera"),
            Option("connect", "Connect", "to a marketplace by its address"),
        ),
    )


def camera() -> Page:
    return Page(
        "Which camera shall it have?",
        ("All of it runs on this machine and costs nothing: it is test money.",),
        (
            Option("testcard", "A test card", "a picture that moves: nothing is filmed"),
            Option("webcam", "A webcam of this computer", "shown to nobody but you"),
        ),
    )


def starting() -> Page:
    return Page("Starting", ("The first time it makes a database and a chain: about ten seconds.",))


def ready(*, webcam: bool, cost: int | None, seconds: int, pool: int) -> Page:
    price = "" if cost is None else f", at most {fmt.usdc(cost, fmt.PREVIEW)} of {fmt.pool(pool)} test USDC"
    return Page(
        f"Your marketplace runs, and {'your webcam' if webcam else 'a camera in Brussels'} is online",
        ("The workspace, the test money and the camera are yours, here only.",),
        (
            Option("watch", "Watch it now", f"{seconds} s{price}"),
            Option("look", "Look around first", "the map; request what you like from there"),
        ),
    )


def server(value: str) -> Page:
    return Page(
        "Which marketplace?",
        ("Its address; it is checked while you type.",),
        blanks=(Blank("address", "https://market.example.org", value=value),),
    )


def wallet(existing: Sequence[tuple[str, str]], ours: str | None) -> Page:
    """Args:
    existing: keystores that are there, path and address; ``ours``: the address of one that is open.
    """
    found: list[Option] = []
    if ours is not None:
        found.append(Option("go", f"Go on with {fmt.short_hash(ours)}", "it is open"))
    found += [
        Option(f"file:{path}", f"Use {fmt.short_hash(address)}", path)
        for path, address in existing
        if address != ours
    ]
    found += [
        Option("make", "Make a wallet", "a fresh key in an encrypted file"),
        Option("import", "Import a key", "you have a wallet: its private key"),
        Option("open", "Open a keystore", "a file of yours, with its passphrase"),
        Option("key", "Use an API key", "of a workspace: no wallet, and no money is moved"),
    ]
    return Page(
        "Who are you?",
        (
            "A wallet signs you in and holds your money. Its key never leaves this machine; "
            "who loses its file or its passphrase loses the wallet.",
        ),
        tuple(found),
    )


def make(path: str) -> Page:
    return Page(
        "Make a wallet",
        (row(Span("file  ", "muted"), path), "Choose a passphrase that nobody guesses; it is not shown."),
        blanks=(Blank("passphrase", secret=True), Blank("once more", secret=True)),
    )


def import_key(path: str) -> Page:
    return Page(
        "Import a key",
        (row(Span("file  ", "muted"), path), "The key is kept encrypted there. Nothing typed here is shown."),
        blanks=(
            Blank("private key", "64 hexadecimal digits", secret=True),
            Blank("passphrase", secret=True),
            Blank("once more", secret=True),
        ),
    )


def open_keystore(path: str) -> Page:
    return Page(
        "Open a keystore",
        ("A Web3 Secret Storage file, of luxxon wallet or of another program.",),
        blanks=(Blank("file", "/path/to/keystore.json", value=path), Blank("passphrase", secret=True)),
    )


def api_key() -> Page:
    return Page(
        "Use an API key",
        (
            "An owner makes one on the Workspace screen. It is kept in the profile, "
            "in a file that only you can read; nothing typed here is shown.",
        ),
        blanks=(Blank("API key", "lxxn_…", secret=True),),
    )


def workspace(members: Sequence[tuple[str, str, str]], chosen: str | None) -> Page:
    """Args:
    members: id, name and role; ``chosen``: the id of the one that was chosen before.
    """
    listed = sorted(members, key=lambda each: each[0] != chosen)
    return Page(
        "For whom do you act?",
        ("Sessions and money belong to a workspace; others can be added to it.",),
        (
            *(Option(f"id:{key}", name, f"you are its {role.lower()}") for key, name, role in listed),
            Option("found", "Make a new one", "it is yours alone until you add members"),
        ),
    )


def found(*, first: bool) -> Page:
    return Page(
        "Make a workspace",
        ("This wallet has none yet." if first else "Beside those that you have.", "It may ask and operate."),
        blanks=(Blank("name", "acme-drones"),),
    )


def top_up(config: Config, address: str, facts: ChainFacts | None) -> Page:
    told: list[Row | str] = ["Sessions are paid out of your pool; what is not used can be withdrawn."]
    options: list[Option] = []
    if facts is not None:
        told += [EMPTY, _held("pool", facts.pool), _held("wallet", facts.usdc, address)]
        fee = "signed, the market sends it" if facts.gasless else f"fee ≤ {figures.ether(facts.fee)} ETH"
        options += [
            Option(f"add:{amount}", f"Top up {amount} USDC", fee)
            for amount in AMOUNTS
            if facts.usdc >= amount * MICRO_PER_USDC
        ]
        if config.environment == "TEST" and config.chain_id == DEVELOPMENT:
            options.append(Option("faucet", "Get test money", "100 USDC and 1 ETH that are worth nothing"))
        elif not options:
            options.append(Option("copy", "Copy the address", f"send it USDC on {config.chain_name}"))
        options.append(Option("read", "Look again", "at what the wallet holds"))
        if facts.pool:
            options.insert(0, Option("done", "Open the console", "there is money in the pool"))
    if not any(option.key == "done" for option in options):
        options.append(Option("done", "Not now", "Wallet can do it later"))
    return Page("Fill your pool", tuple(told), tuple(options))


def _held(name: str, micro: int, address: str = "") -> Row:
    where = f"   {fmt.short_hash(address)}" if address else ""
    number = fmt.usdc(micro, fmt.PREVIEW)
    return row(Span(f"{name:<8}", "muted"), Span(f"{number:>10}", "bright"), Span(f" USDC{where}", "muted"))


# -- as rows


def top(place: Place, width: int) -> list[Row]:
    """Three rows, as those of every screen: what this is, where one is in it, a hairline."""
    product = Span(" luxxon", "bright", bold=True)
    brand = row(" ", Span("◉", "accent"), product, Span("   first start", "muted"))
    names = {"try": TRY, "connect": CONNECT}.get(place.way, ())
    trail: list[Span] = [Span(" ")]
    for number, name in enumerate(names):
        if number:
            trail.append(Span(" ─ ", "line"))
        if number < place.step:
            trail += [Span("✓ ", "ok"), Span(name, "muted")]
        elif number == place.step:
            trail += [Span("● ", "accent"), Span(name, "bright", bold=True)]
        else:
            trail.append(Span(f"○ {name}", "faint"))
    return [cut(brand, width), cut(tuple(trail), width), row(Span("─" * width, "line"))]


def heading(page: Page, width: int) -> list[Row]:
    """The title and what is told under it."""
    rows = [row(Span(page.title, "bright", bold=True))]
    for line in page.told:
        if isinstance(line, str):
            rows += [row(Span(part, "muted")) for part in wrapped(line, min(width, LONGEST_LINE))]
        else:
            rows.append(line)
    return [cut(each, width) for each in rows]


def label(blank: Blank, width: int) -> list[Row]:
    """What a line to type into is for."""
    return [cut(row(Span(blank.label, "muted")), width)]


def option(each: Option, wide: int, width: int) -> Row:
    """A line of the list: the name, then what it means."""
    left = row(Span(f"{each.name:<{wide}}", "text"), Span(f"   {each.words}", "muted"))
    return cut(left, width)


def status(
    *,
    phases: Sequence[tuple[str, float, bool]] = (),
    checked: Checked | None = None,
    wrong: Failure | None = None,
    hint: str = "",
    width: int,
) -> list[Row]:
    """What is under way, what was found out, what went wrong.

    Args:
        phases: what was or is being done, seconds, and whether it is done.
        hint: what ``enter`` does.
    """
    rows: list[Row] = []
    for words, seconds, done in phases:
        rows.append(
            row(
                Span("✓ " if done else "◐ ", "ok" if done else "text"),
                Span(words, "muted" if done else "text"),
                Span(f"  {fmt.delay(seconds)}" if seconds >= 0.05 else "", "faint"),
            )
        )
    if checked is not None:
        rows += _server(checked)
    if wrong is not None:
        rows += [
            *(
                row(Span("  " if number else "✕ ", "bad"), part)
                for number, part in enumerate(wrapped(wrong.title, min(width, LONGEST_LINE) - 2))
            ),
            *(
                row(Span(f"  {part}", "muted"))
                for part in wrapped(wrong.remedy, min(width, LONGEST_LINE) - 2)
            ),
        ]
    if hint:
        rows += [*([EMPTY] if rows else []), row(Span("enter", "text", bold=True), Span(f" {hint}", "muted"))]
    return [cut(each, width) for each in rows]


def _server(checked: Checked) -> list[Row]:
    config = checked.config
    real = config.environment != "TEST"
    rows = [
        row(Span("● ", "ok"), "reachable", Span(f"   {checked.milliseconds} ms", "muted")),
        row(
            Span("▲ " if real else "● ", "warn" if real else "ok"),
            config.environment,
            Span("   real money" if real else "   test money", "muted"),
        ),
        row(Span("● ", "ok"), config.chain_name, Span(f"   chain {config.chain_id}", "muted")),
    ]
    if checked.open_to_others:
        rows.append(row(Span("▲ ", "warn"), "not encrypted: others on the way can act as you. Use https."))
    return rows


def widest(options: Sequence[Option]) -> int:
    """Cells of the longest name."""
    return max((width_of(row(each.name)) for each in options), default=0)
