"""What tests of the log write, and the faults they make: lines that break, a publisher that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import asyncpg
from newsroom import Heard, Newsroom

from luxxon_core.adapters.postgres.database import statements
from luxxon_core.events.domain import Event, Kind, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import SettlementState


async def write(room: Newsroom, session_id: UUID, name: str) -> None:
    """An event that can be told apart."""
    async with room.uow.begin() as tx:
        await room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video(name), utc_now())


def names(heard: Heard | list[Event]) -> list[str]:
    """Those events, in the order they came."""
    events = heard.events if isinstance(heard, Heard) else heard
    return [event.facts.uid for event in events if isinstance(event.facts, Video)]


async def break_lines(dsn: str) -> None:
    """End the connections that listen, whatever they are doing."""
    admin = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(5):
            while not await admin.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'luxxon events'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await admin.close()


async def settle(room: Newsroom, session_id: UUID, state: SettlementState) -> None:
    """What the relayer stores when it has sent the payment, and when that is final."""
    async with room.uow.begin() as tx:
        settlement = await room.store.get(tx, session_id)
        assert settlement is not None
        confirmed = utc_now() if state is SettlementState.CONFIRMED else None
        moved = replace(
            settlement,
            state=state,
            tx_hash="0x" + "ab" * 32,
            submitted_at=utc_now(),
            confirmed_at=confirmed,
        )
        await room.store.save(tx, [moved])


@asynccontextmanager
async def unpublished(dsn: str) -> AsyncIterator[None]:
    """What is committed inside the block is published only after it."""
    publisher = await asyncpg.connect(dsn)
    try:
        async with publisher.transaction():
            await publisher.execute(statements("events")["lock_publisher"])
            yield
    finally:
        await publisher.close()
