"""Webhooks: where events are sent to, what was sent, and the one that video edges call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from luxxon_core.client.paging import paged
from luxxon_core.client.transport import Id, Resource, present, segment, text
from luxxon_core.kernel.clock import iso
from luxxon_core.telemetry.schemas import VideoNotificationTaken
from luxxon_core.webhooks.schemas import Delivery, ReplayStarted, Webhook, WebhookCreated, WebhookRemoved

WebhookList = list[Webhook]
DeliveryList = list[Delivery]
PAGE = 50


class Webhooks(Resource):
    """For keys with ``webhooks:write``."""

    async def create(
        self, url: str, *, events: Sequence[str] | None = None, description: str = ""
    ) -> WebhookCreated:
        """Have events sent to ``url``; ``secret`` is told here and never again.

        Args:
            events: their names; every one but ``telemetry.sample`` when not given.

        Raises:
            InvalidInput: ``webhook:url``, ``webhook:events``; Conflict: ``webhook:limit``.
        """
        fields = {"url": url, "events": None if events is None else list(events), "description": description}
        return await self._transport.call("POST", "/webhooks", WebhookCreated, present(fields))

    async def list(self) -> WebhookList:
        """Oldest first."""
        return await self._transport.call("GET", "/webhooks", WebhookList)

    async def get(self, webhook_id: Id) -> Webhook:
        return await self._transport.call("GET", _one(webhook_id), Webhook)

    async def update(
        self,
        webhook_id: Id,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given; ``enabled`` also takes up one that was disabled after failures."""
        fields = {
            "url": url,
            "events": None if events is None else list(events),
            "description": description,
            "enabled": enabled,
        }
        return await self._transport.call("PATCH", _one(webhook_id), Webhook, present(fields))

    async def delete(self, webhook_id: Id) -> WebhookRemoved:
        """Remove it, with the log of its deliveries."""
        return await self._transport.call("DELETE", _one(webhook_id), WebhookRemoved)

    async def rotate(self, webhook_id: Id) -> WebhookCreated:
        """A new secret, told this once; until ``former_secret_until`` the old one signs as well."""
        return await self._transport.call("POST", f"{_one(webhook_id)}/rotate", WebhookCreated)

    async def test(self, webhook_id: Id) -> Delivery:
        """Send ``webhook.test``, once; read the delivery to see how it went.

        Raises:
            Conflict: ``webhook:disabled``.
        """
        return await self._transport.call("POST", f"{_one(webhook_id)}/test", Delivery)

    async def replay(
        self, webhook_id: Id, *, delivery_id: Id | None = None, since: datetime | None = None
    ) -> ReplayStarted:
        """Send again: a finished delivery, under a new ``webhook-id``; or what has happened since a time
        (with a time zone) and was not delivered. Where the answer is not ``complete``, ask again.

        Raises:
            InvalidInput: ``webhook:deliveryId``: both are given, or neither.
            Conflict: ``webhook:pending``, ``webhook:disabled``.
        """
        fields = {"deliveryId": text(delivery_id), "since": None if since is None else iso(since)}
        return await self._transport.call(
            "POST", f"{_one(webhook_id)}/replay", ReplayStarted, present(fields)
        )

    async def deliveries(
        self, webhook_id: Id, *, state: str | None = None, cursor: Id | None = None, limit: int = PAGE
    ) -> DeliveryList:
        """A page, newest first, following the delivery ``cursor``; bodies are left out.

        Args:
            state: PENDING, SUCCEEDED or FAILED.
        """
        query = present({"state": state, "cursor": text(cursor), "limit": limit})
        path = f"{_one(webhook_id)}/deliveries"
        return await self._transport.call("GET", path, DeliveryList, query=query)

    async def iterate(self, webhook_id: Id, *, state: str | None = None) -> AsyncGenerator[Delivery, None]:
        """All deliveries that :meth:`deliveries` would page through, newest first."""

        async def read(cursor: str | None) -> DeliveryList:
            return await self.deliveries(webhook_id, state=state, cursor=cursor, limit=PAGE)

        async for delivery in paged(read, PAGE):
            yield delivery

    async def delivery(self, webhook_id: Id, delivery_id: Id) -> Delivery:
        """One delivery with its body."""
        path = f"{_one(webhook_id)}/deliveries/{segment(delivery_id)}"
        return await self._transport.call("GET", path, Delivery)

    async def video_event(
        self, token: str, *, webhook_auth: str, input_id: str, event_type: str, updated_at: datetime
    ) -> VideoNotificationTaken:
        """Tell what happened to a live input, as Cloudflare Stream does (api-contract §15.5).

        Args:
            token, webhook_auth: the path's secret and that of the ``cf-webhook-auth`` header.
            event_type: ``live_input.connected``, ``live_input.disconnected`` or ``live_input.errored``.

        Raises:
            MissingToken: one of the secrets is wrong.
        """
        data = {"input_id": input_id, "event_type": event_type, "updated_at": iso(updated_at)}
        return await self._transport.call(
            "POST",
            f"/video/events/{segment(token)}",
            VideoNotificationTaken,
            {"name": "Live Webhook", "data": data},
            headers={"cf-webhook-auth": webhook_auth},
        )


def _one(webhook_id: Id) -> str:
    return f"/webhooks/{segment(webhook_id)}"
