"""Wire types of webhooks, and what is sent to them.

Names and payloads are ours; the published contract has a scope for webhooks and no more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from luxxon_core.events.domain import Event, Kind
from luxxon_core.events.schemas import Named
from luxxon_core.kernel.wire import Timestamp, Uuid, encode, one_of
from luxxon_core.webhooks import domain
from luxxon_core.webhooks.domain import TEST_KIND, Cause, State

Url = Annotated[
    str,
    Meta(
        extra_json_schema={"format": "uri", "maxLength": 2048},
        description="https, to a public address; port 80, 443, or one from 1024 on",
    ),
]
EventName = Annotated[str, one_of(Kind)]
Description = Annotated[str, Meta(extra_json_schema={"maxLength": 200})]
WebhookSecret = Annotated[
    str, Meta(extra_json_schema={"pattern": "^whsec_[A-Za-z0-9+/]{43}=$"}, description="shown this once")
]


class WebhookRequest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    url: Url
    events: list[EventName] | None = None
    """Every one but ``telemetry.sample`` when not given."""
    description: Description = ""


class WebhookChange(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    url: Url | None = None
    events: list[EventName] | None = None
    description: Description | None = None
    enabled: bool | None = None
    """True takes up a webhook that was disabled, false disables it and gives up what is pending."""


class Webhook(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    id: Uuid
    workspace_id: Uuid
    url: Url
    description: Description
    events: list[EventName]
    created_at: Timestamp
    enabled: bool
    disabled_at: Timestamp | None
    disabled_reason: str | None
    """In words, for people."""
    failing_since: Timestamp | None
    """When the first of the deliveries failed that were followed by no success yet."""
    last_success_at: Timestamp | None
    """To about 10 seconds."""
    held_until: Timestamp | None
    """The receiver asked to be left alone so long (``Retry-After``)."""
    former_secret_until: Timestamp | None
    """How long the secret before the last rotation signs beside the new one."""

    @classmethod
    def of(cls, webhook: domain.Webhook) -> Webhook:
        return cls(**_fields(webhook))


class WebhookCreated(Webhook, frozen=True, rename="camel", kw_only=True):
    secret: WebhookSecret

    @classmethod
    def shown(cls, webhook: domain.Webhook, secret: str) -> WebhookCreated:
        return cls(**_fields(webhook), secret=secret)

    def __repr__(self) -> str:
        return f"WebhookCreated({self.id})"  # the rest holds the secret


class WebhookRemoved(msgspec.Struct, frozen=True, rename="camel"):
    ok: bool
    id: Uuid


class Attempt(msgspec.Struct, frozen=True, rename="camel"):
    at: Timestamp
    status: int | None
    """Of the answer; null where there was none."""
    fault: str | None
    """Why it was no success, in words; null where it was one."""
    duration_milliseconds: int


class Delivery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    id: Uuid
    """The header ``webhook-id``, the same in every attempt."""
    webhook_id: Uuid
    type: str
    event_id: str | None
    """``id`` of the body, and of the event in ``GET /events``; null of a test."""
    cause: Annotated[str, one_of(Cause)]
    state: Annotated[str, one_of(State)]
    created_at: Timestamp
    finished_at: Timestamp | None
    next_attempt_at: Timestamp | None
    attempts: list[Attempt]
    body: str | UnsetType = UNSET
    """What is sent, to the byte; not in lists."""

    @classmethod
    def of(cls, delivery: domain.Delivery, *, whole: bool = True) -> Delivery:
        return cls(
            id=str(delivery.id),
            webhook_id=str(delivery.webhook_id),
            type=delivery.kind,
            event_id=None if delivery.position is None else str(delivery.position),
            cause=delivery.cause,
            state=delivery.state,
            created_at=Timestamp.of(delivery.created_at),
            finished_at=Timestamp.of(delivery.finished_at),
            next_attempt_at=Timestamp.of(delivery.next_attempt_at),
            attempts=[
                Attempt(Timestamp.of(one.at), one.status, one.fault, one.duration_ms)
                for one in delivery.attempts
            ],
            body=delivery.body if whole else UNSET,
        )


class DeliveriesQuery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    state: State | None = None
    cursor: UUID | None = None
    """``id`` of the last delivery of the page before."""
    limit: Annotated[int, Meta(ge=1, description="at most 200 are returned")] = 50


class ReplayRequest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Exactly one of the first two."""

    delivery_id: UUID | None = None
    """A finished delivery to be sent once more."""
    since: Timestamp | None = None
    """From then on, what was not delivered."""


class ReplayStarted(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    """Deliveries that were made."""
    complete: bool
    """False: ask again for the rest."""


class Payload(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a delivery, as Standard Webhooks recommends it."""

    id: str
    """Of the event: the same in a replay, and in the events of ``GET /events``."""
    type: str
    timestamp: Timestamp
    """When it happened."""
    data: msgspec.Struct
    """As in the event streams, without URLs: those are bearer secrets."""


class TestData(msgspec.Struct, frozen=True, rename="camel"):
    webhook_id: Uuid


class BodyWriter:
    """Implements :class:`~luxxon_core.webhooks.ports.Writer`."""

    def event(self, event: Event, viewer: UUID) -> str:
        named = Named.of(event, viewer)
        assert named.id is not None
        return encode(Payload(named.id, named.name, Timestamp.of(event.at), named.data)).decode()

    def test(self, delivery_id: UUID, webhook_id: UUID, now: datetime) -> str:
        data = TestData(str(webhook_id))
        return encode(Payload(str(delivery_id), TEST_KIND, Timestamp.of(now), data)).decode()


def _fields(webhook: domain.Webhook) -> dict[str, Any]:
    return {
        "id": str(webhook.id),
        "workspace_id": str(webhook.workspace_id),
        "url": webhook.url,
        "description": webhook.description,
        "events": list(webhook.kinds),
        "created_at": Timestamp.of(webhook.created_at),
        "enabled": webhook.disabled_at is None,
        "disabled_at": Timestamp.of(webhook.disabled_at),
        "disabled_reason": webhook.disabled_reason,
        "failing_since": Timestamp.of(webhook.failing_since),
        "last_success_at": Timestamp.of(webhook.succeeded_at),
        "held_until": Timestamp.of(webhook.held_until),
        "former_secret_until": Timestamp.of(webhook.former_until),
    }
