"""In which order refusals come, and what counts as a credential (api-contract §3, §4).

Who may call what is in ``access_table.txt``.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from access_table import TABLE, Answer, Row, bearer, cookie, expired, forged, revoked, unminted
from api_wire import SCOPES, Place, Tenant, Wire
from eth_account import Account

from luxxon_core.kernel.clock import iso, utc_now

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACTING = [row for row in TABLE if row.cells["out"] not in ("+", "A")]
"""Rows whose caller acts for a workspace; links stand for one and name none."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(wire: Wire) -> Tenant:
    return await wire.tenant("CONSUMER", "SUPPLIER")


# -- the order --------------------------------------------------------------------------------------------

Fault = tuple[Answer | None, Any]
"""What a choice is refused with, None where it is good, and the choice."""


@dataclass
class Stage:
    """A supplier with one session to report from and one that is over, and another supplier's."""

    supplier: Tenant
    other: Tenant
    live: str
    over: str
    elsewhere: str
    moments: itertools.count[int]

    def body(self) -> dict[str, Any]:
        """A sample that is good, and later than the one before."""
        at = utc_now() - timedelta(seconds=5) + timedelta(milliseconds=next(self.moments))
        return {
            "capturedAt": iso(at),
            "point": {"lat": 0, "lng": 0},
            "accuracyMeters": 1,
            "source": "gps",
            "signature": "0x00",
        }

    def sessions(self) -> list[Fault]:
        """By what is found when they are looked for: not there, not one's own, over."""
        return [
            (None, self.live),
            ((404, "SESSION_NOT_FOUND", None), str(uuid4())),
            ((404, "SESSION_NOT_FOUND", None), "no-id"),
            ((403, "NOT_AUTHORIZED", "session:notOperator"), self.elsewhere),
            ((409, "INVALID_STATE", "session:telemetry:CANCELLED"), self.over),
        ]


