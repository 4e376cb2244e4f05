"""The asyncpg pool as a unit of work, and the named statements of ``sql/*.sql``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx

if TYPE_CHECKING:
    import asyncpg

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """The statements of ``sql/<file>.sql`` by name; each begins with a line ``-- name: <name>``."""
    text = (files(__package__) / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


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
    async def connect(cls, dsn: str, *, min_size: int = 2, max_size: int = 10) -> Database:
        """Open the pool.

        Raises:
            DatabaseError: nothing answers at ``dsn``.
        """
        import asyncpg

        try:
            pool = await asyncpg.create_pool(dsn, min_size=min_size, max_size=max_size)
        except (OSError, asyncpg.PostgresError) as error:
            raise DatabaseError("database:connect") from error
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        async with self._acquire() as held, held.transaction():
            yield held

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with self._acquire() as held:
            yield held

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        import asyncpg

        try:
            held = await self._pool.acquire()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise DatabaseError("database:connect") from error
        try:
            yield cast("asyncpg.Connection[Any]", held)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # not OSError: that may be another's
            raise DatabaseError("database:failed") from error
        finally:
            await self._pool.release(held)
