"""Members: who may see and change them, and what their removal ends (api-contract §1.3, §3.3, §3.5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from api_wire import Tenant, Wire, refusal
from eth_account import Account
from eth_account.signers.local import LocalAccount

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADER = "X-Lx-Consistency-Token"


@dataclass
class Person:
    """A wallet that is signed in."""

    cookie: str
    account: LocalAccount = field(repr=False)

    @property
    def address(self) -> str:
        return str(self.account.address)

    @property
    def auth(self) -> dict[str, str]:
        return {"Cookie": f"lx_session={self.cookie}"}


async def person(wire: Wire) -> Person:
    account = Account.create()
    return Person(await wire.login(account), account)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(wire: Wire) -> Tenant:
    return await wire.tenant("CONSUMER", "SUPPLIER")


def members(tenant: Tenant, *more: str) -> str:
    return "/".join((f"/workspaces/{tenant.workspace_id}/members", *more))


async def put(wire: Wire, tenant: Tenant, address: str, role: str) -> dict[str, Any]:
    body = {"walletAddress": address, "role": role}
    return dict(await wire.data("POST", members(tenant), auth=tenant.as_cookie(), json=body))


async def joined(wire: Wire, tenant: Tenant, role: str) -> Person:
    """Somebody who has just become a member."""
    found = await person(wire)
    await put(wire, tenant, found.address, role)
    return found


async def listed(wire: Wire, tenant: Tenant) -> dict[str, str]:
    rows = await wire.data("GET", members(tenant), auth=tenant.as_cookie())
    return {row["walletAddress"]: row["role"] for row in rows}


async def test_a_new_workspace_has_its_creator_as_owner_and_tells_a_token(wire: Wire) -> None:
    account = Account.create()
    body = {"slug": "of-one-owner", "name": "x", "roles": ["CONSUMER"], **await wire.proof(account)}
    answer = await wire("POST", "/workspaces", json=body)
    made = answer.json()["data"]
    assert made["consistencyToken"]
    assert answer.headers[HEADER] == made["consistencyToken"]
    cookie = await wire.login(account, made["id"])
    auth = {"Cookie": f"lx_session={cookie}"}
    (owner,) = await wire.data("GET", f"/workspaces/{made['id']}/members", auth=auth)
    assert owner == {
        "walletAddress": account.address,
        "role": "OWNER",
        "createdAt": made["createdAt"],
    }


async def test_a_member_is_added_changed_and_removed(wire: Wire, tenant: Tenant) -> None:
    somebody = await person(wire)
    owner = tenant.account.address
    body = {"walletAddress": somebody.address.lower(), "role": "VIEWER"}
    answer = await wire("POST", members(tenant), auth=tenant.as_cookie(), json=body)
    added = answer.json()["data"]
    assert answer.status_code == 200
    assert set(added) == {"walletAddress", "role", "createdAt", "consistencyToken"}
    assert (added["walletAddress"], added["role"]) == (somebody.address, "VIEWER")
    assert answer.headers[HEADER] == added["consistencyToken"]
    changed = await put(wire, tenant, somebody.address, "ADMIN")
    assert changed["createdAt"] == added["createdAt"]
    assert await listed(wire, tenant) == {owner: "OWNER", somebody.address: "ADMIN"}
    removal = await wire("DELETE", members(tenant, somebody.address.lower()), auth=tenant.as_cookie())
    gone = removal.json()["data"]
    assert removal.headers[HEADER] == gone.pop("consistencyToken")
    assert gone == {"removed": True, "walletAddress": somebody.address}
    assert await listed(wire, tenant) == {owner: "OWNER"}
    assert await wire.refused("DELETE", members(tenant, somebody.address), auth=tenant.as_cookie()) == (
        404,
        "NOT_FOUND",
        "member:wallet",
    )


@pytest.mark.parametrize(
    ("role", "sees", "mints", "manages"),
    [("VIEWER", 200, 403, 403), ("ADMIN", 200, 200, 403), ("OWNER", 200, 200, 200), (None, 403, 403, 403)],
)
async def test_each_role_may_what_it_may(
    wire: Wire, tenant: Tenant, role: str | None, sees: int, mints: int, manages: int
) -> None:
    somebody = await joined(wire, tenant, role) if role else await person(wire)
    other = Account.create().address
    key = {"label": "test", "environment": "TEST", "scopes": ["sessions:read"]}
    path = f"/workspaces/{tenant.workspace_id}"
    calls = [
        ("GET", members(tenant), None, sees),
        ("GET", path, None, sees),
        ("PATCH", path, {"name": "renamed"}, mints),
        ("POST", path + "/api-keys", key, mints),
        ("POST", members(tenant), {"walletAddress": other, "role": "VIEWER"}, manages),
        ("DELETE", members(tenant, other), None, manages),
    ]
    for method, where, body, status in calls:
        response = await wire(method, where, auth=somebody.auth, json=body)
        assert response.status_code == status, (method, where)
        if status == 403:
            assert refusal(response)[1] == "NOT_AUTHORIZED"


async def test_a_key_is_no_member(wire: Wire, tenant: Tenant) -> None:
    body = {"walletAddress": tenant.account.address, "role": "OWNER"}
    for method, path, sent in (
        ("GET", members(tenant), None),
        ("POST", members(tenant), body),
        ("DELETE", members(tenant, tenant.account.address), None),
    ):
        refused = await wire.refused(method, path, auth=tenant, json=sent)
        assert refused == (403, "NOT_AUTHORIZED", "auth:walletOnly")
        assert (await wire(method, path, json=sent)).status_code == 401


async def test_the_owner_of_one_workspace_is_nobody_in_another(wire: Wire, tenant: Tenant) -> None:
    other = await wire.tenant("CONSUMER")
    body = {"walletAddress": other.account.address, "role": "OWNER"}
    for method, sent in (("GET", None), ("POST", body)):
        refused = await wire.refused(method, members(tenant), auth=other.as_cookie(), json=sent)
        assert refused[:2] == (403, "NOT_AUTHORIZED")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "member:walletAddress"),
        ({"role": "VIEWER"}, "member:walletAddress"),
        ({"walletAddress": "0x12", "role": "VIEWER"}, "member:walletAddress"),
        ({"walletAddress": "0x" + "g" * 40, "role": "VIEWER"}, "member:walletAddress"),
        ({"walletAddress": "0x" + "a" * 40 + "\n", "role": "VIEWER"}, None),
        ({"walletAddress": 7, "role": "VIEWER"}, "member:walletAddress"),
        ({"walletAddress": "0x" + "a" * 40}, "member:role"),
        ({"walletAddress": "0x" + "a" * 40, "role": "viewer"}, "member:role"),
        ({"walletAddress": "0x" + "a" * 40, "role": "KING"}, "member:role"),
        ({"walletAddress": "0x" + "a" * 40, "role": None}, "member:role"),
    ],
)
async def test_what_is_no_member_is_refused(
    wire: Wire, tenant: Tenant, body: dict[str, Any], detail: str | None
) -> None:
    status, code, told = await wire.refused("POST", members(tenant), auth=tenant.as_cookie(), json=body)
    assert (status, code) == (400, "INVALID_INPUT")
    assert detail is None or told == detail


async def test_the_last_owner_stays(wire: Wire, tenant: Tenant) -> None:
    owner = tenant.account.address
    conflict = (409, "CONFLICT", "member:lastOwner")
    auth = tenant.as_cookie()
    assert await wire.refused("DELETE", members(tenant, owner), auth=auth) == conflict
    body = {"walletAddress": owner, "role": "ADMIN"}
    assert await wire.refused("POST", members(tenant), auth=auth, json=body) == conflict
    assert await listed(wire, tenant) == {owner: "OWNER"}


async def test_two_owners_who_remove_each_other_at_once_leave_one(wire: Wire, tenant: Tenant) -> None:
    second = await joined(wire, tenant, "OWNER")
    first = tenant.account.address
    answers = await asyncio.gather(
        wire("DELETE", members(tenant, second.address), auth=tenant.as_cookie()),
        wire("DELETE", members(tenant, first), auth=second.auth),
    )
    statuses = sorted(one.status_code for one in answers)
    assert statuses in ([200, 409], [200, 403])
    rows = await wire.rows(
        "select wallet_address from workspace_member where workspace_id = $1::uuid", tenant.workspace_id
    )
    assert len(rows) == 1


async def test_a_removed_member_is_out_at_once_whatever_its_cookie_says(wire: Wire, tenant: Tenant) -> None:
    account = Account.create()
    await put(wire, tenant, account.address, "ADMIN")
    cookie = await wire.login(account, tenant.workspace_id)
    auth = {"Cookie": f"lx_session={cookie}"}
    assert (await wire.data("GET", "/me", auth=auth))["activeRole"] == "ADMIN"
    path = f"/workspaces/{tenant.workspace_id}"
    before = await wire("GET", path, auth=auth)
    assert before.status_code == 200
    await wire.data("DELETE", members(tenant, account.address), auth=tenant.as_cookie())
    headers = {HEADER: before.headers.get(HEADER, "")}
    for sent in ({}, headers, {HEADER: "none of yours"}):
        for method, where, body in (("GET", path, None), ("PATCH", path, {"name": "mine"})):
            refused = await wire.refused(method, where, auth=auth, headers=sent, json=body)
            assert refused[:2] == (403, "NOT_AUTHORIZED")
    select = await wire.refused(
        "POST", "/auth/workspace/select", auth=auth, json={"workspaceId": tenant.workspace_id}
    )
    assert select == (403, "NOT_AUTHORIZED", "auth:member")
    assert await wire.data("GET", "/workspaces", auth=auth) == []


async def test_selecting_shows_the_role_of_now_and_tells_a_token(wire: Wire, tenant: Tenant) -> None:
    somebody = await joined(wire, tenant, "VIEWER")
    for role in ("VIEWER", "OWNER", "ADMIN"):
        await put(wire, tenant, somebody.address, role)
        answer = await wire(
            "POST",
            "/auth/workspace/select",
            auth=somebody.auth,
            json={"workspaceId": tenant.workspace_id},
        )
        assert answer.json()["data"]["role"] == role
        assert answer.headers[HEADER]


@pytest.mark.parametrize("token", ["", "x", "GgYKBDEyMzQ=", "A" * 4000, "é"])
async def test_a_token_never_fails_a_request(wire: Wire, tenant: Tenant, token: str) -> None:
    headers = {HEADER: token.encode("utf-8")}
    for auth in (tenant.as_cookie(), tenant.as_key()):
        path = f"/workspaces/{tenant.workspace_id}"
        answer = await wire("GET", path, auth=auth, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 200
