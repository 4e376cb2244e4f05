"""The wallet's panels as rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial

from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, first_fit, row, section, spread, width_of
from luxxon_tui.screens import wallet_course as course
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.wallet_figures import ChainFacts, Kind, Line, Move, Progress, Step
from luxxon_tui.widgets import bars
from luxxon_tui.widgets.row_list import Item

UNIT = len("USDC")
GLYPHS = {
    Progress.TO_COME: ("○", "faint"),
    Progress.RUNNING: ("◐", "accent"),
    Progress.DONE: ("✓", "ok"),
    Progress.SKIPPED: ("✓", "faint"),
    Progress.FAILED: ("✕", "bad"),
}
STATES = {
    "final": ("✓", "ok"),
    "sent": ("◐", "text"),
    "waiting": ("◌", "muted"),
    "parked": ("▲", "warn"),
    "open": ("◌", "accent"),
}
OTHER = 0


@dataclass(frozen=True, slots=True)
class Wallet:
    """What the panels at the left show.

    Attributes:
        pool: as the market has seen it, µUSDC; None where the key may not read it.
        held: µUSDC of open sessions, and how many those are.
        chain: None before the chain was read.
        fault: why the chain was not read.
        locked_out: why nothing can be moved here, in words; empty where it can.
        amount: µUSDC chosen for a top-up.
        contract: of the settlement, and the one that was known before, if it is another.
    """

    address: str | None
    pool: int | None
    held: tuple[int, int] = (0, 0)
    chain: ChainFacts | None = None
    fault: str = ""
    locked_out: str = ""
    amount: int = 25_000_000
    topping: Move | None = None
    leaving: Move | None = None
    chain_name: str = ""
    contract: str = ""
    contract_before: str = ""
    faucet: bool = False
    offline: bool = False


def _key(key: str, label: str, action: str) -> Row:
    return row(Span(key, "text", action=action), Span(f" {label}", "muted", action=action))


def _money(width: int, label: str, micro: int | None, *, bold: bool = False) -> Row:
    number = Span(fmt.NONE, "faint") if micro is None else None
    shown = fmt.usdc(micro or 0, fmt.CHARGED)
    right = (
        row(number, Span(f" {'USDC':<{UNIT}}", "muted"))
        if number
        else figure(shown, "USDC", role="bright" if bold else "text", unit_width=UNIT, bold=bold)
    )
    return spread(width, row(Span(label, "muted")), right)


def balances(shown: Wallet, width: int) -> list[Row]:
    """Pool, what is held of it, the wallet's USDC and ETH, the address."""
    chain = shown.chain
    block = row(Span("block ", "muted"), fmt.grouped(str(chain.block))) if chain else EMPTY
    many, held = shown.held
    rows = [section(width, "Balances", block), _money(width, "pool", shown.pool, bold=True)]
    word = f"held by {many} session{'' if many == 1 else 's'}"
    rows.append(_money(width, word if many else "held", held if many else None))
    rows.append(_money(width, "wallet", chain.usdc if chain else None))
    gas = Span(fmt.NONE, "faint") if chain is None else Span(figures.ether(chain.wei))
    rows.append(spread(width, row(Span("gas", "muted")), row(gas, Span(f" {'ETH':<{UNIT}}", "muted"))))
    if shown.address is None:
        rows.append(cut(row(Span("this key may not read the wallet", "faint")), width))
    else:
        keys = _key("c", "copy", "screen.copy_address")
        if shown.faucet:
            keys = row(_key("m", "test money", "screen.faucet"), "  ", keys)
        rows.append(spread(width, row(fmt.short_hash(shown.address)), keys))
    return rows


def amounts(shown: Wallet, width: int) -> Row:
    """The presets; the chosen one is bright on raised, with the mark of what is chosen."""
    chosen = shown.amount // 1_000_000 if shown.amount % 1_000_000 == 0 else None
    spans: list[Span] = []
    for preset in figures.PRESETS:
        action = f"screen.amount({preset})"
        if preset == chosen:
            spans += [Span("▎", "accent", on="raised"), Span(f"{preset} ", "bright", True, "raised", action)]
        else:
            spans.append(Span(f" {preset} ", "muted", on="raised", action=action))
        spans.append(Span(" "))
    own = chosen not in figures.PRESETS
    word = figures.short(shown.amount) if own else "other"
    if own:
        spans.append(Span("▎", "accent", on="raised"))
    spans.append(Span(f"{'' if own else ' '}{word} ", "bright" if own else "muted", own, "raised",
                      "screen.other"))  # fmt: skip
    left = tuple(spans)
    return first_fit(width, row(left, Span(" USDC", "muted")), left)


