"""Sends what is due: many deliveries at once, none of a lane before the one ahead of it is done."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.webhooks.domain import Answer, Attempt, Job, Policy, judge, outcome, signature
from luxxon_core.webhooks.ports import Finding, Queue, Sealer, Sender

log = structlog.get_logger(__name__)

IDLE_SECONDS = 0.25
"""Time makes deliveries due, and so do other servers: it is looked so often."""
GATHER_SECONDS = 0.01
"""Between two looks, so that what comes in the meantime is claimed together."""
STORE_PAUSE_SECONDS = (0.2, 5.0)
CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is under way at once.

    Attributes:
        lease: how long a claim is good; longer than an attempt may take and its answer be stored.
    """

    deliveries: int = 1024
    lease: timedelta = timedelta(seconds=60)


class Courier:
    """Owns the attempts under way. :meth:`run` it in a task of its own and then :meth:`close` it."""

    def __init__(
        self,
        uow: UnitOfWork,
        queue: Queue,
        sender: Sender,
        sealer: Sealer,
        clock: Clock,
        new_id: NewId,
        chance: Callable[[], float],
        policy: Policy,
        limits: Limits | None = None,
        user_agent: str = "Luxxon-Webhooks",
    ) -> None:
        """Args:
        chance: evenly from 0 to 1, for back-off.
        """
        self._uow, self._queue, self._sender, self._sealer = uow, queue, sender, sealer
        self._clock, self._new_id, self._chance = clock, new_id, chance
        self._policy, self._limits = policy, limits or Limits()
        self._user_agent = user_agent
        self._attempts: dict[asyncio.Task[None], Job] = {}
        self._findings: list[Finding] = []
        self._behind = False
        self._stirred, self._found = asyncio.Event(), asyncio.Event()
        self._storing: asyncio.Task[None] | None = None
        self.outcomes: Counter[str] = Counter()
        """Attempts by what was answered: ``2xx`` to ``5xx``, ``none``."""

    def stir(self) -> None:
        """There may be something to send."""
        self._stirred.set()

    @property
    def under_way(self) -> int:
        return len(self._attempts)

    async def turn(self, now: datetime) -> int:
        """Wait until something may be due, and begin with it: to be called again and again; how many attempts
        were begun.

        Raises:
            DatabaseError: nothing could be claimed.
        """
        if self._storing is not None and self._storing.done():
            failed, self._storing = self._storing, None
            failed.result()
        if self._storing is None:
            self._storing = asyncio.create_task(self._store(), name="webhook answers")
        self._stirred.clear()
        # what could not be stored may have outlived its lease: to claim now could send it again
        room = 0 if self._behind else self._limits.deliveries - len(self._attempts)
        jobs = await self._claimed(self._clock(), room) if room > 0 else []
        for job in jobs:
            task = asyncio.create_task(self._attempt(job), name=f"webhook delivery {job.delivery_id}")
            self._attempts[task] = job
            task.add_done_callback(self._attempts.pop)
        if jobs:
            await asyncio.sleep(GATHER_SECONDS)
            return len(jobs)
        await self._rest()
        return 0

    async def _claimed(self, now: datetime, room: int) -> list[Job]:
        busy = Counter(job.webhook_id for job in self._attempts.values())
        async with self._uow.begin() as tx:
            return await self._queue.claim(tx, now, now + self._limits.lease, self._new_id(), busy, room)

    async def _rest(self) -> None:
        """Until stirred, or a little while."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._stirred.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)

    async def _attempt(self, job: Job) -> None:
        """One attempt; what came of it is stored by :meth:`_store`, together with others."""
        began = self._clock()
        answer = await self._answer(job, began)
        now = self._clock()
        self.outcomes[outcome(answer)] += 1
        verdict = judge(job, answer, now, self._policy, self._chance())
        attempt = Attempt(began, answer.status, answer.fault, answer.duration_ms)
        self._findings.append(Finding(job, attempt, verdict))
        self._found.set()

    async def _answer(self, job: Job, now: datetime) -> Answer:
        secrets = [
            self._sealer.open(sealed, job.webhook_id)
            for sealed in (job.secret, job.former_secret)
            if sealed is not None
        ]
        known = [secret for secret in secrets if secret is not None]
        if secrets[0] is None:
            return Answer(None, "the secret cannot be read any more: rotate it", 0)
        body, timestamp = job.body.encode(), math.floor(now.timestamp())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": self._user_agent,
            "webhook-id": str(job.delivery_id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(known, str(job.delivery_id), timestamp, body),
        }
        return await self._sender.send(job.url, headers, body)

    async def _store(self) -> None:
        """Store what attempts found, all of it that is there, until it is stored: an answer of success that
        is forgotten is a delivery that is sent twice."""
        pause = STORE_PAUSE_SECONDS[0]
        while True:
            await self._found.wait()
            self._found.clear()
            try:
                await self._store_found()
            except LuxxonError as error:
                self._behind = True
                log.warning("webhooks.not_stored", code=error.code, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, STORE_PAUSE_SECONDS[1])
                self._found.set()
            else:
                self._behind, pause = False, STORE_PAUSE_SECONDS[0]

    async def _store_found(self) -> None:
        findings = self._findings.copy()
        if not findings:
            return
        async with self._uow.begin() as tx:
            disabled = await self._queue.settle(tx, findings, self._clock())
        del self._findings[: len(findings)]
        for webhook_id in disabled:
            log.warning("webhooks.disabled", webhook=str(webhook_id))
        self._stirred.set()

    async def close(self) -> None:
        """Cut short what is under way and give it back, for another server or a later run to attempt; store
        what is known."""
        jobs = list(self._attempts.values())
        tasks = [*self._attempts, *([self._storing] if self._storing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        answered = {finding.job.number for finding in self._findings}
        cut = [job for job in jobs if job.number not in answered]
        try:
            await self._store_found()
            async with self._uow.begin() as tx:
                await self._queue.release(tx, cut, self._clock())
        except LuxxonError as error:
            log.warning("webhooks.not_given_back", code=error.code)
