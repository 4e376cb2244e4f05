"""The way past Textual's compositor to the terminal, for one widget.

Private names of Textual stand here, those of its strips in ``strip.py``, of its driver in ``answering.py``.

Checked against Textual 8.2.8. Each name that a later version may lack leads back to the compositor: slower,
never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from luxxon_tui.picture.probe import Graphics, forced

if TYPE_CHECKING:
    from textual.geometry import Region
    from textual.widget import Widget

SYNC_START, SYNC_END = b"\x1b[?2026h", b"\x1b[?2026l"
"""Synchronised output: the terminal shows what is between at once."""


class Terminal:
    """Direct output for ``widget``."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._seen: object = None
        self._open_view = False

    def pending(self) -> int:
        """Writes that the terminal has not taken yet. Textual queues 30, then blocks the whole program."""
        thread = getattr(self._widget.app._driver, "_writer_thread", None)
        queue = getattr(thread, "_queue", None)
        return queue.qsize() if queue is not None else 0

    def uncovered(self) -> bool | None:
        """Whether the widget's whole region is on the screen with nothing in front; None while a layout is
        due that may change it.
        """
        app, screen = self._widget.app, self._widget.screen
        compositor = getattr(screen, "_compositor", None)
        if app.screen is not screen or compositor is None or app.is_inline or not app._running:
            return False
        batches, due = getattr(app, "_batch_count", None), getattr(screen, "_layout_required", None)
        if batches is None or due is None:
            return False
        if batches or due:
            return None
        visible = compositor.visible_widgets
        if visible is not self._seen:  # made anew by every layout
            self._seen, self._open_view = visible, self._in_front(visible)
        return self._open_view

    def _in_front(self, visible: dict[Widget, tuple[Region, Region]]) -> bool:
        region = self._widget.region
        for widget, (place, clip) in visible.items():  # front to back
            if widget is self._widget:
                return clip.contains_region(place)
            if place.intersection(clip).overlaps(region):
                return False
        return False

    def write(self, text: bytes) -> None:
        """Queue ``text`` behind what Textual has written."""
        from luxxon_tui.picture.answering import AnsweringDriver

        app = self._widget.app
        driver = app._driver
        if driver is None:
            return
        whole = b"".join((SYNC_START, text, SYNC_END)) if app._sync_available else text
        if isinstance(driver, AnsweringDriver):
            driver.write(whole)
        else:
            driver.write(whole.decode())

    # -- what kind of terminal it is

    def graphics(self, setting: str) -> Graphics:
        """How to draw, as far as is known now and as the user has set it."""
        driver = self._widget.app._driver
        if driver is None or driver.is_headless or driver.is_web:
            return Graphics()
        return forced(setting, getattr(driver, "graphics", None) or Graphics())

    async def ask(self, changed: Callable[[], None], leaving: Callable[[], None]) -> None:
        """Ask the terminal what it can draw; call back whenever that is known better, and at the end."""
        from luxxon_tui.picture.answering import AnsweringDriver

        driver = self._widget.app._driver
        if isinstance(driver, AnsweringDriver):
            driver.listen(changed, leaving)
            await driver.ask()

    def forget(self, changed: Callable[[], None]) -> None:
        """Call back no more."""
        forget = getattr(self._widget.app._driver, "forget", None)
        if forget is not None:
            forget(changed)
