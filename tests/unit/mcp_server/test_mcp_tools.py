"""Shapes of tools, answers and errors, by the official client in the same process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import jsonschema
import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from luxxon_core.client import Luxxon
from luxxon_core.client.errors import ConnectionFailed, InvalidResponse, RateLimited
from luxxon_core.kernel.errors import LuxxonError, SessionNotFound
from luxxon_core.mcp_server.answers import Answer, failure
from luxxon_core.mcp_server.calls import Calls
from luxxon_core.mcp_server.progress import Progress
from luxxon_core.mcp_server.server import Caller, made
from luxxon_core.mcp_server.tools import ROWS, TOOLS
from tests.unit.client.wire_samples import SESSION

ID = "6f0d1c1e-6d0b-4b43-9a60-0d1c7c6ff001"


def session(state: str) -> dict[str, Any]:
    asked = {"maxDurationSeconds": 30, "waitTimeoutSeconds": 5, "holdMicroUsdc": "0"}
    return SESSION | asked | {"id": ID, "consumerWorkspaceId": str(uuid4()), "state": state}


class Marketplace:
    """Sessions that are assigned and never LIVE, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.state = "REQUESTED"
        self.creating = asyncio.Event()
        self.may_create = asyncio.Event()
        self.may_create.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.asked.append(f"{request.method} {path}")
        if path.endswith("/events"):
            return httpx.Response(404, json={"statusCode": 404, "code": "NOT_FOUND", "message": "no"})
        if path == "/sessions":
            self.creating.set()
            await self.may_create.wait()
        elif path.endswith("/dispatch"):
            self.state = "ASSIGNED"
        elif request.method == "DELETE":
            self.state = "CANCELLED"
        return httpx.Response(200, json={"statusCode": 200, "data": session(self.state)})


@asynccontextmanager
async def host(serve: Any) -> AsyncIterator[Client]:
    async with Luxxon(
        "http://market/api/v1", api_key="k", retry=False, transport=httpx.MockTransport(serve)
    ) as api:

        @asynccontextmanager
        async def opened(_: Any) -> AsyncIterator[Caller]:
            yield Caller(api)

        async with Client(made(opened, Calls())) as client:
            yield client


def told(result: CallToolResult) -> Any:
    return json.loads(result.content[-1].text)  # type: ignore[union-attr]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_schemas_are_schemas_with_an_object_at_their_root(row: Any) -> None:
    tool = row.described
    for schema in filter(None, (tool.input_schema, tool.output_schema)):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        text = json.dumps(schema)
        for name in schema.get("$defs", ()):
            assert f'"#/$defs/{name}"' in text
    assert tool.annotations.read_only_hint != tool.annotations.destructive_hint or not row.reads


def test_only_what_moves_money_or_ends_something_is_no_reading() -> None:
    writing = {name for name, row in TOOLS.items() if not row.reads}
    assert writing == {
        "request_live_view",
        "end_session",
        "cancel_session",
        "get_pricing_quote",  # it locks a price
        "watch",
        "observe",
        "control_camera",
    }
    assert {name for name, row in TOOLS.items() if row.destroys} == {"end_session", "cancel_session", "watch"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            SessionNotFound("session:unknown"),
            {
                "code": "SESSION_NOT_FOUND",
                "status": 404,
                "message": SessionNotFound.default_message,
                "detail": "session:unknown",
                "retryable": False,
            },
        ),
        (
            RateLimited(message="RATE_LIMITED (429)"),
            {"code": "RATE_LIMITED", "status": 429, "retryable": True},
        ),
        (
            InvalidResponse(message="HTTP 502", http_status=502, upstream="<html>\n " + "x" * 1000),
            {
                "code": "INVALID_RESPONSE",
                "status": 502,
                "message": "HTTP 502",
                "retryable": True,
                "upstream": "<html> " + "x" * (240 - 8),
            },
        ),
        (
            ConnectionFailed(message="no answer"),
            {
                "code": "CONNECTION_FAILED",
                "status": ConnectionFailed.status,
                "message": "no answer",
                "retryable": True,
            },
        ),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_an_error_has_the_contracts_fields(error: LuxxonError, told: dict[str, Any]) -> None:
    result = failure(error).result()
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert json.loads(content.text) == told
    assert result.structured_content is None, "clients hold it against the output schema of a success"


