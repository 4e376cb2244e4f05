"""Many requests of one key at once, on connections of their own: they never commit more than its cap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.access import PgApiKeys
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.geography import Flavour
from luxxon_core.http.principal import ApiKeyPrincipal, Budget
from luxxon_core.kernel.errors import NotAuthorized
from luxxon_core.kernel.ids import new_id
from luxxon_core.sessions.domain import Session

MANY = 64
SECONDS = 30
WALLET = "0x" + "1" * 40
pytestmark = pytest.mark.parametrize("holds", [True, False], ids=["holds", "no-holds"])


@pytest.fixture
async def servers(dsn: str, marketplace: Marketplace, holds: bool) -> AsyncIterator[list[Marketplace]]:
    """Two, with 64 connections between them; with as many as the embedded server grants."""
    size = 32 if (await schema.look(dsn)).flavour is Flavour.POSTGIS else 20
    both = []
    for _ in range(2):
        database = await Database.connect(dsn, min_size=size, max_size=size)
        market = Marketplace(database, marketplace.edge, marketplace.pools)
        cases = market.sessions
        market.sessions = replace(cases, policy=replace(cases.policy, holds=holds))
        both.append(market)
    yield both
    for market in both:
        await market.database.close()


async def minted(market: Marketplace, consumer: UUID, budget: Budget) -> ApiKeyPrincipal:
    _, plaintext = await market.access.mint(
        consumer, WALLET, "agent", "TEST", ["sessions:create"], NOON, budget
    )
    return await market.access.by_bearer(plaintext, NOON)


async def committed(market: Marketplace, key: ApiKeyPrincipal) -> int:
    """Summed up without the code under test."""
    found = await market.rows(
        "select state, hold_uusdc, charged_uusdc from session where budget_key_id = $1", key.key_id
    )
    ended = ("ENDED", "EXPIRED", "CANCELLED")
    return sum(row["charged_uusdc" if row["state"] in ended else "hold_uusdc"] for row in found)


async def at_once(
    servers: list[Marketplace], consumer: UUID, asked: list[tuple[ApiKeyPrincipal, int]]
) -> int:
    """How many of the requests, (key, seconds), were granted; the others were refused by the day's cap."""
    async with asyncio.timeout(SECONDS):
        results = await asyncio.gather(
            *(
                servers[number % 2].sessions.create(consumer, GRAND_PLACE, seconds, None, NOON, key=key)
                for number, (key, seconds) in enumerate(asked)
            ),
            return_exceptions=True,
        )
    refused = [one for one in results if not isinstance(one, Session)]
    assert all(isinstance(one, NotAuthorized) for one in refused), refused
    assert {str(one.detail).rpartition(":")[0] for one in refused} <= {"apiKey:dailyCap"}  # type: ignore[union-attr]
    return len(results) - len(refused)


async def test_64_requests_at_once_share_the_cap_out(servers: list[Marketplace]) -> None:
    consumer = await servers[0].consumer()
    key = await minted(servers[0], consumer, Budget(daily_cap_uusdc=RATE * 60 * 10 + RATE * 59))
    assert await at_once(servers, consumer, [(key, 60)] * MANY) == 10
    assert await committed(servers[0], key) == RATE * 600


async def test_requests_of_all_lengths_never_go_past_it(servers: list[Marketplace]) -> None:
    rng = random.Random(8)
    consumer = await servers[0].consumer()
    cap = RATE * 1000
    keys = [await minted(servers[0], consumer, Budget(daily_cap_uusdc=cap)) for _ in range(2)]
    await at_once(servers, consumer, [(rng.choice(keys), rng.randint(1, 200)) for _ in range(MANY)])
    spent = [await committed(servers[0], key) for key in keys]
    assert all(0 < one <= cap for one in spent), "each key has a cap of its own"


async def test_what_is_given_back_meanwhile_is_spent_once(servers: list[Marketplace]) -> None:
    """Sessions are cancelled while others are asked for: each second given back goes to one request."""
    consumer = await servers[0].consumer()
    key = await minted(servers[0], consumer, Budget(daily_cap_uusdc=RATE * 60 * 5))
    over = asyncio.Event()
    most = 0

    async def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, await committed(servers[0], key))

    async def client(number: int) -> int:
        granted, market = 0, servers[number % 2]
        for turn in range(6):
            try:
                session = await market.sessions.create(consumer, GRAND_PLACE, 60, None, at(turn), key=key)
            except NotAuthorized:
                continue
            granted += 1
            await market.sessions.cancel(session.id, consumer, at(turn))
        return granted

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(SECONDS):
        granted = await asyncio.gather(*(client(number) for number in range(16)))
    over.set()
    await watching
    assert sum(granted) >= 16
    assert most <= RATE * 60 * 5
    assert await committed(servers[0], key) == 0


async def test_one_request_sent_many_times_counts_once(servers: list[Marketplace]) -> None:
    """By one ``Idempotency-Key``, to both servers, with a cap that would do for no second one."""
    consumer = await servers[0].consumer()
    key = await minted(servers[0], consumer, Budget(daily_cap_uusdc=RATE * 60))
    session_id = new_id()
    async with asyncio.timeout(SECONDS):
        made = await asyncio.gather(
            *(
                servers[number % 2].sessions.create(
                    consumer, GRAND_PLACE, 60, None, NOON, session_id=session_id, key=key
                )
                for number in range(16)
            )
        )
    assert {one.id for one in made} == {session_id}
    assert await committed(servers[0], key) == RATE * 60


async def test_a_key_in_use_is_noted_and_listed_while_others_wait_for_it(
    servers: list[Marketplace],
) -> None:
    """The lock on the key's row keeps creations apart and nobody else out."""
    consumer = await servers[0].consumer()
    key = await minted(servers[0], consumer, Budget(daily_cap_uusdc=RATE * 600))
    keys = PgApiKeys()
    async with asyncio.timeout(SECONDS), servers[0].database.begin() as tx:
        assert await keys.spent_alone(tx, key.key_id, NOON, at(1)) == 0
        waiting = asyncio.create_task(
            servers[1].sessions.create(consumer, GRAND_PLACE, 60, None, NOON, key=key)
        )
        assert [one.id for one in await servers[1].access.list_keys(consumer)] == [key.key_id]
        assert await servers[1].access.spent_today([key.key_id], NOON) == {}
        await servers[1].sessions.create(consumer, GRAND_PLACE, 60, None, NOON)
        assert not waiting.done()
    await waiting
