"""An app that takes nothing for its own that a server, a camera or a plugin has made."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from textual.app import ScreenStackError

from luxxon_tui.rows import plain
from luxxon_tui.sized import SizedApp

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

LONGEST_TOAST = 600
"""Characters: what a server says of itself may be of any length."""


class WaryApp(SizedApp):
    """Quotes what others say, opens only pages of the web, and outlives the faults of a plugin's panel."""

    def _handle_exception(self, error: Exception) -> None:
        from luxxon_tui.widgets.plugin_panel import contained

        if not contained(error):  # else it is a plugin's, and its panel says so
            super()._handle_exception(error)

    def clear_selection(self) -> None:
        # from Python 3.12 on, tasks begin eagerly: a mode's fields stand before its screen is on the stack
        with suppress(ScreenStackError):
            super().clear_selection()

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast. Never read as markup, whatever ``markup`` says: most of them quote a server or a camera,
        and markup has links and actions."""
        lines = message[:LONGEST_TOAST].splitlines()
        shown = "\n".join(plain(line) for line in lines)
        super().notify(shown, title=plain(title), severity=severity, timeout=timeout, markup=False)

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        """Open a page in the user's browser; nothing but a page: a server has named it."""
        if url.startswith(("https://", "http://")):
            super().open_url(url, new_tab=new_tab)
        else:
            self.notify("that is no page of the web", severity="warning")
