"""Many at once, as several servers with a wide pool would send them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from marketplace import Marketplace, at

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.geography import Flavour
from luxxon_core.kernel.errors import InvalidState, NoCoverage, Unavailable
from luxxon_core.sessions.domain import Session, State
from luxxon_core.workspaces.domain import Availability

SECONDS = 20
"""Far more than it takes, far less than waiting in line behind each other's locks would."""


@pytest.fixture
async def wide(dsn: str, marketplace: Marketplace) -> AsyncIterator[Marketplace]:
    """The marketplace on 64 connections; on as many as the embedded server grants."""
    size = 64 if (await schema.look(dsn)).flavour is Flavour.POSTGIS else 40
    database = await Database.connect(dsn, min_size=size, max_size=size)
    yield Marketplace(database, marketplace.edge, marketplace.pools)
    await database.close()


async def test_200_dispatches_share_50_suppliers_out(wide: Marketplace) -> None:
    consumer = await wide.consumer()
    suppliers = [await wide.supplier(idle_since=at(-n)) for n in range(50)]
    sessions = [await wide.requested(consumer) for _ in range(200)]
    begun = time.perf_counter()
    async with asyncio.timeout(SECONDS):
        results = await asyncio.gather(
            *(wide.dispatch(one.id, consumer, at(1)) for one in sessions), return_exceptions=True
        )
    taken = [result.operator_workspace_id for result in results if isinstance(result, Session)]
    refused = [result for result in results if not isinstance(result, Session)]
    assert len(taken) == 50, Counter(map(repr, refused))
    assert set(taken) == set(suppliers)
    assert len(refused) == 150
    assert {type(one) for one in refused} <= {NoCoverage, Unavailable}, Counter(map(repr, refused))
    assert time.perf_counter() - begun < SECONDS
    rows = await wide.rows("select state, count(*) from session group by state")
    assert {row["state"]: row["count"] for row in rows} == {"ASSIGNED": 50, "REQUESTED": 150}
    busy = await wide.value("select count(*) from workspace where availability = 'BUSY'")
    assert busy == 50


async def test_dispatches_and_releases_at_once_lose_nobody(wide: Marketplace) -> None:
    """Suppliers come back while others are looking: each is BUSY only for a session of its own."""
    consumer = await wide.consumer()
    for n in range(10):
        await wide.supplier(idle_since=at(-n))
    served: Counter[object] = Counter()

    async def client(number: int) -> None:
        for turn in range(6):
            session = await wide.requested(consumer)
            try:
                given = await wide.dispatch(session.id, consumer, at(turn))
            except (NoCoverage, Unavailable):
                pass
            else:
                served[given.operator_workspace_id] += 1
            await wide.sessions.cancel(session.id, consumer, at(turn + number / 100))

    async with asyncio.timeout(SECONDS * 2):
        await asyncio.gather(*(client(number) for number in range(30)))
    assert sum(served.values()) >= 60
    assert len(served) == 10
    states = await wide.rows("select distinct availability from workspace where 'SUPPLIER' = any (roles)")
    assert [row["availability"] for row in states] == [Availability.ONLINE]


async def test_1000_accepts_of_one_session_have_one_winner(wide: Marketplace) -> None:
    consumer = await wide.consumer()
    suppliers = [await wide.supplier() for _ in range(50)]
    session = await wide.requested(consumer)
    async with asyncio.timeout(SECONDS * 2):
        results = await asyncio.gather(
            *(wide.sessions.accept(session.id, suppliers[n % 50], at(1)) for n in range(1000)),
            return_exceptions=True,
        )
    won = [result for result in results if isinstance(result, Session)]
    lost = Counter(
        result.detail if isinstance(result, InvalidState) else repr(result)
        for result in results
        if not isinstance(result, Session)
    )
    assert lost == {"session:accept:ASSIGNED": 999}
    assert len(won) == 1
    stored = await wide.sessions.get(session.id, consumer)
    assert (stored.state, stored.operator_workspace_id) == (State.ASSIGNED, won[0].operator_workspace_id)
