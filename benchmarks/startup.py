"""How soon the command line answers, the console paints and the marketplace is ready.

Each figure stands beside its limit and beside what the same machine needs, in the same run, for the least
that any such program does: starting Python, and painting an empty Textual application.
"""

from __future__ import annotations

import json
import os
import pty
import select
import statistics
import subprocess
import sys
import time

RUNS = 5
PAINTED = b"\x1b[?1049h"
"""The terminal's switch to the alternate screen; the first frame follows in the same write or the next."""
EMPTY_APP = "from textual.app import App; App().run()"


def command(arguments: list[str]) -> float:
    """Seconds until a command has ended."""
    begun = time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def paint(arguments: list[str]) -> float:
    """Seconds until a program has drawn its first frame in an 80x24 terminal; it is ended then."""
    begun = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", COLUMNS="80", LINES="24")
        os.execv(arguments[0], arguments)
    seen, shown = b"", 0.0
    while time.perf_counter() - begun < 20:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            if shown:
                break
            continue
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            break
        if not shown and len(seen.partition(PAINTED)[2]) > 400:
            shown = time.perf_counter() - begun
            break
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown


def ready() -> tuple[float, float]:
    """Seconds until a demo's server answered, and until the first frame after the WHIP POST."""
    arguments = [sys.executable, "-m", "luxxon_core", "demo", "--headless", "--json", "--seconds", "1"]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    timings = json.loads(done.stdout)["timings"]
    return timings["serverReadyMs"] / 1000, timings["firstFrameMs"] / 1000


def show(name: str, seconds: list[float], limit: float, least: float | None = None) -> None:
    median = statistics.median(seconds)
    beside = f", {median / least:4.1f} x the least of {least:.3f} s" if least else ""
    print(
        f"{name:34} {median:6.3f} s (min {min(seconds):.3f}, max {max(seconds):.3f})"
        f" of {limit:.1f} s: {median / limit:4.2f}{beside}"
    )


def main() -> None:
    python = [sys.executable]
    bare = statistics.median(command([*python, "-c", "pass"]) for _ in range(RUNS))
    show("luxxon --help", [command([*python, "-m", "luxxon_core", "--help"]) for _ in range(RUNS)], 0.3, bare)
    empty = statistics.median(paint([*python, "-c", EMPTY_APP]) for _ in range(RUNS))
    show("luxxon, first paint", [paint([*python, "-m", "luxxon_core"]) for _ in range(RUNS)], 0.7, empty)
    runs = [ready() for _ in range(3)]
    show("demo, server ready", [run[0] for run in runs], 4.0)
    show("demo, first frame after WHIP POST", [run[1] for run in runs], 1.5)


if __name__ == "__main__":
    main()
