"""CPU per frame of the live picture: beside the row encoder alone, and beside mpv and timg on the same clip.

The limit scales a 720p frame and turns every cell of it into ANSI, in a tight loop, with nothing around it.
The console is a process of its own that shows the same frames at 30 a second in a pseudo terminal; its figure
is all the CPU time of that process, Textual, threads and the kernel's share of writing included.

mpv (``--vo=tct``) and timg (``-ph``) play the same frames, at the same rate, in the same field of cells:
their figure is what a longer clip costs more than a shorter one, so that starting does not count. They
decode, the console here does not: the ratio is given against all that they do, and against that less
decoding.

Then, in percent of a core, the console itself: its wall with eight sessions at 10 fps each, of frames that
are decoded already; and doing nothing while it is connected to a marketplace of its own in which nothing
happens. And the first paint.

Run: ``python benchmarks/preview.py``. Budget: 2.5 ms at 80x24 and 4 ms at 200x50, in half-blocks; at most
60 % of mpv's and 1.3 times timg's; 40 % of a core for the wall, 1 % for the idle console, 0.7 s to the
first paint.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import shutil
import statistics
import struct
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from startup import paint  # noqa: E402

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_tui.picture.drivers import PictureDriver

RATE = 30
FRAMES = 150
WARM_UP = 10
CASES = (
    ("half-blocks", 80, 24, 2.5),
    ("half-blocks", 200, 50, 4.0),
    ("quadrants", 80, 24, None),
    ("quadrants", 120, 36, None),
    ("kitty", 80, 24, None),
    ("kitty", 200, 50, None),
    ("sixel", 80, 24, None),
    ("sixel", 200, 50, None),
)
CELL = (10, 20)
"""Pixels of a cell, for drivers that draw pixels."""
PLAYERS = {
    "mpv": ("mpv", "--no-config", "--really-quiet", "--no-audio", "--vo=tct", "--vo-tct-algo=half-blocks",
            "--vd-lavc-threads=1", "--vo-tct-width={columns}", "--vo-tct-height={rows}", "{clip}"),
    "timg": ("timg", "-ph", "-V", "-g{columns}x{rows}", "{clip}"),
}  # fmt: skip
SHARES = {"mpv": 0.6, "timg": 1.3}
"""What half-blocks may cost at most of a player's cost."""
WALL, WALL_RATE, WALL_SECONDS = 8, 10, 10
IDLE_SECONDS, SETTLED_SECONDS = 20, 30
"""How long the idle console is watched, and how long before that it has to connect and to load."""


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


def painter(name: str, columns: int, rows: int) -> PictureDriver:
    from luxxon_tui.picture.halfblock import HalfBlocks
    from luxxon_tui.picture.kitty import Kitty
    from luxxon_tui.picture.quadrant import Quadrants
    from luxxon_tui.picture.sixel import Sixel

    if name == "kitty":
        return Kitty(columns, rows, CELL)
    if name == "sixel":
        return Sixel(columns, rows, CELL)
    return HalfBlocks() if name == "half-blocks" else Quadrants()


def limit_ms(name: str, columns: int, rows: int) -> float:
    """CPU of scaling and encoding one frame, every cell drawn."""
    from luxxon_tui.picture.source import Scaler

    driver, scaler = painter(name, columns, rows), Scaler()
    every_row = list(range(rows))

    def encode(frame: VideoFrame) -> str:
        driver.paint(scaler.pixels(frame, *driver.size(columns, rows)))
        return driver.draw(every_row, 0, 0)

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
    from textual.drivers.linux_driver import LinuxDriver

    from luxxon_tui.context import ConsoleContext
    from luxxon_tui.picture import choice
    from luxxon_tui.picture.answering import AnsweringDriver, driver_for
    from luxxon_tui.picture.probe import Graphics
    from luxxon_tui.themes import textual_themes
    from luxxon_tui.widgets import picture

    if name == "half-blocks":
        picture.FINE_CELLS = choice.FINE_CELLS = 0

    class Preview(App[None]):
        CSS = "Picture { height: 100%; }"

        def __init__(self) -> None:
            super().__init__(driver_class=driver_for(LinuxDriver))
            protocol = name if name in ("kitty", "sixel") else "cells"
            self.facts = ConsoleContext(preview=protocol)
            for theme in textual_themes():
                self.register_theme(theme)
            self.theme = "luxxon-dark"

        def compose(self) -> ComposeResult:
            yield picture.Picture()

        def on_ready(self) -> None:
            self.run_worker(self.play())

        async def play(self) -> None:
            shown, every = self.query_one(picture.Picture), frames()
            measured = Graphics(cell=CELL, measured=True)
            if name == "sixel" and isinstance(self._driver, AnsweringDriver):
                self._driver.graphics = measured  # no terminal is there to tell
            drawn = 0
            for number in range(-WARM_UP, FRAMES):
                if number == 0:
                    cpu, began, drawn = time.process_time(), time.perf_counter(), 0
                drawn += shown.show(every[number % len(every)])
                due = (began if number >= 0 else time.perf_counter()) + (max(number, 0) + 1) / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            figures = {
                "ms": cpu / FRAMES * 1000,
                "fps": drawn / took,
                "core": cpu / took,
                "driver": shown.driver_name,
            }
            await asyncio.to_thread(target.write_text, json.dumps(figures))
            self.exit()

    await Preview().run_async()


