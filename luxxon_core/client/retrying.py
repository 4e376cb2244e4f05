"""When a call is made again, and how long that may go on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from luxxon_core.client.errors import ConnectionFailed, InvalidResponse
from luxxon_core.kernel.errors import Conflict, LuxxonError, Unavailable

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE, JITTER = 0.1, 4.0, 0.5
"""Seconds: pauses double from the first to the longest, with up to the jitter added."""
GATEWAY = frozenset({502, 503, 504})
UNDONE = frozenset({408, 429})
"""Refused before anything was done."""
IN_PROGRESS = "idempotency:inProgress"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is made at most, the first included, and the seconds after which none is begun."""

    attempts: int = 6
    seconds: float = 15.0

    @classmethod
    def of(cls, wish: Retry | bool) -> Retry:
        if isinstance(wish, Retry):
            return wish
        return cls() if wish else cls(attempts=1)


def worth_repeating(error: LuxxonError, *, repeatable: bool) -> bool:
    """Whether the same request may succeed soon and cannot do twice what was meant once.

    Args:
        repeatable: the request changes nothing, or carries an Idempotency-Key.
    """
    if isinstance(error, ConnectionFailed):
        return repeatable or not error.sent
    status = status_of(error)
    if status in UNDONE or (isinstance(error, Conflict) and error.detail == IN_PROGRESS):
        return True
    if isinstance(error, Unavailable):  # NO_COVERAGE, UNAVAILABLE: that is the answer
        return False
    return repeatable and status in GATEWAY


def status_of(error: LuxxonError) -> int | None:
    """The HTTP status that came, which an answer that is not Luxxon's has beside its own."""
    return error.http_status if isinstance(error, InvalidResponse) else error.status


async def insist(
    retry: Retry, call: Callable[[], Awaitable[T]], pause_of: Callable[[LuxxonError], float | bool]
) -> T:
    """Call until it succeeds, fails for good, or has been tried enough.

    Args:
        pause_of: False where another attempt is not worth it, True where it is, or the seconds to wait first.

    Raises:
        LuxxonError: what the last attempt raised.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + retry.seconds

    def again(error: Exception) -> float | bool:
        pause = pause_of(error) if isinstance(error, LuxxonError) else False
        if isinstance(pause, bool):
            return pause and loop.time() < deadline
        pause += random.uniform(0, JITTER)  # not all at the same instant  # noqa: S311
        return pause if loop.time() + pause < deadline else False

    try:
        return await call()
    except LuxxonError as error:
        if retry.attempts <= 1 or pause_of(error) is False:
            raise
        failed: LuxxonError | None = error

    import stamina  # a tenth of a second that calls which succeed do not pay

    attempts = stamina.retry_context(
        again,
        attempts=retry.attempts,
        timeout=retry.seconds,
        wait_initial=FIRST_PAUSE,
        wait_max=LONGEST_PAUSE,
        wait_jitter=JITTER,
    )
    async for attempt in attempts:
        with attempt:
            if failed is not None:  # the attempt above is the first one
                first, failed = failed, None
                raise first
            return await call()
    raise AssertionError("the last attempt raises")
