"""Two sessions cannot spend one pool."""

from __future__ import annotations

import asyncio

import pytest
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.kernel.errors import InsufficientCredit
from luxxon_core.workspaces.domain import Role


async def test_open_sessions_count_against_the_pool(marketplace: Marketplace) -> None:
    consumer = await marketplace.workspace(Role.CONSUMER)
    marketplace.pools.balance = RATE * 100
    first = await marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, NOON)
    with pytest.raises(InsufficientCredit) as refused:
        await marketplace.sessions.create(consumer.id, GRAND_PLACE, 41, None, NOON)
    assert refused.value.detail == "session:holds"
    await marketplace.sessions.create(consumer.id, GRAND_PLACE, 40, None, NOON)
    await marketplace.sessions.cancel(first.id, consumer.id, at(1))
    await marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, at(2))


async def test_simultaneous_requests_cannot_both_have_the_last_of_it(marketplace: Marketplace) -> None:
    consumer = await marketplace.workspace(Role.CONSUMER)
    marketplace.pools.balance = RATE * 60
    made = await asyncio.gather(
        *(marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, NOON) for _ in range(8)),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, InsufficientCredit)]
    assert len(refused) == 7
    assert {one.detail for one in refused} == {"session:holds"}
