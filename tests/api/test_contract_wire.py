"""Rules of the wire for every endpoint: forms, envelopes, bodies, prefixes, caps (api-contract §1, §6)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from access_table import TABLE, Row
from api_wire import Place, Tenant, Wire, refusal
from eth_account import Account
from eth_utils import to_checksum_address

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREFIXES = ("/api/v1", "", "/api/v1/api/v1")
DOCUMENTS = ("/docs-json", "/openapi.json", "/docs", "/llms.txt", "/s/:token")
ANSWERING = [row for row in TABLE if row.let_in[0] == 200 and row.path not in DOCUMENTS]
MIB = 1 << 20

# -- success ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ANSWERING, ids=str)
async def test_every_success_is_the_same_envelope_and_its_data_no_null(
    wire: Wire, stranger: Tenant, row: Row
) -> None:
    auth = stranger.as_cookie() if row.cells["all"] == "W" else stranger.as_key()
    if row.path.startswith("/webhooks"):
        made = await wire.mint(stranger.cookie, stranger.workspace_id, "webhooks:write")
        auth = {"Authorization": f"Bearer {made['plaintext']}"}
    request: dict[str, Any] = {"json": {}} if row.asks_for_body else {}
    response = await wire(row.method, row.at(stranger.workspace_id), auth=auth, **request)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["statusCode", "message", "data", "timestamp"]
    assert (body["statusCode"], body["message"]) == (200, "Request successful")
    assert isinstance(body["data"], dict | list)


async def test_an_empty_list_is_an_empty_list(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    for path in ("/sessions", "/wallet/events"):
        assert await wire.data("GET", path, auth=tenant) == []


FORMS = {
    re.compile(r"(.*Id|id)"): re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    re.compile(r"(.*At|asOf|timestamp|gracePeriodEnd)"): re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    ),
    re.compile(r".*MicroUsdc|amountUsdc|trackedBalance|lastSyncBlock|blockNumber"): re.compile(r"0|[1-9]\d*"),
    re.compile(r".*(walletAddress|WalletAddress|ByWallet|usdcAddress|settlementAddress)"): re.compile(
        r"0x[0-9a-fA-F]{40}"
    ),
    re.compile(r"(settlementTxHash|txHash)"): re.compile(r"0x[0-9a-f]{64}"),
}
NUMBERS = {"chainId"}


def fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field with a plain value, however deep."""
    if isinstance(value, list):
        for one in value:
            yield from fields(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, dict | list):
                yield from fields(one)
            else:
                yield name, one


async def everything(wire: Wire, consumer: Tenant, place: Place) -> AsyncIterator[Any]:
    """An answer of each endpoint that tells of something."""
    supplier, started = await wire.live(consumer, place)
    yield started
    session_id = started["session"]["id"]
    await wire.rows(
        "update session set started_at = started_at - interval '9 s' where id = $1::uuid", session_id
    )
    yield await wire.data("POST", f"/sessions/{session_id}/end", auth=supplier)
    asked = {**place.json, "durationSeconds": 9}
    yield await wire.data("GET", "/pricing/quote", auth=consumer, params=asked)
    for path in (
        f"/sessions/{session_id}/receipt",
        f"/settlements/{session_id}",
        "/sessions",
        "/wallet",
        "/wallet/events",
        "/me",
        "/config",
        "/coverage",
        "/demand",
        f"/workspaces/{consumer.workspace_id}",
    ):
        yield (await wire("GET", path, auth=consumer)).json()
    workspace = f"/workspaces/{consumer.workspace_id}"
    for path in ("/me", "/workspaces", f"{workspace}/members", f"{workspace}/api-keys"):
        yield (await wire("GET", path, auth=consumer.as_cookie())).json()