async def test_a_gateways_page_is_told_as_upstream() -> None:
    async with host(lambda _: httpx.Response(503, text="<h1>Busy</h1>")) as client:
        answer = told(await client.call_tool("get_wallet", {}))
    assert (answer["code"], answer["status"]) == ("INVALID_RESPONSE", 503)
    assert (answer["upstream"], answer["retryable"]) == ("<h1>Busy</h1>", True)


async def test_arguments_are_read_as_models_write_them() -> None:
    marketplace = Marketplace()
    async with host(marketplace) as client:
        asked = {"lat": "1", "lng": 2, "maxDurationSeconds": 30.0, "quoteId": None, "timeoutMs": 1}
        assert told(await client.call_tool("request_live_view", asked))["state"] == "ASSIGNED"
        for wrong in (
            {"lat": 1},
            {**asked, "lat": "north"},
            {**asked, "maxDurationSeconds": 0},
            {**asked, "lng": "nan"},
        ):
            refused = await client.call_tool("request_live_view", wrong)
            assert told(refused)["detail"] == "mcp:arguments"
    assert marketplace.asked.count("POST /sessions") == 1


async def test_an_observation_without_a_picture_is_an_error_and_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marketplace = Marketplace()
    async with host(marketplace) as client:
        result = await client.call_tool("observe", {"lat": 1, "lng": 2, "waitTimeoutSeconds": 5})
    assert result.is_error
    assert told(result) == {
        "code": "TIMEOUT",
        "status": 504,
        "message": "no camera went LIVE in time",
        "detail": "session:state:ASSIGNED",
        "retryable": True,
        "sessionId": ID,
        "state": "CANCELLED",
    }


async def test_a_request_that_is_cancelled_while_it_is_made_is_undone() -> None:
    marketplace = Marketplace()
    marketplace.may_create.clear()
    async with host(marketplace) as client:
        asked = {"lat": 1, "lng": 2, "maxDurationSeconds": 30}
        calling = asyncio.create_task(client.call_tool("request_live_view", asked))
        await asyncio.wait_for(marketplace.creating.wait(), 5)
        calling.cancel()
        await asyncio.sleep(0)
        marketplace.may_create.set()
        await asyncio.wait((calling,))
    assert marketplace.state == "CANCELLED"
    assert f"POST /sessions/{ID}/dispatch" not in marketplace.asked


async def test_an_answer_that_came_too_late_leaves_no_session() -> None:
    marketplace = Marketplace()
    network = httpx.MockTransport(marketplace)

    async def nobody(*_: object) -> None: ...

    async with Luxxon("http://market/api/v1", api_key="k", transport=network) as api:
        asked = {"lat": 1, "lng": 2, "maxDurationSeconds": 30, "timeoutMs": 0}

        async def call() -> Answer:
            answer = await TOOLS["request_live_view"](api, asked, Progress(nobody))
            assert marketplace.state == "ASSIGNED"
            calling.cancel()
            return answer

        calling = asyncio.create_task(Calls().run(api, call))
        await asyncio.wait((calling,))
    assert calling.cancelled()
    assert marketplace.state == "CANCELLED"


async def test_what_a_server_that_stops_was_doing_is_undone() -> None:
    marketplace, calls = Marketplace(), Calls()
    network = httpx.MockTransport(marketplace)
    waiting = asyncio.Event()

    async def send(*_: object) -> None:
        waiting.set()

    async with Luxxon("http://market/api/v1", api_key="k", transport=network) as api:
        asked = {"lat": 1, "lng": 2, "maxDurationSeconds": 30, "timeoutMs": 60_000}
        call = lambda: TOOLS["request_live_view"](api, asked, Progress(send))  # noqa: E731
        calling = asyncio.create_task(calls.run(api, call))
        await asyncio.wait_for(waiting.wait(), 5)
        await calls.close(5)
        assert (await asyncio.wait_for(calling, 5)).failed
    assert marketplace.state == "CANCELLED"
