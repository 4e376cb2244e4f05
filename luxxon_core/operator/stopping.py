"""How a service is told to stop: the first signal asks, the second does not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal is closed; Windows knows no such signal."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([] if HANGUP is None else [HANGUP]))


@asynccontextmanager
async def stop_requested(*, at_the_end_of_stdin: bool = False) -> AsyncIterator[asyncio.Event]:
    """An event that a signal sets while the block runs. The next signal ends the process there and then, by
    itself (a shell says 128 and its number); what was published ends without a word.

    Args:
        at_the_end_of_stdin: the end of standard input asks as well: whoever started this is gone.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    terminal = [number for number in (1, 2) if os.isatty(number)]  # once it is closed it is none

    def asked(number: int, _: object) -> None:
        # From now on the system's own: a plugin that holds up the loop holds up nothing of that.
        for each in before:
            # A closed terminal is told of by the kernel and the shell: the second is not an answer.
            signal.signal(each, signal.SIG_IGN if each == HANGUP else signal.SIG_DFL)
        if number == HANGUP:
            _to_nowhere(terminal)
            before[number] = signal.SIG_IGN  # the second may come when the block is over
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, asked) for number in SIGNALS if not _is_told_to_stay(number)}
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


def _is_told_to_stay(number: int) -> bool:
    """nohup(1) has said that a terminal's end is none of ours."""
    return number == HANGUP and signal.getsignal(number) is signal.SIG_IGN


def _to_nowhere(descriptors: Sequence[int]) -> None:
    """What would be logged on a closed terminal would fail, and keep a camera from going offline."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in descriptors:
        os.dup2(nowhere, number)
    os.close(nowhere)
