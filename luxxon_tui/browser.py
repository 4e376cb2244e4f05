"""Pages of the web in the browser of whoever sits at the console, or in words where none would be seen."""

from __future__ import annotations

from collections.abc import Mapping

from luxxon_tui.picture.probe import surroundings
from luxxon_tui.rows import EMPTY, Row, Span, row

PIECE = 60
"""Characters of an address in one row."""


def within_reach(environment: Mapping[str, str], platform: str) -> bool:
    """Whether a browser that is opened here is seen: over SSH it would open on the other machine, and without
    a display one of text would take the console's own terminal.

    ``BROWSER`` is the user's word, and an editor's over SSH: it opens pages where the user sits.
    """
    if environment.get("BROWSER"):
        return True
    if surroundings(environment).far:
        return False
    displays = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return platform in ("darwin", "win32") or bool(displays)


def opened(url: str) -> bool:
    """Open a page; whether a browser has taken it. Blocks: some are waited for."""
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


def address_rows(url: str) -> list[Row]:
    """What to say instead; the terminal itself opens the address where it can (OSC 8)."""
    return [
        row(Span("Open it in a browser", "bright", bold=True), Span("  none opens here", "muted")),
        EMPTY,
        *(row(Span(url[at : at + PIECE], "data", link=url)) for at in range(0, len(url), PIECE)),
        EMPTY,
        row(Span("the address is copied", "muted")),
    ]
