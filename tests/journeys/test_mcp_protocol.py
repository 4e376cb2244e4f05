"""What the protocol asks of the server beside its tools: HTTP, sessions, schemas, errors; and a camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from agents_place import BEFORE, BRUSSELS, HELLO, NOW, NOWHERE, PAGE, SCOPES, Place, hosting, live, told
from mcp.shared.exceptions import MCPError

from luxxon_core.demo.stage import SUPPLIER_SCOPES, party
from luxxon_core.mcp_server import endpoint
from luxxon_core.operator.agent import Location, OperatorAgent
from luxxon_core.testing import FakeSource

pytestmark = pytest.mark.asyncio(loop_scope="module")

HARBOUR = {"lat": 51.2281, "lng": 4.4006}
ACCEPTS = {"Accept": "application/json, text/event-stream"}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with hosting(tmp_path_factory.mktemp("mcp-protocol") / "data") as place:
        yield place


@pytest_asyncio.fixture(loop_scope="module")
async def http(place: Place) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody with the key and no idea of the protocol."""
    headers = {"Authorization": f"Bearer {place.consumer.api_key}", **ACCEPTS}
    async with httpx2.AsyncClient(base_url=place.url, headers=headers, trust_env=False) as http:
        yield http


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


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1",
        "https://127.0.0.1:3010",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_page_of_another_site_is_refused_before_anything_else(
    http: httpx2.AsyncClient, origin: str, method: str
) -> None:
    """Also where a name that its owner has rebound makes the browser take it for ours."""
    host = {"Host": "evil.example"} if "evil" in origin else {}
    answer = await http.request(method, "/mcp", headers={"Origin": origin, **host})
    assert (answer.status_code, answer.json()["detail"]) == (403, "auth:origin")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_session_that_is_unknown_or_over_is_not_found(http: httpx2.AsyncClient) -> None:
    for session_id in (UNKNOWN, "x" * 500, "../etc"):
        for method in ("POST", "GET", "DELETE"):
            body = PING if method == "POST" else None
            answer = await http.request(method, "/mcp", json=body, headers={"Mcp-Session-Id": session_id})
            assert answer.status_code == 404
    opened = await http.post("/mcp", json=HELLO)
    session = {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"]}
    await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
    assert (await http.post("/mcp", json=PING, headers=session)).status_code == 200
    async with http.stream("GET", "/mcp", headers=session) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert (await http.delete("/mcp", headers=session)).status_code == 200
    assert (await http.post("/mcp", json=PING, headers=session)).status_code == 404


async def test_a_key_that_opens_too_many_sessions_leaves_room_for_others(
    place: Place, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MOST_SESSIONS_OF_KEY", 3)
    async with party(f"{place.url}/api/v1", "busy", "CONSUMER", SCOPES) as busy:
        own = {"Authorization": f"Bearer {busy.api_key}"}
        opened = [await http.post("/mcp", json=HELLO, headers=own) for _ in range(3)]
        assert [one.status_code for one in opened] == [200] * 3
        refused = await http.post("/mcp", json=HELLO, headers=own)
        assert (refused.status_code, refused.json()["detail"]) == (429, "mcp:sessions")
        assert (await http.post("/mcp", json=HELLO)).status_code == 200
        session = {"Mcp-Session-Id": opened[0].headers["Mcp-Session-Id"]}
        assert (await http.delete("/mcp", headers=own | session)).status_code == 200
        assert (await http.post("/mcp", json=HELLO, headers=own)).status_code == 200


async def test_what_is_no_message_of_a_revision_we_speak_is_refused(http: httpx2.AsyncClient) -> None:
    for body, headers in (
        (b"{", {}),
        (b"[]", {}),
        (b"{}", {"MCP-Protocol-Version": "1999-01-01"}),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', {"MCP-Protocol-Version": "2026-07-28"}),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', {}),
    ):
        answer = await http.post(
            "/mcp", content=body, headers={"Content-Type": "application/json", **headers}
        )
        assert answer.status_code == 400, (body, headers)
        assert answer.json()["error"]["code"] < 0
    unread = await http.post("/mcp", json=HELLO, headers={"Accept": "text/html"})
    assert unread.status_code == 406
    assert (await http.put("/mcp", json=HELLO)).status_code == 405


async def test_a_page_of_ours_may_send_and_read_the_protocols_headers(
    place: Place, http: httpx2.AsyncClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin = PAGE
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    allowed = await http.options("/mcp", headers=asks)
    assert allowed.status_code == 204
    named = allowed.headers["Access-Control-Allow-Headers"].lower()
    for name in (
        "authorization",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "last-event-id",
    ):
        assert name in named
    opened = await http.post("/mcp", json=HELLO, headers={"Origin": origin})
    assert opened.headers["Access-Control-Allow-Origin"] == origin
    exposed = opened.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Mcp-Session-Id", "MCP-Protocol-Version"} <= set(exposed)


@pytest.mark.parametrize("way", [("stdio", BEFORE), ("http", NOW), ("http", BEFORE)], ids=str)
async def test_results_fit_the_schemas_that_the_tools_announce(place: Place, way: tuple[str, str]) -> None:
    """The official client holds each result against its schema; an error brings its JSON as text alone."""
    async with place.host(way) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {name for name, tool in tools.items() if tool.output_schema is None} == {
            "get_frame",
            "cancel_session",
        }
        for tool in tools.values():
            assert tool.input_schema["type"] == "object"
            assert tool.output_schema is None or tool.output_schema["type"] == "object"
            assert tool.title and tool.description and tool.annotations is not None
        session_id = await live(client)
        one = {"sessionId": session_id}
        asked: dict[str, dict[str, Any]] = {
            "get_session": one,
            "get_stream_url": one,
            "wait_for_live": one,
            "list_sessions": {},
            "get_coverage": {},
            "get_wallet": {},
            "get_pricing_quote": {**BRUSSELS, "durationSeconds": 5},
            "watch": {**one, "everySeconds": 1, "maxFrames": 1},
            "end_session": one,
            "get_receipt": one,
            "get_settlement": one,
        }
        for name, arguments in asked.items():
            result = await client.call_tool(name, arguments)
            assert not result.is_error, (name, told(result))
            assert result.structured_content == told(result)
        for name, arguments in {
            "get_session": {"sessionId": UNKNOWN},
            "end_session": {"sessionId": UNKNOWN},
            "watch": one,
            "observe": NOWHERE,
            "control_camera": {**one, "command": "get_status"},
        }.items():
            result = await client.call_tool(name, arguments)
            if name == "watch":  # of a session that is over: no picture, and no error
                assert (result.is_error, told(result)["stopped"]) == (False, "OVER")
                continue
            assert result.is_error
            assert result.structured_content is None
            assert {"code", "status", "message", "retryable"} <= set(told(result)), name


@pytest.mark.parametrize("way", [("stdio", NOW), ("http", BEFORE)], ids=str)
async def test_an_agent_moves_a_camera_whose_operator_allows_it(place: Place, way: tuple[str, str]) -> None:
    async with party(f"{place.url}/api/v1", "ptz", "SUPPLIER", SUPPLIER_SCOPES) as supplier:
        camera = FakeSource()
        location = Location(HARBOUR["lat"], HARBOUR["lng"])
        agent = OperatorAgent(supplier.api, camera, supplier.workspace_id, location, controls=("ptz", "zoom"))
        running = asyncio.create_task(agent.run())
        try:
            await asyncio.wait_for(agent.online.wait(), 20)
            async with place.host(way) as client:
                asked = {**HARBOUR, "maxDurationSeconds": 60}
                view = told(await client.call_tool("request_live_view", asked))
                assert view["state"] == "LIVE", view
                session_id = view["sessionId"]

                async def order(command: str, **fields: object) -> Any:
                    arguments = {"sessionId": session_id, "command": command, **fields}
                    return await client.call_tool("control_camera", arguments)

                moved = await order("absolute_move", pan=0.25, tilt=-0.5)
                assert told(moved)["executed"]
                assert (camera.position.pan, camera.position.tilt) == (0.25, -0.5)
                status = told(await order("get_status"))["status"]
                assert (status["moving"], status["position"]["pan"]) == (False, 0.25)
                unable = told(await order("set_zoom", kind="STEP", value=1))
                assert (unable["code"], unable["detail"]) == ("CONFLICT", "ptz:notAllowed")
                assert told(await order("goto_preset", token="nowhere"))["detail"] == "ptz:preset"
                assert told(await order("fly"))["code"] == "INVALID_INPUT"
                await client.call_tool("end_session", {"sessionId": session_id})
                assert told(await order("stop"))["detail"] == "ptz:state:ENDED"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_picture_that_is_not_there_is_an_error_of_the_protocol(place: Place) -> None:
    async with place.host(("http", NOW)) as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "luxxon://sessions/{id}/frame"
        with pytest.raises(MCPError) as unknown:
            await client.read_resource(f"luxxon://sessions/{UNKNOWN}/frame")
        assert unknown.value.error.data["code"] == "SESSION_NOT_FOUND"
        with pytest.raises(MCPError):
            await client.read_resource("file:///etc/passwd")
