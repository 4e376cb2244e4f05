"""CPU of a step of the map, against a field of rows that is ready in the same compositor.

The limit shows rows that were made before, through Textual's compositor and nothing else: what any widget of
that size costs. A step of the map makes its rows first: coastlines, circles, clusters, demand, cells, ANSI.
Both run in a process of their own in a pseudo terminal; the figures are CPU time of the thread that draws.

Run: ``python benchmarks/map.py``. Budget: 8 ms for a step at 200x50.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from luxxon_tui.map.scene import MapScene

STEPS = 120
BUDGET_MS = 8.0
PAUSE = 0.04
"""Seconds between steps: more than one of Textual's frames."""
COLUMNS, ROWS = 200, 50
SCALES = {"world": 400, "continent": 1_500, "country": 12_000, "streets": 3_000_000}
"""Dots around the world."""


def scene() -> MapScene:
    """A busy market: 400 cameras with circles of all sizes, 500 cells of demand, a chosen place."""
    from luxxon_core.kernel.geo import Circle, Point
    from luxxon_tui.map.scene import Camera, Demand, MapScene, Mark

    random = Random(11)
    here = Point(50.8503, 4.3517)

    def around(spread: float) -> Point:
        return Point(here.lat + random.uniform(-spread, spread), here.lng + random.uniform(-spread, spread))

    def anywhere() -> Point:
        return Point(random.uniform(-50, 66), random.uniform(-180, 180))

    cameras = [Camera(Circle(anywhere(), random.choice((300.0, 5e3, 5e4, 2e5))), "PTZ") for _ in range(360)]
    cameras += [Camera(Circle(around(0.02), random.uniform(200, 900)), "PTZ", f"cam-{n}") for n in range(40)]
    demand = [Demand(anywhere() if n % 3 else around(2.0), random.randint(1, 9)) for n in range(500)]
    return MapScene(
        tuple(demand),
        tuple(cameras),
        (Mark(Point(-1.28, 36.8), "◌", "accent"),),
        here,
        "Brussels",
        cameras[-1],
    )


async def show(target: Path) -> None:
    """Step and write down what each cost. Runs in the child."""
    from textual.app import App, ComposeResult
    from textual.geometry import Region
    from textual.strip import Strip
    from textual.widget import Widget

    from luxxon_tui.map.projection import View
    from luxxon_tui.map.widget import MapView
    from luxxon_tui.themes import textual_themes

    class Ready(Widget):
        """Two fields of rows that were made before, in turn."""

        DEFAULT_CSS = "Ready { width: 1fr; height: 1fr; }"
        fields: list[list[Strip]]
        turn = 0

        def render_lines(self, crop: Region) -> list[Strip]:
            self.turn += 1
            return self.fields[self.turn % len(self.fields)][crop.y : crop.bottom]

    class Stage(App[None]):
        def __init__(self, kind: type[Widget]) -> None:
            super().__init__()
            self.kind = kind
            self.costs: dict[str, list[float]] = {}
            for theme in textual_themes():
                self.register_theme(theme)
            self.theme = "luxxon-dark"

        def compose(self) -> ComposeResult:
            yield self.kind()

        def on_ready(self) -> None:
            self.run_worker(self.play())

        async def drawn(self, name: str, change: Callable[[], object]) -> None:
            """What a change costs until its output is queued: all that the loop does meanwhile."""
            began = time.thread_time()
            change()
            await asyncio.sleep(PAUSE)
            self.costs.setdefault(name, []).append((time.thread_time() - began) * 1000)

        async def play(self) -> None:
            stage = self.query_one(self.kind)
            if isinstance(stage, MapView):
                await self.walk(stage)
            elif isinstance(stage, Ready):
                for _ in range(STEPS):
                    await self.drawn("limit", stage.refresh)
                if stage.turn < STEPS:
                    raise SystemExit("rows were not drawn at each step")
            self.exit()

        async def walk(self, stage: MapView) -> None:
            await stage.loaded.wait()
            busy = scene()
            stage.show(busy)
            assert busy.chosen is not None
            for name, size in SCALES.items():
                stage._go(View.around(busy.chosen, size, COLUMNS, ROWS))
                stage.refresh()
                await asyncio.sleep(0.1)
                before = stage.painted
                for step in range(STEPS):
                    way = 4 if step < STEPS // 2 else -4
                    await self.drawn(name, lambda way=way: stage.action_pan(way, 2 if way > 0 else -2))
                if stage.painted - before < STEPS:
                    raise SystemExit("the map was not drawn at each step")

    from luxxon_tui.map.painter import Painter
    from luxxon_tui.picture.strip import RawStrip
    from luxxon_tui.themes import DARK

    painter = Painter()
    Ready.fields = []
    here = scene().chosen
    assert here is not None
    for shift in (0, 4):
        picture = painter.paint(scene(), View.around(here, SCALES["world"], COLUMNS, ROWS).moved(shift, 0))
        Ready.fields.append(
            [RawStrip(picture.ansi(y, DARK), COLUMNS, lambda: []) for y in range(picture.rows)]
        )
    costs: dict[str, list[float]] = {}
    for kind in (Ready, MapView):
        stage = Stage(kind)
        await stage.run_async()
        costs |= stage.costs
    await asyncio.to_thread(target.write_text, json.dumps(costs))


def measured(target: Path) -> tuple[dict[str, list[float]], int]:
    """What the child measured, and the bytes that it wrote."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.environ.pop("NO_COLOR", None)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execv(sys.executable, [sys.executable, __file__, "--show", str(target)])
    written, tail = 0, b""
    while True:
        try:
            output = os.read(terminal, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not output:
            break
        written += len(output)
        tail = (tail + output)[-2000:]
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    if status or not target.exists():
        raise SystemExit(f"the console failed:\n{tail.decode(errors='replace')}")
    return json.loads(target.read_text()), written


def main() -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        costs, written = measured(Path(folder) / "costs.json")
    limit = median(costs.pop("limit"))
    print(f"a step of the map at {COLUMNS}x{ROWS}, CPU; the limit paints rows that are ready: {limit:.2f} ms")
    print(f"{'view':10} {'median':>9} {'95 %':>9} {'ratio':>8}   budget {BUDGET_MS:.0f} ms")
    for name, each in costs.items():
        middle, high = median(each), quantiles(each, n=20)[-1]
        verdict = "kept" if middle <= BUDGET_MS else "NOT KEPT"
        print(f"{name:10} {middle:6.2f} ms {high:6.2f} ms {middle / limit:7.1f}x   {verdict}")
    print(f"{written / ((len(costs) + 1) * STEPS) / 1000:.0f} kB written a step")

    from luxxon_tui.map.gazetteer import gazetteer

    began = time.thread_time()
    found = gazetteer()
    loaded = (time.thread_time() - began) * 1000
    worst = 0.0
    for word in ("brussels", "sao paulo", "san francisco", "londno", "new york", "münchen", "xyzzyq"):
        for end in range(1, len(word) + 1):
            began = time.thread_time()
            found.search(word[:end])
            worst = max(worst, (time.thread_time() - began) * 1000)
    print(f"finding a place: read in {loaded:.0f} ms, slowest key stroke {worst:.1f} ms, budget 50 ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        asyncio.run(show(Path(sys.argv[2])))
    else:
        main()
