"""Which way pictures can go to this terminal: what to ask, when not to, and what the answers mean.

Nothing here waits for a terminal. The picture starts in cells; an answer, whenever it comes, may change that.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from luxxon_tui.picture.answers import QUERY_ID, Answers

CELLS, KITTY, KITTY_PLACED, SIXEL = "cells", "kitty", "kitty-placed", "sixel"

SETTINGS: Final = ("auto", "cells", "half-blocks", "kitty", "kitty-placed", "sixel")
"""Values of the setting ``preview``."""

QUERY_KITTY = f"\x1b_Gi={QUERY_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
QUERY_REST = "\x1b[>q\x1b[16t\x1b[14t\x1b[c"
"""XTVERSION, size of a cell and of the text area, and DA1, which every terminal answers: so it comes last."""

CELL = (10, 20)
"""Pixels of a cell where the terminal has not told."""
CELL_MOST = 100
TMUX_SECONDS = 1.0
PLACEHOLDERS = {"kitty": (0, 28), "ghostty": (1, 0)}
"""Terminals that draw images over placeholder characters, and since which version."""
MANY = re.compile(r"|(?:xterm|screen|tmux|vt\d+|linux|ansi|rxvt|dumb)(?:-.*color)?")
"""Values of TERM that many different terminals use: nothing is remembered under them."""


@dataclass(frozen=True, slots=True)
class Graphics:
    """How to draw on this terminal."""

    protocol: str = CELLS
    cell: tuple[int, int] = CELL
    """Pixels of a cell: across, down."""
    tmux: bool = False
    """Whether sequences have to be wrapped to get through tmux."""
    far: bool = False
    """Whether the terminal is behind a network: pixels cost bandwidth."""
    measured: bool = False
    """Whether the terminal told ``cell`` since the start: sixel, which nobody scales, needs that."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment tells about the terminal."""

    in_tmux: bool = False
    far: bool = False
    name: str = ""
    """TERM, TERM_PROGRAM and its version, where they name one terminal; else empty."""
    askable: bool = True
    """Whether a question does no harm: a plain ``dumb`` or ``linux`` console would print it."""


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    """Read the environment."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    in_tmux = bool(environment.get("TMUX")) or term.startswith(("tmux", "screen"))
    told = not in_tmux and (bool(program) or not MANY.fullmatch(term))
    return Surroundings(
        in_tmux=in_tmux,
        far=bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY")),
        name="|".join((term, program, environment.get("TERM_PROGRAM_VERSION", ""))) if told else "",
        askable=term not in ("", "dumb", "linux") and program != "Apple_Terminal",
    )


def question(around: Surroundings, *, passes: bool) -> str:
    """What to write to the terminal; ``passes`` says whether tmux hands sequences on."""
    if not around.askable or (around.in_tmux and not passes):
        return ""
    if around.in_tmux:
        return wrapped(QUERY_KITTY) + wrapped("\x1b[>q") + "\x1b[16t\x1b[c"
    return QUERY_KITTY + QUERY_REST


def decide(known: Answers, around: Surroundings, cells: tuple[int, int]) -> Graphics:
    """How to draw on a terminal of ``cells`` columns and rows that has answered so.

    Inside tmux only placeholders are right: it moves, splits and redraws cells, and knows nothing of pixels.
    """
    cell, tmux, far = _cell(known, cells), around.in_tmux, around.far
    if known.kitty:
        if _draws_placeholders(known.name):
            return Graphics(KITTY, cell or CELL, tmux, far, cell is not None)
        if not tmux:
            return Graphics(KITTY_PLACED, cell or CELL, tmux, far, cell is not None)
    sixel = known.sixel and cell is not None and not tmux
    return Graphics(SIXEL if sixel else CELLS, cell or CELL, tmux, far, cell is not None)


def forced(setting: str, known: Graphics) -> Graphics:
    """What the user wants instead of what was found out."""
    protocol = known.protocol if setting == "auto" else setting
    if protocol == "half-blocks" or (protocol == SIXEL and not known.measured):
        protocol = CELLS
    return replace(known, protocol=protocol)


def _cell(known: Answers, cells: tuple[int, int]) -> tuple[int, int] | None:
    cell = known.cell
    if cell is None and known.area is not None and min(cells) > 0:
        cell = known.area[0] // cells[0], known.area[1] // cells[1]
    return cell if cell is not None and all(2 <= side <= CELL_MOST for side in cell) else None


def _draws_placeholders(name: str | None) -> bool:
    match = re.match(r"(\w+)\D*(\d+)\.(\d+)", name or "")
    if match is None:
        return False
    since = PLACEHOLDERS.get(match[1].lower())
    return since is not None and (int(match[2]), int(match[3])) >= since


def wrapped(sequence: str) -> str:
    """A sequence on its way through tmux to the terminal outside (tmux(1), ``allow-passthrough``)."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


async def tmux_passes() -> bool:
    """Whether the tmux around hands sequences on."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux", "show-options", "-Apv", "allow-passthrough",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    try:
        async with asyncio.timeout(TMUX_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(errors="replace").strip() in ("on", "all")


# -- what earlier starts found out


def memory() -> Path:
    """The file: in the user's cache folder."""
    import platformdirs

    return platformdirs.user_cache_path("luxxon", appauthor=False) / "terminals.json"


def recall(path: Path, name: str) -> Graphics | None:
    """What was found out about the terminal of this name; None where that is nothing that can be used."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))[name]
        protocol, (across, down) = kept["protocol"], kept["cell"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    cell = (across, down)
    if protocol not in (CELLS, KITTY, KITTY_PLACED, SIXEL) or not all(
        isinstance(side, int) and 2 <= side <= CELL_MOST for side in cell
    ):
        return None
    return Graphics(protocol, cell)


def remember(path: Path, name: str, found: Graphics) -> None:
    """Keep it for the next start; where it cannot be written nothing is lost."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if not isinstance(kept, dict):
        kept = {}
    new = {"protocol": found.protocol, "cell": list(found.cell)}
    if kept.get(name) == new:
        return
    kept[name] = new
    beside = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
