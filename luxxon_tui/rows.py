"""Rows of text in named colours: what every panel is made of.

Panels are pure functions from figures to rows; a row knows roles, not colours, so that it can be measured and
tested without a terminal, and drawn in any theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from luxxon_core.kernel.text import plain
from luxxon_tui.themes import Palette


class Span(NamedTuple):
    """A piece of text in a role of the palette.

    ``on`` is the role behind it (the row's ground if None), ``action`` a Textual action run by a click,
    ``link`` an address that the terminal itself opens (OSC 8), on the user's machine even over SSH.
    """

    text: str
    role: str = "text"
    bold: bool = False
    on: str | None = None
    action: str | None = None
    link: str | None = None


Row: TypeAlias = tuple[Span, ...]

EMPTY: Row = ()


def row(*spans: Span | Row | str) -> Row:
    """Spans, rows and plain text (role ``text``) joined into one row."""
    return tuple(_flat(spans))


def _flat(spans: Iterable[Span | Row | str]) -> Iterator[Span]:
    for span in spans:
        if isinstance(span, str):
            yield Span(span)
        elif isinstance(span, Span):
            yield span
        else:
            yield from span


def width_of(spans: Row) -> int:
    """Cells that a row takes."""
    return sum(cell_len(span.text) for span in spans)


def spread(width: int, left: Row, right: Row = EMPTY) -> Row:
    """``left`` and ``right`` at the two edges of ``width`` cells.

    When both do not fit with a space between, the left is cut with an ellipsis: figures stand at the right.
    """
    space = width - width_of(right)
    if width_of(left) >= space:
        left = cut(left, max(0, space - 1) if right else space)
    return (*left, Span(" " * (space - width_of(left))), *cut(right, width))


def cut(spans: Row, width: int) -> Row:
    """A row no wider than ``width``, with an ellipsis where something was left out."""
    if width_of(spans) <= width:
        return spans
    kept: list[Span] = []
    left = width - 1
    for span in spans:
        if cell_len(span.text) > left:
            if left >= 0:
                kept.append(span._replace(text=set_cell_size(span.text, left) + "…"))
            break
        kept.append(span)
        left -= cell_len(span.text)
    return tuple(kept)


def section(width: int, title: str, fact: Row = EMPTY, *, focused: bool = False) -> Row:
    """The line that opens a section: bold title, hairline to the edge, a fact at the right.

    Focus turns title and line to accent and shifts nothing.
    """
    fact = cut(fact, max(0, width - cell_len(title) - 2))
    line = width - cell_len(title) - 1 - (width_of(fact) + 1 if fact else 0)
    return row(
        Span(title, "accent" if focused else "text", bold=True),
        " ",
        Span("─" * max(0, line), "accent" if focused else "line"),
        row(" ", fact) if fact else EMPTY,
    )


@lru_cache(4096)
def _style(colour: str, ground: str, bold: bool, action: str | None = None, link: str | None = None) -> Style:
    style = Style(color=colour, bgcolor=ground, bold=bold, link=link)
    return style + Style.from_meta({"@click": action}) if action else style


def strip_of(spans: Row, palette: Palette, width: int | None = None, ground: str = "bg") -> Strip:
    """A row as a strip on ``ground``, filled up or cut to ``width`` cells when one is given."""
    segments = [
        Segment(
            plain(span.text),
            _style(
                getattr(palette, span.role),
                getattr(palette, span.on or ground),
                span.bold,
                span.action,
                plain(span.link) if span.link else None,
            ),
        )
        for span in (spans if width is None else cut(spans, width))
        if span.text
    ]
    strip = Strip(segments)
    if width is None:
        return strip
    return strip.adjust_cell_length(width, _style(palette.text, getattr(palette, ground), False))


def first_fit(width: int, *variants: Row) -> Row:
    """The first variant that fits, from the fullest to the barest; the last one is cut if it must be."""
    return next((each for each in variants if width_of(each) <= width), cut(variants[-1], width))


def figure(number: str, unit: str, *, role: str = "text", unit_width: int = 0, bold: bool = False) -> Row:
    """A number and its muted unit, padded so that numbers align above each other."""
    return Span(number, role, bold), Span(f" {unit:<{unit_width}}", "muted")


def stated(span: Span) -> Row:
    """A state as the fact of a section: the glyph in its colour, the word plain unless it is faint."""
    glyph, word = span.text[:1], span.text[1:]
    return row(Span(glyph, span.role), Span(word, span.role if span.role in ("faint", "muted") else "text"))
