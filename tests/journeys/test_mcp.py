"""An agent's host on the marketplace by MCP: both transports, this protocol revision and the one before."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from luxxon_testcard import testcard
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

from luxxon_core.client.wallet import ChainClient
from luxxon_core.commands.keys import mint
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, fund, operating, party
from luxxon_core.kernel.geo import Point
from luxxon_core.server import running
from luxxon_core.settings import load

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[2] / "docs" / "mcp.md"
BRUSSELS = {"lat": 50.8466, "lng": 4.3528}
SILENT = {"lat": 10.0, "lng": 10.0}
"""Where an operator is ONLINE whose device never answers."""
NOWHERE = {"lat": -60, "lng": -120}
SCOPES = ("sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read")
SMALL = testcard.TestcardConfig(width=320, height=180, fps=15)
NOW, BEFORE = "2026-07-28", "legacy"
REVISIONS = {NOW: "2026-07-28", BEFORE: "2025-11-25"}
WAYS = [("stdio", NOW), ("http", NOW), ("http", BEFORE)]
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
TWELVE = {
    "request_live_view": {"lat", "lng", "maxDurationSeconds"},
    "wait_for_live": {"sessionId"},
    "list_sessions": set(),
    "get_session": {"sessionId"},
    "get_frame": {"sessionId"},
    "get_stream_url": {"sessionId"},
    "end_session": {"sessionId"},
    "cancel_session": {"sessionId"},
    "get_pricing_quote": {"lat", "lng", "durationSeconds"},
    "get_coverage": set(),
    "get_wallet": set(),
    "get_settlement": {"sessionId"},
}


@dataclass
class Place:
    url: str
    consumer: Party

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    data: Path = tmp_path_factory.mktemp("mcp")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(running(load(data_dir=data / "data", durable=False, port=0)))
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
        yield Place(server.url, consumer)


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


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_agent_asks_looks_ends_and_it_is_paid(place: Place, way: tuple[str, str]) -> None:
    async with place.host(way) as client:
        assert client.protocol_version == REVISIONS[way[1]]
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for name, needed in TWELVE.items():
            assert set(tools[name].input_schema.get("required", ())) == needed
        assert tools["end_session"].annotations is not None
        assert tools["end_session"].annotations.destructive_hint
        quote = told(await client.call_tool("get_pricing_quote", {**BRUSSELS, "durationSeconds": 60}))
        asked = {**BRUSSELS, "maxDurationSeconds": 60, "quoteId": quote["quoteId"]}
        live = told(await client.call_tool("request_live_view", asked))
        session_id = live["sessionId"]
        assert set(live) == {"sessionId", "state", "operatorWorkspaceId", "whepUrl", "startedAt", "hint"}
        assert live["state"] == "LIVE"
        (block,) = (await look(client, session_id)).content
        assert picture(block).size == (320, 180)
        url = told(await client.call_tool("get_stream_url", {"sessionId": session_id}))
        assert url["whepUrl"] == live["whepUrl"]
        uri = f"luxxon://sessions/{session_id}/frame"
        assert uri in {str(one.uri) for one in (await client.list_resources()).resources}
        (contents,) = (await client.read_resource(uri)).contents
        assert base64.b64decode(contents.blob).startswith(b"\xff\xd8")
        ended = told(await client.call_tool("end_session", {"sessionId": session_id}))
        assert ended["state"] == "ENDED"
        assert set(ended) >= {"cleanSeconds", "chargedMicroUsdc", "settlementTxHash", "hint"}
        receipt = told(await client.call_tool("get_receipt", {"sessionId": session_id}))
        assert receipt["chargedMicroUsdc"] == ended["chargedMicroUsdc"]
        state = ""
        async with asyncio.timeout(15):
            while int(ended["chargedMicroUsdc"]) and state != "CONFIRMED":
                state = told(await client.call_tool("get_settlement", {"sessionId": session_id}))["state"]
                await asyncio.sleep(0.1)
        found = told(await client.call_tool("list_sessions", {}))
        assert session_id in {one["id"] for one in found["sessions"]}
        assert found["count"] == len(found["sessions"])
        assert int(told(await client.call_tool("get_wallet", {}))["trackedBalance"]) > 0
        assert told(await client.call_tool("get_coverage", {}))["count"] == 2
    assert await place.open() == set()


@pytest.mark.parametrize("mode", [NOW, BEFORE])
async def test_one_look_at_a_place_is_paid_and_over(place: Place, mode: str) -> None:
    passed: list[float] = []

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        passed.append(done)

    async with place.host(("http", mode)) as client:
        result = await client.call_tool(
            "observe", {**BRUSSELS, "maxWidth": 160}, progress_callback=progressed
        )
    seen = told(result)
    assert picture(result.content[0]).width == 160
    assert (seen["state"], seen["lat"]) == ("ENDED", BRUSSELS["lat"])
    assert seen["capturedAt"].endswith("Z")
    assert passed == sorted(set(passed))
    assert passed
    assert await place.open() == set()


async def test_the_documented_code_and_command_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUXXON_API_KEY", place.consumer.api_key)
    monkeypatch.setenv("LUXXON_MCP_URL", f"{place.url}/mcp")
    code: dict[str, Any] = {}
    exec(documented("python"), code)
    kind, state, charged = await code["main"]()
    assert (kind, state) == ("image/jpeg", "ENDED")
    assert int(charged) >= 0
    _, *arguments = shlex.split(documented("sh"))
    with mint.make_context("mint", arguments[2:]) as made:
        assert made.params["label"] == "agent"
        assert set(made.params["scopes"]) == set(SCOPES)


async def test_watching_gives_pictures_and_progress(place: Place) -> None:
    passed: list[tuple[float, float | None]] = []

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        passed.append((done, total))

    async with place.host(("http", NOW)) as client:
        session_id = await _live(client)
        asked = {"sessionId": session_id, "everySeconds": 1, "maxFrames": 2, "endWhenDone": True}
        result = await client.call_tool("watch", asked, progress_callback=progressed)
    seen = told(result)
    assert (seen["stopped"], seen["state"], seen["count"]) == ("FRAMES", "ENDED", 2)
    first, second, _ = result.content
    assert picture(first).tobytes() != picture(second).tobytes()
    assert passed == [(1, 2), (2, 2)]


@pytest.mark.parametrize("way", [("stdio", BEFORE), ("http", NOW), ("http", BEFORE)], ids=str)
async def test_who_cancels_a_watch_pays_no_more(place: Place, way: tuple[str, str]) -> None:
    looked = asyncio.Event()

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        looked.set()

    async with place.host(way) as client:
        session_id = await _live(client)
        asked = {"sessionId": session_id, "everySeconds": 60, "maxFrames": 5}
        watching = asyncio.create_task(client.call_tool("watch", asked, progress_callback=progressed))
        await asyncio.wait_for(looked.wait(), 15)
        watching.cancel()
        await asyncio.wait((watching,))
        assert await place.over(session_id) == "ENDED"
        waiting = asyncio.create_task(
            client.call_tool("request_live_view", {**SILENT, "maxDurationSeconds": 60})
        )
        async with asyncio.timeout(10):
            while not (waited_for := await place.open()):
                await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert [await place.over(one) for one in waited_for] == ["CANCELLED"]


async def test_a_host_that_ends_leaves_no_meter_running(place: Place) -> None:
    looked = asyncio.Event()

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        looked.set()

    async def watch() -> None:
        async with place.host(("stdio", NOW)) as client:
            begun.set_result(await _live(client))
            asked = {"sessionId": begun.result(), "everySeconds": 60}
            await client.call_tool("watch", asked, progress_callback=progressed)

    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hosting = asyncio.create_task(watch())
    await asyncio.wait_for(looked.wait(), 30)
    hosting.cancel()
    await asyncio.wait((hosting,))
    assert await place.over(begun.result()) == "ENDED"


async def test_a_connection_that_breaks_leaves_no_meter_running(place: Place) -> None:
    """Without a word: no request is cancelled and no session deleted."""
    async with place.host(("http", NOW)) as client:
        session_id = await _live(client)
    headers = {
        "Authorization": f"Bearer {place.consumer.api_key}",
        "Accept": "application/json, text/event-stream",
    }
    arguments = {"sessionId": session_id, "everySeconds": 60}
    watch = {"name": "watch", "arguments": arguments, "_meta": {"progressToken": 1}}
    async with httpx2.AsyncClient(base_url=place.url, headers=headers, trust_env=False) as http:
        opened = await http.post("/mcp", json=HELLO)
        http.headers["Mcp-Session-Id"] = opened.headers["Mcp-Session-Id"]
        await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": watch}
        async with http.stream("POST", "/mcp", json=call) as answer, asyncio.timeout(15):
            async for line in answer.aiter_lines():
                if "notifications/progress" in line:
                    break
    assert await place.over(session_id) == "ENDED"


async def test_not_live_in_time_is_an_answer_to_go_on_with(place: Place) -> None:
    async with place.host(("http", NOW)) as client:
        asked = {**SILENT, "maxDurationSeconds": 60, "timeoutMs": 100}
        result = await client.call_tool("request_live_view", asked)
        waiting = told(result)
        assert not result.is_error
        assert set(waiting) == {
            "sessionId",
            "state",
            "operatorWorkspaceId",
            "waitOutcome",
            "waitMessage",
            "hint",
        }
        assert (waiting["state"], waiting["waitOutcome"]) == ("ASSIGNED", "TIMEOUT")
        again = {"sessionId": waiting["sessionId"], "timeoutMs": 100}
        assert set(told(await client.call_tool("wait_for_live", again))) == set(waiting) - {
            "operatorWorkspaceId"
        }
        result = await client.call_tool("cancel_session", {"sessionId": waiting["sessionId"]})
        assert result.content[0].text == "Cancelled. New state: CANCELLED"
    assert await place.open() == set()


async def test_errors_have_the_contracts_shape(place: Place) -> None:
    async with place.host(("http", NOW)) as client:

        async def failed(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            result = await client.call_tool(name, arguments)
            assert result.is_error
            found = told(result)
            assert isinstance(found, dict)
            return found

        refused = await failed("request_live_view", {**NOWHERE, "maxDurationSeconds": 10})
        assert set(refused) >= {"sessionId", "state", "error", "message", "hint"}
        assert (refused["state"], refused["error"]) == ("REQUESTED", "NO_COVERAGE")
        assert "cancel_session" in refused["hint"]
        await client.call_tool("cancel_session", {"sessionId": refused["sessionId"]})
        unseen = await failed("observe", NOWHERE)
        assert (unseen["code"], unseen["state"]) == ("NO_COVERAGE", "CANCELLED")
        unknown = "00000000-0000-4000-8000-000000000000"
        missing = await failed("get_session", {"sessionId": unknown})
        assert (missing["code"], missing["status"], missing["retryable"]) == ("SESSION_NOT_FOUND", 404, False)
        assert (await failed("get_session", {}))["code"] == "INVALID_INPUT"
        assert (await failed("observe", {"lat": 91, "lng": 0}))["status"] == 400
        costly = await failed("request_live_view", {**BRUSSELS, "maxDurationSeconds": 86_400})
        assert (costly["code"], costly["retryable"]) == ("INSUFFICIENT_CREDIT", False)
        nothing = await client.call_tool("make_coffee", {})
        assert (nothing.is_error, nothing.content[0].text) == (True, "Unknown tool: make_coffee")
        with pytest.raises(MCPError):
            await client.read_resource("luxxon://sessions/../frame")
        with pytest.raises(MCPError):
            await client.read_resource(f"luxxon://sessions/{unknown}/frame")
    assert await place.open() == set()


async def test_without_a_key_the_tools_are_listed_and_say_what_is_missing() -> None:
    async with Client(stdio("http://127.0.0.1:9/api/v1", None), mode=BEFORE) as client:
        assert set(TWELVE) < {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("get_wallet", {})
        assert result.is_error
        assert "LUXXON_API_KEY" in result.content[0].text
        prompt = await client.get_prompt("inspect_place", {"lat": "1", "lng": "2", "question": "Any snow?"})
        assert "Any snow?" in prompt.messages[0].content.text
        with pytest.raises(MCPError):
            await client.get_prompt("inspect_place", {"lat": "100", "lng": "2", "question": "?"})


async def test_by_http_a_key_is_needed_and_no_other_sites_page_gets_in(place: Place) -> None:
    good = {"Authorization": f"Bearer {place.consumer.api_key}"}
    accepts = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(base_url=place.url, headers=accepts, trust_env=False) as http:
        for headers in ({}, {"Authorization": "Bearer lxxn_test_nobody"}, {"Authorization": "Basic eA=="}):
            answer = await http.post("/mcp", json=HELLO, headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.json()["code"] in ("NOT_AUTHENTICATED", "INVALID_API_KEY")
        evil = await http.post("/mcp", json=HELLO, headers=good | {"Origin": "http://evil.example"})
        assert (evil.status_code, evil.json()["detail"]) == (403, "auth:origin")
        large = await http.post("/mcp", content=b"x" * (2 << 20), headers=good)
        assert large.status_code == 413
        opened = await http.post("/mcp", json=HELLO, headers=good | {"Origin": place.url})
        assert opened.status_code == 200
        session = {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"]}
        async with party(f"{place.url}/api/v1", "other", "CONSUMER", SCOPES) as other:
            stolen = {"Authorization": f"Bearer {other.api_key}"} | session
            ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
            assert (await http.post("/mcp", json=ping, headers=stolen)).status_code == 404
            assert (await http.delete("/mcp", headers=good | session)).status_code == 200


async def _live(client: Client) -> str:
    live = told(await client.call_tool("request_live_view", {**BRUSSELS, "maxDurationSeconds": 60}))
    assert live["state"] == "LIVE", live
    session_id = live["sessionId"]
    assert isinstance(session_id, str)
    return session_id
