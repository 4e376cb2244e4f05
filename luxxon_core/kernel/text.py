"""Text that people give to things: names, labels, descriptions."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: Persian and Indic words need them, and so do emoji of several people."""


def is_line(text: str) -> bool:
    """Whether all of it is to be seen on one line: letters, marks, numbers, punctuation and symbols (Unicode
    general categories), blanks of any width, and joiners behind a first character. Controls, line ends and
    what turns the writing's direction are not."""
    return not text.strip().startswith(tuple(JOINERS)) and all(
        one.isprintable() or one in JOINERS or unicodedata.category(one) == "Zs" for one in text
    )
