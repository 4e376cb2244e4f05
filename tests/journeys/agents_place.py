"""A marketplace for agents' hosts: a camera that films, one that never answers, and the official client."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from luxxon_testcard import testcard
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, fund, operating, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.geo import Point
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.server import Server, running
from luxxon_core.settings import load

DOCUMENT = Path(__file__).parents[2] / "docs" / "mcp.md"
BRUSSELS = {"lat": 50.8466, "lng": 4.3528}
SILENT = {"lat": 10.0, "lng": 10.0}
"""Where an operator is ONLINE whose device never answers."""
NOWHERE = {"lat": -60, "lng": -120}
SCOPES = ("sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read")
PAGE = "https://agents.example"
"""The origin of a page that may call the API."""
SMALL = testcard.TestcardConfig(width=320, height=180, fps=15)
NOW, BEFORE = "2026-07-28", "legacy"
REVISIONS = {NOW: "2026-07-28", BEFORE: "2025-11-25"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@dataclass
class Place:
    url: str
    consumer: Party
    silent: Party
    """Its camera never answers."""
    server: Server
    stop: Callable[[], Awaitable[None]]
    """Stop the server as a signal would, while everybody else goes on."""

    @asynccontextmanager
    async def host(self, way: tuple[str, str]) -> AsyncIterator[Client]:
        """The official client, as a host has it."""
        transport, mode = way
        async with AsyncExitStack() as stack:
            if transport == "stdio":
                client = Client(stdio(f"{self.url}/api/v1", self.consumer.api_key), mode=mode)
            else:
                headers = {"Authorization": f"Bearer {self.consumer.api_key}"}
                http = await stack.enter_async_context(
                    httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False)
                )
                client = Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode)
            yield await stack.enter_async_context(client)

    async def over(self, session_id: str) -> str:
        """The state of a session once it is over."""
        session = await self.consumer.api.sessions.wait_for(session_id, "ENDED", timeout=10)
        return session.state

    async def first_frame(self, session_id: str) -> None:
        """What the edge would say of a device that has begun to film; no picture comes of it."""
        uid = (await self.consumer.api.sessions.get(session_id)).video_backend_ref
        assert uid is not None
        event = MediaEvent(MediaEventKind.FIRST_FRAME, uid, utc_now())
        await self.server.deployment.cases.sessions.on_media(event, utc_now())

    async def open(self) -> set[str]:
        found = await self.consumer.api.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE"))
        return {one.id for one in found}


def documented(language: str) -> str:
    """The one block of that language in the agents' page."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert isinstance(block, str)
    return block


def stdio(api_url: str, key: str | None) -> StdioServerParameters:
    """What the documented entry starts, with the test's server and key in it."""
    entry = json.loads(documented("json"))["mcpServers"]["luxxon"]
    assert (entry["command"], set(entry["env"])) == ("luxxon", {"LUXXON_API_URL", "LUXXON_API_KEY"})
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LUXXON_")}
    environment["LUXXON_API_URL"] = api_url
    if key is not None:
        environment["LUXXON_API_KEY"] = key
    arguments = ["-m", "luxxon_core", *entry["args"]]
    return StdioServerParameters(command=sys.executable, args=arguments, env=environment)


@asynccontextmanager
async def hosting(data: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as serving, AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await serving.enter_async_context(
            running(load(data_dir=data, durable=False, port=0, origins=frozenset({PAGE})))
        )
        consumer = await enter(party(server.api_url, "agent", "CONSUMER", SCOPES))
        supplier = await enter(party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES))
        silent = await enter(party(server.api_url, "silent", "SUPPLIER", SUPPLIER_SCOPES))
        chain = await enter(ChainClient(await consumer.api.config.get()))
        await fund(server, chain, consumer, 3000)
        source = await enter(await testcard.TestcardType().open(SMALL))
        await enter(operating(supplier, source, Point(**BRUSSELS)))
        await silent.api.workspaces.set_availability(
            silent.workspace_id, "ONLINE", **SILENT, radius_meters=500
        )
        yield Place(server.url, consumer, silent, server, serving.aclose)


def told(result: CallToolResult) -> Any:
    """The JSON of the last text block, which is that of the structured content."""
    text = result.content[-1]
    assert isinstance(text, TextContent)
    found = json.loads(text.text)
    assert text.text == json.dumps(found, indent=2, ensure_ascii=False)
    if result.structured_content is not None:
        assert found == result.structured_content
    return found


def picture(block: object) -> Image.Image:
    assert isinstance(block, ImageContent)
    assert block.mime_type == "image/jpeg"
    shown = Image.open(io.BytesIO(base64.b64decode(block.data, validate=True)))
    shown.load()
    return shown


async def look(client: Client, session_id: str) -> CallToolResult:
    """``get_frame``, again until the first picture has come."""
    async with asyncio.timeout(15):
        while (result := await client.call_tool("get_frame", {"sessionId": session_id})).is_error:
            assert told(result)["code"] == "FRAME_NOT_AVAILABLE"
            await asyncio.sleep(0.2)
    return result


async def live(client: Client) -> str:
    found = told(await client.call_tool("request_live_view", {**BRUSSELS, "maxDurationSeconds": 60}))
    assert found["state"] == "LIVE", found
    session_id = found["sessionId"]
    assert isinstance(session_id, str)
    return session_id
