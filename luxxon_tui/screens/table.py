"""Which screens there are. A row here is all that a screen needs to have a tab, a number key and its place in
the palette; a key keeps its screen whether the others exist or not."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from luxxon_tui.widgets.header import Tab

if TYPE_CHECKING:
    from textual.screen import Screen

    from luxxon_tui.screens.pane import ScreenPane


class Entry(NamedTuple):
    key: str
    name: str
    at: str
    """``module:class``; imported when it is first shown."""
    does: str
    """For ``?`` and the palette."""

    @property
    def mode(self) -> str:
        return self.name.lower()

    def load(self) -> type[ScreenPane]:
        """The class."""
        module, _, name = self.at.partition(":")
        found: type[ScreenPane] = getattr(import_module(module), name)
        return found


SCREENS = (
    Entry("1", "Map", "luxxon_tui.screens.map:MapScreen", "Choose a place, and see who covers it"),
    Entry("2", "Live", "luxxon_tui.screens.live:LiveScreen", "Watch a session and see what it costs"),
    Entry("3", "Sessions", "luxxon_tui.screens.sessions:SessionsScreen", "All sessions, with their receipts"),
    Entry("4", "Cameras", "luxxon_tui.screens.cameras:CamerasScreen", "Cameras here: look, move, go online"),
    Entry("5", "Wallet", "luxxon_tui.screens.wallet:WalletScreen", "Balances, top-up, ledger"),
    Entry("6", "Activity", "luxxon_tui.screens.activity:ActivityScreen", "What happened, newest first"),
    Entry("7", "Workspace", "luxxon_tui.screens.workspace:WorkspaceScreen", "Members, API keys, devices"),
)

FIRST_START: str | None = "luxxon_tui.screens.first_start:FirstStart"
"""``module:class`` of the screen that stands over a console which has no profile yet; without one such a
console opens a marketplace of its own. It ends with ``console_app.open_profile``."""


def first_start() -> Screen[None] | None:
    """The screen for a console without any profile."""
    if FIRST_START is None:
        return None
    module, _, name = FIRST_START.partition(":")
    made: Screen[None] = getattr(import_module(module), name)()
    return made


def tabs() -> list[Tab]:
    """The tabs of the header."""
    return [Tab(entry.key, entry.name) for entry in SCREENS]


def entry_of(mode: str) -> Entry | None:
    """The row of a screen, by its name in lower case."""
    return next((entry for entry in SCREENS if entry.mode == mode), None)
