"""The deployment itself: its configuration, its health, the documents about it, and what is told to it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from luxxon_core.client.errors import InvalidResponse
from luxxon_core.client.transport import Json, Resource, segment
from luxxon_core.http.schemas import Config, Health, Ready
from luxxon_core.kernel.clock import iso
from luxxon_core.telemetry.schemas import VideoNotificationTaken


class ConfigResource(Resource):
    async def get(self) -> Config:
        """Chain, contracts and environment; they do not change while a server runs."""
        return await self._transport.call("GET", "/config", Config)


class HealthResource(Resource):
    async def get(self) -> Health:
        """That the server answers."""
        return await self._transport.call("GET", "/health", Health)

    async def ready(self) -> Ready:
        """That every part of it works; raises ``Unavailable`` where one does not."""
        return await self._transport.call("GET", "/ready", Ready)


class Documents(Resource):
    """What the server tells about its API."""

    async def openapi(self) -> dict[str, Json]:
        """The OpenAPI 3.1 document."""
        content = (await self._transport.send("GET", "/openapi.json")).content
        return _document(content)

    async def docs_json(self) -> dict[str, Json]:
        """The same under the published name."""
        content = (await self._transport.send("GET", "/docs-json")).content
        return _document(content)

    async def page(self) -> str:
        """HTML that shows it in a browser."""
        return (await self._transport.send("GET", "/docs")).text

    async def llms_txt(self) -> str:
        """The API told to agents, Markdown."""
        return (await self._transport.send("GET", "/llms.txt")).text


class Webhooks(Resource):
    """For video edges that notify the server; no part of a consumer's or operator's work."""

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


def _document(content: bytes) -> dict[str, Json]:
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidResponse(message=f"no OpenAPI document: {error}") from error
    if not isinstance(found, dict):
        raise InvalidResponse(message="no OpenAPI document: no JSON object")
    return found
