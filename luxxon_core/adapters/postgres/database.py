"""The asyncpg pool as a unit of work, and the named statements of ``sql/*.sql``."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, suppress
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx

if TYPE_CHECKING:
    import asyncpg

ABANDONED_SECONDS = 30.0
"""A transaction in which its process says nothing for so long is ended by the database: the process, or its
machine, hangs, and others wait for what it has locked. It goes on with an error and tries again."""

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """The statements of ``sql/<file>.sql`` by name; each begins with a line ``-- name: <name>``."""
    text = (files(__package__) / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


@cache
def _failures() -> tuple[type[Exception], ...]:
    """What asyncpg raises of a server that refuses or goes away. Not OSError: that may be another's.

    The last one is an operation on a connection whose server has just ended it and which is not closed yet.
    """
    import asyncpg

    return asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError


def connection(tx: Tx) -> asyncpg.Connection[Any]:
    """The connection behind a transaction: for the repositories of this folder only."""
    return cast("asyncpg.Connection[Any]", tx)


class Database:
    """Implements :class:`~luxxon_core.kernel.uow.UnitOfWork` on an asyncpg pool.

    Raises:
        DatabaseError: the server failed or went away; a :class:`LuxxonError` passes through unchanged.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls, dsn: str, *, min_size: int = 2, max_size: int = 10, abandoned_s: float = ABANDONED_SECONDS
    ) -> Database:
        """Open the pool.

        Raises:
            DatabaseError: nothing answers at ``dsn``.
        """
        import asyncpg

        async def begun(held: asyncpg.Connection[Any]) -> None:
            limit = f"{round(abandoned_s * 1000)}ms"
            # not with the connection's start-up: poolers in between refuse what they do not know
            await held.execute("select set_config('idle_in_transaction_session_timeout', $1, false)", limit)

        try:
            pool = await asyncpg.create_pool(
                dsn, min_size=min_size, max_size=max_size, init=begun, reset=_nothing
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise DatabaseError("database:connect") from error
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        return _Held(self._pool, transaction=True)

    def read(self) -> AbstractAsyncContextManager[Tx]:
        return _Held(self._pool, transaction=False)


async def _nothing(_: object) -> None:
    """In place of asyncpg's reset query, a round trip after every use: a transaction that was left open has
    been rolled back before, and nothing here leaves other state behind on a connection of the pool (settings,
    LISTEN, advisory locks of the session)."""


class _Held:
    """A connection of the pool while the block runs. A class, not a generator: every request opens some."""

    __slots__ = ("_connection", "_pool", "_transaction", "_wanted")

    def __init__(self, pool: asyncpg.Pool[Any], *, transaction: bool) -> None:
        self._pool, self._wanted = pool, transaction
        self._connection: Any = None
        self._transaction: Any = None

    async def __aenter__(self) -> Tx:
        failures: tuple[type[Exception], ...] = (*_failures(), OSError)
        try:
            self._connection = await self._pool.acquire()
            if self._wanted:
                self._transaction = self._connection.transaction()
                await self._transaction.__aenter__()  # start() alone has the pool report what is cut short
        except failures as error:
            await self._release()
            raise DatabaseError("database:connect") from error
        except BaseException:
            await self._release()
            raise
        return cast("Tx", self._connection)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failures = _failures()
        try:
            if self._transaction is not None and error is None:
                await self._transaction.__aexit__(None, None, None)
            elif self._transaction is not None:
                with suppress(*failures):  # what brought us here is the better news; the pool rolls back too
                    await self._transaction.__aexit__(kind, error, trace)
        except failures as failed:
            raise DatabaseError("database:failed") from failed
        finally:
            await self._release()
        if isinstance(error, failures):
            raise DatabaseError("database:failed") from error

    async def _release(self) -> None:
        """Give the connection back; one that is broken is closed by the pool, which changes nothing."""
        held, self._connection = self._connection, None
        if held is not None:
            with suppress(*_failures(), OSError):
                await self._pool.release(held)
