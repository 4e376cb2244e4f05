"""The Wallet screen as it looks, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import frames
import pytest
from frames import TX
from rich.cells import cell_len
from scenes import NOW, WALLET
from textual.pilot import Pilot
from wallet_stage import CONTRACT, FACTS, USDC, filled, ledger, screen_of, stored

from luxxon_tui.rows import Row, width_of
from luxxon_tui.screens import wallet_course as course
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens import wallet_panels as panels
from luxxon_tui.screens import wallet_reading
from luxxon_tui.screens.wallet_figures import Kind


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("state", frames.STATES)
async def test_every_row_fits(state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "wallet")
    async with app.run_test(size=size) as pilot:
        await filled(pilot)
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("state", frames.STATES)
def test_it_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    app = frames.console(stored(state), "wallet")
    assert snap_compare(app, terminal_size=size, run_before=filled)


MOVES = {
    "key": "an API key",
    "approving": "step 1",
    "failed": "step 2 failed",
    "done": "both steps",
    "changed": "another contract",
}


@pytest.mark.parametrize("size", frames.SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("what", MOVES)
def test_moving_looks(snap_compare: Callable[..., bool], what: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await filled(pilot)
        screen = screen_of(pilot.app)  # type: ignore[arg-type]
        move = figures.top_up(25 * USDC, FACTS).begin("approve").sent(TX)
        if what == "failed":
            move = move.begin("deposit").sent("0x" + "ab" * 32).failed("deposit(uint256) reverted in 0xabab")
        if what == "done":
            move = move.begin("deposit").sent("0x" + "ab" * 32).done()
        if what in ("approving", "failed", "done"):
            screen._topping = move
        if what == "changed":
            screen._before = "0x" + "9" * 40
        screen.redraw()
        await pilot.pause()

    app = frames.console(stored("filled", wallet=what != "key"), "wallet")
    assert snap_compare(app, terminal_size=size, run_before=before)


# -- figures


def words(rows: list[Row]) -> str:
    return "\n".join("".join(span.text for span in each) for each in rows)


def test_the_balance_runs_back_from_the_pool() -> None:
    final = [line for line in ledger() if line.state == "final"]
    assert [line.balance for line in final[:3]] == [12_400_000, 12_551_000, 12_551_000]
    for after, line in pairwise(final):
        if after.balance is not None and line.balance is not None:
            assert line.balance == after.balance - (after.change or 0)


def test_what_an_unknown_session_did_is_not_guessed() -> None:
    lines = {line.key[:8]: line for line in ledger()}
    unknown, before = lines["00000009"], lines["0000000a"]
    assert unknown.what == "settled" and unknown.balance is not None and unknown.change is None
    assert before.balance is None, "nothing says which way the money went"


def test_open_and_unpaid_sessions_stand_before_what_is_final() -> None:
    lines = ledger()
    assert [line.state for line in lines[:4]] == ["open", "open", "sent", "parked"]
    assert all(line.state == "final" for line in lines[4:])


def test_a_payment_that_was_earned_leaves_the_pool_as_it_was() -> None:
    line = next(line for line in ledger() if line.what == "earned")
    assert line.amount > 0 and line.change == 0


def test_the_course_ends_at_the_pool_and_starts_empty_or_unknown() -> None:
    lines = [line for line in ledger() if line.key[:8] <= "00000008"]
    for complete in (True, False):
        values = course.course(lines, 12_400_000, NOW, course.Span.MONTH, 60, complete=complete)
        assert values[-1] == 12.4
        assert (values[0] is None) is not complete


def test_a_deposit_is_counted_by_the_blocks_that_follow_it() -> None:
    mark = figures.BlockMark.at(100, 97)
    assert [mark.passed(head, head - 3) for head in (100, 101, 102, 103)] == [(1, 3), (2, 3), (3, 3), (3, 3)]
    assert figures.BlockMark.at(100, 100).passed(100, 100) == (1, 1), (
        "a chain that the market follows at once"
    )
    move = figures.top_up(25 * USDC, FACTS).begin("deposit").sent(TX).mined(mark, 101, 98)
    shown = replace(HEAVY, topping=move, locked_out="")
    assert "sent, 2 of 3 blocks" in words(panels.top_up(shown, 36, tall=False))


@pytest.mark.parametrize(("top", "step"), [(12.6, 4), (0.3, 0.08), (45, 12), (1000, 250), (16, 4), (0, 0.01)])
def test_four_ticks_reach_the_top(top: float, step: float) -> None:
    assert course.tick(top) == pytest.approx(step)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("25", 25 * USDC), ("0.25", 250_000), ("0,5", 500_000), ("0", None), ("-1", None), ("1e3", None),
     ("0.0000001", None), (" 3 ", 3 * USDC), ("all", None)],
)  # fmt: skip
def test_amounts_as_people_type_them(text: str, amount: int | None) -> None:
    assert figures.amount_of(text) == amount


HEAVY = panels.Wallet(
    WALLET,
    987_654_321_123_456,
    (12, 123_456_789_000),
    replace(FACTS, usdc=10**16, wei=10**22, rpc_ms=14_999, base_fee=10**12),
    "",
    "",
    123_456_789_123_456,
    chain_name="Some Layer Two With A Long Name",
    contract=CONTRACT,
    contract_before="0x" + "9" * 40,
    faucet=True,
)


@pytest.mark.parametrize("shown", [HEAVY, replace(HEAVY, chain=None, fault="eth_call: ConnectError " * 9),
                                   replace(HEAVY, locked_out=wallet_reading.NEEDS_WALLET)])  # fmt: skip
def test_rows_keep_to_their_width(shown: panels.Wallet) -> None:
    failed = figures.top_up(shown.amount, FACTS).begin("deposit").sent(TX).failed("reverted " * 30)
    for move in (None, failed, figures.top_up(5 * USDC, FACTS).begin("approve").sent(TX)):
        now = replace(shown, topping=move, leaving=move)
        for width in (36, 38):
            rows = [*panels.balances(now, width), *panels.chain(now, width), *panels.withdraw(now, width)]
            rows += [*panels.top_up(now, width, tall=True), *panels.top_up(now, width, tall=False)]
            assert max(map(width_of, rows)) <= width
    long = [replace(line, amount=-(10**14), balance=10**15, told="x" * 90) for line in ledger()]
    for width in (40, 78, 130):
        rows = [item.content(width - 1) for item in panels.items(long, NOW, frames.PLAIN.zone)]
        assert max(map(width_of, rows)) <= width - 1
        assert max(map(width_of, panels.ledger_head(width, Kind.TOP_UPS, 12_345))) <= width
        chart = panels.Chart(tuple(long), 10**15, NOW, frames.PLAIN.zone)
        assert max(map(width_of, panels.chart(chart, width, 8))) <= width
