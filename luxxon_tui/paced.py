"""An app whose keys each find what the key before them has opened."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App

from luxxon_tui.widgets.card import Card

if TYPE_CHECKING:
    from textual.message_pump import MessagePump
    from textual.screen import Screen

HASTY_KEYS = ("ctrl+c", "ctrl+q")
"""Heard at once, whatever is still being opened."""
LONGEST_SECONDS = 1.0
"""How long a key waits for the one before it: something that hangs holds up no more than this."""
HELD_SECONDS, REPEAT_SECONDS = 0.7, 0.12
"""A key that opens a card may be held down: keyboards wait up to the first before they repeat, and then less
than the second."""


class PacedApp(App[int]):
    """Hears one key after the other.

    Textual hands a key to what has the focus when it comes, and what it does happens later: of ``w12`` that
    is pasted, or typed on a slow line, all would go to the screen that ``w`` was meant for. Here a key waits
    until the key before it has been handled, and the card that it opened stands and has the focus. A card
    that opens only after a server has answered is not waited for.

    A question is not answered by the key that was pressed before it stood, held down, pressed twice, or again
    as it appears.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[events.Event] = deque()
        self._turn = 0
        """Counts the keys, so that a late report is of no other one."""
        self._cap: asyncio.TimerHandle | None = None
        """Runs while a key is being handled."""
        self._pressed: tuple[str, float, float, Screen[Any] | None] = "", 0.0, 0.0, None
        """The last key: when it was first pressed, when last, and over which screen."""

    async def on_event(self, event: events.Event) -> None:
        paced = isinstance(event, events.Key | events.Paste) and not event.is_forwarded
        if not paced:
            await super().on_event(event)
        elif isinstance(event, events.Key) and event.key in HASTY_KEYS:
            self._waiting.clear()
            await super().on_event(event)
        elif self._cap is not None or self._waiting:  # then the first of those is about to be released
            self._waiting.append(event)
        else:
            await self._type(event)

    async def _type(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and self._echoes(event.key):
            self._next()
            return
        before, target = self.screen, self.focused or self.screen
        self._turn += 1
        self._cap = asyncio.get_running_loop().call_later(LONGEST_SECONDS, self._handled, self._turn)
        await super().on_event(event)
        # A key is handled by each of these in turn, and so is what they say of it
        ways = [pump for pump in target.ancestors_with_self if pump.is_running]
        self._pass(self._turn, iter(ways * 2), before)

    def _echoes(self, key: str) -> bool:
        """Whether this is the key, still held or pressed twice, from before a question stood."""
        now, screen = monotonic(), self.screen
        last, first_at, last_at, over = self._pressed
        if key == last and over is not screen and isinstance(screen, Card) and screen.asks:
            # A server may have been asked before it stood: it has hardly been read then
            since = now - max(first_at, screen.stood)
            if since < HELD_SECONDS or now - last_at < REPEAT_SECONDS:
                self._pressed = key, first_at, now, over
                return True
        held = key == last and over is screen and now - last_at < HELD_SECONDS
        self._pressed = key, first_at if held else now, now, screen
        return False

    def _pass(self, turn: int, pumps: Iterator[MessagePump], before: Screen[Any]) -> None:
        """Go on once the next of them has done what it had to do."""
        if turn != self._turn or self._cap is None:
            return
        for pump in pumps:
            if pump.call_later(self._pass, turn, pumps, before):
                return
        screen = self.screen
        if screen is before:
            self._handled(turn)
        else:  # it opens: its first message comes after it has been made, and has the focus
            self._pass(turn, iter((screen, screen, self)), screen)

    def _handled(self, turn: int) -> None:
        """The key's time is over."""
        if turn == self._turn and self._cap is not None:
            self._cap.cancel()
            self._cap = None
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self.call_later(self._release)

    async def _release(self) -> None:
        if self._waiting and self._cap is None:
            await self._type(self._waiting.popleft())
