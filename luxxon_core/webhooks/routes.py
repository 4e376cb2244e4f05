"""Endpoints of webhooks: who is told of what, and how it went."""

from __future__ import annotations

from dataclasses import replace

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Permission, Scope
from luxxon_core.kernel.errors import Conflict, InvalidInput, NotFound
from luxxon_core.webhooks.schemas import (
    DeliveriesQuery,
    Delivery,
    ReplayRequest,
    ReplayStarted,
    Webhook,
    WebhookChange,
    WebhookCreated,
    WebhookRemoved,
    WebhookRequest,
)
from luxxon_core.webhooks.usecases import Subscriptions

ALL = "/webhooks"
ONE = "/webhooks/{webhook_id}"
TAG = "Webhooks"
_UNKNOWN = NotFound("webhook:id", "Webhook not found")
_UNKNOWN_DELIVERY = NotFound("webhook:delivery", "Delivery not found")
_DISABLED = Conflict("webhook:disabled")


class _NoWebhook(NotFound):
    """An id that is none."""

    def __init__(self) -> None:
        super().__init__("webhook:id", "Webhook not found")


class _NoDelivery(NotFound):
    def __init__(self) -> None:
        super().__init__("webhook:delivery", "Delivery not found")


def operations(webhooks: Subscriptions) -> list[Operation]:
    """The rows. A key needs ``webhooks:write`` for reading too: what was sent tells of every session."""
    return [*_subscriptions(webhooks), *_deliveries(webhooks)]


def _subscriptions(webhooks: Subscriptions) -> list[Operation]:
    async def list_(call: Call[None]) -> list[Webhook]:
        return [Webhook.of(one) for one in await webhooks.of_workspace(call.acting)]

    async def create(call: Call[WebhookRequest]) -> WebhookCreated:
        body = call.body
        made, secret = await webhooks.create(
            call.acting, body.url, body.events, body.description, call.now, call.idempotent_id
        )
        return WebhookCreated.shown(made, secret)

    async def get(call: Call[None]) -> Webhook:
        return Webhook.of(await webhooks.get(call.acting, call.id("webhook_id", _NoWebhook)))

    async def change(call: Call[WebhookChange]) -> Webhook:
        body = call.body
        changed = await webhooks.change(
            call.acting,
            call.id("webhook_id", _NoWebhook),
            call.now,
            url=body.url,
            events=body.events,
            description=body.description,
            enabled=body.enabled,
        )
        return Webhook.of(changed)

    async def remove(call: Call[None]) -> WebhookRemoved:
        webhook_id = call.id("webhook_id", _NoWebhook)
        await webhooks.remove(call.acting, webhook_id)
        return WebhookRemoved(True, str(webhook_id))

    async def rotate(call: Call[None]) -> WebhookCreated:
        webhook_id = call.id("webhook_id", _NoWebhook)
        return WebhookCreated.shown(*await webhooks.rotate(call.acting, webhook_id, call.now))

    reads = Operation(
        method="GET",
        path=ALL,
        handler=list_,
        access=Access.WORKSPACE,
        out=list[Webhook],
        tag=TAG,
        summary="List the webhooks of the workspace",
        subject="webhook",
        scopes=(Scope.WEBHOOKS_WRITE,),
    )
    writes = replace(reads, permission=Permission.MANAGE_KEYS)
    return [
        reads,
        replace(
            writes,
            method="POST",
            handler=create,
            out=WebhookCreated,
            summary="Have events sent to a URL",
            body=WebhookRequest,
            errors=(Conflict("webhook:limit"),),
        ),
        replace(reads, path=ONE, handler=get, out=Webhook, summary="Read a webhook", errors=(_UNKNOWN,)),
        replace(
            writes,
            method="PATCH",
            path=ONE,
            handler=change,
            out=Webhook,
            summary="Change, disable or enable a webhook",
            body=WebhookChange,
            errors=(_UNKNOWN,),
        ),
        replace(
            writes,
            method="DELETE",
            path=ONE,
            handler=remove,
            out=WebhookRemoved,
            summary="Remove a webhook and the log of its deliveries",
            errors=(_UNKNOWN,),
        ),
        replace(
            writes,
            method="POST",
            path=ONE + "/rotate",
            handler=rotate,
            out=WebhookCreated,
            summary="Give a webhook a new secret; the old one signs beside it for a day",
            errors=(_UNKNOWN,),
        ),
    ]


def _deliveries(webhooks: Subscriptions) -> list[Operation]:
    async def test(call: Call[None]) -> Delivery:
        return Delivery.of(await webhooks.test(call.acting, call.id("webhook_id", _NoWebhook), call.now))

    async def replay(call: Call[ReplayRequest]) -> ReplayStarted:
        body, webhook_id = call.body, call.id("webhook_id", _NoWebhook)
        if (body.delivery_id is None) == (body.since is None):
            raise InvalidInput("webhook:deliveryId", "Give deliveryId or since")
        if body.delivery_id is not None:
            made = await webhooks.replay(call.acting, webhook_id, body.delivery_id, call.now)
        else:
            assert body.since is not None
            if body.since.tzinfo is None:
                raise InvalidInput("webhook:since", "since needs a time zone")
            made = await webhooks.replay_since(call.acting, webhook_id, body.since, call.now)
        return ReplayStarted(made.count, made.complete)

    async def list_deliveries(call: Call[None, DeliveriesQuery]) -> list[Delivery]:
        asked = call.query
        webhook_id = call.id("webhook_id", _NoWebhook)
        found = await webhooks.page(call.acting, webhook_id, asked.state, asked.cursor, asked.limit)
        return [Delivery.of(one, whole=False) for one in found]

    async def delivery(call: Call[None]) -> Delivery:
        webhook_id, delivery_id = call.id("webhook_id", _NoWebhook), call.id("delivery_id", _NoDelivery)
        return Delivery.of(await webhooks.delivery(call.acting, webhook_id, delivery_id))

    reads = Operation(
        method="GET",
        path=ONE + "/deliveries",
        handler=list_deliveries,
        access=Access.WORKSPACE,
        out=list[Delivery],
        tag=TAG,
        summary="List what was sent to a webhook, and how it went",
        query=DeliveriesQuery,
        subject="webhook",
        scopes=(Scope.WEBHOOKS_WRITE,),
        errors=(_UNKNOWN, InvalidInput("webhook:cursor")),
    )
    writes = replace(reads, method="POST", query=None, permission=Permission.MANAGE_KEYS)
    return [
        reads,
        replace(
            reads,
            path=ONE + "/deliveries/{delivery_id}",
            handler=delivery,
            out=Delivery,
            summary="Read a delivery with its body",
            query=None,
            errors=(_UNKNOWN, _UNKNOWN_DELIVERY),
        ),
        replace(
            writes,
            path=ONE + "/test",
            handler=test,
            out=Delivery,
            summary="Send a test to a webhook, once",
            errors=(_UNKNOWN, _DISABLED),
        ),
        replace(
            writes,
            path=ONE + "/replay",
            handler=replay,
            out=ReplayStarted,
            summary="Send a delivery again, or what was not delivered since a time",
            body=ReplayRequest,
            errors=(_UNKNOWN, _UNKNOWN_DELIVERY, _DISABLED, Conflict("webhook:pending")),
        ),
    ]
