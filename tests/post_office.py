"""Webhooks as one server has them, on a real database: subscriptions, and couriers that come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from uuid import UUID

from newsroom import Newsroom, newsroom

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.webhook_queue import PgQueue
from luxxon_core.adapters.postgres.webhooks import PgDeliveries, PgWebhooks
from luxxon_core.adapters.sealing import AesSealer
from luxxon_core.adapters.system import SystemSecrets
from luxxon_core.adapters.webhook_sender import HttpSender
from luxxon_core.events.domain import Kind, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.ids import new_id
from luxxon_core.webhooks.domain import Policy, Target, Webhook
from luxxon_core.webhooks.ports import Sender
from luxxon_core.webhooks.schemas import BodyWriter
from luxxon_core.webhooks.usecases import Courier, FanOut, Limits, Subscriptions

LOOPBACK = Target((ip_network("127.0.0.0/8"),), plain=True)
HASTY = Policy(first_retry=timedelta(seconds=0.05), longest_retry=timedelta(seconds=0.2))
KEYS = [b"k" * 32]


@dataclass
class Post:
    """A courier that is running."""

    courier: Courier
    tasks: list[asyncio.Task[None]]
    sender: Sender

    async def die(self) -> None:
        """As a process that is killed: nothing is given back."""
        tasks = [*self.tasks, *self.courier._attempts]
        if self.courier._storing is not None:
            tasks.append(self.courier._storing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.courier.close()


@dataclass
class PostOffice:
    room: Newsroom
    database: Database
    webhooks: Subscriptions
    queue: PgQueue
    fan_out: FanOut
    posts: list[Post] = field(default_factory=list)
    deliveries_at_once: int = 1024

    async def hire(
        self,
        *,
        policy: Policy = HASTY,
        lease: timedelta = timedelta(seconds=30),
        timeout_s: float = 1.0,
        sender: Sender | None = None,
    ) -> Post:
        """A server that makes deliveries and sends them."""
        used = sender or HttpSender(LOOPBACK, utc_now, timeout_s=timeout_s)
        courier = Courier(
            self.database,
            self.queue,
            used,
            AesSealer(KEYS),
            utc_now,
            new_id,
            random.random,
            policy,
            Limits(self.deliveries_at_once, lease),
        )
        tasks = [asyncio.create_task(self._turns(courier)), asyncio.create_task(self._fan(courier))]
        post = Post(courier, tasks, used)
        self.posts.append(post)
        return post

    async def _turns(self, courier: Courier) -> None:
        while True:
            await courier.turn(utc_now())

    async def _fan(self, courier: Courier) -> None:
        while True:
            while await self.fan_out.step(utc_now()):
                courier.stir()
            await asyncio.sleep(0.02)

    async def subscribe(
        self, workspace_id: UUID, url: str, events: Sequence[str] | None = None
    ) -> tuple[Webhook, str]:
        return await self.webhooks.create(workspace_id, url, events, "", utc_now())

    async def write(self, session_id: UUID, *names: str) -> None:
        """Events that can be told apart, in this order."""
        for name in names:
            async with self.room.uow.begin() as tx:
                await self.room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video(name), utc_now())

    async def settled(self, seconds: float = 20) -> None:
        """Until nothing is pending and all of the log is told."""
        async with asyncio.timeout(seconds):
            while not await self.told() or await self.count("state = 'PENDING'"):
                await asyncio.sleep(0.02)

    async def told(self) -> bool:
        rows = await self.room.market.rows(
            "select coalesce((select position from webhook_tip), 0)"
            " = coalesce((select position from event_tip), 0)"
            " and not exists (select from event where position is null)"
        )
        return bool(rows[0][0])

    async def count(self, where: str = "true") -> int:
        rows = await self.room.market.rows(f"select count(*) from webhook_delivery where {where}")
        return int(rows[0][0])

    async def look(self, webhook: Webhook) -> Webhook:
        return await self.webhooks.get(webhook.workspace_id, webhook.id)

    async def disabled(self, webhook: Webhook, seconds: float = 20) -> Webhook:
        async with asyncio.timeout(seconds):
            while (found := await self.look(webhook)).disabled_at is None:
                await asyncio.sleep(0.02)
        return found

    async def age(self, webhook: Webhook, failing_since: datetime, failed_at: datetime | None = None) -> None:
        """Have it failed since then, without a pause, until ``failed_at`` or now."""
        await self.room.market.rows(
            "update webhook set failing_since = $2, failed_at = $3 where id = $1",
            webhook.id,
            failing_since,
            failed_at or utc_now(),
        )


@asynccontextmanager
async def post_office(dsn: str, target: Target = LOOPBACK) -> AsyncIterator[PostOffice]:
    async with newsroom(dsn) as room:
        database = await Database.connect(dsn)
        deliveries, queue, writer = PgDeliveries(), PgQueue(), BodyWriter()
        webhooks = Subscriptions(
            database,
            PgWebhooks(),
            deliveries,
            AesSealer(KEYS),
            SystemSecrets(),
            writer,
            new_id,
            target,
        )
        fan_out = FanOut(database, queue, deliveries, writer, new_id)
        office = PostOffice(room, database, webhooks, queue, fan_out)
        try:
            yield office
        finally:
            for post in office.posts:
                await post.close()
                if isinstance(post.sender, HttpSender):
                    await post.sender.close()
            await database.close()
