"""What the published clients do that no other test does (api-contract §19, §20).

They are in no registry, so their ways are copied here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "x-lx-consistency-token"


@dataclass
class Published:
    """Calls as the published SDK does: a credential and the last token seen on every call, no body and no
    content type where there is nothing to say, ``data`` or else the whole body unwrapped."""

    wire: Wire
    authorization: str
    token: str | None = None

    async def raw(
        self, method: str, path: str, body: object = None, accept: str = "application/json"
    ) -> httpx.Response:
        headers = {"Authorization": self.authorization, "Accept": accept}
        if self.token is not None:
            headers[TOKEN] = self.token
        sent: dict[str, Any] = {} if body is None else {"json": body}
        answer = await self.wire(method, path, headers=headers, **sent)
        if answer.headers["content-type"].startswith("application/json"):
            self.token = answer.headers.get(TOKEN) or self._in_body(answer.json()) or self.token
        return answer

    @staticmethod
    def _in_body(body: Any) -> str | None:
        data = body.get("data") if isinstance(body, dict) else None
        return data.get("consistencyToken") if isinstance(data, dict) else None

    async def json(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.raw(method, path, body)
        parsed = answer.json()
        assert answer.is_success, parsed
        return parsed.get("data") or parsed


async def test_request_live_view_from_create_to_viewer_token(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """Create, dispatch, poll until LIVE, viewer token at once: five times, it must never fail."""
    client = Published(wire, f"Bearer {consumer.key}", token="AAAA-of-another-server")
    for number in range(5):
        supplier = await wire.supplier_at(place)
        operator = Published(wire, f"Bearer {supplier.key}")
        body = {**place.json, "maxDurationSeconds": 60}
        session = await client.json("POST", "/sessions", body)
        assigned = await client.json("POST", f"/sessions/{session['id']}/dispatch")
        assert assigned["state"] == "ASSIGNED"
        started = await operator.json("POST", f"/sessions/{session['id']}/start")

        async def goes_live(started: Any = started, after: float = number * 0.004) -> None:
            await asyncio.sleep(after)
            await wire.first_frame(started)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(goes_live())
            while (seen := await client.json("GET", f"/sessions/{session['id']}"))["state"] != "LIVE":
                await asyncio.sleep(0)
        token = await client.json("GET", f"/sessions/{session['id']}/viewer-token")
        assert token["whepUrl"] == seen["whepUrl"] == started["whepUrl"]
        ended = await client.json("POST", f"/sessions/{session['id']}/end")
        assert ended["state"] == "ENDED"
        await operator.json("PATCH", f"/workspaces/{supplier.workspace_id}", {"availabilityState": "OFFLINE"})


async def test_viewer_tokens_are_there_the_moment_a_session_is_live(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """Whoever sees LIVE, in whichever answer, can ask for the token."""
    _, started = await wire.started(consumer, place)
    path = f"/sessions/{started['session']['id']}"

    async def watch() -> dict[str, Any]:
        while (await wire.data("GET", path, auth=consumer))["state"] != "LIVE":
            await asyncio.sleep(0)
        return dict(await wire.data("GET", f"{path}/viewer-token", auth=consumer))

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(watch()) for _ in range(8)]
        tasks.create_task(wire.first_frame(started))
    assert {one.result()["whepUrl"] for one in watchers} == {started["whepUrl"]}
    await wire.data("POST", f"{path}/end", auth=consumer)


async def test_a_client_with_a_bad_key_still_reads_what_is_public(wire: Wire) -> None:
    for authorization in ("Bearer nothing", "nothing", "Bearer lxxn_test_000000_" + "0" * 43):
        client = Published(wire, authorization, token="garbage")
        for path in ("/health", "/config", "/coverage", "/demand", "/docs-json"):
            assert await client.json("GET", path) is not None
        refused = await client.raw("GET", "/me")
        assert refused.status_code == 401


async def test_the_cookie_is_handed_over_as_a_value_or_as_a_pair(wire: Wire, stranger: Tenant) -> None:
    """Clients take what has no ``=`` for a value, and put the name before it."""
    for given in (stranger.cookie, f"lx_session={stranger.cookie}"):
        header = given if "=" in given else f"lx_session={given}"
        me = await wire.data("GET", "/me", auth={"Cookie": header})
        assert me["activeWorkspaceId"] == stranger.workspace_id
    unpicked = await wire.login(stranger.account)
    assert "=" not in unpicked + stranger.cookie


async def test_a_frame_that_is_not_there_is_json_to_a_client_that_wants_a_picture(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    session = await wire.create(consumer, place)
    client = Published(wire, f"Bearer {consumer.key}")
    answer = await client.raw("GET", f"/sessions/{session['id']}/frame", accept="image/jpeg")
    assert (answer.status_code, answer.json()["code"]) == (404, "FRAME_NOT_AVAILABLE")


async def test_lists_are_bare_and_the_agents_tools_find_their_fields(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """What the tools read: a bare array counts itself, a session has the fields of their results."""
    client = Published(wire, f"Bearer {consumer.key}")
    session = await client.json("POST", "/sessions", {**place.json, "maxDurationSeconds": 5})
    for path in ("/sessions", "/coverage", "/demand", "/wallet/events"):
        answer = await client.raw("GET", path)
        assert isinstance(answer.json()["data"], list)
    cancelled = await client.json("DELETE", f"/sessions/{session['id']}")
    names = ("id", "state", "operatorWorkspaceId", "startedAt", "cleanSeconds", "chargedMicroUsdc")
    assert [name for name in (*names, "settlementTxHash") if name not in cancelled] == []


async def test_a_browser_wallet_may_speak_to_the_chain_from_any_page(wire: Wire) -> None:
    url = (await wire.data("GET", "/config"))["rpcUrl"]
    preflight = {
        "Origin": "https://wallet.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await wire("OPTIONS", url, headers=preflight)
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] in ("*", "https://wallet.example")
    ask = {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []}
    headers = {"Origin": "https://wallet.example"}
    one = (await wire("POST", url, json=ask, headers=headers)).json()
    assert one == {"jsonrpc": "2.0", "id": "a", "result": hex(31337)}
    several = (await wire("POST", url, json=[ask, {**ask, "id": 2}], headers=headers)).json()
    assert [found["id"] for found in several] == ["a", 2]
    unknown = (await wire("POST", url, json={**ask, "method": "eth_nothing"}, headers=headers)).json()
    assert unknown["error"]["code"] == -32601
