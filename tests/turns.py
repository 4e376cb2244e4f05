"""Turns on the machine: a test that measures what wall-clock time costs has it to itself.

With several processes (``--numprocesses``) most tests run beside each other. Those marked ``alone`` do not:
what a session is charged for a second of silence, or how a console and its server keep up with each other,
depends on getting the processor when it is wanted.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
"""The run that this process is one of several of."""


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Hold the machine with others, or alone; nothing to wait for where the run has one process.

    Who waits for it keeps the gate, so that those who would share it cannot pass by for ever.
    """
    if RUN is None:
        yield
        return
    folder = Path(tempfile.gettempdir())
    with (
        (folder / f"luxxon-gate-{RUN}").open("w") as gate,
        (folder / f"luxxon-turn-{RUN}").open("w") as machine,
    ):
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:  # not by closing alone: a child that was forked has the file open too
            fcntl.flock(machine, fcntl.LOCK_UN)
