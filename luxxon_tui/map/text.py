"""Names as they are compared: without case, accents or punctuation."""

from __future__ import annotations

import unicodedata

_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ı": "i",
        "ħ": "h",
        "ŋ": "n",
        "ə": "a",
    }
)  # letters of their own, that no decomposition takes apart
_SIGNS = {"M", "C"}


def fold(text: str) -> str:
    """``São Paulo`` and ``sao  paulo`` as one: compatibility forms, no case, marks, control characters or
    punctuation; single spaces."""
    plain = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    kept = []
    for sign in plain:
        kind = unicodedata.category(sign)
        if kind[0] in _SIGNS or sign in "'’ʻʼ`":
            continue
        kept.append(sign if kind[0] in "LN" else " ")
    return " ".join("".join(kept).split())
