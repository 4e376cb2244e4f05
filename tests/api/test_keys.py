"""API keys: shown once, kept as a hash, revoked with grace (api-contract §3.4, §6.5)."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import structlog
from api_wire import Place, Tenant, Wire

from luxxon_core.access import schemas
from luxxon_core.access.usecases import Access
from luxxon_core.adapters.postgres.access import PgApiKeys
from luxxon_core.kernel.clock import utc_now
from luxxon_core.runner import log_to_stderr

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(wire: Wire) -> Tenant:
    return await wire.tenant("CONSUMER", "SUPPLIER")


def keys(tenant: Tenant, *more: str) -> str:
    return "/".join((f"/workspaces/{tenant.workspace_id}/api-keys", *more))


async def whole_database(wire: Wire) -> str:
    """Every row of every table as text, and once more with byte strings read as text."""
    tables = await wire.rows("select tablename from pg_tables where schemaname = 'public'")
    found = []
    for table in tables:
        found += [str(tuple(row.values())) for row in await wire.rows(f"select * from {table[0]}")]
        found += [row[0] for row in await wire.rows(f"select t::text from {table[0]} t")]
    return "\n".join(found)


async def test_a_key_has_the_published_form(wire: Wire, tenant: Tenant) -> None:
    made = await wire.mint(tenant.cookie, tenant.workspace_id, "sessions:read")
    fragment = tenant.workspace_id[:6]
    assert re.fullmatch(rf"lxxn_test_{fragment}_[0-9A-Za-z]{{43}}", made["plaintext"])
    assert made["prefix"] == made["plaintext"][:20]
    assert set(made) == {
        "id",
        "workspaceId",
        "prefix",
        "label",
        "environment",
        "scopes",
        "lastUsedAt",
        "revokedAt",
        "gracePeriodEnd",
        "createdAt",
        "createdByWallet",
        "plaintext",
    }
    assert made["createdByWallet"] == tenant.account.address
    assert (made["lastUsedAt"], made["revokedAt"], made["gracePeriodEnd"]) == (None, None, None)


async def test_the_plaintext_is_seen_once_and_is_nowhere_else(
    wire: Wire, tenant: Tenant, place: Place
) -> None:
    """Not in later answers, not in any table, not in the logs of a life full of errors."""
    with structlog.testing.capture_logs() as told:
        lines = _Lines()
        logging.getLogger().addHandler(lines)
        made = await wire.mint(tenant.cookie, tenant.workspace_id)
        plaintext = made["plaintext"]
        auth = {"Authorization": f"Bearer {plaintext}"}
        answers = [
            await wire("GET", "/me", auth=auth),
            await wire("GET", keys(tenant), auth=tenant.as_cookie()),
            await wire("POST", "/sessions", auth=auth, json={**place.json, "maxDurationSeconds": 60}),
            await wire("GET", "/nothing", auth=auth),
            await wire("GET", keys(tenant), auth=auth),
            await wire("POST", keys(tenant, made["id"], "revoke"), auth=tenant.as_cookie()),
            await wire("GET", "/me", auth=auth),
        ]
        logging.getLogger().removeHandler(lines)
    assert [answer.status_code for answer in answers] == [200, 200, 400, 404, 403, 200, 200]
    secret = plaintext.rpartition("_")[2]
    assert secret not in "".join(answer.text for answer in answers)
    assert secret not in json.dumps(told, default=str) + "".join(lines.found)
    database = await whole_database(wire)
    assert made["id"] in database, "it would have been found"
    assert secret not in database
    assert secret.encode().hex() not in database
    key = schemas.ApiKeyCreated(**dict.fromkeys(schemas.ApiKeyCreated.__struct_fields__))  # type: ignore[arg-type]
    assert "plaintext" not in repr(key)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


async def test_secrets_have_no_repr(wire: Wire) -> None:
    access: Access = wire.server.deployment.cases.access
    for secret in access.cookie_secrets:
        assert secret.hex() not in repr(access)
        assert repr(secret) not in repr(access)


async def test_an_unforeseen_error_is_told_to_the_log_without_its_variables(
    wire: Wire, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``luxxon`` sets logging up: a traceback, but not what the key was."""

    async def fails(self: object, tx: object, digest: bytes) -> None:
        raise RuntimeError("out of the blue")

    monkeypatch.setattr(PgApiKeys, "by_hash", fails)
    log_to_stderr("debug")
    try:
        found = await wire.refused("GET", "/me", auth=tenant)
    finally:
        structlog.reset_defaults()
    assert found == (500, "INTERNAL_SERVER_ERROR", None)
    told = "".join(capsys.readouterr())
    assert "out of the blue" in told
    assert tenant.key not in told
    assert tenant.key.rpartition("_")[2] not in told


async def test_keys_are_listed_with_the_revoked_ones(wire: Wire, tenant: Tenant) -> None:
    made = await wire.mint(tenant.cookie, tenant.workspace_id, "wallet:read")
    await wire.data("POST", keys(tenant, made["id"], "revoke"), auth=tenant.as_cookie())
    listed = await wire.data("GET", keys(tenant), auth=tenant.as_cookie())
    assert [one["id"] for one in listed] == [tenant.key_id, made["id"]]
    assert all("plaintext" not in one for one in listed)
    assert listed[1]["revokedAt"] is not None