BODIES: list[Fault] = [
    (None, {}),
    ((400, "INVALID_INPUT", "telemetry:point"), {"point": 7}),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(wire: Wire, consumer: Tenant) -> Stage:
    place = Place(-75.5, 12.5)
    supplier, over = await wire.started(consumer, place)
    await wire.data("DELETE", f"/sessions/{over['session']['id']}", auth=consumer)
    live = await wire.create(consumer, place)
    await wire.data("POST", f"/sessions/{live['id']}/accept", auth=supplier, json={})
    await wire.data("POST", f"/sessions/{live['id']}/start", auth=supplier)
    other, elsewhere = await wire.started(consumer, Place(-75.5, 22.5))
    return Stage(
        supplier,
        other,
        live["id"],
        over["session"]["id"],
        elsewhere["session"]["id"],
        itertools.count(),
    )


async def answers_in_order(
    wire: Wire, stage: Stage, callers: list[Fault], workspaces: list[Fault]
) -> list[tuple[Answer, Answer]]:
    """For each choice of a caller, a named workspace, a body and a session: found, and the earliest fault."""
    found = []
    for who, where, what, which in itertools.product(callers, workspaces, BODIES, stage.sessions()):
        response = await wire(
            "POST",
            f"/sessions/{which[1]}/telemetry",
            auth=who[1],
            params=where[1],
            json={**stage.body(), **what[1]},
        )
        body = response.json()
        answer = response.status_code, body.get("code", ""), body.get("detail")
        wanted = next((fault for fault, _ in (who, where, what, which) if fault), (200, "", None))
        found.append((answer, wanted))
    return found


async def test_of_a_keys_faults_the_earliest_is_told(wire: Wire, stage: Stage) -> None:
    """Credential, revocation, scope, workspace, body, session, side, state: in this order."""
    supplier, other = stage.supplier, stage.other
    scopeless = await wire.mint(supplier.cookie, supplier.workspace_id, "sessions:read")
    revoked_ = bearer(await revoked(wire, supplier, past_grace=True))
    both = bearer(await revoked(wire, supplier, "sessions:read", past_grace=True))
    callers: list[Fault] = [
        (None, supplier.as_key()),
        ((401, "INVALID_TOKEN", None), {**bearer("x"), **supplier.as_cookie()}),
        ((401, "INVALID_API_KEY", None), bearer(unminted(supplier.key))),
        ((401, "REVOKED_API_KEY", None), revoked_),
        ((401, "REVOKED_API_KEY", None), both),
        ((403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:operate"), bearer(scopeless["plaintext"])),
    ]
    mismatch = (403, "WORKSPACE_MISMATCH", "session:workspaceMismatch")
    workspaces: list[Fault] = [
        (None, {}),
        (None, {"workspaceId": supplier.workspace_id.upper()}),
        (mismatch, {"workspaceId": other.workspace_id}),
        (mismatch, {"workspaceId": str(uuid4())}),
    ]
    found = await answers_in_order(wire, stage, callers, workspaces)
    assert [one for one in found if one[0] != one[1]] == []


async def test_of_a_wallets_faults_the_earliest_is_told(wire: Wire, stage: Stage) -> None:
    """Cookie, picked workspace or membership, body, session, side, state: in this order."""
    supplier, other = stage.supplier, stage.other
    unpicked = cookie(await wire.login(supplier.account))
    unauthenticated = (401, "NOT_AUTHENTICATED", None)
    denied = (403, "NOT_AUTHORIZED", "auth:permission:operate")
    callers: list[Fault] = [
        (unauthenticated, {}),
        (unauthenticated, cookie(forged(supplier.cookie, other.cookie))),
        (unauthenticated, cookie(expired(wire, supplier.cookie))),
    ]
    found = await answers_in_order(wire, stage, callers, [(None, {}), (None, {"workspaceId": "x"})])
    named = {"workspaceId": supplier.workspace_id}
    good: list[Fault] = [(None, supplier.as_cookie()), (None, unpicked)]
    found += await answers_in_order(wire, stage, good, [(None, named)])
    nobody: list[Fault] = [(denied, other.as_cookie())]
    found += await answers_in_order(wire, stage, nobody, [(None, named)])
    found += await answers_in_order(wire, stage, good, [(denied, {"workspaceId": other.workspace_id})])
    found += await answers_in_order(
        wire, stage, [((403, "NOT_AUTHORIZED", "auth:noWorkspace"), unpicked)], [(None, {})]
    )
    assert [one for one in found if one[0] != one[1]] == []


async def test_what_only_a_wallet_may_is_told_before_workspace_and_body(wire: Wire, owner: Tenant) -> None:
    for row in TABLE:
        if row.cells["all"] == "W":
            for workspace_id in (str(uuid4()), "x"):
                found = await wire.refused(row.method, row.at(workspace_id), auth=owner, content=b"no json")
                assert found == (403, "NOT_AUTHORIZED", "auth:walletOnly"), row


async def test_a_session_is_looked_up_before_roles_are(wire: Wire, consumer: Tenant, nowhere: str) -> None:
    """404 before 403 before 409: of a consumer that would accept."""
    path = "/sessions/{}/accept"
    assert await wire.refused("POST", path.format(nowhere), auth=consumer, json={}) == (
        404,
        "SESSION_NOT_FOUND",
        None,
    )
    session = await wire.create(consumer, Place(-75.5, 32.5))
    await wire.data("DELETE", f"/sessions/{session['id']}", auth=consumer)
    found = await wire.refused("POST", path.format(session["id"]), auth=consumer, json={})
    assert found == (403, "NOT_AUTHORIZED", "session:notSupplier")


async def test_input_is_looked_at_before_roles_are(wire: Wire, consumer: Tenant) -> None:
    """400 before 403: of a consumer that would be BUSY, one that would send heartbeats, and a supplier that
    would request."""
    workspace = f"/workspaces/{consumer.workspace_id}"
    found = await wire.refused("PATCH", workspace, auth=consumer, json={"availabilityState": "BUSY"})
    assert found == (400, "INVALID_INPUT", "workspace:availabilityState")
    body = {"lat": 0, "lng": 0, "accuracyMeters": 1, "sequence": "first"}
    found = await wire.refused("POST", f"{workspace}/location", auth=consumer, json=body)
    assert found == (400, "INVALID_INPUT", "heartbeat:sequence")
    supplier = await wire.tenant("SUPPLIER")
    body = {"lat": 0, "lng": 0, "maxDurationSeconds": 0}
    found = await wire.refused("POST", "/sessions", auth=supplier, json=body)
    assert found == (400, "INVALID_INPUT", "session:maxDurationSeconds")


async def test_what_is_not_there_needs_no_credential(wire: Wire) -> None:
    for auth in ({}, bearer("garbage"), cookie("forged")):
        assert await wire.refused("GET", "/nothing", auth=auth) == (404, "NOT_FOUND", None)
        assert await wire.refused("PUT", "/sessions", auth=auth) == (405, "NOT_FOUND", None)


# -- credentials ------------------------------------------------------------------------------------------


async def test_what_is_no_bearer_key(wire: Wire, owner: Tenant) -> None:
    for auth in (
        bearer("garbage"),
        bearer("lxxn_"),
        bearer("lxxn_prod_" + owner.key[10:]),
        bearer("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"),
        bearer(owner.key + "x" * 100),
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "Basic " + owner.key},
        {"Authorization": owner.key},
    ):
        assert await wire.refused("GET", "/me", auth=auth) == (401, "INVALID_TOKEN", None), auth


async def test_what_nobody_minted(wire: Wire, owner: Tenant) -> None:
    for key in (
        unminted(owner.key),
        owner.key + "0",
        owner.key[:-1],
        owner.key.replace("test", "live"),
        "lxxn_test_",
        f"lxxn_test_{owner.workspace_id[:6]}_",
    ):
        assert await wire.refused("GET", "/me", auth=bearer(key)) == (401, "INVALID_API_KEY", None), key


async def test_what_is_no_cookie_of_ours(wire: Wire, owner: Tenant, stranger: Tenant) -> None:
    body, _, signature = owner.cookie.partition(".")
    for value in (
        "",
        "x.y",
        body,
        f"{body}.",
        f".{signature}",
        f"{body}x.{signature}",
        f"{body}=.{signature}",
        f"{body}.{signature}.{signature}",
        forged(owner.cookie, stranger.cookie),
        expired(wire, owner.cookie),
        owner.cookie * 10,
    ):
        found = await wire.refused("GET", "/me", auth=cookie(value))
        assert found == (401, "NOT_AUTHENTICATED", None), value
    found = await wire.refused("GET", "/me", auth={"Cookie": f"lx-session={owner.cookie}"})
    assert found == (401, "NOT_AUTHENTICATED", None), "it goes by another name"


async def test_a_bearer_wins_over_a_cookie(wire: Wire, owner: Tenant, stranger: Tenant) -> None:
    both = {**owner.as_key(), **stranger.as_cookie()}
    assert (await wire.data("GET", "/me", auth=both))["kind"] == "api_key"
    found = await wire.refused("GET", "/me", auth={**bearer("garbage"), **owner.as_cookie()})
    assert found == (401, "INVALID_TOKEN", None)


async def test_the_scheme_is_written_in_any_case(wire: Wire, owner: Tenant) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        me = await wire.data("GET", "/me", auth={"Authorization": f"{scheme} {owner.key}"})
        assert me["keyId"] == owner.key_id


async def test_a_key_works_for_sixty_seconds_after_it_was_revoked(wire: Wire, owner: Tenant) -> None:
    made = await wire.mint(owner.cookie, owner.workspace_id)
    path = f"/workspaces/{owner.workspace_id}/api-keys/{made['id']}/revoke"
    told = await wire.data("POST", path, auth=owner.as_cookie())
    ends, since = (datetime.fromisoformat(told[name]) for name in ("gracePeriodEnd", "revokedAt"))
    assert ends - since == timedelta(seconds=60)
    assert (await wire("GET", "/sessions", auth=bearer(made["plaintext"]))).status_code == 200
    again = await wire.data("POST", path, auth=owner.as_cookie())
    assert (again["revokedAt"], again["gracePeriodEnd"]) == (told["revokedAt"], told["gracePeriodEnd"])


async def test_a_key_is_stored_as_its_hash_alone(wire: Wire, owner: Tenant) -> None:
    rows = await wire.rows("select hash from api_key where id = $1", owner.key_id)
    assert rows[0]["hash"] == hashlib.sha256(owner.key.encode()).digest()


# -- workspaces -------------------------------------------------------------------------------------------


async def test_a_role_taken_away_is_taken_at_once(wire: Wire, owner: Tenant) -> None:
    """The cookie still says ADMIN; it is not asked."""
    member = Account.create()
    members = f"/workspaces/{owner.workspace_id}/members"
    for role in ("ADMIN", "VIEWER"):
        body = {"walletAddress": member.address, "role": role}
        await wire.data("POST", members, auth=owner.as_cookie(), json=body)
        if role == "ADMIN":
            auth = cookie(await wire.login(member, owner.workspace_id))
            assert (await wire("POST", "/sessions/cancel-all-assignments", auth=auth)).status_code == 200
    assert (await wire("GET", "/sessions", auth=auth)).status_code == 200
    found = await wire.refused("POST", "/sessions/cancel-all-assignments", auth=auth)
    assert found == (403, "NOT_AUTHORIZED", "auth:permission:operate")


async def test_a_deleted_workspace_has_no_members(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    await wire.rows("update workspace set deleted_at = now() where id = $1", tenant.workspace_id)
    path = f"/workspaces/{tenant.workspace_id}"
    found = await wire.refused("GET", path, auth=tenant.as_cookie())
    assert found == (403, "NOT_AUTHORIZED", "auth:permission:view")
    assert (await wire.refused("GET", path, auth=tenant))[:2] == (404, "WORKSPACE_NOT_FOUND")


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_a_workspace_id_that_is_none_is_refused(wire: Wire, owner: Tenant, row: Row) -> None:
    if row.cells["all"] != "W":
        path = row.at(owner.workspace_id)
        key = await wire.mint(owner.cookie, owner.workspace_id, *SCOPES, "webhooks:write")
        for value in ("x", "", "null"):
            found = await wire.refused(
                row.method, path, auth=bearer(key["plaintext"]), params={"workspaceId": value}
            )
            assert found == (400, "INVALID_INPUT", "auth:workspaceId")
    if row.names_workspace:
        found = await wire.refused(row.method, row.at("x"), auth=owner.as_cookie())
        assert found == (404, "WORKSPACE_NOT_FOUND", None)


@pytest.mark.parametrize("row", [row for row in ACTING if row.asks_for_body], ids=str)
async def test_a_body_that_is_no_json_is_told_to_who_may_send_one(
    wire: Wire, owner: Tenant, row: Row
) -> None:
    found = await wire.refused(
        row.method, row.at(owner.workspace_id), auth=owner.as_cookie(), content=b"no json"
    )
    assert found == (400, "INVALID_INPUT", "body:json")


async def test_a_workspace_may_be_named_more_than_once(wire: Wire, owner: Tenant, stranger: Tenant) -> None:
    """All must be the key's own, wherever they are."""
    body = {"lat": 0, "lng": 0, "maxDurationSeconds": 0, "workspaceId": owner.workspace_id}
    own, foreign = {"workspaceId": owner.workspace_id}, {"workspaceId": stranger.workspace_id}
    found = await wire.refused("POST", "/sessions", auth=owner, json=body, params=own)
    assert found == (400, "INVALID_INPUT", "session:maxDurationSeconds")
    for query, named in ((own, foreign), (foreign, own)):
        found = await wire.refused("POST", "/sessions", auth=owner, json={**body, **named}, params=query)
        assert found == (403, "WORKSPACE_MISMATCH", "session:workspaceMismatch")


@pytest.mark.parametrize("path", ["/sessions/cancel-all-assignments", "/sessions/cancel-all-assignments?x=1"])
async def test_a_body_that_is_not_asked_for_may_name_the_workspace(wire: Wire, path: str) -> None:
    """The wallet acts for that one, not for the one that it picked; a body that names none is not heard."""
    tenant = await wire.tenant("SUPPLIER")
    unpicked = cookie(await wire.login(tenant.account))
    found = await wire.refused("POST", path, auth=unpicked)
    assert found == (403, "NOT_AUTHORIZED", "auth:noWorkspace")
    named = {"workspaceId": tenant.workspace_id}
    assert (await wire("POST", path, auth=unpicked, json=named)).status_code == 200
    other = await wire.tenant("SUPPLIER")
    found = await wire.refused("POST", path, auth=other.as_cookie(), json=named)
    assert found == (403, "NOT_AUTHORIZED", "auth:permission:operate")
    for nothing in (b"no json", b"[]", b"{", b'"x"', b'{"workspaceId": null}'):
        assert (await wire("POST", path, auth=other.as_cookie(), content=nothing)).status_code == 200
    found = await wire.refused("POST", path, auth=other, json={"workspaceId": 7})
    assert found == (400, "INVALID_INPUT", "auth:workspaceId")
