"""The deployment itself: its configuration, its health, and the documents about it."""

from __future__ import annotations

import msgspec

from luxxon_core.client.errors import InvalidResponse
from luxxon_core.client.transport import Json, Resource
from luxxon_core.http.schemas import Config, Health, Ready


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
        """The same in the words of OpenAPI 3.0, as the published API serves it."""
        content = (await self._transport.send("GET", "/docs-json")).content
        return _document(content)

    async def page(self) -> str:
        """HTML that shows it in a browser."""
        return (await self._transport.send("GET", "/docs")).text

    async def llms_txt(self) -> str:
        """The API told to agents, Markdown."""
        return (await self._transport.send("GET", "/llms.txt")).text


def _document(content: bytes) -> dict[str, Json]:
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidResponse(message=f"no OpenAPI document: {error}") from error
    if not isinstance(found, dict):
        raise InvalidResponse(message="no OpenAPI document: no JSON object")
    return found
