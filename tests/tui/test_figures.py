"""Numbers as text, bars and graphs."""

from __future__ import annotations

import pytest

from luxxon_tui import format as fmt
from luxxon_tui.rows import row, width_of
from luxxon_tui.views import Loss
from luxxon_tui.widgets import bars


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fmt.usdc(101_000, fmt.CHARGED), "0.101000"),
        (fmt.usdc(1_000, fmt.RATE), "0.0010"),
        (fmt.usdc(150, fmt.RATE), "0.000150"),
        (fmt.usdc(300_000, fmt.PREVIEW), "0.30"),
        (fmt.usdc(301_234, fmt.PREVIEW), "0.301234"),
        (fmt.usdc(-292_000, fmt.CHARGED), "−0.292000"),
        (fmt.pool(12_409_999), "12.40"),
        (fmt.pool(19_204_771_000_000), "19\u00a0204\u00a0771.00"),
        (fmt.hms(102.9), "00:01:42"),
        (fmt.listed(102), "01:42"),
        (fmt.listed(3723), "1:02:03"),
        (fmt.moment(43.9), "0:43"),
        (fmt.delay(0.42), "0.4 s"),
        (fmt.delay(31.2), "31 s"),
        (fmt.delay(72), "1:12"),
        (fmt.distance(41.2), ("41", "m")),
        (fmt.distance(1_090), ("1.1", "km")),
        (fmt.age(38.4), ("38", "ms")),
        (fmt.age(999.9), ("1.0", "s")),
        (fmt.megabits(1_400_000), "1.4"),
        (fmt.megabits(30_000), "0.03"),
        (fmt.percent(0.9999), "99.9"),
        (fmt.percent(1.0), "100.0"),
        (fmt.degrees(-4.3524), "−004.3524°"),
        (fmt.degrees(50.8466), "+050.8466°"),
        (fmt.short_hash("0x83f1d0ab5e7c4926b1d809ac"), "0x83f1…09ac"),
    ],
)
def test_figures(shown: object, expected: object) -> None:
    assert shown == expected


def kinds(width: int, elapsed_ms: int, losses: list[Loss]) -> str:
    cells = bars.meter(width, elapsed_ms, 100_000, losses)
    return "".join({"accent": "c", "bad": "x", "raised": "."}[span.role] * len(span.text) for span in cells)


def test_the_meter_names_every_loss_however_short() -> None:
    assert kinds(10, 49_999, [Loss("NETWORK_ERROR", 21_000, 21_010)]) == "ccxcc....."
    assert kinds(10, 49_999, [Loss("NETWORK_ERROR", 30_000, None)]) == "cccxx....."
    assert kinds(10, 0, []) == ".........."
    assert kinds(10, 100_000, [Loss("STALE_TELEMETRY", 0, 100_000)]) == "x" * 10
    assert kinds(10, 200_000, []) == "c" * 10


@pytest.mark.parametrize("width", [1, 24, 52, 81])
def test_bars_fill_their_width(width: int) -> None:
    for share in (0, 0.001, 0.5, 1, 1.7):
        assert width_of(bars.progress(width, share)) == width
        assert width_of(bars.meter(width, int(share * 1e5), 100_000, [Loss("", 500, None)])) == width


def test_a_graph_puts_two_samples_in_a_cell_with_the_newest_at_the_right() -> None:
    assert bars.braille([0, 1, 2, 4], 3, 1, 4.0) == [" ⣀⣦"[0] + "⣀⣼"]
    assert bars.braille([8.0, 8.0], 1, 2, 8.0) == ["⣿", "⣿"]
    assert bars.braille([], 2, 1, 1.0) == ["  "]
    assert bars.braille([0.0, 0.0], 1, 1, 0.0) == ["⣀"]


def test_a_ring_is_closed_and_empty_inside() -> None:
    rows = bars.ring(12, 6)
    assert [len(line) for line in rows] == [12] * 6
    assert rows[2][0] != " " and rows[2][-1] != " " and rows[0][5] != " " and rows[-1][6] != " "
    assert rows[2][4:8] == "    "


def test_row_joins_text_spans_and_rows() -> None:
    assert [span.text for span in row("a", row("b", "c"))] == ["a", "b", "c"]
