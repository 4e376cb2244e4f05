"""An app that says so while its terminal is too small for it, and goes on once it is large enough."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from textual import events

from luxxon_tui.paced import PacedApp
from luxxon_tui.widgets.too_small import TooSmall, fits

if TYPE_CHECKING:
    from textual.geometry import Size

LEAVING_KEYS = ("q", "ctrl+c", "ctrl+q")
"""The only keys that are heard in a terminal that is too small: what else they would do could not be seen."""


class SizedApp(PacedApp):
    """Covers every screen that is shown, and hears no key but those that leave, below ``NEEDED``.

    What stands behind the cover stays as it is: focus, cards, what was typed, and a running session.
    """

    _minds = False
    """Whether there are screens."""

    def __init__(self) -> None:
        super().__init__()
        self._covers: WeakSet[TooSmall] = WeakSet()
        """Of all screens, of hidden ones too."""

    def on_mount(self) -> None:
        self._minds = True
        self.screen_change_signal.subscribe(self, lambda _: self._mind(self.size), immediate=True)
        self._mind(self.size)

    def on_resize(self, event: events.Resize) -> None:
        if self._minds:
            self._mind(event.size)

    async def on_event(self, event: events.Event) -> None:
        if self._minds and isinstance(event, events.InputEvent) and not fits(self.size):
            if isinstance(event, events.Key) and event.key in LEAVING_KEYS:
                self.action_leave()
            return
        await super().on_event(event)

    def running_sessions(self) -> int:
        """How many sessions leaving would leave behind."""
        raise NotImplementedError

    def action_leave(self) -> None:
        """Leave; asked a second time, whatever runs."""
        raise NotImplementedError

    def _mind(self, size: Size) -> None:
        """Cover the screens, or uncover them."""
        large = fits(size)
        if large and not self._covers:
            return
        for screen in self.screen_stack:
            covers = screen.query(TooSmall)
            if large:
                self._covers.difference_update(covers)
                covers.remove()
            elif covers:
                covers.first().redraw()
            else:
                cover = TooSmall(self.running_sessions)
                self._covers.add(cover)
                screen.mount(cover)
