"""What a workspace does with its webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from luxxon_core.access.ports import Secrets
from luxxon_core.kernel.errors import Conflict, InvalidInput, NotFound
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.text import is_line
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.webhooks.domain import (
    MOST_WEBHOOKS,
    OVERLAP,
    SECRET_BYTES,
    TEST_KIND,
    Cause,
    Delivery,
    Planned,
    State,
    Target,
    Webhook,
    checked_kinds,
    checked_url,
    written_secret,
)
from luxxon_core.webhooks.ports import Deliveries, Sealer, Webhooks, Writer

MOST_CHARACTERS = 200
MOST_LISTED = 200
REPLAYED_AT_ONCE = 500
MOST_REPLAYED = 10_000
"""Of one call."""
BY_OWNER = "disabled by its owner"


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many deliveries were made; ``complete`` is False where there are more to be made."""

    count: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Subscriptions:
    uow: UnitOfWork
    webhooks: Webhooks
    deliveries: Deliveries
    sealer: Sealer
    secrets: Secrets
    writer: Writer
    new_id: NewId
    target: Target

    async def create(
        self,
        workspace_id: UUID,
        url: str,
        events: Sequence[str] | None,
        description: str,
        now: datetime,
        webhook_id: UUID | None = None,
    ) -> tuple[Webhook, str]:
        """A new webhook, and its secret as its owner is to see it this once.

        Args:
            webhook_id: where the same request may come again; the second time finds what the first one made.

        Raises:
            InvalidInput: ``webhook:url``, ``webhook:events``, ``webhook:description``.
            Conflict: ``webhook:limit``.
        """
        secret = self.secrets.token(SECRET_BYTES)
        made_id = webhook_id or self.new_id()
        webhook = Webhook(
            id=made_id,
            workspace_id=workspace_id,
            url=checked_url(url, self.target),
            description=_described(description),
            kinds=checked_kinds(events),
            secret=self.sealer.seal(secret, made_id),
            created_at=now,
        )
        async with self.uow.begin() as tx:
            if webhook_id is not None and (found := await self.webhooks.get(tx, workspace_id, made_id)):
                kept = self.sealer.open(found.secret, made_id)
                if kept is not None:
                    return found, written_secret(kept)
            made = await self.webhooks.add(tx, webhook, MOST_WEBHOOKS)
        if made is None:
            raise Conflict("webhook:limit", f"A workspace has at most {MOST_WEBHOOKS} webhooks")
        return made, written_secret(secret)

    async def of_workspace(self, workspace_id: UUID) -> list[Webhook]:
        """Oldest first."""
        async with self.uow.read() as tx:
            return await self.webhooks.of_workspace(tx, workspace_id)

    async def get(self, workspace_id: UUID, webhook_id: UUID) -> Webhook:
        """Raises:
        NotFound: ``webhook:id``.
        """
        async with self.uow.read() as tx:
            return _there(await self.webhooks.get(tx, workspace_id, webhook_id))

    async def change(
        self,
        workspace_id: UUID,
        webhook_id: UUID,
        now: datetime,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given. One that is enabled again is told of what happens from then on; one that is
        disabled loses what was pending. Both can be had again by :meth:`replay`.

        Raises:
            NotFound: ``webhook:id``; InvalidInput: as :meth:`create`.
        """
        async with self.uow.begin() as tx:
            webhook = await self._locked(tx, workspace_id, webhook_id)
            if url is not None:
                webhook = replace(webhook, url=checked_url(url, self.target))
            if events is not None:
                webhook = replace(webhook, kinds=checked_kinds(events))
            if description is not None:
                webhook = replace(webhook, description=_described(description))
            if enabled is True and webhook.disabled_at is not None:
                webhook = replace(
                    webhook, disabled_at=None, disabled_reason=None, failing_since=None, held_until=None
                )
                await self.deliveries.cancel(tx, webhook_id, now)
                await self.webhooks.renew(tx, webhook_id)
            elif enabled is False and webhook.disabled_at is None:
                webhook = replace(webhook, disabled_at=now, disabled_reason=BY_OWNER)
                await self.deliveries.cancel(tx, webhook_id, now)
            await self.webhooks.save(tx, webhook)
        return webhook

    async def remove(self, workspace_id: UUID, webhook_id: UUID) -> None:
        """Remove it with the log of its deliveries.

        Raises:
            NotFound: ``webhook:id``.
        """
        async with self.uow.begin() as tx:
            if not await self.webhooks.remove(tx, workspace_id, webhook_id):
                raise NotFound("webhook:id", "Webhook not found")

    async def rotate(self, workspace_id: UUID, webhook_id: UUID, now: datetime) -> tuple[Webhook, str]:
        """Give it a new secret, to be seen this once; for :data:`~luxxon_core.webhooks.domain.OVERLAP` the
        one before signs as well.

        Raises:
            NotFound: ``webhook:id``.
        """
        secret = self.secrets.token(SECRET_BYTES)
        async with self.uow.begin() as tx:
            webhook = await self._locked(tx, workspace_id, webhook_id)
            rotated = replace(
                webhook,
                secret=self.sealer.seal(secret, webhook_id),
                former_secret=webhook.secret,
                former_until=now + OVERLAP,
            )
            await self.webhooks.save(tx, rotated)
        return rotated, written_secret(secret)

    async def test(self, workspace_id: UUID, webhook_id: UUID, now: datetime) -> Delivery:
        """Send ``webhook.test``, once; how it goes is seen at the delivery.

        Raises:
            NotFound: ``webhook:id``; Conflict: ``webhook:disabled``.
        """
        made = self.new_id()
        async with self.uow.begin() as tx:
            webhook = await self._enabled(tx, workspace_id, webhook_id)
            body = self.writer.test(made, webhook.id, now)
            planned = Planned(made, webhook.id, made, Cause.TEST, TEST_KIND, None, body)
            await self.deliveries.queue(tx, [planned], now)
            return _delivery(await self.deliveries.get(tx, webhook.id, made))

    async def page(
        self, workspace_id: UUID, webhook_id: UUID, state: State | None, cursor: UUID | None, limit: int
    ) -> list[Delivery]:
        """Newest first, following ``cursor``, without their bodies.

        Raises:
            NotFound: ``webhook:id``; InvalidInput: ``webhook:cursor``.
        """
        async with self.uow.read() as tx:
            webhook = _there(await self.webhooks.get(tx, workspace_id, webhook_id))
            if cursor is not None and await self.deliveries.get(tx, webhook.id, cursor) is None:
                raise InvalidInput("webhook:cursor")
            return await self.deliveries.page(tx, webhook.id, state, cursor, min(limit, MOST_LISTED))

    async def delivery(self, workspace_id: UUID, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """One delivery with its body.

        Raises:
            NotFound: ``webhook:id``, ``webhook:delivery``.
        """
        async with self.uow.read() as tx:
            webhook = _there(await self.webhooks.get(tx, workspace_id, webhook_id))
            return _delivery(await self.deliveries.get(tx, webhook.id, delivery_id))

    async def replay(
        self, workspace_id: UUID, webhook_id: UUID, delivery_id: UUID, now: datetime
    ) -> Replayed:
        """Send a delivery that is finished once more: the same body under a ``webhook-id`` of its own.

        Raises:
            NotFound: ``webhook:id``, ``webhook:delivery``.
            Conflict: ``webhook:disabled``, or ``webhook:pending``: it is still being attempted.
        """
        async with self.uow.begin() as tx:
            webhook = await self._enabled(tx, workspace_id, webhook_id)
            one = _delivery(await self.deliveries.get(tx, webhook.id, delivery_id))
            if one.state is State.PENDING:
                raise Conflict("webhook:pending", "The delivery is still being attempted")
            made = Planned(
                self.new_id(), webhook.id, one.lane, Cause.REPLAY, one.kind, one.position, one.body
            )
            await self.deliveries.queue(tx, [made], now)
        return Replayed(1, complete=True)

    async def replay_since(
        self, workspace_id: UUID, webhook_id: UUID, since: datetime, now: datetime
    ) -> Replayed:
        """Send what has happened since then and has not been delivered, as far back as the log goes: what
        failed, and what happened while the webhook was disabled. What is pending is left alone.

        Raises:
            NotFound: ``webhook:id``; Conflict: ``webhook:disabled``.
        """
        count, after = 0, 0
        while count < MOST_REPLAYED:
            async with self.uow.begin() as tx:
                webhook = await self._enabled(tx, workspace_id, webhook_id)
                events = await self.deliveries.missed(tx, webhook, since, after, REPLAYED_AT_ONCE)
                planned = [
                    Planned(
                        self.new_id(),
                        webhook.id,
                        event.session_id,
                        Cause.REPLAY,
                        event.kind,
                        event.position,
                        self.writer.event(event, workspace_id),
                    )
                    for event in events
                ]
                await self.deliveries.queue(tx, planned, now)
            count += len(events)
            if len(events) < REPLAYED_AT_ONCE:
                return Replayed(count, complete=True)
            after = events[-1].position or after
        return Replayed(count, complete=False)

    async def _locked(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook:
        return _there(await self.webhooks.lock(tx, workspace_id, webhook_id))

    async def _enabled(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook:
        webhook = await self._locked(tx, workspace_id, webhook_id)
        if webhook.disabled_at is not None:
            raise Conflict("webhook:disabled", "The webhook is disabled: enable it first")
        return webhook


def _there(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise NotFound("webhook:id", "Webhook not found")
    return webhook


def _delivery(delivery: Delivery | None) -> Delivery:
    if delivery is None:
        raise NotFound("webhook:delivery", "Delivery not found")
    return delivery


def _described(text: str) -> str:
    if len(text) > MOST_CHARACTERS or not is_line(text):
        raise InvalidInput("webhook:description")
    return text