async def test_ids_instants_money_and_addresses_have_one_form_everywhere(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    wrong, seen = [], set()
    async for answer in everything(wire, consumer, place):
        for name, value in fields(answer):
            form = next((form for names, form in FORMS.items() if names.fullmatch(name)), None)
            if form is None or value is None or name in NUMBERS:
                continue
            seen.add(name)
            if not isinstance(value, str) or not form.fullmatch(value):
                wrong.append((name, value))
            elif "ddress" in name or "Wallet" in name:
                wrong += [(name, value)] if value != to_checksum_address(value) else []
    assert wrong == []
    assert seen >= {"id", "sessionId", "startedAt", "toAmountMicroUsdc", "createdByWallet", "usdcAddress"}


async def test_addresses_are_written_in_any_case_and_come_back_checksummed(
    wire: Wire, stranger: Tenant
) -> None:
    """Even where the mixture of cases is a checksum that does not fit."""
    members = f"/workspaces/{stranger.workspace_id}/members"
    address = str(Account.create().address)
    for written in (address.lower(), "0x" + address[2:].upper(), "0x" + address[2:].swapcase(), address):
        body: dict[str, Any] = {"walletAddress": written, "role": "VIEWER"}
        added = await wire.data("POST", members, auth=stranger.as_cookie(), json=body)
        assert added["walletAddress"] == address
    account = Account.create()
    proof = await wire.proof(account)
    slug = f"any-case-{uuid4().hex[:8]}"
    body = {**proof, "slug": slug, "name": "x", "roles": ["CONSUMER"]}
    made = await wire.data("POST", "/workspaces", json={**body, "walletAddress": account.address.lower()})
    assert made["walletAddress"] == made["createdByWallet"] == account.address


async def test_ids_are_read_in_any_case(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place, workspaceId=consumer.workspace_id.upper())
    found = await wire.data("GET", f"/sessions/{session['id'].upper()}", auth=consumer)
    assert found["id"] == session["id"]


# -- paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_what_is_not_there_is_an_envelope_below_every_prefix(wire: Wire, prefix: str) -> None:
    base = wire.server.url + prefix
    for method, path, wanted in (
        ("GET", "/nothing", (404, "NOT_FOUND", None)),
        ("GET", "/", (404, "NOT_FOUND", None)),
        ("PUT", "/sessions", (405, "NOT_FOUND", None)),
        ("DELETE", "/sessions/open", (405, "NOT_FOUND", None)),
        ("GET", "/sessions/cancel-all-assignments", (405, "NOT_FOUND", None)),
        ("TRACE", "/me", (405, "NOT_FOUND", None)),
        ("PROPFIND", "/me", (405, "NOT_FOUND", None)),
    ):
        assert await wire.refused(method, base + path) == wanted, (method, path)


@pytest.mark.parametrize("prefix", PREFIXES[1:])
async def test_every_operation_is_below_every_prefix(wire: Wire, prefix: str) -> None:
    for row in TABLE:
        path = row.at(str(uuid4())) + (f"?{row.query}" if row.query else "")
        request: dict[str, Any] = {"json": {}} if row.asks_for_body else {}
        response = await wire(row.method, wire.server.url + prefix + path, **request)
        wanted = row.expected("no")
        found = (response.status_code, "", None) if response.is_success else refusal(response)
        assert found == wanted, row


# -- bodies -----------------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """A good challenge request of exactly so many bytes."""
    text = json.dumps({"walletAddress": "0x" + "ab" * 20}).encode()
    return text + b" " * (size - len(text))


async def test_a_body_may_have_a_mebibyte_and_not_a_byte_more(wire: Wire) -> None:
    path = "/auth/wallet/challenge"
    assert (await wire("POST", path, content=padded(MIB))).status_code == 200
    too_large = (413, "INVALID_INPUT", "body:size")
    assert await wire.refused("POST", path, content=padded(MIB + 1)) == too_large

    async def chunks() -> AsyncIterator[bytes]:
        yield padded(MIB)
        yield b" "

    assert await wire.refused("POST", path, content=chunks()) == too_large


async def test_unknown_fields_are_no_matter(wire: Wire, consumer: Tenant, place: Place) -> None:
    """In bodies and in queries, on any endpoint: clients may be newer than the server."""
    session = await wire.create(consumer, place, priority=7, nested={"a": [1]}, id="x", state="LIVE")
    assert session["state"] == "REQUESTED"
    for path in ("/sessions", "/wallet/events", "/me", "/health"):
        asked = {"page": "2", "_": "x"}
        assert (await wire("GET", path, auth=consumer, params=asked)).status_code == 200
    workspace = f"/workspaces/{consumer.workspace_id}"
    assert (await wire("PATCH", workspace, auth=consumer, json={"colour": "red"})).status_code == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json; charset=utf-8", "x"])
async def test_a_body_is_json_whatever_it_is_called(wire: Wire, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    content = b'\n { "walletAddress" : "0x' + b"Ab" * 20 + b'" } \n'
    response = await wire("POST", "/auth/wallet/challenge", content=content, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("sent", [{}, {"json": {}}, {"headers": {"Content-Type": "application/json"}}])
async def test_what_needs_no_body_takes_an_empty_one(
    wire: Wire, consumer: Tenant, place: Place, sent: dict[str, Any]
) -> None:
    session = await wire.create(consumer, place)
    supplier = await wire.supplier_at(place)
    path = f"/sessions/{session['id']}"
    answers = [
        await wire("POST", f"{path}/dispatch", auth=consumer, **sent),
        await wire("POST", f"{path}/start", auth=supplier, **sent),
        await wire("POST", "/sessions/cancel-all-assignments", auth=supplier, **sent),
        await wire("POST", "/auth/logout", **sent),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    again = await wire.create(consumer, place)
    await wire.data("POST", f"/sessions/{again['id']}/accept", auth=supplier, **sent)
    assert (await wire("DELETE", f"/sessions/{again['id']}", auth=consumer, **sent)).status_code == 200


# -- tokens, caps -----------------------------------------------------------------------------------------


async def test_a_create_by_a_wallet_tells_its_token_twice(wire: Wire, consumer: Tenant, place: Place) -> None:
    body = {**place.json, "maxDurationSeconds": 60}
    answer = await wire("POST", "/sessions", auth=consumer.as_cookie(), json=body)
    made = answer.json()["data"]
    assert made["consistencyToken"]
    assert answer.headers["x-lx-consistency-token"] == made["consistencyToken"]
    path = f"/sessions/{made['id']}"
    later = await wire.data("GET", path, auth=consumer.as_cookie())
    assert "consistencyToken" not in later
    headers = {"X-LX-CONSISTENCY-TOKEN": made["consistencyToken"]}
    assert await wire.data("GET", path, auth=consumer.as_cookie(), headers=headers) == later


async def test_a_list_of_sessions_has_the_newest_two_hundred(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    await wire.rows(
        "insert into session (id, consumer_workspace_id, state, requested_lat, requested_lng,"
        " geofence_radius_m, max_duration_s, wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps,"
        " created_at, ended_at)"
        " select gen_random_uuid(), $1::uuid, 'CANCELLED', -78, 78, 500, 60, 60, 1, 60, 1500,"
        " now() - make_interval(secs => n), now() from generate_series(1, 203) n",
        tenant.workspace_id,
    )
    found = await wire.data("GET", "/sessions", auth=tenant)
    created = [one["createdAt"] for one in found]
    assert len(found) == 200
    assert created == sorted(created, reverse=True)
    assert datetime.fromisoformat(created[0]) > datetime.now(UTC) - timedelta(seconds=30)
    rest = await wire.data("GET", "/sessions", auth=tenant, params={"cursor": found[-1]["id"]})
    assert len(rest) == 3


async def test_wallet_events_come_by_fifty_and_at_most_by_two_hundred(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    config = await wire.data("GET", "/config")
    await wire.rows(
        "insert into chain_event (id, contract, wallet_address, kind, tx_hash, log_index, block_number,"
        " confirmed_at, amount_uusdc, pool_change_uusdc)"
        " select gen_random_uuid(), (select contract from chain_cursor limit 1), $1, 'DEPOSIT',"
        " '0x' || lpad(to_hex(n), 64, '0'), n, 1, now(), n, 0 from generate_series(1, 203) n",
        tenant.account.address,
    )
    assert config["chainId"] == 31337, "the only contract of the cursor is this one's"
    for limit, count in ((None, 50), (7, 7), (200, 200), (201, 200)):
        asked = {} if limit is None else {"limit": limit}
        found = await wire.data("GET", "/wallet/events", auth=tenant, params=asked)
        assert len(found) == count
        amounts = [int(one["amountUsdc"]) for one in found]
        assert amounts == list(range(203, 203 - count, -1)), "the later log of a block is the newer one"
