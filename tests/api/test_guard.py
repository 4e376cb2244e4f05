"""Who may call what, and in which order refusals come (api-contract §4): every operation and credential."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import pytest
import pytest_asyncio
from api_wire import SCOPES, Tenant, Wire, refusal
from eth_account import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")

Kind = Literal["public", "wallet", "wallet workspace", "identified", "workspace"]
READ, CREATE, OPERATE, WALLET = "sessions:read", "sessions:create", "sessions:operate", "wallet:read"


@dataclass(frozen=True)
class Row:
    """A line of the access table: ``scopes`` let a key in, ``role`` is what a member needs."""

    method: str
    path: str
    kind: Kind
    scopes: tuple[str, ...] = ()
    role: Literal["VIEWER", "ADMIN"] = "VIEWER"
    body: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


W, K, S = "/workspaces/{workspace_id}", "/workspaces/{workspace_id}/api-keys", "/sessions/{session_id}"
TABLE = [
    Row("GET", "/health", "public"),
    Row("GET", "/config", "public"),
    Row("GET", "/coverage", "public"),
    Row("POST", "/auth/wallet/challenge", "public", body=True),
    Row("POST", "/auth/wallet/login", "public", body=True),
    Row("POST", "/auth/workspace/select", "wallet", body=True),
    Row("POST", "/auth/logout", "public"),
    Row("GET", "/me", "identified"),
    Row("POST", "/workspaces/challenge", "public", body=True),
    Row("POST", "/workspaces", "public", body=True),
    Row("GET", "/workspaces", "wallet"),
    Row("GET", W, "workspace"),
    Row("PATCH", W, "workspace", (OPERATE,), "ADMIN", body=True),
    Row("POST", W + "/location", "workspace", (OPERATE,), "ADMIN", body=True),
    Row("GET", K, "wallet workspace"),
    Row("POST", K, "wallet workspace", role="ADMIN", body=True),
    Row("POST", K + "/{key_id}/revoke", "wallet workspace", role="ADMIN"),
    Row("POST", "/sessions", "workspace", (CREATE,), "ADMIN", body=True),
    Row("GET", "/sessions", "workspace", (READ,)),
    Row("GET", S, "workspace", (READ,)),
    Row("POST", S + "/dispatch", "workspace", (CREATE,), "ADMIN"),
    Row("POST", S + "/accept", "workspace", (OPERATE,), "ADMIN", body=True),
    Row("POST", S + "/start", "workspace", (OPERATE,), "ADMIN"),
    Row("POST", S + "/end", "workspace", (OPERATE, CREATE), "ADMIN"),
    Row("DELETE", S, "workspace", (CREATE,), "ADMIN"),
    Row("POST", "/sessions/cancel-all-assignments", "workspace", (OPERATE,), "ADMIN"),
    Row("GET", S + "/frame", "workspace", (READ,)),
    Row("GET", S + "/viewer-token", "workspace", (READ,)),
    Row("GET", S + "/producer-token", "workspace", (OPERATE,), "ADMIN"),
    Row("GET", S + "/receipt", "workspace", (READ,)),
    Row("GET", "/wallet", "workspace", (WALLET,)),
    Row("GET", "/settlements/{session_id}", "workspace", (READ,)),
]
GUARDED = [row for row in TABLE if row.kind != "public"]
PUBLIC = [row for row in TABLE if row.kind == "public"]
WORKSPACE = [row for row in TABLE if row.kind == "workspace"]
WALLET_ONLY = [row for row in TABLE if row.kind in ("wallet", "wallet workspace")]
ACTING = [row for row in TABLE if row.kind in ("workspace", "wallet workspace")]

each = pytest.mark.parametrize("row", GUARDED, ids=str)


@dataclass
class Cast:
    """One workspace, another one, and everybody who might come with a credential."""

    owner: Tenant
    other: Tenant
    unpicked: str
    viewer: str
    outsider: str
    scoped: dict[str, str]
    revoked: str


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cast(wire: Wire) -> AsyncIterator[Cast]:
    owner, other = await wire.tenant("CONSUMER", "SUPPLIER"), await wire.tenant("CONSUMER", "SUPPLIER")
    viewer = Account.create()
    await wire.rows(
        "insert into workspace_member (workspace_id, wallet_address, role, created_at)"
        " values ($1, $2, 'VIEWER', now())",
        owner.workspace_id,
        viewer.address,
    )
    scoped = {}
    for scope in SCOPES:
        scoped[scope] = (await wire.mint(owner.cookie, owner.workspace_id, scope))["plaintext"]
    revoked = await wire.mint(owner.cookie, owner.workspace_id)
    path = f"/workspaces/{owner.workspace_id}/api-keys/{revoked['id']}/revoke"
    await wire.data("POST", path, auth=owner.as_cookie())
    await wire.rows("update api_key set grace_period_end = now() where id = $1", revoked["id"])
    yield Cast(
        owner,
        other,
        unpicked=await wire.login(owner.account),
        viewer=await wire.login(viewer, owner.workspace_id),
        outsider=await wire.login(other.account, other.workspace_id),
        scoped=scoped,
        revoked=revoked["plaintext"],
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"lx_session={value}"}


def place_of(row: Row, workspace_id: str) -> str:
    ids = {"workspace_id": workspace_id, "session_id": str(uuid4()), "key_id": str(uuid4())}
    return row.path.format(**ids)


async def knock(
    wire: Wire,
    row: Row,
    auth: dict[str, str],
    workspace_id: str,
    *,
    content: bytes = b"{}",
    query: dict[str, str] | None = None,
) -> tuple[int, str, str | None]:
    """Status, code and detail for a call whose body, where there is one, would not pass."""
    request: dict[str, Any] = {"content": content} if row.body else {}
    path = place_of(row, workspace_id)
    response = await wire(row.method, path, auth=auth, params=query or {}, **request)
    if response.is_success:
        return response.status_code, "", None
    return refusal(response)


def passed_the_guard(found: tuple[int, str, str | None]) -> bool:
    """Refused for what was asked, not for who asked."""
    status, code, detail = found
    guarded = code in ("INSUFFICIENT_SCOPE", "WORKSPACE_MISMATCH") or (detail or "").startswith("auth:")
    return status != 401 and not guarded


async def test_the_table_names_every_operation_there_is(wire: Wire) -> None:
    served = set()
    for route in wire.server.deployment.app.router.routes():
        canonical = route.resource.canonical if route.resource is not None else ""
        if found := re.fullmatch(r"/api/v1(?!/api/v1)(/.*)", canonical):
            served.add((route.method, found[1]))
    assert served == {(row.method, row.path) for row in TABLE}


# -- 401 --------------------------------------------------------------------------------------------------


@each
async def test_without_a_credential(wire: Wire, cast: Cast, row: Row) -> None:
    found = await knock(wire, row, {}, cast.owner.workspace_id, content=b"no json")
    assert found == (401, "NOT_AUTHENTICATED", None)


@each
async def test_with_a_bearer_that_is_no_key(wire: Wire, cast: Cast, row: Row) -> None:
    """Also one beside a good cookie: the bearer wins."""
    for auth in (
        bearer("garbage"),
        {"Authorization": "Bearer"},
        bearer("lxxn_"),
        {"Authorization": "Basic " + cast.owner.key},
        {"Authorization": cast.owner.key},
        {**bearer("garbage"), **cast.owner.as_cookie()},
    ):
        found = await knock(wire, row, auth, cast.owner.workspace_id, content=b"no json")
        assert found == (401, "INVALID_TOKEN", None)


@each
async def test_with_a_key_that_nobody_minted(wire: Wire, cast: Cast, row: Row) -> None:
    key = cast.owner.key
    for unknown in (key[:-1] + ("0" if key[-1] != "0" else "1"), key + "0", key.replace("test", "live")):
        found = await knock(wire, row, bearer(unknown), cast.owner.workspace_id)
        assert found == (401, "INVALID_API_KEY", None)


@each
async def test_with_a_key_that_was_revoked(wire: Wire, cast: Cast, row: Row) -> None:
    found = await knock(wire, row, bearer(cast.revoked), cast.other.workspace_id, content=b"no json")
    assert found == (401, "REVOKED_API_KEY", None)


@each
async def test_with_a_cookie_that_is_not_ours(wire: Wire, cast: Cast, row: Row) -> None:
    body, _, signature = cast.owner.cookie.partition(".")
    swapped = cast.other.cookie.partition(".")[2]
    for forged in (body, f"{body}.", f"{body}.{swapped}", f".{signature}", "x.y", f"{body}x.{signature}"):
        found = await knock(wire, row, cookie(forged), cast.owner.workspace_id, content=b"no json")
        assert found == (401, "NOT_AUTHENTICATED", None)


# -- 403 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", WALLET_ONLY, ids=str)
async def test_a_key_cannot_do_what_only_a_wallet_may(wire: Wire, cast: Cast, row: Row) -> None:
    found = await knock(wire, row, cast.owner.as_key(), cast.owner.workspace_id, content=b"no json")
    assert found == (403, "NOT_AUTHORIZED", "auth:walletOnly")


@pytest.mark.parametrize("row", WORKSPACE, ids=str)
async def test_a_key_needs_the_scope_and_no_other(wire: Wire, cast: Cast, row: Row) -> None:
    for scope, key in cast.scoped.items():
        found = await knock(wire, row, bearer(key), cast.owner.workspace_id)
        if not row.scopes or scope in row.scopes:
            assert passed_the_guard(found), (scope, found)
        else:
            assert found == (403, "INSUFFICIENT_SCOPE", f"apiKey:scope:{row.scopes[0]}"), scope


@pytest.mark.parametrize("row", [row for row in WORKSPACE if row.scopes], ids=str)
async def test_the_scope_is_asked_before_workspace_and_body(wire: Wire, cast: Cast, row: Row) -> None:
    wrong = next(key for scope, key in cast.scoped.items() if scope not in row.scopes)
    found = await knock(
        wire,
        row,
        bearer(wrong),
        cast.other.workspace_id,
        content=b"no json",
        query={"workspaceId": cast.other.workspace_id},
    )
    assert found[:2] == (403, "INSUFFICIENT_SCOPE")


@pytest.mark.parametrize("row", WORKSPACE, ids=str)
async def test_a_key_is_bound_to_its_workspace_wherever_one_is_named(
    wire: Wire, cast: Cast, row: Row
) -> None:
    key, own, foreign = cast.owner.as_key(), cast.owner.workspace_id, cast.other.workspace_id
    mismatch = (403, "WORKSPACE_MISMATCH", "auth:workspaceMismatch")
    assert await knock(wire, row, key, own, query={"workspaceId": foreign}) == mismatch
    assert passed_the_guard(await knock(wire, row, key, own, query={"workspaceId": own}))
    if "{workspace_id}" in row.path:
        assert await knock(wire, row, key, foreign, content=b"no json") == mismatch
        assert await knock(wire, row, key, str(uuid4())) == mismatch
    if row.body:
        content = f'{{"workspaceId": "{foreign}"}}'.encode()
        assert await knock(wire, row, key, own, content=content) == mismatch


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_a_wallet_that_picked_no_workspace(wire: Wire, cast: Cast, row: Row) -> None:
    auth = cookie(cast.unpicked)
    found = await knock(wire, row, auth, cast.owner.workspace_id, content=b"no json")
    if "{workspace_id}" in row.path:
        assert passed_the_guard(found), "the path names one of which it is a member"
    else:
        assert found == (403, "NOT_AUTHORIZED", "auth:noWorkspace")
        named = {"workspaceId": cast.owner.workspace_id}
        assert passed_the_guard(await knock(wire, row, auth, "", query=named))


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_a_wallet_that_is_no_member(wire: Wire, cast: Cast, row: Row) -> None:
    query = {"workspaceId": cast.owner.workspace_id}
    found = await knock(
        wire, row, cookie(cast.outsider), cast.owner.workspace_id, content=b"no json", query=query
    )
    assert found == (403, "NOT_AUTHORIZED", "auth:member")


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_a_viewer_may_look_and_not_touch(wire: Wire, cast: Cast, row: Row) -> None:
    found = await knock(wire, row, cookie(cast.viewer), cast.owner.workspace_id, content=b"no json")
    if row.role == "VIEWER":
        assert passed_the_guard(found), found
    else:
        assert found == (403, "NOT_AUTHORIZED", "auth:role")


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_an_owner_passes(wire: Wire, cast: Cast, row: Row) -> None:
    found = await knock(wire, row, cast.owner.as_cookie(), cast.owner.workspace_id)
    assert passed_the_guard(found), found
    if "{session_id}" in row.path:
        assert found == (404, "SESSION_NOT_FOUND", None)


async def test_a_member_that_was_removed_is_out_at_once(wire: Wire, cast: Cast) -> None:
    """The cookie still says otherwise; it is not asked."""
    member = Account.create()
    await wire.rows(
        "insert into workspace_member (workspace_id, wallet_address, role, created_at)"
        " values ($1, $2, 'ADMIN', now())",
        cast.owner.workspace_id,
        member.address,
    )
    auth = cookie(await wire.login(member, cast.owner.workspace_id))
    assert (await wire("GET", "/sessions", auth=auth)).status_code == 200
    await wire.rows("delete from workspace_member where wallet_address = $1", member.address)
    assert await wire.refused("GET", "/sessions", auth=auth) == (403, "NOT_AUTHORIZED", "auth:member")


async def test_a_deleted_workspace_has_no_members(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    await wire.rows("update workspace set deleted_at = now() where id = $1", tenant.workspace_id)
    found = await wire.refused("GET", f"/workspaces/{tenant.workspace_id}", auth=tenant.as_cookie())
    assert found == (403, "NOT_AUTHORIZED", "auth:member")
    found = await wire.refused("GET", f"/workspaces/{tenant.workspace_id}", auth=tenant)
    assert found[:2] == (404, "WORKSPACE_NOT_FOUND")


# -- what is left to validation ---------------------------------------------------------------------------


@pytest.mark.parametrize("row", ACTING, ids=str)
async def test_a_workspace_id_that_is_none_is_refused(wire: Wire, cast: Cast, row: Row) -> None:
    if row.kind == "workspace":
        found = await knock(
            wire, row, cast.owner.as_key(), cast.owner.workspace_id, query={"workspaceId": "x"}
        )
        assert found == (400, "INVALID_INPUT", "auth:workspaceId")
    if "{workspace_id}" in row.path:
        found = await knock(wire, row, cast.owner.as_cookie(), "x")
        assert found == (404, "WORKSPACE_NOT_FOUND", None)


@pytest.mark.parametrize("row", [row for row in ACTING if row.body], ids=str)
async def test_the_body_is_looked_at_last(wire: Wire, cast: Cast, row: Row) -> None:
    auth = cast.owner.as_cookie()
    found = await knock(wire, row, auth, cast.owner.workspace_id, content=b"no json")
    assert found == (400, "INVALID_INPUT", "body:json")


# -- public -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", PUBLIC, ids=str)
async def test_a_public_operation_ignores_any_credential(wire: Wire, cast: Cast, row: Row) -> None:
    plain = await knock(wire, row, {}, "")
    for auth in (bearer("garbage"), bearer(cast.revoked), cookie("forged"), cookie("x.y")):
        assert await knock(wire, row, auth, "") == plain
    assert plain[0] in (200, 400)


async def test_a_key_is_stored_as_its_hash_alone(wire: Wire, cast: Cast) -> None:
    rows = await wire.rows("select hash from api_key where id = $1", cast.owner.key_id)
    assert rows[0]["hash"] == hashlib.sha256(cast.owner.key.encode()).digest()
