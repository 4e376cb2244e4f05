"""What is secret stays so: a server as a process lives through a day of use, abuse and failure.

Its output, the answers to what it refuses and what any user of the machine can see of its processes are then
searched for every secret that took part, whole or in part.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from api_wire import Place, Tenant, Wire, cookie_of, sign
from eth_account import Account
from watched_server import Watched, assert_nothing_shows, serving, what_processes_show

from luxxon_core.adapters.chain.embedded_keys import ChainKeys
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.settings import load
from tests.smart_wallets import Deployer, creation, signed, wrapped

COOKIE_SECRET = "cookie-secret-0d4f8a61c2b79e35d01f"
PASSWORD = "database-password-7731"
PLACE = Place(12.25, 45.5)
POOL = 10**8


# -- a day ------------------------------------------------------------------------------------------------


async def a_day(server: Watched, place: Place = PLACE) -> tuple[Tenant, Tenant]:
    """Everything that hands out or takes a secret, and each of them where it does not belong."""
    wire = server.wire
    config = msgspec.convert(await wire.data("GET", "/config"), Config)
    consumer, supplier = await people(server, wire)
    await pay_in(wire, config, consumer)
    body = {**place.json, "maxDurationSeconds": 60}
    session = await wire.data("POST", "/sessions", auth=consumer, json=body)
    circle = {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 500}
    patch = f"/workspaces/{supplier.workspace_id}"
    await wire.data("PATCH", patch, auth=supplier, json={**circle, "availabilityState": "ONLINE"})
    await wire.data("POST", f"/sessions/{session['id']}/dispatch", auth=consumer)
    started = await wire.data("POST", f"/sessions/{session['id']}/start", auth=supplier)
    await media(server, started)
    await links(server, session["id"], consumer, supplier)
    await abuse(server, consumer, session["id"])
    await webhooks(server, consumer)
    await wire.data("DELETE", f"/sessions/{session['id']}", auth=consumer)
    return consumer, supplier


async def people(server: Watched, wire: Wire) -> tuple[Tenant, Tenant]:
    made = []
    for role in ("CONSUMER", "SUPPLIER"):
        tenant = await wire.tenant(role)
        server.secret(f"{role} key", tenant.key)
        server.secret(f"{role} key's secret", tenant.key.rpartition("_")[2])
        for part, text in zip(("payload", "seal"), tenant.cookie.split("."), strict=True):
            server.secret(f"{role} cookie's {part}", text)
        server.secret(f"{role} private key", bytes(tenant.account.key).hex())
        made.append(tenant)
        await sign_in(server, tenant)
    return made[0], made[1]


async def sign_in(server: Watched, tenant: Tenant) -> None:
    """Well once; then again, with a stranger's signature, and with a smart wallet's that fails."""
    wire, path = server.wire, "/auth/wallet/login"
    for number, account in enumerate((tenant.account, Account.create())):
        challenge = {"walletAddress": tenant.account.address}
        issued = await wire.data("POST", "/auth/wallet/challenge", json=challenge)
        server.secret(f"nonce {number} of {tenant.slug}", issued["nonce"])
        signature = server.secret(f"signature {number} of {tenant.slug}", sign(account, issued["message"]))
        body = {**challenge, "nonce": issued["nonce"], "signature": signature}
        if number == 0:
            server.secret(f"cookie of {tenant.slug}", cookie_of(await wire("POST", path, json=body)))
        assert await server.refused("POST", path, json=body) == 401
        assert await server.refused("POST", path, json={**body, "nonce": [issued["nonce"]]}) == 400
    future = Account.create()
    issued = await wire.data("POST", "/auth/wallet/challenge", json={"walletAddress": future.address})
    inner = signed(Account.create(), issued["message"])
    server.secret(f"inner signature of {tenant.slug}", inner.hex())
    signature = "0x" + wrapped("0x" + "11" * 20, creation(future.address, 1), inner).hex()
    body = {"walletAddress": future.address, "nonce": issued["nonce"], "signature": signature}
    assert await server.refused("POST", path, json=body) == 401


async def pay_in(wire: Wire, config: Config, tenant: Tenant) -> None:
    async def faucet(address: str, wei: int, micro: int) -> None:
        params = [address, hex(wei), hex(micro)]
        call = {"jsonrpc": "2.0", "id": 1, "method": "luxxon_faucet", "params": params}
        assert "result" in (await wire.http.post(config.rpc_url, json=call)).json()

    await faucet(tenant.account.address, 10**18, POOL)
    async with ChainClient(config) as chain:
        await chain.top_up(LocalWallet(tenant.account), POOL)
    wallet = await (await Deployer.funded(config.rpc_url, faucet, wire.http)).wallet(tenant.account.address)
    issued = await wire.data("POST", "/auth/wallet/challenge", json={"walletAddress": wallet})
    signature = "0x" + signed(tenant.account, issued["message"]).hex()
    body = {"walletAddress": wallet, "nonce": issued["nonce"], "signature": signature}
    assert (await wire("POST", "/auth/wallet/login", json=body)).status_code == 200


async def media(server: Watched, started: dict[str, Any]) -> None:
    """Use the URLs as publishers and viewers do by mistake: no SDP, a letter too many, the wrong method."""
    urls = {name: value for name, value in started.items() if name.endswith("Url") and value}
    assert len(urls) >= 1, started
    for name, url in urls.items():
        token = max(urlsplit(url).path.split("/"), key=len)
        server.secret(f"{name} secret", token)
        for method, target in (("POST", url), ("POST", url + "x"), ("GET", url), ("PATCH", url + "/x")):
            response = await server.wire(
                method, target, content=b"no sdp", headers={"Content-Type": "application/sdp"}
            )
            assert response.is_success == (method == "GET"), "GET has no content"
            server.refusals.append(response.text)


async def links(server: Watched, session_id: str, *tenants: Tenant) -> None:
    """Open a link of each side, then a letter too many, then its parts where others belong."""
    for tenant in tenants:
        made = await server.wire.data("POST", f"/sessions/{session_id}/link", auth=tenant, json={})
        token = server.secret(f"link of {tenant.slug}", made["url"].rpartition("/")[2])
        headers = {"Authorization": f"Bearer {token}"}
        assert (await server.wire("GET", made["url"])).status_code == 200
        await server.wire.data("GET", "/link", auth=headers)
        wrong = (("GET", "/link"), ("POST", "/link/start"), ("POST", f"/s/{token}"), ("GET", "/me"))
        for method, path in wrong:
            response = await server.wire(method, path, auth={"Authorization": f"Bearer {token}x"})
            assert not response.is_success
            server.refusals.append(response.text)


async def webhooks(server: Watched, tenant: Tenant) -> None:
    """Make one that nobody answers, have it tried, give it another secret, and send secrets as its URL."""
    auth = tenant.as_cookie()
    body = {"url": "https://hooks.invalid/path"}
    made = await server.wire.data("POST", "/webhooks", auth=auth, json=body)
    server.secret("webhook's secret", made["secret"])
    server.secret("webhook's bare secret", made["secret"].removeprefix("whsec_"))
    path = f"/webhooks/{made['id']}"
    rotated = await server.wire.data("POST", path + "/rotate", auth=auth)
    server.secret("webhook's new secret", rotated["secret"].removeprefix("whsec_"))
    sent = await server.wire.data("POST", path + "/test", auth=auth)
    async with asyncio.timeout(60):
        while sent["state"] == "PENDING":
            await asyncio.sleep(0.1)
            sent = await server.wire.data("GET", f"{path}/deliveries/{sent['id']}", auth=auth)
    assert (sent["state"], sent["attempts"][0]["fault"]) == ("FAILED", "the host's name is unknown")
    server.refusals += [
        str(sent),
        str(await server.wire.data("GET", path, auth=auth)),
        str(await server.wire.data("GET", "/webhooks", auth=auth)),
    ]
    url = f"https://user:{made['secret'].removeprefix('whsec_')}@hooks.invalid/"
    assert await server.refused("POST", "/webhooks", auth=auth, json={"url": url}) == 400


async def abuse(server: Watched, tenant: Tenant, session_id: str) -> None:
    """Secrets in every place where they do not belong."""
    wrong = server.secret("unknown key", tenant.key[:-6] + "xxxxxx")
    keys = f"/workspaces/{tenant.workspace_id}/api-keys"
    for secret in (tenant.key, wrong, tenant.cookie):
        for header in (
            {"Authorization": f"Bearer {secret}x"},
            {"Authorization": f"Basic {secret}"},
            {"Authorization": secret},
            {"Cookie": f"lx_session={secret}x"},
            {"Cookie": f"lx_session={secret.swapcase()}"},
        ):
            assert await server.refused("GET", "/me", auth=header) == 401
        for path in (f"/nothing/{secret}", f"/sessions/{secret}", f"/{secret}?token={secret}"):
            await server.refused("GET", path, auth=tenant)
        for query in ("workspaceId", "state", "cursor", "limit"):
            response = await server.wire("GET", "/sessions", auth=tenant, params={query: secret})
            server.refusals.append("" if response.is_success else response.text)
        for content in (
            f'{{"label": "{secret}", "environment": "TEST", "scopes": ["{secret}"',
            f'{{"label": "ok", "environment": "TEST", "scopes": ["{secret}"]}}',
            f'{{"label": "ok", "environment": "{secret}", "scopes": ["sessions:read"]}}',
            f'{{"label": {{"{secret}": 1}}, "environment": "TEST", "scopes": []}}',
            f'"{secret}"',
            f"{secret}\0",
        ):
            headers = {"Content-Type": "application/json", **tenant.as_cookie()}
            assert await server.refused("POST", keys, headers=headers, content=content) == 400
        body = {"walletAddress": secret, "nonce": secret, "signature": secret}
        assert await server.refused("POST", "/auth/wallet/login", json=body) == 400
        body = {"walletAddress": tenant.account.address, "nonce": secret, "signature": secret}
        assert await server.refused("POST", "/auth/wallet/login", json=body) == 401
        assert await server.refused("POST", f"/sessions/{session_id}/{secret}", auth=tenant) in (404, 405)
    assert await server.refused("GET", "/me", auth={"Authorization": f"Bearer {wrong}"}) == 401


async def failures(server: Watched, dsn: str, tenant: Tenant, supplier: Tenant) -> None:
    """The database loses the tables under its feet: unforeseen errors, with tracebacks."""
    issued = await server.wire.data(
        "POST", "/auth/wallet/challenge", json={"walletAddress": tenant.account.address}
    )
    signature = server.secret("signature at the failure", sign(tenant.account, issued["message"]))
    server.secret("nonce at the failure", issued["nonce"])
    fresh = server.secret("key that nobody knows", supplier.key[:-5] + "yyyyy")
    body = {
        "walletAddress": tenant.account.address,
        "nonce": issued["nonce"],
        "signature": signature,
    }
    connection = await asyncpg.connect(dsn)
    try:
        for table in ("api_key", "challenge", "session", "workspace_member"):
            await connection.execute(f"alter table {table} rename to {table}_gone")
        minting = {"label": "x", "environment": "TEST", "scopes": ["sessions:read"]}
        keys = f"/workspaces/{tenant.workspace_id}/api-keys"
        for method, path, request in (
            ("GET", "/me", {"auth": {"Authorization": f"Bearer {fresh}"}}),
            ("POST", "/auth/wallet/login", {"json": body}),
            ("POST", "/workspaces/challenge", {"json": {"walletAddress": tenant.account.address}}),
            ("POST", keys, {"auth": tenant.as_cookie(), "json": minting}),
        ):
            assert await server.refused(method, path, **request) >= 500
    finally:
        for table in ("api_key", "challenge", "session", "workspace_member"):
            await connection.execute(f"alter table if exists {table}_gone rename to {table}")
        await connection.close()
    assert await server.refused("GET", "/me", auth={"Authorization": f"Bearer {fresh}"}) == 401


def what_the_server_keeps(server: Watched) -> None:
    """The secrets in its data directory."""
    folder = server.data_dir / "chain" / "keys"
    server.secret("keystore passphrase", (folder / "passphrase").read_text().strip())
    server.secret("key of webhooks' secrets", (server.data_dir / "webhook.secret").read_bytes().hex())
    keys = ChainKeys.load(folder)
    for name in ("owner", "relayer", "platform"):
        signer: LocalSigner = getattr(keys, name)
        server.secret(f"{name}'s key", signer._key.to_bytes().hex())


# -- tests ------------------------------------------------------------------------------------------------


@pytest.fixture
def directory() -> Any:
    """Where the database's system user may go; see ``dsn``."""
    with tempfile.TemporaryDirectory(prefix="luxxon-secrets-") as made:
        yield Path(made)


