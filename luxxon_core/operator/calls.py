"""Calls that may fail: which failures pass, how long to wait, and saying each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from luxxon_core.kernel.errors import LuxxonError

log = structlog.get_logger(__name__)

T = TypeVar("T")
BACKOFF = (0.5, 5.0)
"""Seconds before the second attempt and between later ones, doubling."""
PASSING = frozenset({408, 409, 425, 429})
"""Refusals of a call as it stands that time may cure; every other 4xx stays what it is."""


@dataclass
class Trouble:
    """The newest failure; the same one is logged once and not at every attempt."""

    last: str | None = None

    def note(self, event: str, reason: str, **more: object) -> None:
        if reason != self.last:
            log.warning(event, reason=reason, **more)
        self.last = reason

    def failed(self, event: str, error: LuxxonError) -> None:
        self.note(event, str(error))

    async def insisting(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds.

        Raises:
            LuxxonError: a refusal that waiting cannot cure.
        """
        delay = BACKOFF[0]
        while True:
            try:
                return await call()
            except LuxxonError as error:
                if for_good(error):
                    raise
                self.failed("agent.api_failed", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])


def for_good(error: LuxxonError) -> bool:
    """Whether waiting cannot cure a refusal."""
    return 400 <= error.status < 500 and error.status not in PASSING


def broken(label: str, what: str, error: Exception) -> LuxxonError:
    """Foreign code's error as one of ours: its type alone, as its text may hold a URL with a password."""
    return LuxxonError(f"agent:{label}", f"{what} ({type(error).__name__})")
