"""Text that people give to things, and as it may stand on somebody else's terminal."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: Persian and Indic words need them, and so do emoji of several people."""

UNSEEN: dict[int, str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))),  # C0, DEL, C1: escape sequences are made of them
    **dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))),  # bidi, lines
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),  # cannot be written as UTF-8
}


def is_line(text: str) -> bool:
    """Whether all of it is to be seen on one line: letters, marks, numbers, punctuation and symbols (Unicode
    general categories), blanks of any width, and joiners behind a first character. Controls, line ends and
    what turns the writing's direction are not."""
    return not text.strip().startswith(tuple(JOINERS)) and all(
        one.isprintable() or one in JOINERS or unicodedata.category(one) == "Zs" for one in text
    )


def plain(text: str) -> str:
    """Text without what a terminal would obey, or read in another order (UAX 9): one line.

    What is left out takes no cells, so that a row stays as wide as it was measured.
    """
    return text if text.isprintable() else text.translate(UNSEEN)
