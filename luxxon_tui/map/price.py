"""The price of a place, kept fresh for as long as somebody looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Point
from luxxon_tui.map.request import Notice, QuoteView, quote_view

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon

DEBOUNCE_SECONDS = 0.35
EARLY_SECONDS = 1.0
"""Before a price expires, the next one is asked for."""
AGAIN_SECONDS = 5.0
"""After a refusal that may pass."""
TOO_MANY = 429


class Price:
    """A quote that follows what is chosen.

    Args:
        told: called after each change.
    """

    def __init__(self, clock: Clock, told: Callable[[], None]) -> None:
        self._clock, self._told = clock, told
        self.quote: QuoteView | None = None
        self.asking = False
        self.notice: Notice | None = None

    def clear(self, *, asking: bool) -> None:
        """Know no price; ``asking`` when one is on its way."""
        self.quote, self.asking, self.notice = None, asking, None

    async def follow(
        self, api: Luxxon, point: Point, seconds: int, acting: str | None, watched: Callable[[], bool]
    ) -> None:
        """Ask in a moment, and again before the price expires, until the server refuses for good or nobody
        watches any more."""
        await asyncio.sleep(DEBOUNCE_SECONDS)
        while watched():
            pause = await self._ask(api, point, seconds, acting)
            if pause is None:
                return
            await asyncio.sleep(pause)
        self.asking = False

    async def _ask(self, api: Luxxon, point: Point, seconds: int, acting: str | None) -> float | None:
        """Ask once; the seconds until it is worth asking again, None for never."""
        try:
            found = await api.pricing.quote(
                lat=point.lat, lng=point.lng, duration_seconds=seconds, workspace_id=acting
            )
        except LuxxonError as error:
            passing = error.status >= 500 or error.status == TOO_MANY
            self.quote, self.asking = None, False
            self.notice = Notice("no price", error.message, "warn" if passing else "bad")
            self._told()
            return AGAIN_SECONDS if passing else None
        self.asking, self.notice = False, None
        self.quote = quote_view(
            str(found.quote_id),
            int(found.rate_per_second_micro_usdc),
            int(found.estimated_total_micro_usdc),
            found.expires_at,
            self._clock(),
        )
        self._told()
        return max(EARLY_SECONDS, self.quote.lifetime_s - EARLY_SECONDS)
