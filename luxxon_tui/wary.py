"""An app that takes nothing for its own that a server, a camera or a plugin has made."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import rich

from luxxon_core.kernel.text import plain
from luxxon_tui.sized import SizedApp

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

LONGEST_TOAST = 600
"""Characters: what a server says of itself may be of any length."""


class WaryApp(SizedApp):
    """Quotes what others say, opens only pages of the web, and outlives the faults of a plugin's panel."""

    async def _process_messages(self, *arguments: Any, **named: Any) -> None:
        # Textual lets all tasks of the loop begin eagerly from Python 3.12 on: those of a server in the same
        # process too, which are written for a loop as it is, and uvloop cannot do it on 3.13.0
        asyncio.get_running_loop().set_task_factory(None)
        await super()._process_messages(*arguments, **named)

    def _handle_exception(self, error: Exception) -> None:
        from luxxon_tui.widgets.plugin_panel import contained

        if not contained(error):  # else it is a plugin's, and its panel says so
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual's own shows what every variable held: a password, of a form
        from rich.traceback import Traceback

        self.bell()
        self.panic(Traceback(show_locals=False, width=None, suppress=[rich]))

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
        """Open a page in the user's browser; nothing but a page: a server has named it. Where no browser
        would be seen its address is told, and copied."""
        from luxxon_tui import browser

        if not browser.is_page(url):
            self.notify("that is no page of the web", severity="warning")
        elif self._driver is not None and self._driver.is_web:
            super().open_url(url, new_tab=new_tab)
        else:
            self.run_worker(self._browse(url), name="browse", group="browse", exit_on_error=True)

    async def _browse(self, url: str) -> None:
        from luxxon_tui import browser
        from luxxon_tui.widgets.card import Card

        if browser.within_reach(os.environ, sys.platform):
            with suppress(OSError), browser.handed(url, os.environ) as address:
                if await browser.opened(address):
                    await asyncio.sleep(browser.READ_SECONDS)
                    return
        self.copy_to_clipboard(url)
        self.push_screen(Card(browser.address_rows(url)))