def top_up(shown: Wallet, width: int, *, tall: bool) -> list[Row]:
    """What to choose from, then the two steps with their progress."""
    moving = shown.topping is not None and shown.topping.running
    key = EMPTY if shown.locked_out or moving else _key("t", "top up", "screen.top_up")
    head = section(width, "Top up the pool", key, focused=moving)
    if shown.locked_out and shown.topping is None:
        return [head, *(row(Span(line, "muted")) for line in wrapped(shown.locked_out, width))]
    move = shown.topping or figures.top_up(shown.amount, shown.chain)
    rows = [head, amounts(shown, width), *([EMPTY] if tall else [])]
    for number, step in enumerate(move.steps, 1):
        rows += _step(number, step, width, tall=tall)
    if move.fault is not None:
        why = [row(Span("    "), Span(line, "bad")) for line in wrapped(move.fault, width - 4)]
        rows += why[: 3 if tall else 1]
        rows.append(_key("    t", _again(move), "screen.top_up"))
    elif move.running and shown.topping is not None:
        rows.append(row("    ", bars.progress(width - 4, _share(move))))
    else:
        rows += [*([EMPTY] if tall else []), *_cost(shown, move, width, done=move.counted)]
    return [cut(each, width) for each in rows]


def _again(move: Move) -> str:
    approved = (
        len(move.steps) == 2
        and move.steps[0].name == "approve"
        and (move.steps[0].progress in (Progress.DONE, Progress.SKIPPED))
    )
    return "deposit again" if approved else "try again"


def _share(move: Move) -> float:
    """How far a move is: half of a step is over when it is sent, the rest goes by blocks."""
    each = 1 / len(move.steps)
    done = 0.0
    for step in move.steps:
        if step.progress in (Progress.DONE, Progress.SKIPPED):
            done += each
        elif step.progress is Progress.RUNNING:
            have, of = step.blocks or (0, 1)
            done += each * (0.5 + 0.5 * have / of if step.blocks else 0.5 if step.tx else 0.2)
    return min(done, 0.97)


def _cost(shown: Wallet, move: Move, width: int, *, done: bool) -> list[Row]:
    chain = shown.chain
    if done:
        return [_money(width, "pool now", shown.pool, bold=True)]
    fee = Span(fmt.NONE, "faint")
    if chain is not None:
        fee = Span("none", "muted") if chain.gasless else Span(figures.ether(chain.fee))
    unit = "" if chain is not None and chain.gasless else "ETH"
    after = None if shown.pool is None else shown.pool + move.amount
    return [
        spread(
            width, row(Span("network fee, at most", "muted")), row(fee, Span(f" {unit:<{UNIT}}", "muted"))
        ),
        _money(width, "pool after", after, bold=True),
    ]


def _step(number: int, step: Step, width: int, *, tall: bool) -> list[Row]:
    glyph, role = GLYPHS[step.progress]
    lit = step.progress is Progress.RUNNING
    quiet = step.progress in (Progress.TO_COME, Progress.SKIPPED)
    head = row(
        Span(f"{glyph} ", role),
        Span(f"{number} ", "text" if not quiet else "faint", bold=lit),
        Span(f"{step.name:<9}", "faint" if step.progress is Progress.SKIPPED else "text", bold=lit),
    )
    told = step.told
    if step.tx and lit:
        told = "sent, waits for its block"
        if step.blocks is not None:
            told = "sent, {} of {} block{}".format(*step.blocks, "" if step.blocks[1] == 1 else "s")
    lines = [row(head, Span(told, "faint" if quiet else "muted"))]
    if step.tx and tall:
        word = {Progress.DONE: "confirmed", Progress.FAILED: "failed"}.get(step.progress, "sent")
        lines.append(row("    ", Span(f"{fmt.short_hash(step.tx)}   {word}", "faint")))
    return [cut(each, width) for each in lines]


