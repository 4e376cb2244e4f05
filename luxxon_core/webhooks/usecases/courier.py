"""Sends what is due: many deliveries at once, none of a lane before the one ahead of it is done."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

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
GATHER_SECONDS = 0.02
"""Between two claims, and between two times that answers are stored: so that what comes in the meantime goes
together. A transaction for each would cost as much as the sending."""
ENOUGH = 32
"""So many at once are worth one earlier."""
BEGUN_AT_ONCE = 4
"""Then the event loop looks around: answers of the database are not to wait for a whole crowd to leave."""
SECRETS_KEPT = 1024
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
        self._next: deque[Job] = deque()
        self._attempts: dict[asyncio.Task[None], Job] = {}
        self._findings: list[Finding] = []
        self._behind = False
        self._stirred, self._found, self._enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._claim_at = self._store_at = 0.0
        """Not before then, of the loop's clock."""
        self._secrets: dict[bytes, bytes] = {}
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
            if self._findings:  # those that the one before has left
                self._found.set()
        await self._rest()
        self._stirred.clear()
        self._claim_at = asyncio.get_running_loop().time() + GATHER_SECONDS
        # what could not be stored may have outlived its lease: to claim now could send it again
        room = 0 if self._behind else self._limits.deliveries - self._held
        jobs = await self._claimed(self._clock(), room) if room > 0 else []
        self._begin(jobs)
        if jobs:  # there may be more
            self._stirred.set()
        return len(jobs)

    @property
    def _held(self) -> int:
        """Lanes that are ours: of those that are answered, later deliveries may follow."""
        return len(self._next) + len(self._attempts) + len(self._findings)

    def _begin(self, jobs: Sequence[Job]) -> None:
        if jobs and not self._next:
            asyncio.get_running_loop().call_soon(self._begin_some)
        self._next.extend(jobs)

    def _begin_some(self) -> None:
        for _ in range(min(BEGUN_AT_ONCE, len(self._next))):
            job = self._next.popleft()
            task = asyncio.create_task(self._attempt(job), name="webhook delivery")
            self._attempts[task] = job
            task.add_done_callback(self._attempts.pop)
        if self._next:
            asyncio.get_running_loop().call_soon(self._begin_some)

    async def _claimed(self, now: datetime, room: int) -> list[Job]:
        busy = Counter(job.webhook_id for job in chain(self._next, self._attempts.values()))
        busy.update(finding.job.webhook_id for finding in self._findings)
        async with self._uow.begin() as tx:
            return await self._queue.claim(tx, now, now + self._limits.lease, self._new_id(), busy, room)

    async def _rest(self) -> None:
        """Until stirred, or a little while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._stirred.wait()
        if (pause := self._claim_at - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)

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
        if len(self._findings) >= ENOUGH:
            self._enough.set()

    async def _answer(self, job: Job, now: datetime) -> Answer:
        secret = self._opened(job.secret, job.webhook_id)
        if secret is None:
            return Answer(None, "the secret cannot be read any more: rotate it", 0)
        known = [secret]
        if job.former_secret is not None:
            former = self._opened(job.former_secret, job.webhook_id)
            known += [] if former is None else [former]
        body, timestamp, message_id = job.body.encode(), math.floor(now.timestamp()), str(job.delivery_id)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": self._user_agent,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(known, message_id, timestamp, body),
        }
        return await self._sender.send(job.url, headers, body)

    def _opened(self, sealed: bytes, webhook_id: UUID) -> bytes | None:
        """A secret; some are kept, as each delivery needs one."""
        if (known := self._secrets.get(sealed)) is not None:
            return known
        secret = self._sealer.open(sealed, webhook_id)
        if secret is not None:
            if len(self._secrets) >= SECRETS_KEPT:
                self._secrets.clear()
            self._secrets[sealed] = secret
        return secret

    async def _store(self) -> None:
        """Store what attempts found, all of it that is there, until it is stored: an answer of success that
        is forgotten is a delivery that is sent twice."""
        pause = STORE_PAUSE_SECONDS[0]
        while True:
            await self._found.wait()
            await self._gathered()
            self._found.clear()
            self._enough.clear()
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

    async def _gathered(self) -> None:
        """Until it is time to store again, or there is enough."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._store_at):
                await self._enough.wait()
        self._store_at = loop.time() + GATHER_SECONDS

    async def _store_found(self) -> None:
        self._begin(await self._stored())
        self._stirred.set()

    async def _stored(self) -> Sequence[Job]:
        """Store what is found; what follows in the same lanes."""
        findings = self._findings.copy()
        if not findings:
            return ()
        async with self._uow.begin() as tx:
            settled = await self._queue.settle(tx, findings, self._clock())
        del self._findings[: len(findings)]
        for webhook_id in settled.disabled:
            log.warning("webhooks.disabled", webhook=str(webhook_id))
        return settled.following

    async def close(self) -> None:
        """Cut short what is under way and give it back, for another server or a later run to attempt; store
        what is known."""
        jobs = [*self._next, *self._attempts.values()]
        self._next.clear()
        tasks = [*self._attempts, *([self._storing] if self._storing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        answered = {finding.job.number for finding in self._findings}
        cut = [job for job in jobs if job.number not in answered]
        try:
            cut += await self._stored()
            async with self._uow.begin() as tx:
                await self._queue.release(tx, cut, self._clock())
        except LuxxonError as error:
            log.warning("webhooks.not_given_back", code=error.code)
