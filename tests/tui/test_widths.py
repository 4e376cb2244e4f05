"""No row is wider than its place, in any state, at any size: clipping would be silent."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from scenes import ALL, CONTEXT, ENDED, LIVE, NOW, SESSION, console, headline, settle

from luxxon_core.kernel.geo import Point
from luxxon_tui.context import CameraFacts, ConsoleContext
from luxxon_tui.rows import width_of
from luxxon_tui.screens.live_panels import beside, under
from luxxon_tui.screens.meter_panels import timeline
from luxxon_tui.screens.picture_panels import plate
from luxxon_tui.screens.scene import Scene
from luxxon_tui.views import LiveView, Loss, SignalView
from luxxon_tui.widgets.header import Tab, header

SIZES = [(80, 24), (100, 30), (110, 24), (120, 36), (200, 50), (60, 20), (30, 8)]
LONG = ConsoleContext(
    workspace="an-operator-with-a-remarkably-long-name-in-brussels",
    place="Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch, GB",
    chain_name="Some Layer Two With A Long Name",
    camera=CameraFacts(
        "camera-with-a-long-name-04", "PTZ", "north-roofs-and-south-roofs", Point(51, 4), 12_345
    ),
    zone=NOW.tzinfo,
)
HEAVY = replace(
    LIVE,
    pool_micro=123_456_789_000_000,
    session=replace(
        SESSION,
        max_seconds=86_400,
        elapsed_ms=80_000_000,
        lost_ms=7_654_321,
        clean_seconds=72_345,
        charged_micro=72_345_000_000,
        hold_micro=86_400_000_000,
        rate_micro=1_000_001,
        losses=tuple(Loss("OUTSIDE_GEOFENCE", at, at + 900_000) for at in range(0, 70_000_000, 7_000_000)),
    ),
)
BUSY = SignalView(
    3840, 2160, "video/H264", "WHEP", 120.04, 123_456_789, 0.987, 1_999.0, (120.0,) * 90, (1e8,) * 90
)
HEAVY_ENDED = replace(
    HEAVY,
    phase=ENDED.phase,
    session=replace(
        HEAVY.session or SESSION,
        state="EXPIRED",
        settlement="SUBMITTED",
        to_micro=61_493_250_000,
        fee_micro=10_851_750_000,
        tx_hash="0x" + "8" * 64,
        tx_url="https://a-long-explorer-name.example.org/tx/0x88",
    ),
)
EVERY = {**ALL, "heavy": HEAVY, "heavy-ended": HEAVY_ENDED}


NAMES = ("Map", "Live", "Sessions", "Cameras", "Wallet", "Activity", "Workspace")
SEVEN = [Tab(str(number), name) for number, name in enumerate(NAMES, 1)]


@pytest.mark.parametrize("view", EVERY.values(), ids=EVERY.keys())
@pytest.mark.parametrize(
    "context", [CONTEXT, LONG, ConsoleContext(zone=NOW.tzinfo)], ids=["usual", "long", "none"]
)
def test_panels_keep_to_their_width(view: LiveView, context: ConsoleContext) -> None:
    for signal in (SignalView(), BUSY, replace(BUSY, age_ms=4_000_000.0, newest_at=NOW)):
        scene = Scene(view, signal, context, NOW, "half-blocks")
        for width in (24, 34, 60):
            for full in (False, True):
                assert max(map(width_of, beside(scene, width, 32, full=full))) <= width
        for width in (52, 81, 131):
            for full in (False, True):
                for wide in (False, True):
                    assert max(map(width_of, under(scene, width, full=full, wide=wide))) <= width
            assert max(map(width_of, plate(scene, width)), default=0) <= width
        for width in (78, 81):
            assert width_of(timeline(scene, width)) <= width
        for width in (60, 80, 110, 120):
            rows = header(headline(view, context), width, SEVEN, "Live")
            assert [width_of(each) for each in rows][2] == width
            assert max(map(width_of, rows)) <= width


FREE = replace(
    ENDED,
    session=replace(
        ENDED.session or SESSION,
        settlement="CONFIRMED",
        charged_micro=0,
        to_micro=0,
        fee_micro=0,
        tx_hash=None,
    ),
)
UNSURE = [
    replace(LIVE, session=replace(SESSION, losses=(Loss(reason, 97_150, None),)))
    for reason in ("NETWORK_ERROR", "STALE_TELEMETRY", "OUTSIDE_GEOFENCE")
]
STARTING = replace(
    ALL["waiting"], session=replace(ALL["waiting"].session or SESSION, state="ASSIGNED", assigned_at=NOW)
)


@pytest.mark.parametrize("view", [*ALL.values(), FREE, STARTING, *UNSURE])
def test_our_own_words_are_never_cut(view: LiveView) -> None:
    usual = SignalView(1280, 720, "vp8", "WHEP", 29.8, 1_400_000, 0.002, 38.0)
    for signal in (SignalView(), usual, replace(usual, transport="stills"), replace(usual, age_ms=8_000.0)):
        scene = Scene(view, signal, CONTEXT, NOW, "half-blocks")
        rows = [
            *beside(scene, 24, 99, full=False),
            *beside(scene, 34, 99, full=True),
            *under(scene, 52, full=False, wide=False),
            *under(scene, 81, full=True, wide=True),
            *plate(scene, 52),
            timeline(scene, 78),
            *header(headline(view, CONTEXT), 80, SEVEN, "Live"),
            *header(headline(view, CONTEXT), 120, SEVEN, "Live"),
        ]
        text = "\n".join("".join(span.text for span in row) for row in rows)
        assert "…" not in re.sub("0x[0-9a-f]{4}…[0-9a-f]{4}", "", text)


@pytest.mark.parametrize("width", [80, 120])
def test_the_header_has_room_for_seven_tabs(width: int) -> None:
    state, names_row, line = header(headline(LIVE, CONTEXT), width, SEVEN, "Live")
    text = "".join(span.text for span in names_row)
    assert all(tab.name in text for tab in SEVEN) and len(text) <= width
    told = "".join(span.text for span in state)
    assert all(word in told for word in ("acme-drones ▾", " Request ", " Operate ", "12.40 USDC", "12 ms"))
    under_live = "".join(span.text for span in line)
    assert {under_live[i] for i in range(text.index("2 Live"), text.index("2 Live") + 6)} == {"━"}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["live", "offline", "ended", "empty", "heavy-ended"])
async def test_the_screen_is_filled_exactly(name: str, size: tuple[int, int]) -> None:
    app = console(EVERY[name])
    async with app.run_test(size=size) as pilot:
        await settle(app, EVERY[name])
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


ESSENTIALS = """12.40 USDC|12 ms|2 Live|● LIVE|01:42 of 05:00|clean 101 s|lost 1 s|0.101000|of 0.30 USDC
29.8 fps|1.4 Mb/s|age 38 ms|loss 0.2 %|41 m of 500 m|▂|first frame
e end|s save frame|f full screen|c copy URL|q quit"""


async def test_what_must_survive_at_80x24() -> None:
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        await pilot.pause()
        text = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert app.screen.query_one("#picture").size == (52, 15)
    assert [each for each in re.split(r"[|\n]", ESSENTIALS) if each not in text] == []
    assert "…" not in text
