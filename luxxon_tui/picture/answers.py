"""What a terminal answers, taken out of its input before that is read as keys.

An answer that nobody takes out becomes keystrokes: ``ESC [ ? 6 2 ; 4 c`` would open the help and change the
screen. So answers are taken whenever they come, asked for or not, whole or in pieces, on time or late; what
never ends is thrown away.

Sources: kitty graphics protocol ("Querying support"), ECMA-48 §5.4 and §8.3.24, xterm's control sequences
(DA1, XTVERSION, window operations 14 and 16).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

QUERY_ID = 4_201
"""The image that is asked about and never stored."""

_STRING = r"\x1b(?:_G|P>\|)"
_WHOLE = re.compile(
    r"\x1b_G(?P<kitty>[^\x1b\x07]*)(?:\x1b\\|\x07)"
    r"|\x1bP>\|(?P<name>[^\x1b\x07]*)(?:\x1b\\|\x07)"
    r"|\x1b\[\?(?P<attributes>[\d;]{1,80})c"
    r"|\x1b\[(?P<which>[46]);(?P<high>\d{1,5});(?P<wide>\d{1,5})t"
)
_BEGUN = re.compile(
    _STRING + r"[^\x1b\x07]*\x1b?\Z"
    r"|\x1b(?:_|P>?|\[(?:\?[\d;]{0,80}|[46](?:;\d{0,5}){0,2})?)?\Z"
)
_BROKEN = re.compile(_STRING + r"[^\x1b\x07]*(?=\x1b[^\\])")
"""A string that another sequence breaks off (ECMA-48 §5.6: only its terminator may follow)."""
_SURELY = re.compile(_STRING + r"|\x1b\[\?")
_MOST = 4_096
"""Characters of an unfinished answer that are kept; of a longer one only its end matters."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of a terminal; None is what it has not said."""

    kitty: bool | None = None
    """Whether it takes images by kitty's protocol."""
    sixel: bool | None = None
    name: str | None = None
    """Name and version in its own words: ``kitty(0.35.2)``."""
    cell: tuple[int, int] | None = None
    """Pixels of a cell: across, down."""
    area: tuple[int, int] | None = None
    """Pixels of the whole text area."""


class AnswerFilter:
    """Takes answers out of a stream of input. ``known`` is what they said, all together."""

    def __init__(self) -> None:
        self.known = Answers()
        self._held = ""

    @property
    def holding(self) -> bool:
        """Whether the input has ended in the middle of what may be an answer."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """The input without answers; what may be the beginning of one waits for the next call."""
        text, self._held = self._held + text, ""
        if "\x1b" not in text:
            return text
        text = _BROKEN.sub("", _WHOLE.sub(self._take, text))
        begun = _BEGUN.search(text)
        if begun is None:
            return text
        self._held = begun[0] if len(begun[0]) <= _MOST else begun[0][:4] + begun[0][-80:]
        return text[: begun.start()]

    def give_up(self) -> str:
        """What was held back, as nothing followed: a key such as Escape; half an answer is thrown away."""
        held, self._held = self._held, ""
        return "" if _SURELY.match(held) else held

    def _take(self, match: re.Match[str]) -> str:
        known = self.known
        if (kitty := match["kitty"]) is not None:
            head, _, said = kitty.partition(";")
            if f"i={QUERY_ID}" in head.split(","):
                known = replace(known, kitty=said == "OK")
        elif (name := match["name"]) is not None:
            known = replace(known, name=name[:80])
        elif (attributes := match["attributes"]) is not None:
            known = replace(known, sixel="4" in attributes.split(";")[1:])
        else:
            size = int(match["wide"]), int(match["high"])
            if min(size) > 0:
                known = replace(known, cell=size) if match["which"] == "6" else replace(known, area=size)
        self.known = known
        return ""
