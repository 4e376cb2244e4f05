"""What is to be sent, shared by all servers, in SQL; and a line on which it can be heard growing.

A lane is a row for each webhook and session with something pending. Who leases it may send its first
delivery: so order and leases are one thing, and what waits behind the first costs nobody's claim anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.adapters.postgres.events import CHANNEL, _event, _failures
from luxxon_core.adapters.postgres.webhooks import PgDeliveries
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx
from luxxon_core.webhooks.domain import TRIED, Cause, Health, Job, State
from luxxon_core.webhooks.ports import Due, Finding, Settled

if TYPE_CHECKING:
    import asyncpg

SQL = statements("webhook_queue")
WEBHOOK_CHANNEL = "luxxon_webhook"
UNDER_WAY = 64
"""Deliveries of one webhook at once, in one server: a slow receiver is to leave room for others."""
UNDER_WAY_FAILING = 2
UNDER_WAY_WORKSPACE = 128
"""Of all webhooks of a workspace: a few of them, all slow, are to leave room for other workspaces."""
KEPT = timedelta(seconds=1)
"""A lane is kept for its next delivery for so long, then it waits behind the webhook's other lanes."""
ANSWER_SECONDS = 5.0


class PgQueue:
    """Implements :class:`~luxxon_core.webhooks.ports.Queue`."""

    def __init__(self) -> None:
        self._deliveries = PgDeliveries()

    async def fan_out(self, tx: Tx, limit: int) -> tuple[list[Due], int] | None:
        held = connection(tx)
        mark = await held.fetchval(SQL["mark"])
        if mark is None:
            return None
        tip, first = await held.fetchrow(SQL["bounds"])
        start = tip if first is None else max(mark, min(first, tip))
        upto = min(start + limit, tip)
        if upto == mark:
            return None
        rows = await held.fetch(SQL["due"], start, upto) if upto > start else []
        await held.execute(SQL["move_mark"], upto)
        due = []
        for _, group in groupby(rows, itemgetter("id")):
            of_one = list(group)
            told = [(row["webhook_id"], row["workspace_id"]) for row in of_one]
            due.append(Due(_event(of_one[0]), told))
        return due, max(upto - mark, 1)  # a log that was restored from an older copy is shorter

    async def claim(
        self, tx: Tx, now: datetime, until: datetime, lease: UUID, busy: Mapping[UUID, int], limit: int
    ) -> list[Job]:
        held = connection(tx)
        lanes = await held.fetch(
            SQL["claim"],
            now,
            until,
            UNDER_WAY,
            UNDER_WAY_FAILING,
            list(busy.keys()),
            list(busy.values()),
            limit,
            lease,
            UNDER_WAY_WORKSPACE,
        )
        if not lanes:
            return []
        columns = ([row[name] for row in lanes] for name in ("webhook_id", "lane", "head"))
        keep = now + min(KEPT, (until - now) / 4)
        return [_job(row, lease, keep, now) for row in await held.fetch(SQL["heads"], *columns)]

    async def settle(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> Settled:
        if not findings:
            return Settled()
        held = connection(tx)
        await self._tell_health(tx, findings, now)
        rows = [
            (
                one.job.number,
                one.verdict.state,
                msgspec.json.encode(one.attempt).decode(),
                one.verdict.next_at,
                one.job.tried,
            )
            for one in sorted(findings, key=lambda one: one.job.number)
        ]
        await held.execute(SQL["record"], *(list(column) for column in zip(*rows, strict=True)), now)
        disabled = await self._disable(tx, findings, now)
        lanes = []
        for one in findings:
            kept = one.verdict.state is not State.PENDING and now < one.job.keep_until
            lanes.append((one.job, one.verdict.next_at, kept))
        following = await self._give_back(tx, lanes, now)
        for webhook_id in disabled:
            await self._deliveries.cancel(tx, webhook_id, now)
        return Settled(disabled, following)

    async def release(self, tx: Tx, jobs: Sequence[Job], now: datetime) -> None:
        await self._give_back(tx, [(job, None, False) for job in jobs], now)

    async def sweep(self, tx: Tx, before: datetime, now: datetime, limit: int) -> int:
        held = connection(tx)
        found = await held.fetch(SQL["lock_swept"], now)
        await held.execute(SQL["forget_secrets"], now)
        count = 0
        for row in found:
            if row["disabled"]:
                count += await self._deliveries.cancel(tx, row["id"], now)
        return count + int(await held.fetchval(SQL["purge"], before, limit))

    async def _give_back(
        self, tx: Tx, lanes: Sequence[tuple[Job, datetime | None, bool]], now: datetime
    ) -> list[Job]:
        """Free lanes until they are due, but for those to be kept that go on: their next deliveries."""
        if not lanes:
            return []
        held = connection(tx)
        told = sorted((job.webhook_id, job.lane, job.lease, next_at, keep) for job, next_at, keep in lanes)
        # first the lock, then a look at what is pending: who adds to a lane holds it until that is committed
        locked = await held.fetch(SQL["lock_lanes"], *(list(column) for column in zip(*told, strict=True)))
        names = "webhook_id", "lane", "lease", "head", "next_at", "keep"
        rows = await held.fetch(SQL["give_back"], *([one[name] for one in locked] for name in names), now)
        until = {(job.webhook_id, job.lane): job.keep_until for job, _, _ in lanes}
        return [_job(row, row["lease"], until[row["webhook_id"], row["lane"]], now) for row in rows]

    async def _tell_health(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> None:
        told: dict[UUID, tuple[bool, datetime | None]] = {}
        for one in findings:
            if one.verdict.counts:
                good, hold = told.get(one.job.webhook_id, (False, None))
                holds = [at for at in (hold, one.verdict.hold_until) if at is not None]
                told[one.job.webhook_id] = (good or one.attempt.fault is None, max(holds, default=None))
        ids = sorted(told)
        columns = ids, [told[one][0] for one in ids], [told[one][1] for one in ids]
        concerned = list({one.job.webhook_id for one in findings})
        await connection(tx).execute(SQL["health"], concerned, *columns, now, TRIED)

    async def _disable(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> list[UUID]:
        reasons = {one.job.webhook_id: one.verdict.disable for one in findings if one.verdict.disable}
        if not reasons:
            return []
        rows = await connection(tx).fetch(SQL["disable"], list(reasons), list(reasons.values()), now)
        return [row["id"] for row in rows]


class PgBell:
    """Implements :class:`~luxxon_core.webhooks.ports.Bell` on a connection outside the pool."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: asyncpg.Connection[Any] | None = None
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        if self._held is None or self._held.is_closed():
            await self._connect()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()

    async def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(*_failures()):
                await held.close(timeout=1)

    async def _connect(self) -> None:
        import asyncpg

        try:
            held = await asyncpg.connect(self._dsn, timeout=ANSWER_SECONDS)
            for channel in (CHANNEL, WEBHOOK_CHANNEL):
                await held.add_listener(channel, self._ring)
            held.add_termination_listener(self._ring)
        except _failures() as error:
            raise DatabaseError("webhooks:bell") from error
        self._held = held

    def _ring(self, *_: object) -> None:
        self._rung.set()


def _job(row: Mapping[str, Any], lease: UUID, keep_until: datetime, now: datetime) -> Job:
    overlaps = row["former_until"] is not None and now < row["former_until"]
    return Job(
        number=row["number"],
        lease=lease,
        keep_until=keep_until,
        delivery_id=row["id"],
        webhook_id=row["webhook_id"],
        lane=row["lane"],
        cause=Cause(row["cause"]),
        body=row["body"],
        created_at=row["created_at"],
        tried=row["tried"],
        url=row["url"],
        secret=row["secret"],
        former_secret=row["former_secret"] if overlaps else None,
        health=Health(row["failing_since"], row["failed_at"], row["untried"]),
    )
