"""Paths as aiohttp's router takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARAMETER = re.compile(r"\{(\w+)\}")


def unambiguous(path: str, paths: Iterable[str]) -> str:
    """``path`` with parameters that do not match the words which other paths have at that place.

    ``/sessions/{id}`` would match ``/sessions/open`` too, and answer for its wrong methods: with a 404 for a
    session of that name in place of a 405 that allows what can be done there.
    """
    parts = path.split("/")
    others = [other.split("/") for other in paths]
    for place, part in enumerate(parts):
        if (found := _PARAMETER.fullmatch(part)) is None:
            continue
        before = path.split("/")[:place]
        words = {
            other[place]
            for other in others
            if len(other) > place and other[:place] == before and not _PARAMETER.fullmatch(other[place])
        }
        if words:
            excluded = "|".join(re.escape(word) for word in sorted(words))
            parts[place] = f"{{{found[1]}:(?!(?:{excluded})(?:/|$))[^/]+}}"
    return "/".join(parts)
