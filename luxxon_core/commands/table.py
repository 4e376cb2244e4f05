"""Tables of text: columns as wide as they have to be, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence

from luxxon_core.kernel.text import plain

GAP = "  "
NAMES = 10
"""Characters of the names of :func:`facts`."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Lines without trailing blanks; ``right`` are the columns that end at one edge. Others have written what
    is in them: a terminal obeys none of it."""
    lines = [head, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        GAP.join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    )


def facts(*named: tuple[str, str]) -> str:
    """Lines of a name and a value, likewise."""
    return "\n".join(f"{name:{NAMES}}{plain(value)}" for name, value in named)
