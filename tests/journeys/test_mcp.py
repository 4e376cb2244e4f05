"""An agent's host on the marketplace by MCP: both transports, this protocol revision and the one before."""

from __future__ import annotations

import asyncio
import base64
import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agents_place import (
    BEFORE,
    BRUSSELS,
    NOW,
    NOWHERE,
    REVISIONS,
    SCOPES,
    SILENT,
    Place,
    documented,
    hosting,
    live,
    look,
    picture,
    stdio,
    told,
)
from mcp import Client
from mcp.shared.exceptions import MCPError

from luxxon_core.commands.keys import mint

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS = [("stdio", NOW), ("http", NOW), ("http", BEFORE)]
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with hosting(tmp_path_factory.mktemp("mcp") / "data") as place:
        yield place


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
        view = told(await client.call_tool("request_live_view", asked))
        session_id = view["sessionId"]
        assert set(view) == {"sessionId", "state", "operatorWorkspaceId", "whepUrl", "startedAt", "hint"}
        assert view["state"] == "LIVE"
        (block,) = (await look(client, session_id)).content
        assert picture(block).size == (320, 180)
        url = told(await client.call_tool("get_stream_url", {"sessionId": session_id}))
        assert url["whepUrl"] == view["whepUrl"]
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
        session_id = await live(client)
        asked = {"sessionId": session_id, "everySeconds": 1, "maxFrames": 2, "endWhenDone": True}
        result = await client.call_tool("watch", asked, progress_callback=progressed)
    seen = told(result)
    assert (seen["stopped"], seen["state"], seen["count"]) == ("FRAMES", "ENDED", 2)
    first, second, _ = result.content
    assert picture(first).tobytes() != picture(second).tobytes()
    assert passed == [(1, 2), (2, 2)]


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
