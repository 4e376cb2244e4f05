"""The unit of work: what commits together.

Use cases open one, hand it to repositories as the first argument, and leave the block to commit. An
exception rolls everything back. Use cases never look inside.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Tx(Protocol):
    """An open transaction or a read connection, opaque to everyone but the repositories."""


class UnitOfWork(Protocol):
    """Opens transactions and reads."""

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        ...

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """A connection for reads that need no transaction of their own."""
        ...
