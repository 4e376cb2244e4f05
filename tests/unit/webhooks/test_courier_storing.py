"""What attempts found is stored, whatever becomes of the task that stores it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from luxxon_core.adapters.sealing import AesSealer
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.ids import new_id
from luxxon_core.kernel.uow import Tx
from luxxon_core.webhooks.domain import Answer, Cause, Health, Job, Policy
from luxxon_core.webhooks.ports import Finding, Settled
from luxxon_core.webhooks.usecases import Courier


class OneJob:
    """A queue of one delivery, which cannot be stored the first time; and its receiver, which takes it."""

    def __init__(self, job: Job) -> None:
        self.jobs, self.failures = [job], [ZeroDivisionError()]
        self.stored: list[int] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        yield object()

    read = begin

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer(200, None, 1)

    async def fan_out(self, tx: Tx, limit: int) -> None:
        return None

    async def claim(
        self, tx: Tx, now: datetime, until: datetime, lease: UUID, busy: Mapping[UUID, int], limit: int
    ) -> list[Job]:
        jobs, self.jobs = self.jobs, []
        return jobs

    async def settle(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> Settled:
        if self.failures:
            raise self.failures.pop()
        self.stored += [one.job.number for one in findings]
        return Settled()

    async def release(self, tx: Tx, jobs: Sequence[Job], now: datetime) -> None:
        """There are none."""

    async def sweep(self, tx: Tx, before: datetime, now: datetime, limit: int) -> int:
        return 0


async def test_an_answer_does_not_wait_for_the_next_one_where_storing_it_broke() -> None:
    sealer, now, webhook = AesSealer([b"k" * 32]), utc_now(), uuid4()
    job = Job(
        number=7,
        lease=uuid4(),
        keep_until=now,
        delivery_id=uuid4(),
        webhook_id=webhook,
        lane=uuid4(),
        cause=Cause.TEST,
        body="{}",
        created_at=now,
        tried=0,
        url="https://receiver.test",
        secret=sealer.seal(b"s" * 32, webhook),
        former_secret=None,
        health=Health(None, None, timedelta()),
    )
    queue = OneJob(job)
    courier = Courier(queue, queue, queue, sealer, utc_now, new_id, random.random, Policy())
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            while True:
                await courier.turn(utc_now())
    for _ in range(3):
        await courier.turn(utc_now())
    assert queue.stored == [7]
    await courier.close()
