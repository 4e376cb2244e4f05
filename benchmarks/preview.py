"""CPU per frame of the live picture, against the row encoder alone in the same run.

The limit scales a 720p frame and turns every cell of it into ANSI, in a tight loop, with nothing around it.
The console is a process of its own that shows the same frames at 30 a second in a pseudo terminal; its figure
is all the CPU time of that process, Textual, threads and the kernel's share of writing included.

Run: ``python benchmarks/preview.py``. Budget: 2.5 ms at 80x24 and 4 ms at 200x50, in half-blocks.
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
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_tui.picture.drivers import CellDriver

RATE = 30
FRAMES = 150
WARM_UP = 10
CASES = (
    ("half-blocks", 80, 24, 2.5),
    ("half-blocks", 200, 50, 4.0),
    ("quadrants", 80, 24, None),
    ("quadrants", 120, 36, None),
)


def frames(count: int = 30) -> list[VideoFrame]:
    """A camera that pans over a smooth scene, with sensor noise: every cell changes in every frame."""
    import numpy as np
    from av import VideoFrame
    from PIL import Image

    random = np.random.default_rng(7)
    coarse = Image.fromarray(random.integers(0, 256, (48, 80, 3), dtype=np.uint8))
    scene = np.asarray(coarse.resize((1600, 960), Image.Resampling.BICUBIC)).astype(np.int16)
    shown = []
    for number in range(count):
        left, top = 10 * number, 6 * number
        noisy = scene[top : top + 720, left : left + 1280] + random.integers(-8, 9, (720, 1280, 1), np.int16)
        frame = VideoFrame.from_ndarray(noisy.clip(0, 255).astype(np.uint8), format="rgb24")
        shown.append(frame.reformat(format="yuv420p"))
    return shown


def painter(name: str) -> CellDriver:
    from luxxon_tui.picture.halfblock import HalfBlocks
    from luxxon_tui.picture.quadrant import Quadrants

    return HalfBlocks() if name == "half-blocks" else Quadrants()


def limit_ms(name: str, columns: int, rows: int) -> float:
    """CPU of scaling and encoding one frame, every cell drawn."""
    from luxxon_tui.picture.ansi import ansi_text
    from luxxon_tui.picture.source import Scaler

    driver, scaler = painter(name), Scaler()
    across, down = driver.scale
    starts = [""] * rows

    def encode(frame: VideoFrame) -> str:
        return ansi_text(*driver.split(scaler.pixels(frame, columns * across, rows * down)), starts)

    every = frames()
    for frame in every:
        encode(frame)
    began = time.process_time()
    for _ in range(3):
        for frame in every:
            encode(frame)
    return (time.process_time() - began) / (3 * len(every)) * 1000


async def show(name: str, target: Path) -> None:
    """Show the frames in this terminal and write down what they cost. Runs in the child."""
    from textual.app import App, ComposeResult

    from luxxon_tui.themes import textual_themes
    from luxxon_tui.widgets import picture

    if name == "half-blocks":
        picture.FINE_CELLS = 0

    class Preview(App[None]):
        CSS = "Picture { height: 100%; }"

        def __init__(self) -> None:
            super().__init__()
            for theme in textual_themes():
                self.register_theme(theme)
            self.theme = "luxxon-dark"

        def compose(self) -> ComposeResult:
            yield picture.Picture()

        def on_ready(self) -> None:
            self.run_worker(self.play())

        async def play(self) -> None:
            shown, every = self.query_one(picture.Picture), frames()
            drawn = 0
            for number in range(-WARM_UP, FRAMES):
                if number == 0:
                    cpu, began, drawn = time.process_time(), time.perf_counter(), 0
                drawn += shown.show(every[number % len(every)])
                due = (began if number >= 0 else time.perf_counter()) + (max(number, 0) + 1) / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            figures = {"ms": cpu / FRAMES * 1000, "fps": drawn / took, "driver": shown.driver_name}
            await asyncio.to_thread(target.write_text, json.dumps(figures))
            self.exit()

    await Preview().run_async()


def console_ms(name: str, columns: int, rows: int, target: Path) -> tuple[dict[str, float], int]:
    """What the child measured, and the bytes it wrote a frame."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.environ.pop("NO_COLOR", None)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execv(sys.executable, [sys.executable, __file__, "--show", name, str(target)])
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
    return json.loads(target.read_text()), written // (FRAMES + WARM_UP)


def main() -> None:
    from tempfile import TemporaryDirectory

    print("picture                 console     limit   ratio   budget   fps   kB a frame")
    with TemporaryDirectory() as folder:
        for name, columns, rows, budget in CASES:
            limit = limit_ms(name, columns, rows)
            figures, written = console_ms(name, columns, rows, Path(folder) / "figures.json")
            bound = f"{budget:.1f} ms" if budget else "-"
            print(
                f"{name:11} {columns:>3}x{rows:<3} {figures['ms']:8.2f} ms {limit:6.2f} ms "
                f"{figures['ms'] / limit:6.1f}x {bound:>8} {figures['fps']:5.1f} {written / 1000:8.0f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        asyncio.run(show(sys.argv[2], Path(sys.argv[3])))
    else:
        main()