def wrapped(text: str, width: int) -> list[str]:
    """Lines of words no longer than ``width``."""
    from textwrap import wrap

    return wrap(text, max(8, width), break_long_words=True) or [""]


def withdraw(shown: Wallet, width: int) -> list[Row]:
    """What becomes of the withdrawal: below the line to type into."""
    move = shown.leaving
    if move is not None:
        rows = _step(1, move.steps[0], width, tall=False)
        if move.fault is not None:
            rows.append(row("    ", Span(wrapped(move.fault, width - 4)[0], "bad")))
        return [cut(each, width) for each in rows]
    if shown.locked_out:
        return [row(Span("needs the wallet that owns the pool", "faint"))]
    if shown.pool is None or shown.address is None:
        return [row(Span(fmt.NONE, "faint"))]
    free = max(0, shown.pool - shown.held[1])
    most = row(Span("at most ", "muted"), figures.short(free), Span(" USDC, to ", "muted"))
    to = Span(fmt.short_hash(shown.address), "muted")
    return [first_fit(width, row(most, to), row(most, Span("own wallet", "muted")), most[:2])]


def chain(shown: Wallet, width: int) -> list[Row]:
    """The chain, how it answers, and the contract that holds the pool."""
    facts = shown.chain
    state = (
        Span("● ", "ok") if facts else Span("✕ " if shown.fault else "◌ ", "bad" if shown.fault else "muted")
    )
    rows = [section(width, "Chain", row(state, shown.chain_name or fmt.NONE))]
    if shown.contract_before:
        rows += [
            row(Span("▲ ", "warn"), Span("the contract has changed", "warn", bold=True)),
            spread(
                width,
                row(Span("was ", "muted"), fmt.short_hash(shown.contract_before)),
                _key("y", "it is right", "screen.accept"),
            ),
        ]
    if shown.contract:
        where = fmt.short_hash(shown.contract) if width < 56 else shown.contract
        rows.append(spread(width, row(Span("contract", "muted")), row(where)))
    if facts is not None:
        gwei = f"{facts.base_fee / figures.GWEI:.4f}"
        rows.append(spread(width, row(Span("RPC", "muted")), figure(str(facts.rpc_ms), "ms", unit_width=4)))
        rows.append(spread(width, row(Span("base fee", "muted")), figure(gwei, "gwei", unit_width=4)))
    elif shown.fault:
        rows += [row(Span(line, "bad")) for line in wrapped(shown.fault, width)[:2]]
    return [cut(each, width) for each in rows]


# -- the ledger

WHEN, WHAT, AMOUNT, BALANCE, STATE = 8, 9, 11, 11, 9
ROOMY = 64
"""Width from which each line says what it was for, and its state in a word."""


def ledger_head(width: int, kind: Kind, many: int) -> list[Row]:
    """The section's line and the names of the columns."""
    word = f"{kind} {many}" if kind is not Kind.ALL else "filter"
    keys = row(_key("f", word, "screen.filter"), "  ", _key("e", "export", "screen.export"))
    names = _columns(
        width, Span("when", "faint"), Span("what", "faint"), EMPTY,
        row(Span("USDC" if width < ROOMY else "amount", "faint")), row(Span("balance", "faint")),
        row(Span("state", "faint")),
    )  # fmt: skip
    return [section(width, "Ledger", keys), row(" ", names)]


def _columns(width: int, when: Span, what: Span, told: Row, amount: Row, balance: Row, state: Row) -> Row:
    """A line without the column of the mark: ``width`` counts that one."""
    room = width - 1
    left = row(_padded(row(when), WHEN), "  ", _padded(row(what), WHAT))
    least = AMOUNT, BALANCE if width >= ROOMY else BALANCE - 1
    amounts = max(least[0], width_of(amount) + 1), max(least[1], width_of(balance) + 1)
    right = row(_padded(amount, amounts[0], right=True), _padded(balance, amounts[1], right=True))
    if width < ROOMY:
        left = row(_padded(row(when), 7), _padded(row(what), WHAT))
        return spread(room, left, right)
    right = row(right, "  ", _padded(state, STATE))
    for_told = room - width_of(left) - width_of(right) - 3
    return spread(room, row(left, "  ", cut(told, max(0, for_told))), right)


