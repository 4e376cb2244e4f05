"""A screen over another one, which stays to be seen in darker colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen

T = TypeVar("T")


@lru_cache(1 << 14)
def _under(style: Style, tint: Color) -> Style:
    plain = style.clear_meta_and_links()
    ink, paper = (
        None if colour is None else (Color.from_rich_color(colour) + tint).rich_color
        for colour in (style.color, style.bgcolor)
    )
    return plain + Style.from_color(ink, paper)


class Under(BackgroundScreen):
    """What Textual draws, with each colour computed once: a map has thousands of differently coloured cells,
    and is drawn again each time that something moves in front of it."""

    @classmethod
    def process_segments(cls, segments: Iterable[Segment], color: Color) -> Iterator[Segment]:
        nothing = Style()
        for segment in segments:
            text, style, control = segment
            yield segment if control else Segment(text, _under(style or nothing, color))


class Modal(ModalScreen[T]):
    """A modal screen whose translucent background costs little."""

    def render(self) -> RenderableType:
        drawn = super().render()
        return Under(drawn.screen, drawn.color) if isinstance(drawn, BackgroundScreen) else drawn
