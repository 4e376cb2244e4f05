"""Whoever reads standard output, and may leave before everything is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_SECONDS = 0.5
"""Between two looks whether somebody reads."""


@contextmanager
def while_read() -> Iterator[None]:
    """Exits with 0 when nobody reads any more: ``luxxon … | head -1`` has what it wanted."""
    try:
        yield
    except BrokenPipeError:
        # what is still in the buffer goes nowhere, else Python complains of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


async def gone() -> None:
    """Return when nobody reads any more, which a program that has nothing to say would not see."""
    import asyncio
    import select

    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are told without being asked for
    while not poll.poll(0):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(EVERY_SECONDS)