async def test_with_everything_embedded(directory: Path) -> None:
    async with serving(directory) as server:
        await a_day(server)
        what_the_server_keeps(server)
        kept = (server.data_dir / "cookie.secret").read_bytes()
        server.secret("cookie secret", kept.hex())
        server.secret("cookie secret as bytes", repr(kept)[2:-1])
        server.secret("cookie secret in base64", base64.b64encode(kept).decode())
        shown = what_processes_show(server)
    assert "postgres" in shown[0]
    assert "embedded_process" in shown[0]
    assert_nothing_shows(server, *shown)


@pytest.fixture
async def passworded(dsn: str) -> AsyncIterator[str]:
    """A database of its own for a role with a password."""
    administrator = await asyncpg.connect(dsn)
    await administrator.execute(f"create role secretive superuser login password '{PASSWORD}'")
    await administrator.execute("create database secretive owner secretive")
    split = urlsplit(dsn)
    yield f"postgresql://secretive:{PASSWORD}@/secretive?{split.query}"
    await administrator.execute("drop database secretive with (force)")
    await administrator.execute("drop role secretive")
    await administrator.close()


async def test_with_secrets_in_the_environment_and_a_database_that_fails(
    directory: Path, passworded: str
) -> None:
    environment = {"LUXXON_DATABASE_URL": passworded, "LUXXON_COOKIE_SECRET": COOKIE_SECRET}
    async with serving(directory, **environment) as server:
        server.secret("cookie secret", COOKIE_SECRET)
        server.secret("database password", PASSWORD)
        consumer, supplier = await a_day(server)
        await failures(server, passworded, consumer, supplier)
        what_the_server_keeps(server)
        shown = what_processes_show(server)
    assert b"Traceback" in server.output or b"UndefinedTable" in server.output, "it did fail"
    assert_nothing_shows(server, *shown)


async def test_the_search_finds_what_is_there(directory: Path) -> None:
    """Otherwise the others would find nothing for a wrong reason."""
    server = Watched(cast(Any, None), directory, cast(Any, None))
    key = server.secret("key", "lxxn_test_0a1b2c_" + "Zz9" * 14 + "Z")
    server.secret("signature", "0x" + "ab" * 64 + "1b")
    for text in (f"Bearer {key}", repr(key.encode()), key.encode().hex(), f"{key[:45]}…"):
        assert server.found_in(f"2026 [debug] {text} said") == ["key"], text
    assert server.found_in("ab" * 65) == ["signature"]
    assert server.found_in("lxxn_test_0a1b2c") == []


def test_settings_have_no_secret_in_their_repr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(cookie_secret=COOKIE_SECRET, database_url=f"postgresql://u:{PASSWORD}@h/d")
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert COOKIE_SECRET not in text
        assert PASSWORD not in text
