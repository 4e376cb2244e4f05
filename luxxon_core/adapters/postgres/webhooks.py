"""Webhooks and the log of their deliveries in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.adapters.postgres.events import _event
from luxxon_core.events.domain import Event
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.webhooks.domain import Attempt, Cause, Delivery, Planned, State, Webhook

SQL = statements("webhooks")


class PgWebhooks:
    """Implements :class:`~luxxon_core.webhooks.ports.Webhooks`."""

    async def add(self, tx: Tx, webhook: Webhook, most: int) -> Webhook | None:
        held = connection(tx)
        await held.execute(SQL["begin_mark"])
        row = await held.fetchrow(
            SQL["add"],
            webhook.id,
            webhook.workspace_id,
            webhook.url,
            webhook.description,
            list(webhook.kinds),
            webhook.secret,
            webhook.created_at,
            most,
        )
        return None if row is None else _webhook(row)

    async def get(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook | None:
        row = await connection(tx).fetchrow(SQL["get"], workspace_id, webhook_id)
        return None if row is None else _webhook(row)

    async def lock(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook | None:
        row = await connection(tx).fetchrow(SQL["lock"], workspace_id, webhook_id)
        return None if row is None else _webhook(row)

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[Webhook]:
        return [_webhook(row) for row in await connection(tx).fetch(SQL["of_workspace"], workspace_id)]

    async def save(self, tx: Tx, webhook: Webhook) -> None:
        await connection(tx).execute(
            SQL["save"],
            webhook.id,
            webhook.url,
            webhook.description,
            list(webhook.kinds),
            webhook.secret,
            webhook.former_secret,
            webhook.former_until,
            webhook.failing_since,
            webhook.held_until,
            webhook.disabled_at,
            webhook.disabled_reason,
        )

    async def renew(self, tx: Tx, webhook_id: UUID) -> None:
        await connection(tx).execute(SQL["renew"], webhook_id)

    async def remove(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> bool:
        return await connection(tx).fetchval(SQL["remove"], workspace_id, webhook_id) is not None


class PgDeliveries:
    """Implements :class:`~luxxon_core.webhooks.ports.Deliveries`."""

    async def page(
        self, tx: Tx, webhook_id: UUID, state: State | None, cursor: UUID | None, limit: int
    ) -> list[Delivery]:
        rows = await connection(tx).fetch(SQL["page"], webhook_id, state, cursor, limit)
        return [_delivery(row) for row in rows]

    async def get(self, tx: Tx, webhook_id: UUID, delivery_id: UUID) -> Delivery | None:
        row = await connection(tx).fetchrow(SQL["get_delivery"], webhook_id, delivery_id)
        return None if row is None else _delivery(row)

    async def missed(self, tx: Tx, webhook: Webhook, since: datetime, after: int, limit: int) -> list[Event]:
        rows = await connection(tx).fetch(
            SQL["missed"],
            webhook.id,
            webhook.workspace_id,
            list(webhook.kinds),
            since,
            after,
            webhook.after_position,
            limit,
        )
        return [_event(row) for row in rows]

    async def queue(self, tx: Tx, planned: Sequence[Planned], now: datetime) -> None:
        if not planned:
            return
        held = connection(tx)
        rows = [
            (one.id, one.webhook_id, one.lane, one.cause, one.kind, one.position, one.body) for one in planned
        ]
        await held.execute(SQL["queue"], *(list(column) for column in zip(*rows, strict=True)), now)
        if any(one.cause is not Cause.EVENT for one in planned):  # who makes them of events sends them too
            await held.execute(SQL["ring"])

    async def cancel(self, tx: Tx, webhook_id: UUID, now: datetime) -> int:
        held = connection(tx)
        rows = await held.fetch(SQL["hold_lanes"], webhook_id)
        if not rows:
            return 0
        lanes, heads = [row["lane"] for row in rows], [row["head"] for row in rows]
        count = int(await held.fetchval(SQL["cancel"], webhook_id, now, lanes, heads))
        await held.execute(SQL["close_lanes"], webhook_id, lanes)
        return count


async def any_enabled(uow: UnitOfWork) -> bool:
    """Whether anybody is to be told of anything."""
    async with uow.read() as tx:
        return bool(await connection(tx).fetchval(SQL["any"]))


def _webhook(row: Mapping[str, Any]) -> Webhook:
    fields = {name: row[name] for name in Webhook.__dataclass_fields__}
    return Webhook(**{**fields, "kinds": tuple(row["kinds"])})


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=row["id"],
        webhook_id=row["webhook_id"],
        lane=row["lane"],
        cause=Cause(row["cause"]),
        kind=row["kind"],
        position=row["event_id"],
        body=row["body"],
        state=State(row["state"]),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        next_attempt_at=row["next_attempt_at"],
        attempts=msgspec.json.decode(row["attempts"], type=list[Attempt]),
    )
