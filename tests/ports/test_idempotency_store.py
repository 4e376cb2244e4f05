"""Leases and answers of idempotent requests, on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.idempotency import PgAnswers
from luxxon_core.http.idempotency import Claim, Lease

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
CLAIM = Claim("key:one", b"k" * 32, b"f" * 32)
OTHER_REQUEST = Claim("key:one", b"k" * 32, b"g" * 32)
OTHER_CALLER = Claim("key:two", b"k" * 32, b"f" * 32)
LEASE, DAY = timedelta(seconds=10), timedelta(hours=24)


@pytest.fixture
def answers() -> PgAnswers:
    return PgAnswers()


async def claim(
    database: Database, answers: PgAnswers, which: Claim = CLAIM, at: datetime = NOON
) -> Lease | None:
    async with database.begin() as tx:
        return await answers.claim(tx, which, at, at + LEASE, at + DAY)


async def test_one_claims_and_its_answer_is_found(database: Database, answers: PgAnswers) -> None:
    lease = await claim(database, answers)
    assert lease == Lease(NOON, NOON + LEASE)
    assert await claim(database, answers) is None
    assert await claim(database, answers, OTHER_CALLER) is not None
    async with database.begin() as tx:
        held = await answers.find(tx, CLAIM, NOON)
        assert held is not None
        assert (held.answer, held.lease_until) == (None, NOON + LEASE)
        assert await answers.finish(tx, CLAIM, lease, b"answer")
        assert not await answers.finish(tx, CLAIM, lease, b"another")
    async with database.read() as tx:
        held = await answers.find(tx, OTHER_REQUEST, NOON)
        assert held is not None
        assert (held.fingerprint, held.answer) == (CLAIM.fingerprint, b"answer")
    assert await claim(database, answers, at=NOON + LEASE * 2) is None, "answered: nobody executes again"


async def test_of_many_that_claim_at_once_one_does(database: Database, answers: PgAnswers) -> None:
    found = await asyncio.gather(*(claim(database, answers) for _ in range(64)))
    assert sum(lease is not None for lease in found) == 1


async def test_a_lease_that_ran_out_is_taken_once_by_the_same_request(
    database: Database, answers: PgAnswers
) -> None:
    first = await claim(database, answers)
    assert first is not None
    later = NOON + LEASE
    assert await claim(database, answers, OTHER_REQUEST, later) is None
    found = await asyncio.gather(*(claim(database, answers, at=later) for _ in range(16)))
    (second,) = [lease for lease in found if lease is not None]
    assert second == Lease(NOON, later + LEASE), "since when stays, so that ids made of it stay"
    async with database.begin() as tx:
        assert not await answers.renew(tx, CLAIM, first, later + DAY)
        assert not await answers.finish(tx, CLAIM, first, b"too late")
        assert await answers.finish(tx, CLAIM, second, b"answer")


async def test_a_lease_is_renewed(database: Database, answers: PgAnswers) -> None:
    lease = await claim(database, answers)
    assert lease is not None
    until = NOON + LEASE * 3
    async with database.begin() as tx:
        assert await answers.renew(tx, CLAIM, lease, until)
    assert await claim(database, answers, at=NOON + LEASE * 2) is None
    async with database.begin() as tx:
        assert await answers.finish(tx, CLAIM, Lease(NOON, until), b"answer")


async def test_what_has_expired_is_absent_and_then_gone(database: Database, answers: PgAnswers) -> None:
    lease = await claim(database, answers)
    assert lease is not None
    async with database.begin() as tx:
        await answers.finish(tx, CLAIM, lease, b"answer")
        assert await answers.find(tx, CLAIM, NOON + DAY) is None
        assert await answers.purge(tx, NOON + DAY - timedelta(seconds=1), 10) == 0
    anew = await claim(database, answers, OTHER_REQUEST, NOON + DAY)
    assert anew == Lease(NOON + DAY, NOON + DAY + LEASE), "used again after its day: a request of its own"
    for number in range(5):
        which = Claim(f"key:{number}", b"k" * 32, b"f" * 32)
        assert await claim(database, answers, which) is not None
    async with database.begin() as tx:
        assert await answers.purge(tx, NOON + DAY, 3) == 3
        assert await answers.purge(tx, NOON + DAY, 3) == 2
        assert await answers.purge(tx, NOON + DAY, 3) == 0
        assert await answers.find(tx, OTHER_REQUEST, NOON + DAY) is not None
