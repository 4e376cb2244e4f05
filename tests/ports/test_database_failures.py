"""A database that ends connections, as one that fails over or is restarted does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx


@pytest.fixture
async def killer(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


@pytest.fixture
async def small(dsn: str) -> AsyncIterator[Database]:
    made = await Database.connect(dsn, min_size=1, max_size=2)
    yield made
    await made.close()


async def end(tx: Tx, killer: asyncpg.Connection, turns: int) -> None:
    """End the server's side of a connection; our side hears of it some turns of the loop later."""
    process = await connection(tx).fetchval("select pg_backend_pid()")
    await killer.execute("select pg_terminate_backend($1)", process)
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["begin", "read"])
async def test_an_ended_connection_is_a_database_error_whenever_it_is_noticed(
    small: Database, killer: asyncpg.Connection, kind: str
) -> None:
    for attempt in range(60):
        with pytest.raises(DatabaseError):
            async with getattr(small, kind)() as tx:
                await end(tx, killer, attempt % 4)
                await connection(tx).fetchval("select 1")


async def test_what_is_done_is_done_when_the_connection_cannot_be_returned(
    small: Database, killer: asyncpg.Connection
) -> None:
    """Nothing in the block fails, so nothing is told; the pool opens another connection."""
    for attempt in range(60):
        await recovered(small)
        async with small.read() as tx:
            await end(tx, killer, attempt % 4)
    await recovered(small)


async def recovered(database: Database) -> None:
    """Returns when the pool has found out about the connections that were ended."""
    async with asyncio.timeout(5):
        while True:
            with suppress(DatabaseError):
                async with database.begin() as tx:
                    await connection(tx).fetchval("select 1")
                return
