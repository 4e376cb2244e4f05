"""Sign-in, workspaces, heartbeats and the wallet in the contract's words (api-contract §3, §5, §11, §13)."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestServer
from api_wire import POOL, Place, Tenant, Wire, cookie_of, sign
from eth_account import Account

from luxxon_core.access.routes import operations
from luxxon_core.client.wallet import encode_call
from luxxon_core.http.app import Frame, application
from luxxon_core.http.guard import Guard
from luxxon_core.http.limits import Clients, Limits, Quotas
from luxxon_core.http.metrics import RequestMetrics
from luxxon_core.http.observe import Observer
from luxxon_core.kernel.clock import utc_now

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKSPACE_FIELDS = {
    "id",
    "slug",
    "name",
    "walletAddress",
    "roles",
    "availabilityState",
    "coverageLat",
    "coverageLng",
    "coverageRadiusMeters",
    "deviceKind",
    "lastSeenAt",
    "createdAt",
    "createdByWallet",
    "deletedAt",
}

# -- sign-in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["auth/wallet", "workspaces"])
async def test_a_challenge_lives_five_minutes_and_its_nonce_is_its_own(wire: Wire, purpose: str) -> None:
    body = {"walletAddress": Account.create().address}
    answers = [(await wire("POST", f"/{purpose}/challenge", json=body)).json() for _ in range(2)]
    for answer in answers:
        lives = datetime.fromisoformat(answer["data"]["expiresAt"]) - datetime.fromisoformat(
            answer["timestamp"]
        )
        assert lives == timedelta(minutes=5)
    assert answers[0]["data"]["nonce"] != answers[1]["data"]["nonce"]
    assert answers[0]["data"]["message"] != answers[1]["data"]["message"]


def attributes(set_cookie: str) -> dict[str, Any]:
    """Of ``lx_session``, the only cookie."""
    (morsel,) = SimpleCookie(set_cookie).values()
    assert morsel.key == "lx_session"
    return {name: value for name, value in morsel.items() if value}


async def test_picking_gives_a_cookie_that_knows_the_workspace(wire: Wire, stranger: Tenant) -> None:
    auth = {"Cookie": f"lx_session={await wire.login(stranger.account)}"}
    body = {"workspaceId": stranger.workspace_id.upper()}
    answer = await wire("POST", "/auth/workspace/select", auth=auth, json=body)
    wanted = {"httponly": True, "samesite": "Lax", "path": "/", "max-age": "43200"}
    assert attributes(answer.headers["set-cookie"]) == wanted
    text = cookie_of(answer).partition(".")[0]
    payload = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert payload == payload | {
        "walletAddress": stranger.account.address,
        "workspaceId": stranger.workspace_id,
        "role": "OWNER",
    }
    assert payload["exp"] - payload["iat"] == 12 * 3600


async def test_logging_out_clears_the_cookie_that_was_set(wire: Wire, stranger: Tenant) -> None:
    """The same name and path, or a browser keeps it."""
    answer = await wire("POST", "/auth/logout", auth=stranger.as_cookie())
    found = attributes(answer.headers["set-cookie"])
    assert found == {"httponly": True, "samesite": "Lax", "path": "/", "max-age": "0"}


async def test_by_https_the_cookie_is_secure(wire: Wire, stranger: Tenant) -> None:
    deployment = wire.server.deployment
    frame = Frame(
        guard=Guard(deployment.cases.access, deployment.parts.authorizer),
        clock=utc_now,
        limits=Limits(Quotas()),
        clients=Clients(),
        observer=Observer(RequestMetrics()),
        idempotency=cast("Any", None),  # no request here has a key
        origins=frozenset(),
        secure=True,
    )
    async with TestServer(application(frame, operations(deployment.cases.access))) as server:
        body = {"workspaceId": stranger.workspace_id}
        for path, sent in (("/auth/workspace/select", body), ("/auth/logout", None)):
            answer = await wire("POST", str(server.make_url(path)), auth=stranger.as_cookie(), json=sent)
            assert attributes(answer.headers["set-cookie"])["secure"] is True


async def test_the_cookie_is_found_among_others(wire: Wire, stranger: Tenant) -> None:
    jar = f"theme=dark; lx_session={stranger.cookie}; lx-session=x; _ga=GA1.1.1=2"
    me = await wire.data("GET", "/me", auth={"Cookie": jar})
    assert me["walletAddress"] == stranger.account.address


async def test_a_new_wallet_has_no_workspaces(wire: Wire) -> None:
    account = Account.create()
    challenge = await wire.data("POST", "/auth/wallet/challenge", json={"walletAddress": account.address})
    proof = {
        "walletAddress": account.address.lower(),
        "nonce": challenge["nonce"],
        "signature": sign(account, challenge["message"]),
    }
    answer = await wire("POST", "/auth/wallet/login", json=proof)
    assert answer.json()["data"] == {"walletAddress": account.address, "workspaces": []}
    auth = {"Cookie": f"lx_session={cookie_of(answer)}"}
    assert await wire.data("GET", "/workspaces", auth=auth) == []


# -- workspaces and heartbeats ----------------------------------------------------------------------------


async def test_a_listed_workspace_has_the_callers_role(wire: Wire, stranger: Tenant) -> None:
    (listed,) = await wire.data("GET", "/workspaces", auth=stranger.as_cookie())
    assert set(listed) == WORKSPACE_FIELDS | {"role"}
    assert listed["role"] == "OWNER"
    read = await wire.data("GET", f"/workspaces/{stranger.workspace_id}", auth=stranger)
    assert read == {name: value for name, value in listed.items() if name != "role"}


async def test_going_online_again_counts_as_seen_and_offline_does_not(wire: Wire, place: Place) -> None:
    supplier = await wire.supplier_at(place)
    path = f"/workspaces/{supplier.workspace_id}"
    past = "update workspace set last_seen_at = now() - interval '1 hour' where id = $1::uuid"
    for state, seen_now in (("OFFLINE", False), ("ONLINE", True)):
        await wire.rows(past, supplier.workspace_id)
        after = await wire.data("PATCH", path, auth=supplier, json={"availabilityState": state})
        seen = datetime.fromisoformat(after["lastSeenAt"])
        assert (utc_now() - seen < timedelta(minutes=1)) == seen_now


def beat(place: Place, sequence: object, **more: object) -> dict[str, Any]:
    return {**place.json, "accuracyMeters": 5, "sequence": sequence, **more}


async def test_a_heartbeat_is_of_the_live_session_that_is_meant(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """Where it names none, that is the one there is; one that is not ours changes nothing."""
    supplier, started = await wire.live(consumer, place)
    path, session_id = f"/workspaces/{supplier.workspace_id}/location", started["session"]["id"]
    far = Place(place.lat + 0.01, place.lng)

    async def outside() -> list[bool]:
        receipt = await wire.data("GET", f"/sessions/{session_id}/receipt", auth=supplier)
        return [w["closedAt"] is None for w in receipt["windows"] if w["reason"] == "OUTSIDE_GEOFENCE"]

    for sequence, (body, wanted) in enumerate(
        [
            (beat(far, 0, sessionId=str(uuid4())), []),
            (beat(far, 0), [True]),
            (beat(place, 0, accuracyMeters=100.1), [True]),
            (beat(place, 0, sessionId=session_id.upper()), [False]),
        ]
    ):
        after = await wire.data("POST", path, auth=supplier, json={**body, "sequence": str(sequence)})
        assert set(after) == WORKSPACE_FIELDS
        assert await outside() == wanted
    await wire.data("POST", f"/sessions/{session_id}/end", auth=supplier)


async def test_before_it_is_live_a_session_has_no_windows(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, started = await wire.started(consumer, place)
    far, session_id = Place(place.lat + 1, place.lng), started["session"]["id"]
    body = beat(far, 1, sessionId=session_id)
    await wire.data("POST", f"/workspaces/{supplier.workspace_id}/location", auth=supplier, json=body)
    receipt = await wire.data("GET", f"/sessions/{session_id}/receipt", auth=consumer)
    assert receipt["windows"] == []


async def test_even_an_inaccurate_heartbeat_is_a_sign_of_life(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    session_id = UUID(started["session"]["id"])
    await wire.rows(
        "insert into disconnect_window (id, session_id, reason, opened_at)"
        " values (gen_random_uuid(), $1, 'STALE_TELEMETRY', now())",
        session_id,
    )
    body = beat(place, 1, accuracyMeters=5000)
    await wire.data("POST", f"/workspaces/{supplier.workspace_id}/location", auth=supplier, json=body)
    receipt = await wire.data("GET", f"/sessions/{session_id}/receipt", auth=consumer)
    assert [window["closedAt"] is None for window in receipt["windows"]] == [False]
    await wire.data("POST", f"/sessions/{session_id}/end", auth=supplier)


async def test_coverage_says_where_and_with_what_and_not_who(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, _ = await wire.started(consumer, place)
    idle = await wire.supplier_at(Place(place.lat, place.lng + 0.5))
    entries = await wire.data("GET", "/coverage")
    assert all(set(one) == {"lat", "lng", "radiusMeters", "deviceKind"} for one in entries)
    places = [(one["lat"], one["lng"]) for one in entries]
    assert (place.lat, place.lng + 0.5) in places
    assert (place.lat, place.lng) not in places, "it is BUSY"
    for tenant in (supplier, idle):
        assert tenant.workspace_id not in json.dumps(entries)
        assert tenant.account.address not in json.dumps(entries)


# -- what the deployment says of itself -------------------------------------------------------------------


async def test_the_config_is_what_a_wallet_needs(wire: Wire) -> None:
    config = await wire.data("GET", "/config")
    assert set(config) == {
        "environment",
        "chainId",
        "chainName",
        "rpcUrl",
        "explorerUrl",
        "usdcAddress",
        "settlementAddress",
    }
    assert (config["environment"], config["chainId"]) == ("TEST", 31337)
    assert all(isinstance(value, str) for name, value in config.items() if name != "chainId")
    for name in ("usdcAddress", "settlementAddress"):
        assert len(await rpc(wire, "eth_getCode", config[name], "latest")) > 100, "a contract"
    assert (
        int(await rpc(wire, "eth_call", {"to": config["usdcAddress"], "data": "0x313ce567"}, "latest"), 16)
        == 6
    )


async def test_health_is_four_fields(wire: Wire) -> None:
    health = await wire.data("GET", "/health")
    assert set(health) == {"ok", "surface", "version", "buildSha"}
    assert (health["ok"], health["surface"]) == (True, "lx-api")
    assert isinstance(health["buildSha"], str)
    assert health["version"] == (await wire("GET", "/docs-json")).json()["info"]["version"] == "0.1.0"


# -- the wallet -------------------------------------------------------------------------------------------


async def rpc(wire: Wire, method: str, *params: object) -> Any:
    """As any wallet asks the ``rpcUrl`` of the config."""
    url = (await wire.data("GET", "/config"))["rpcUrl"]
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await wire("POST", url, json=request)).json()
    assert "error" not in answer, answer
    return answer["result"]


async def test_a_wallet_moves_its_money_by_plain_json_rpc(wire: Wire) -> None:
    """As browser wallets do it; and the API tells of it, newest first."""
    tenant = await wire.tenant("CONSUMER", funded=True)
    config = await wire.data("GET", "/config")
    address, contract = tenant.account.address, config["settlementAddress"]
    assert int(await rpc(wire, "eth_chainId"), 16) == config["chainId"]
    assert await rpc(wire, "net_version") == str(config["chainId"])
    assert int(await rpc(wire, "eth_blockNumber"), 16) > 0
    assert int(await rpc(wire, "eth_getBalance", address, "latest"), 16) > 0
    assert int(await rpc(wire, "eth_gasPrice"), 16) > 0
    data = encode_call("withdraw(uint256)", 1_000)
    call = {"from": address, "to": contract, "data": data}
    gas = int(await rpc(wire, "eth_estimateGas", call), 16)
    history = await rpc(wire, "eth_feeHistory", "0x1", "latest", [50])
    fee = 2 * int(history["baseFeePerGas"][-1], 16) + 10**9
    transaction = {
        "type": 2,
        "chainId": config["chainId"],
        "nonce": int(await rpc(wire, "eth_getTransactionCount", address, "pending"), 16),
        "to": contract,
        "value": 0,
        "data": data,
        "gas": gas * 2,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": fee,
    }
    raw = tenant.account.sign_transaction(transaction).raw_transaction
    tx_hash = await rpc(wire, "eth_sendRawTransaction", "0x" + bytes(raw).hex())
    async with asyncio.timeout(20):
        while (receipt := await rpc(wire, "eth_getTransactionReceipt", tx_hash)) is None:
            await asyncio.sleep(0.05)
        while len(events := await wire.data("GET", "/wallet/events", auth=tenant)) < 3:
            await asyncio.sleep(0.05)
    assert int(receipt["status"], 16) == 1
    assert [one["kind"] for one in events] == ["WITHDRAWAL", "DEPOSIT", "APPROVAL"]
    assert events[0] == events[0] | {
        "txHash": tx_hash,
        "blockNumber": str(int(receipt["blockNumber"], 16)),
        "amountUsdc": "1000",
        "relatedSession": None,
    }
    wallet = await wire.data("GET", "/wallet", auth=tenant)
    assert set(wallet) == {"workspaceId", "walletAddress", "trackedBalance", "lastSyncBlock", "updatedAt"}
    assert wallet["trackedBalance"] == str(POOL - 1_000)