async def test_a_revoked_key_works_for_sixty_seconds_more(wire: Wire, tenant: Tenant) -> None:
    path = keys(tenant, tenant.key_id, "revoke")
    first = await wire.data("POST", path, auth=tenant.as_cookie())
    revoked, ends = (datetime.fromisoformat(first[name]) for name in ("revokedAt", "gracePeriodEnd"))
    assert ends - revoked == timedelta(seconds=60)
    assert (await wire("GET", "/me", auth=tenant)).status_code == 200
    assert await wire.data("POST", path, auth=tenant.as_cookie()) == {**first, "lastUsedAt": ANY_INSTANT}
    await wire.rows("update api_key set grace_period_end = $2 where id = $1", tenant.key_id, utc_now())
    assert (await wire.refused("GET", "/me", auth=tenant))[:2] == (401, "REVOKED_API_KEY")


class _Anything:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    def __hash__(self) -> int:
        return 0


ANY_INSTANT: Any = _Anything()


async def test_a_key_of_another_workspace_is_not_there(wire: Wire, tenant: Tenant, stranger: Tenant) -> None:
    for key_id in (stranger.key_id, "x", "00000000-0000-0000-0000-000000000000"):
        found = await wire.refused("POST", keys(tenant, key_id, "revoke"), auth=tenant.as_cookie())
        assert found[:2] == (404, "NOT_FOUND")
    assert (await wire("GET", "/me", auth=stranger)).status_code == 200


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"label": ""}, "apiKey:label"),
        ({"label": "   "}, "apiKey:label"),
        ({"label": "x" * 81}, "apiKey:label"),
        ({"label": "a\0b"}, "apiKey:label"),
        ({"environment": "LIVE"}, "apiKey:environment"),
        ({"environment": "test"}, "apiKey:environment"),
        ({"scopes": []}, "apiKey:scopes"),
        ({"scopes": ["sessions:read", "everything"]}, "apiKey:scopes"),
        ({"scopes": "sessions:read"}, "apiKey:scopes"),
        ({"label": None}, "apiKey:label"),
    ],
)
async def test_a_bad_key_is_not_minted(
    wire: Wire, stranger: Tenant, change: dict[str, object], detail: str
) -> None:
    body = {"label": "ok", "environment": "TEST", "scopes": ["sessions:read"], **change}
    found = await wire.refused("POST", keys(stranger), auth=stranger.as_cookie(), json=body)
    assert found == (400, "INVALID_INPUT", detail)


async def test_planned_scopes_are_kept_and_grant_nothing(wire: Wire, tenant: Tenant) -> None:
    made = await wire.mint(tenant.cookie, tenant.workspace_id, "operators:write", "coverage:write")
    auth = {"Authorization": f"Bearer {made['plaintext']}"}
    assert (await wire.data("GET", "/me", auth=auth))["scopes"] == ["coverage:write", "operators:write"]
    assert (await wire.refused("GET", "/sessions", auth=auth))[1] == "INSUFFICIENT_SCOPE"


async def test_me_of_a_key(wire: Wire, tenant: Tenant) -> None:
    assert await wire.data("GET", "/me", auth=tenant) == {
        "kind": "api_key",
        "keyId": tenant.key_id,
        "workspaceId": tenant.workspace_id,
        "environment": "TEST",
        "scopes": sorted(
            ["sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read"]
        ),
        "workspace": {"id": tenant.workspace_id, "slug": tenant.slug, "name": tenant.slug},
    }


async def test_the_last_use_is_noted_at_most_once_a_minute(wire: Wire, tenant: Tenant) -> None:
    async def noted() -> datetime | None:
        rows = await wire.rows("select last_used_at from api_key where id = $1", tenant.key_id)
        found: datetime | None = rows[0]["last_used_at"]
        return found

    assert await noted() is None
    await wire.data("GET", "/me", auth=tenant)
    first = await noted()
    assert first is not None
    await wire.data("GET", "/me", auth=tenant)
    assert await noted() == first


async def test_a_key_last_used_long_ago_is_noted_again(wire: Wire, tenant: Tenant) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    await wire.rows("update api_key set last_used_at = $2 where id = $1", tenant.key_id, long_ago)
    await wire.data("GET", "/me", auth=tenant)
    listed = await wire.data("GET", keys(tenant), auth=tenant.as_cookie())
    assert datetime.fromisoformat(listed[0]["lastUsedAt"]) > utc_now() - timedelta(minutes=1)


async def test_a_key_is_looked_up_once_in_five_seconds(
    wire: Wire, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    read = PgApiKeys.by_hash

    async def counted(self: PgApiKeys, tx: Any, digest: bytes) -> Any:
        asked.append(digest)
        return await read(self, tx, digest)

    monkeypatch.setattr(PgApiKeys, "by_hash", counted)
    started = utc_now()
    for _ in range(20):
        await wire.data("GET", "/me", auth=tenant)
    assert len(asked) <= 1 + (utc_now() - started) // timedelta(seconds=5)