def _padded(content: Row, width: int, *, right: bool = False) -> Row:
    space = Span(" " * max(0, width - width_of(content)))
    return row(space, content) if right else row(content, space)


def items(lines: Sequence[Line], now: datetime, zone: tzinfo | None) -> list[Item]:
    """The lines of the ledger."""
    return [Item(line.key, partial(_line, line, now, zone)) for line in lines]


def _line(line: Line, now: datetime, zone: tzinfo | None, width: int) -> Row:
    at, today = line.at.astimezone(zone), now.astimezone(zone).date()
    roomy = width + 1 >= ROOMY
    clock = f"{at:%H:%M:%S}" if roomy else f"{at:%H:%M}"
    when = clock if at.date() == today else f"{at.day} {at:%b}"
    glyph, role = STATES[line.state]
    known = Span(fmt.NONE, "faint") if line.balance is None else Span(fmt.usdc(line.balance, fmt.CHARGED))
    return _columns(
        width + 1,
        Span(when, "muted"),
        Span(line.what),
        row(Span(line.told, "muted")),
        row(_amount(line)),
        row(known),
        row(Span(f"{glyph} ", role), Span(line.state, "muted" if line.state == "final" else "text")),
    )


def _amount(line: Line) -> Span:
    digits = fmt.usdc(abs(line.amount), fmt.CHARGED)
    if line.what in ("approved", "settled") or line.amount == 0:
        return Span(digits, "faint")
    if line.state == "open":
        return Span(f"{fmt.MINUS}{digits}", "muted")
    return Span(f"+{digits}", "ok") if line.amount > 0 else Span(f"{fmt.MINUS}{digits}")


# -- the chart


@dataclass(frozen=True, slots=True)
class Chart:
    """The pool's course.

    Attributes:
        lines: the whole ledger, newest first.
        complete: whether there is nothing older.
    """

    lines: tuple[Line, ...]
    pool: int | None
    now: datetime
    zone: tzinfo | None
    span: course.Span = course.Span.MONTH
    complete: bool = True


LABEL = 6


def chart(shown: Chart, width: int, height: int) -> list[Row]:
    """A head, ``height`` rows (a multiple of four) over an axis with four ticks and zero, and its dates."""
    spans = [
        Span(f" {each} ", "bright" if each is shown.span else "faint", each is shown.span,
             "raised" if each is shown.span else None, f"screen.span('{each.name}')")
        for each in course.Span
    ]  # fmt: skip
    title = f"Pool, {shown.span.value.replace(' d', ' day' if shown.span is course.Span.DAY else ' days')}"
    rows = [section(width, title, tuple(spans))]
    if shown.pool is None:
        return [*rows, row(Span("this key may not read the pool", "faint"))]
    across = width - LABEL - 2
    values = course.course(
        shown.lines, shown.pool, shown.now, shown.span, 2 * across, complete=shown.complete
    )
    step = course.tick(max([value for value in values if value is not None] + [0.01]))
    drawn = bars.braille(values, across, height, 4 * step)
    every = height // 4
    for y, text in enumerate(drawn):
        label = f"{(4 - y // every) * step:g}" if y % every == 0 else ""
        low = y == height - 1 and height > 1
        rows.append(
            row(
                Span(f"{label:>{LABEL}}", "faint"),
                Span("┤" if label else "│", "line"),
                Span(text, "data_low" if low else "data"),
            )
        )
    rows.append(row(Span(f"{'0':>{LABEL}}", "faint"), Span("└" + "─" * (across + 1), "line")))
    ends = [_date(shown.now - shown.span.length * part, shown) for part in (1, 0.5, 0)]
    gap = width - LABEL - 1 - sum(map(len, ends))
    first = gap // 2
    dates = f"{ends[0]}{' ' * first}{ends[1]}{' ' * (gap - first)}{ends[2]}"
    return [*rows, row(" " * (LABEL + 1), Span(dates, "faint"))]


def _date(at: datetime, shown: Chart) -> str:
    here = at.astimezone(shown.zone)
    return f"{here:%H:%M}" if shown.span is course.Span.DAY else f"{here.day} {here:%b}"
