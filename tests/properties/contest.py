"""Means to let several server processes meet at one row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from luxxon_core.kernel.errors import InvalidState

ROUNDS = 15
WAITING = """
select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""


@asynccontextmanager
async def held(dsn: str, table: str, row_id: UUID) -> AsyncIterator[Contest]:
    """Keeps a row locked while contenders are lined up."""
    connection = await asyncpg.connect(dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"select from {table} where id = $1 for update", row_id)
        contest = Contest(connection)
        yield contest
        await transaction.rollback()
        contest.results = await asyncio.wait_for(
            asyncio.gather(*contest.tasks, return_exceptions=True), timeout=20
        )
    finally:
        await connection.close()


class Contest:
    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.tasks: list[asyncio.Future[Any]] = []
        self.results: list[Any] = []

    async def enters(self, work: Awaitable[Any]) -> None:
        """Starts one more and returns when it waits for a lock, behind those that came before, or is done."""
        self.tasks.append(asyncio.ensure_future(work))
        async with asyncio.timeout(10):
            while await self._waiting() < sum(not task.done() for task in self.tasks):
                await asyncio.sleep(0.002)

    async def _waiting(self) -> int:
        return int(await self._connection.fetchval(WAITING))


async def together(*contenders: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*contenders, return_exceptions=True)


def only_winner(results: Sequence[Any], *details: str) -> Any:
    """The one result that is no refusal; all others are INVALID_STATE with one of the details."""
    won = [result for result in results if not isinstance(result, BaseException)]
    lost = [result for result in results if isinstance(result, BaseException)]
    assert len(won) == 1, results
    for refusal in lost:
        assert isinstance(refusal, InvalidState), refusal
        assert refusal.detail in details
    return won[0]