async def show_wall(target: Path) -> None:
    """The console with its wall, and what that costs. Runs in the child."""
    from datetime import timedelta

    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.kernel.geo import Point
    from luxxon_tui.app import ConsoleApp
    from luxxon_tui.screens.wall import WallScreen
    from luxxon_tui.store import Readiness, Store
    from luxxon_tui.video import Stream
    from luxxon_tui.views import SessionView
    from luxxon_tui.widgets.picture import Picture

    every = frames()

    class Decoded:
        """Frames at the rate that the wall gives to each of eight."""

        def __init__(self) -> None:
            self._number, self._due = 0, time.perf_counter()

        async def frame(self) -> VideoFrame:
            now = time.perf_counter()
            self._due = max(self._due, now - 1 / WALL_RATE) + 1 / WALL_RATE  # the newest, never an older one
            await asyncio.sleep(max(0.0, self._due - now))
            self._number += 1
            return every[self._number % len(every)]

        def stream(self) -> Stream:
            return Stream(1280, 720, "vp8", "WHEP", WALL_RATE, 1_400_000, 0, 40)

        async def close(self) -> None:
            """There is nothing to leave."""

    store, now = Store(), utc_now()
    store.readiness.set(Readiness.READY)
    store.put(
        *(
            SessionView(
                f"{n}", "LIVE", now, 300, 1000, 300_000, requested=Point(50 + n / 10, 4),
                started_at=now - timedelta(seconds=n), elapsed_ms=9000, billed=True,
            )
            for n in range(WALL)
        )
    )  # fmt: skip

    class Walled(ConsoleApp):
        def on_ready(self) -> None:
            self.run_worker(measured())

    app = Walled(store=store, first="live", open_video=Decoded)
    app.alone = True

    async def measured() -> None:
        await asyncio.sleep(5)
        await app.run_action("screen.wall")
        await asyncio.sleep(3)
        cpu, began = time.process_time(), time.perf_counter()
        drawn = sum(each.drawn for each in app.screen.query(Picture))
        await asyncio.sleep(WALL_SECONDS)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        drawn = sum(each.drawn for each in app.screen.query(Picture)) - drawn
        assert isinstance(app.screen, WallScreen) and len(app.screen.query(Picture)) == WALL
        figures = {"core": cpu / took, "fps": drawn / took / WALL}
        await asyncio.to_thread(target.write_text, json.dumps(figures))
        app.exit()

    await app.run_async()


def console_ms(name: str, columns: int, rows: int, target: Path) -> tuple[dict[str, Any], int]:
    """What the child measured, and the bytes it wrote a frame."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.environ.pop("NO_COLOR", None)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execv(sys.executable, [sys.executable, __file__, "--show", name, str(target)])
    target.unlink(missing_ok=True)
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


def clip(target: Path, seconds: int) -> Path:
    """The frames as a file, for players."""
    import av

    path, every = target / f"{seconds}.mp4", frames()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1280, 720, "yuv420p", 8_000_000
        for number in range(seconds * RATE):
            frame = every[number % len(every)]
            frame.pts = None
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def decoding_ms(path: Path) -> float:
    """CPU of decoding a frame of the clip, in one thread."""
    import av

    with av.open(str(path)) as file:
        file.streams.video[0].thread_type = "NONE"
        began = time.process_time()
        count = sum(1 for _ in file.decode(video=0))
    return (time.process_time() - began) / count * 1000


def run(command: list[str], columns: int, rows: int) -> float:
    """CPU seconds of a program in a terminal of this size, until it ends."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows + 1, columns, 0, 0))
        os.execvp(command[0], command)
    _drained(terminal, 60)
    _, _, used = os.wait4(child, 0)
    os.close(terminal)
    return used.ru_utime + used.ru_stime


