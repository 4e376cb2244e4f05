"""``Idempotency-Key`` where it matters: what is created, what is shown once."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from api_wire import Place, Tenant, Wire, refusal, sign
from eth_account import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")

MADE = """
select id from session
where consumer_workspace_id = $1 and requested_lat = $2 and requested_lng = $3
"""


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4())}


async def test_duplicate_creates_make_one_session(wire: Wire, consumer: Tenant, place: Place) -> None:
    body, headers = {**place.json, "maxDurationSeconds": 60}, keyed()
    answers = await asyncio.gather(
        *(wire("POST", "/sessions", auth=consumer, json=body, headers=headers) for _ in range(64))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == 63
    made = await wire.rows(MADE, UUID(consumer.workspace_id), place.lat, place.lng)
    assert [str(row["id"]) for row in made] == [answers[0].json()["data"]["id"]]
    response = await wire(
        "POST", "/sessions", auth=consumer, json={**body, "maxDurationSeconds": 61}, headers=headers
    )
    assert refusal(response) == (409, "CONFLICT", "idempotency:mismatch")


async def test_a_create_whose_answer_was_lost_finds_its_session(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """As when the process dies between the session's commit and the answer's."""
    body, headers = {**place.json, "maxDurationSeconds": 60}, keyed()
    first = await wire.data("POST", "/sessions", auth=consumer, json=body, headers=headers)
    await wire.rows(
        "update idempotency set answer = null, lease_until = now() where caller = $1",
        f"key:{consumer.key_id}",
    )
    again = await wire.data("POST", "/sessions", auth=consumer, json=body, headers=headers)
    assert again["id"] == first["id"]
    made = await wire.rows(MADE, UUID(consumer.workspace_id), place.lat, place.lng)
    assert [str(row["id"]) for row in made] == [first["id"]]


async def test_a_key_that_is_shown_once_is_shown_to_its_retry(wire: Wire, stranger: Tenant) -> None:
    path = f"/workspaces/{stranger.workspace_id}/api-keys"
    body = {"label": "retried", "environment": "TEST", "scopes": ["sessions:read"]}
    headers = keyed()
    answers = [
        await wire("POST", path, auth=stranger.as_cookie(), json=body, headers=headers) for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    plaintext = answers[0].json()["data"]["plaintext"]
    assert (await wire("GET", "/me", auth={"Authorization": f"Bearer {plaintext}"})).status_code == 200
    rows = await wire.rows("select count(*) from api_key where label = 'retried'")
    assert rows[0][0] == 1
    stored = repr([tuple(row) for row in await wire.rows("select * from idempotency")])
    assert plaintext not in stored
    assert headers["Idempotency-Key"] not in stored


async def test_a_login_is_retried_with_its_cookie(wire: Wire) -> None:
    """The nonce is used up by the first; the retry gets the first one's answer, cookie and all."""
    account = Account.create()
    challenge = await wire.data("POST", "/auth/wallet/challenge", json={"walletAddress": account.address})
    body = {
        "walletAddress": account.address,
        "nonce": challenge["nonce"],
        "signature": sign(account, challenge["message"]),
    }
    headers = keyed()
    first = await wire("POST", "/auth/wallet/login", json=body, headers=headers)
    again = await wire("POST", "/auth/wallet/login", json=body, headers=headers)
    assert first.status_code == 200
    assert again.headers["set-cookie"] == first.headers["set-cookie"]
    assert again.headers["idempotency-replayed"] == "true"
    assert await wire.refused("POST", "/auth/wallet/login", json=body) == (
        401,
        "NOT_AUTHENTICATED",
        "auth:nonce",
    )


async def test_keys_of_others_are_others(wire: Wire, consumer: Tenant, stranger: Tenant) -> None:
    headers = keyed()
    path = "/sessions/cancel-all-assignments"
    for tenant in (consumer, stranger):
        response = await wire("POST", path, auth=tenant, headers=headers)
        assert "idempotency-replayed" not in response.headers
