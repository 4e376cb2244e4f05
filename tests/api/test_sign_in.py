"""Signing in with a wallet, and the cookie that comes of it (api-contract §3.1 to §3.3)."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from api_wire import Tenant, Wire, cookie_of, sign
from eth_account import Account
from eth_account.signers.local import LocalAccount

from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.kernel.errors import ExternalError
from tests.smart_wallets import Deployer, creation, signed, wrapped

pytestmark = pytest.mark.asyncio(loop_scope="session")

NONCE, SIGNATURE = (401, "NOT_AUTHENTICATED", "auth:nonce"), (401, "NOT_AUTHENTICATED", "auth:signature")


async def challenge(wire: Wire, account: LocalAccount, purpose: str = "auth/wallet") -> dict[str, Any]:
    body = {"walletAddress": account.address}
    return dict(await wire.data("POST", f"/{purpose}/challenge", json=body))


def proof(account: LocalAccount, issued: dict[str, Any]) -> dict[str, str]:
    return {
        "walletAddress": account.address,
        "nonce": issued["nonce"],
        "signature": sign(account, issued["message"]),
    }


async def login_is_refused(wire: Wire, body: dict[str, Any]) -> tuple[int, str, str | None]:
    response = await wire("POST", "/auth/wallet/login", json=body)
    assert "set-cookie" not in response.headers
    return await wire.refused("POST", "/auth/wallet/login", json=body)


@pytest.mark.parametrize("purpose", ["auth/wallet", "workspaces"])
async def test_the_message_is_an_eip_4361_document_of_this_deployment(wire: Wire, purpose: str) -> None:
    account = Account.create()
    issued = await challenge(wire, account, purpose)
    assert set(issued) == {"nonce", "message", "expiresAt"}
    assert re.fullmatch("[0-9a-f]{32}", issued["nonce"])
    lines = issued["message"].split("\n")
    host = wire.server.url.removeprefix("http://")
    assert lines[0] == f"{host} wants you to sign in with your Ethereum account:"
    assert lines[1] == account.address
    assert lines[2] == lines[4] == ""
    assert lines[3].startswith("Luxxon — ")
    fields = dict(line.split(": ", 1) for line in lines[5:])
    assert fields["URI"] == wire.server.url
    assert (fields["Version"], fields["Chain ID"], fields["Nonce"]) == ("1", "31337", issued["nonce"])
    assert fields["Expiration Time"] == issued["expiresAt"]


async def test_signing_in_and_picking_a_workspace(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    issued = await challenge(wire, tenant.account)
    response = await wire("POST", "/auth/wallet/login", json=proof(tenant.account, issued))
    membership = {"id": tenant.workspace_id, "slug": tenant.slug, "name": tenant.slug, "role": "OWNER"}
    assert response.json()["data"] == {
        "walletAddress": tenant.account.address,
        "workspaces": [membership],
    }
    auth = {"Cookie": f"lx_session={cookie_of(response)}"}
    me = await wire.data("GET", "/me", auth=auth)
    assert (me["kind"], me["activeWorkspaceId"], me["activeRole"]) == ("wallet_session", None, None)
    picked = await wire(
        "POST", "/auth/workspace/select", auth=auth, json={"workspaceId": tenant.workspace_id}
    )
    assert picked.json()["data"] == {
        "walletAddress": tenant.account.address,
        "workspaceId": tenant.workspace_id,
        "role": "OWNER",
    }
    me = await wire.data("GET", "/me", auth={"Cookie": f"lx_session={cookie_of(picked)}"})
    assert me == {
        "kind": "wallet_session",
        "walletAddress": tenant.account.address,
        "activeWorkspaceId": tenant.workspace_id,
        "activeRole": "OWNER",
        "workspaces": [membership],
    }


async def test_any_letter_case_of_the_address_will_do_and_the_checksummed_one_comes_back(wire: Wire) -> None:
    account = Account.create()
    for written in (account.address.lower(), "0x" + account.address[2:].upper(), account.address):
        issued = await wire.data("POST", "/auth/wallet/challenge", json={"walletAddress": written})
        body = {**proof(account, issued), "walletAddress": written}
        assert (await wire.data("POST", "/auth/wallet/login", json=body))["walletAddress"] == account.address


@pytest.mark.parametrize("address", ["", "0x", "0x12", "0x" + "g" * 40, "a" * 40, "0x" + "a" * 41, "\0" * 42])
async def test_what_is_no_address_is_refused(wire: Wire, address: str) -> None:
    for path in ("/auth/wallet/challenge", "/workspaces/challenge"):
        found = await wire.refused("POST", path, json={"walletAddress": address})
        assert found == (400, "INVALID_INPUT", "auth:walletAddress")


async def test_a_challenge_is_good_once(wire: Wire) -> None:
    account = Account.create()
    body = proof(account, await challenge(wire, account))
    assert (await wire("POST", "/auth/wallet/login", json=body)).status_code == 200
    assert await login_is_refused(wire, body) == NONCE


async def test_a_wrong_signature_burns_the_challenge(wire: Wire) -> None:
    account, thief = Account.create(), Account.create()
    issued = await challenge(wire, account)
    stolen = {**proof(account, issued), "signature": sign(thief, issued["message"])}
    assert await wire.refused("POST", "/auth/wallet/login", json=stolen) == SIGNATURE
    assert await login_is_refused(wire, proof(account, issued)) == NONCE


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0x",
        "0x00",
        "zz",
        "0x" + "zz" * 65,
        "0x" + "00" * 65,
        "0x" + "ff" * 65,
        "0x" + "11" * 64,
        "0x" + "ab" * 9999,
    ],
    ids=["empty", "0x", "byte", "text", "no hex", "zeros", "ones", "short", "long"],
)
async def test_a_signature_that_is_none_is_a_wrong_one(wire: Wire, signature: str) -> None:
    account = Account.create()
    body = {**proof(account, await challenge(wire, account)), "signature": signature}
    assert await wire.refused("POST", "/auth/wallet/login", json=body) == SIGNATURE


async def test_a_signature_of_another_message_is_a_wrong_one(wire: Wire) -> None:
    account = Account.create()
    issued = await challenge(wire, account)
    other = issued["message"].replace(issued["nonce"], "0" * 32)
    body = {**proof(account, issued), "signature": sign(account, other)}
    assert await wire.refused("POST", "/auth/wallet/login", json=body) == SIGNATURE


async def test_a_challenge_of_another_wallet_is_no_challenge(wire: Wire) -> None:
    account, other = Account.create(), Account.create()
    issued = await challenge(wire, account)
    assert await login_is_refused(wire, proof(other, issued)) == NONCE


async def test_a_challenge_serves_its_purpose_alone(wire: Wire) -> None:
    account = Account.create()
    assert await login_is_refused(wire, proof(account, await challenge(wire, account, "workspaces"))) == NONCE
    body = {"slug": "cross-purpose", "name": "x", "roles": ["CONSUMER"]}
    body.update(proof(account, await challenge(wire, account)))  # type: ignore[arg-type]
    assert await wire.refused("POST", "/workspaces", json=body) == NONCE


async def test_a_challenge_expires(wire: Wire) -> None:
    account = Account.create()
    issued = await challenge(wire, account)
    await wire.rows("update challenge set expires_at = now() where nonce = $1", issued["nonce"])
    assert await login_is_refused(wire, proof(account, issued)) == NONCE


@pytest.mark.parametrize("nonce", ["", "0" * 32, "x", "\0", "0" * 5000, "' or true --"])
async def test_a_nonce_that_was_never_issued(wire: Wire, nonce: str) -> None:
    account = Account.create()
    body = {"walletAddress": account.address, "nonce": nonce, "signature": sign(account, "anything")}
    assert await login_is_refused(wire, body) == NONCE


@pytest.mark.parametrize("field", ["walletAddress", "nonce", "signature"])
async def test_every_field_of_a_login_is_required(wire: Wire, field: str) -> None:
    account = Account.create()
    body = proof(account, await challenge(wire, account))
    del body[field]
    assert await login_is_refused(wire, body) == (400, "INVALID_INPUT", f"auth:{field}")


# -- wallets that are contracts ---------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployer(wire: Wire) -> Deployer:
    parts = wire.server.deployment.parts
    return await Deployer.funded(parts.chain.rpc_url, parts.chain.faucet, wire.http)


async def contract_proof(
    wire: Wire, wallet: str, owner: LocalAccount, purpose: str, wrap: Callable[[bytes], bytes] = bytes
) -> dict[str, str]:
    """What the owner of a smart wallet sends for it."""
    issued = await wire.data("POST", f"/{purpose}/challenge", json={"walletAddress": wallet})
    signature = wrap(signed(owner, issued["message"]))
    return {"walletAddress": wallet, "nonce": issued["nonce"], "signature": "0x" + signature.hex()}


async def test_a_smart_wallet_signs_in_and_owns_a_workspace(wire: Wire, deployer: Deployer) -> None:
    owner = Account.create()
    wallet = await deployer.wallet(owner.address)
    await smart_wallet_at_home(wire, wallet, owner, "smart-wallet", bytes)


async def test_so_does_one_that_is_not_deployed_yet(wire: Wire, deployer: Deployer) -> None:
    owner, factory = Account.create(), await deployer.factory()
    wallet = await deployer.future_wallet(factory, owner.address, 1)

    def wrap(signature: bytes) -> bytes:
        return wrapped(factory, creation(owner.address, 1), signature)

    await smart_wallet_at_home(wire, wallet, owner, "future-wallet", wrap)


async def smart_wallet_at_home(
    wire: Wire, wallet: str, owner: LocalAccount, slug: str, wrap: Callable[[bytes], bytes]
) -> None:
    body = {"slug": slug, "name": slug, "roles": ["CONSUMER"]}
    proven = await contract_proof(wire, wallet, owner, "workspaces", wrap)
    made = await wire.data("POST", "/workspaces", json={**body, **proven})
    assert made["walletAddress"] == made["createdByWallet"] == wallet
    login = await contract_proof(wire, wallet, owner, "auth/wallet", wrap)
    response = await wire("POST", "/auth/wallet/login", json=login)
    data = response.json()["data"]
    assert data["walletAddress"] == wallet
    assert [(one["id"], one["role"]) for one in data["workspaces"]] == [(made["id"], "OWNER")]
    assert await login_is_refused(wire, login) == NONCE
    key = await wire.mint(cookie_of(response), made["id"])
    assert key["createdByWallet"] == wallet


async def test_a_smart_wallet_is_not_everybodys(wire: Wire, deployer: Deployer) -> None:
    owner, thief = Account.create(), Account.create()
    wallet = await deployer.wallet(owner.address)
    hostile = await deployer.raw("5b5f56")  # burns all the gas there is
    for target, signer in ((wallet, thief), (hostile, owner), (owner.address, thief)):
        body = await contract_proof(wire, target, signer, "auth/wallet")
        assert await wire.refused("POST", "/auth/wallet/login", json=body) == SIGNATURE
        assert await login_is_refused(wire, body) == NONCE


async def test_a_challenge_outlives_a_chain_that_does_not_answer(
    wire: Wire, deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> bytes:
        raise ExternalError("chain:rpc")

    owner = Account.create()
    body = await contract_proof(wire, await deployer.wallet(owner.address), owner, "auth/wallet")
    with monkeypatch.context() as patched:
        patched.setattr(RpcChain, "code", fails)
        for _ in range(2):
            found = await login_is_refused(wire, body)
            assert found == (502, "EXTERNAL_ERROR", "chain:rpc")
    assert (await wire("POST", "/auth/wallet/login", json=body)).status_code == 200
    assert await login_is_refused(wire, body) == NONCE


# -- the cookie -------------------------------------------------------------------------------------------


async def test_the_cookie_is_what_the_contract_says(wire: Wire) -> None:
    account = Account.create()
    response = await wire("POST", "/auth/wallet/login", json=proof(account, await challenge(wire, account)))
    value, *attributes = response.headers["set-cookie"].split("; ")
    assert value.startswith("lx_session=eyJ")
    assert value.count("=") == 1, "clients split at it"
    assert {one.lower() for one in attributes} == {"httponly", "samesite=lax", "path=/", "max-age=43200"}
    payload = opened(cookie_of(response))
    assert set(payload) == {"walletAddress", "workspaceId", "role", "iat", "exp"}
    assert payload["exp"] - payload["iat"] == 43_200


def opened(cookie: str) -> dict[str, Any]:
    body = cookie.partition(".")[0]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def sealed(payload: dict[str, Any], secret: bytes) -> str:
    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = b64(json.dumps(payload).encode())
    return f"{body}.{b64(hmac.digest(secret, body.encode(), 'sha256'))}"


async def test_a_payload_signed_with_anything_else_is_refused(wire: Wire, stranger: Tenant) -> None:
    payload = opened(stranger.cookie)
    for secret in (b"", b"secret", b"\0" * 32, payload["walletAddress"].encode()):
        auth = {"Cookie": f"lx_session={sealed(payload, secret)}"}
        assert await wire.refused("GET", "/me", auth=auth) == (401, "NOT_AUTHENTICATED", None)


async def test_a_cookie_expires_by_its_own_word(wire: Wire, stranger: Tenant) -> None:
    secret = wire.server.deployment.cases.access.cookie_secrets[0]
    payload = opened(stranger.cookie)
    for expires, status in ((payload["iat"] + 3600, 200), (payload["iat"] - 1, 401)):
        auth = {"Cookie": f"lx_session={sealed({**payload, 'exp': expires}, secret)}"}
        assert (await wire("GET", "/me", auth=auth)).status_code == status


async def test_logging_out_clears_the_cookie_for_anyone_any_time(wire: Wire, stranger: Tenant) -> None:
    for auth in ({}, stranger.as_cookie(), stranger.as_key(), {"Cookie": "lx_session=forged"}):
        response = await wire("POST", "/auth/logout", auth=auth)
        assert response.json()["data"] == {"ok": True}
        assert "Max-Age=0" in response.headers["set-cookie"]
        assert cookie_of(response) in ("", '""')


async def test_picking_needs_a_membership_now_not_at_login(wire: Wire, stranger: Tenant) -> None:
    path, auth = "/auth/workspace/select", stranger.as_cookie()
    other = await wire.tenant("CONSUMER")
    for workspace_id, expected in (
        (other.workspace_id, (403, "NOT_AUTHORIZED", "auth:member")),
        (str(uuid4()), (404, "WORKSPACE_NOT_FOUND", None)),
        ("x", (400, "INVALID_INPUT", "auth:workspaceId")),
    ):
        assert await wire.refused("POST", path, auth=auth, json={"workspaceId": workspace_id}) == expected


async def test_several_workspaces_of_a_wallet_are_all_listed(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER")
    slug = f"{tenant.slug}-b"
    body = {"slug": slug, "name": "Second", "roles": ["SUPPLIER"], **await wire.proof(tenant.account)}
    second = await wire.data("POST", "/workspaces", json=body)
    unpicked = {"Cookie": f"lx_session={await wire.login(tenant.account)}"}
    listed = await wire.data("GET", "/workspaces", auth=unpicked)
    assert [(one["id"], one["role"]) for one in listed] == [
        (tenant.workspace_id, "OWNER"),
        (second["id"], "OWNER"),
    ]