def player_ms(name: str, short: Path, long: Path, columns: int, rows: int) -> float:
    """What a frame more costs a player."""
    each = [
        run([part.format(columns=columns, rows=rows, clip=path) for part in PLAYERS[name]], columns, rows)
        for path in (short, long)
    ]
    return (each[1] - each[0]) / (4 * RATE) * 1000


def beside_players(folder: Path) -> None:
    """Half-blocks beside programs that do nothing but play."""
    short, long = clip(folder, 2), clip(folder, 6)
    decoding = decoding_ms(long)
    print(f"\nhalf-blocks beside players of the same clip (decoding alone: {decoding:.2f} ms a frame)")
    for columns, rows in ((80, 24), (200, 50)):
        figures, _ = console_ms("half-blocks", columns, rows, folder / "figures.json")
        for name in PLAYERS:
            if shutil.which(PLAYERS[name][0]) is None:
                print(f"{columns:>3}x{rows:<3} {name}: not installed (.ci/players)")
                continue
            whole = player_ms(name, short, long, columns, rows)
            drawing = max(whole - decoding, 0.01)
            print(
                f"{columns:>3}x{rows:<3} console {figures['ms']:5.2f} ms, {name:4} {whole:5.2f} ms: "
                f"{figures['ms'] / whole:4.2f} x (limit {SHARES[name]:.1f}), "
                f"{figures['ms'] / drawing:4.2f} x less decoding"
            )


def console_shares(folder: Path) -> None:
    """What the console takes of a core when it shows much, and when it shows nothing."""
    wall, _ = console_ms("wall", 200, 50, folder / "figures.json")
    print(
        f"\nwall of {WALL} at {WALL_RATE} fps, 200x50: {wall['core'] * 100:5.1f} % of a core "
        f"(limit 40), {wall['fps']:.1f} fps"
    )
    print(f"idle console: {idle(folder) * 100:5.2f} % of a core over {IDLE_SECONDS} s (limit 1)")
    first = statistics.median(paint([sys.executable, "-m", "luxxon_core"]) for _ in range(3))
    print(f"start to first paint: {first * 1000:5.0f} ms (limit 700)")


def idle(folder: Path) -> float:
    """Share of a core of a console on a marketplace of its own in which nothing happens; that runs in
    processes of its own, which do not count."""
    import psutil

    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": str(folder)}
        os.environ |= {"LUXXON_CONSOLE_FILE": str(folder / "luxxon.toml"), "XDG_DATA_HOME": str(folder)}
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        os.execv(sys.executable, [sys.executable, "-m", "luxxon_core", "--profile", "embedded"])
    process, said = psutil.Process(child), b""

    def spent() -> float:
        times = process.cpu_times()
        return times.user + times.system

    before, connected = 0.0, False
    began = time.perf_counter()
    while time.perf_counter() - began < SETTLED_SECONDS + IDLE_SECONDS:
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 1 << 16)
        connected = connected or b"USDC" in said
        if not before and time.perf_counter() - began >= SETTLED_SECONDS:
            before = spent()
    used = spent() - before
    os.write(terminal, b"q")
    _drained(terminal, 20)
    process.terminate() if process.is_running() else None
    os.waitpid(child, 0)
    os.close(terminal)
    if not connected:
        raise SystemExit("the idle console did not connect")
    return used / IDLE_SECONDS


def _drained(terminal: int, seconds: float) -> None:
    """Read until the other end is closed."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                if not os.read(terminal, 1 << 16):
                    return
            except OSError:
                return


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
                f"{'' if figures['driver'] == name else '   drawn in ' + str(figures['driver'])}"
            )
        beside_players(Path(folder))
        console_shares(Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        target = Path(sys.argv[3])
        asyncio.run(show_wall(target) if sys.argv[2] == "wall" else show(sys.argv[2], target))
    else:
        main()
