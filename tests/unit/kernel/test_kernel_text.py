"""Which names people may give."""

from __future__ import annotations

import pytest

from luxxon_core.kernel.text import is_line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Grand-Place 1",
        "Famille 👨‍👩‍👧",
        "می‌خواهم",
        "क्‍ष",
        "10\u00a0km",
        "日本　橋",
        "é e\u0301",
        "a\u202fb",
    ],
)
def test_words_of_every_writing_are_a_line(text: str) -> None:
    assert is_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "nul\0",
        "two\nlines",
        "tab\tbed",
        "\x1b[31mred",
        "line\u2028end",
        "paragraph\u2029end",
        "right\u202eto left",
        "is\u2066olate",
        "\u200donly a joiner first",
        " \u200c",
        "half \ud800",
        "private \ue000",
        "soft\u00adhyphen",
        "zero\u200bwidth",
    ],
)
def test_what_cannot_be_seen_or_turns_a_line_is_none(text: str) -> None:
    assert not is_line(text)
