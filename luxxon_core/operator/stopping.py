"""How a service is told to stop: the first signal asks, the second does not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def stop_requested(*, at_the_end_of_stdin: bool = False) -> AsyncIterator[asyncio.Event]:
    """An event that a signal sets while the block runs. The next signal ends the process there and then, by
    itself (a shell says 128 and its number); what was published ends without a word.

    Args:
        at_the_end_of_stdin: the end of standard input asks as well: whoever started this is gone.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked(*_: object) -> None:
        # From now on the system's own: a plugin that holds up the loop holds up nothing of that.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, asked) for number in SIGNALS}
    reading = sys.stdin.fileno() if at_the_end_of_stdin else None

    def read() -> None:
        assert reading is not None
        if not os.read(reading, 4096):
            loop.remove_reader(reading)
            stop.set()

    if reading is not None:
        os.set_blocking(reading, False)
        loop.add_reader(reading, read)
    try:
        yield stop
    finally:
        if reading is not None:
            loop.remove_reader(reading)
        for number, handler in before.items():
            signal.signal(number, handler)
