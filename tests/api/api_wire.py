"""Calling the server as strangers do, and the people who call it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from luxxon_core.adapters.postgres.database import connection
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.server import Server

SCOPES = ("sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read")
GAS_WEI = 10**18
POOL = 10**9
numbers = itertools.count(1)


def sign(account: LocalAccount, message: str) -> str:
    signature = account.sign_message(encode_defunct(text=message)).signature
    return "0x" + bytes(signature).hex()


@dataclass
class Place:
    """Somewhere on earth."""

    lat: float
    lng: float

    @property
    def json(self) -> dict[str, float]:
        return {"lat": self.lat, "lng": self.lng}


@dataclass
class Tenant:
    """A wallet with its workspace, the cookie of its owner and a key with every scope."""

    account: LocalAccount
    workspace_id: str
    cookie: str
    key: str
    key_id: str
    slug: str

    def as_cookie(self) -> dict[str, str]:
        return {"Cookie": f"lx_session={self.cookie}"}

    def as_key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class Wire:
    """Calls the server with nothing but what is said: no cookie jar, no default headers of a client."""

    server: Server
    http: httpx.AsyncClient
    signed_in: dict[str, str] = field(default_factory=dict)

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        auth: Mapping[str, str] | Tenant | None = None,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """``path`` below ``/api/v1``, or a whole URL; a tenant calls with its key."""
        sent = {**(auth.as_key() if isinstance(auth, Tenant) else auth or {}), **(headers or {})}
        url = path if path.startswith("http") else self.server.api_url + path
        try:
            return await self.http.request(method, url, headers=sent, **request)
        finally:
            self.http.cookies.clear()

    async def data(self, method: str, path: str, **request: Any) -> Any:
        """The data of a call that succeeds."""
        response = await self(method, path, **request)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def refused(self, method: str, path: str, **request: Any) -> tuple[int, str, str | None]:
        """Status, code and detail of a call that is refused, in an envelope that is right."""
        response = await self(method, path, **request)
        return refusal(response)

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.server.deployment.parts.database.read() as tx:
            return list(await connection(tx).fetch(sql, *arguments))

    # -- people -----------------------------------------------------------------------------------

    async def login(self, account: LocalAccount, workspace_id: str | None = None) -> str:
        """The value of the session cookie, with the workspace picked where one is given."""
        challenge = await self.data("POST", "/auth/wallet/challenge", json={"walletAddress": account.address})
        proof = {
            "walletAddress": account.address,
            "nonce": challenge["nonce"],
            "signature": sign(account, challenge["message"]),
        }
        cookie = cookie_of(await self("POST", "/auth/wallet/login", json=proof))
        if workspace_id is None:
            return cookie
        answer = await self(
            "POST",
            "/auth/workspace/select",
            auth={"Cookie": f"lx_session={cookie}"},
            json={"workspaceId": workspace_id},
        )
        return cookie_of(answer)

    async def proof(self, account: LocalAccount) -> dict[str, str]:
        """Fields that prove the wallet for a new workspace."""
        address = account.address
        challenge = await self.data("POST", "/workspaces/challenge", json={"walletAddress": address})
        signature = sign(account, challenge["message"])
        return {"walletAddress": address, "nonce": challenge["nonce"], "signature": signature}

    async def mint(self, tenant_cookie: str, workspace_id: str, *scopes: str) -> dict[str, Any]:
        return dict(
            await self.data(
                "POST",
                f"/workspaces/{workspace_id}/api-keys",
                auth={"Cookie": f"lx_session={tenant_cookie}"},
                json={"label": "test", "environment": "TEST", "scopes": list(scopes or SCOPES)},
            )
        )

    async def tenant(self, *roles: str, funded: bool = False) -> Tenant:
        account = Account.create()
        slug = f"tenant-{next(numbers)}"
        body = {"slug": slug, "name": slug, "roles": list(roles), **await self.proof(account)}
        made = await self.data("POST", "/workspaces", json=body)
        cookie = await self.login(account, made["id"])
        key = await self.mint(cookie, made["id"])
        if funded:
            await self.fund(account, POOL)
        return Tenant(account, made["id"], cookie, key["plaintext"], key["id"], slug)

    async def fund(self, account: LocalAccount, amount: int) -> None:
        deployment = self.server.deployment
        await deployment.parts.chain.faucet(account.address, GAS_WEI, amount)
        async with ChainClient(deployment.config) as chain:
            await chain.top_up(LocalWallet(account), amount)

    async def wallet_events(self, tenant: Tenant, count: int, **query: Any) -> list[dict[str, Any]]:
        """The ledger once there are ``count`` in it: the watcher writes some moments after the chain."""
        async with asyncio.timeout(20):
            while True:
                found = await self.data("GET", "/wallet/events", auth=tenant, params=query)
                if len(found) >= count:
                    return list(found)
                await asyncio.sleep(0.1)

    # -- sessions ---------------------------------------------------------------------------------

    async def supplier_at(self, place: Place, radius: float = 500) -> Tenant:
        """A fresh supplier, ONLINE there."""
        supplier = await self.tenant("SUPPLIER")
        await self.data(
            "PATCH",
            f"/workspaces/{supplier.workspace_id}",
            auth=supplier,
            json={
                "availabilityState": "ONLINE",
                "coverageLat": place.lat,
                "coverageLng": place.lng,
                "coverageRadiusMeters": radius,
                "deviceKind": "FIXED",
            },
        )
        return supplier

    async def create(self, consumer: Tenant, place: Place, **fields: Any) -> dict[str, Any]:
        body = {**place.json, "maxDurationSeconds": 60, **fields}
        return dict(await self.data("POST", "/sessions", auth=consumer, json=body))

    async def started(self, consumer: Tenant, place: Place) -> tuple[Tenant, dict[str, Any]]:
        """A supplier, and what start answered it for the consumer's session."""
        supplier = await self.supplier_at(place)
        session = await self.create(consumer, place)
        await self.data("POST", f"/sessions/{session['id']}/dispatch", auth=consumer)
        return supplier, dict(await self.data("POST", f"/sessions/{session['id']}/start", auth=supplier))

    async def first_frame(self, started: Mapping[str, Any]) -> None:
        """What the edge tells when the publisher's first picture is decoded."""
        event = MediaEvent(MediaEventKind.FIRST_FRAME, started["videoBackendRef"], utc_now())
        await self.server.deployment.cases.sessions.on_media(event, utc_now())

    async def live(self, consumer: Tenant, place: Place) -> tuple[Tenant, dict[str, Any]]:
        supplier, started = await self.started(consumer, place)
        await self.first_frame(started)
        return supplier, started


def cookie_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return response.headers["set-cookie"].split(";")[0].removeprefix("lx_session=")


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and detail; the envelope of api-contract §1.2 is checked on the way."""
    assert not response.is_success, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert set(body) - {"detail"} == {"statusCode", "code", "message", "timestamp"}, body
    assert body["statusCode"] == response.status_code
    assert body["message"]
    assert body.get("detail", "x:y") is not None
    return response.status_code, body["code"], body.get("detail")
