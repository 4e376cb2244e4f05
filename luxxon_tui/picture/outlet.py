"""Output to a terminal that may be slow, stand still or go away: it never raises and can be given up.

Textual's writer thread ends at the first error, after which the whole console waits for a queue that nobody
empties; and on leaving it waits for as long as the terminal takes nothing.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from threading import Thread
from time import monotonic

STILL_SECONDS = 1.0
"""How long a terminal that is being left may take nothing at all."""
LEAVING_SECONDS = 5.0
"""How long it may take for what is left to write."""
LOOK_SECONDS = 0.1
CHUNK = 1 << 16


class Outlet:
    """A file for the writer thread: writes wait for the terminal, and do nothing once it is gone.

    It takes bytes as well as text: a picture is made of bytes.

    Args:
        number: file descriptor to write to.
        gone: called once, in the writer's thread, when the terminal takes no more for good.
    """

    def __init__(self, number: int, gone: Callable[[], None]) -> None:
        self._number, self._told = number, gone
        self._gone = self._lost = False
        """Whether nothing is written any more; and whether that is so for good."""
        self._moved = 0.0

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def flush(self) -> None:
        """Nothing waits."""

    def write(self, text: str | bytes) -> int:
        """Write all of it, waiting for the terminal."""
        data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
        rest = memoryview(data)
        while rest and not self._gone:
            try:
                rest = rest[os.write(self._number, rest[:CHUNK]) :]
                self._moved = monotonic()
            except BlockingIOError:  # whoever shares the terminal has set it so
                select.select([], [self._number], [], LOOK_SECONDS)
            except OSError:
                self._gone = self._lost = True
                self._told()
        return len(text)

    def again(self) -> Outlet:
        """One for a new start: a terminal that took nothing may take some now, one that is gone does not.

        A writer that still waits for the terminal keeps the former one, and so writes nothing more.
        """
        fresh = Outlet(self._number, self._told)
        fresh._gone = fresh._lost = self._lost
        return fresh

    def give_up(self, writer: Thread) -> None:
        """Wait for the writer to end: while the terminal takes something, and not for long."""
        begun = monotonic()
        while writer.is_alive():
            writer.join(LOOK_SECONDS)
            now = monotonic()
            if now - max(begun, self._moved) > STILL_SECONDS or now - begun > LEAVING_SECONDS:
                self._gone = True  # the thread dies with the process, if the terminal never frees it
                return
