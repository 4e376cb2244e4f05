"""Operations of our own behind the real frame, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import httpx
import msgspec
from aiohttp import web

from luxxon_core.http.app import Frame, application
from luxxon_core.http.guard import Checked, Guard
from luxxon_core.http.idempotency import Idempotency
from luxxon_core.http.limits import Clients, Limits, Quotas
from luxxon_core.http.metrics import RequestMetrics
from luxxon_core.http.observe import Observer
from luxxon_core.http.operation import Access, Answer, Call, Cookie, EventStream, Operation, ServerEvent
from luxxon_core.http.principal import ApiKeyPrincipal, Permission, Principal, Scope, WalletPrincipal
from luxxon_core.http.protocol import Runner
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import (
    InvalidApiKey,
    InvalidInput,
    InvalidState,
    NotAuthenticated,
    Unavailable,
)

HOME = UUID("00000000-0000-4000-8000-000000000001")
ORIGIN = "https://console.example"
SECRET = b"s" * 32


class Doorkeeper:
    """Lets in who says ``good-<name>``; every such name is a key of the same workspace."""

    async def by_bearer(self, token: str, now: datetime) -> Principal:
        if not token.startswith("good-"):
            raise InvalidApiKey
        return ApiKeyPrincipal(uuid5(HOME, token), HOME, frozenset(), "TEST")

    def by_cookie(self, value: str, now: datetime) -> Principal:
        if not value.startswith("good-"):
            raise NotAuthenticated
        return WalletPrincipal(value, HOME, None)

    async def check(
        self, wallet_address: str, workspace_id: UUID, permission: Permission, token: str | None
    ) -> Checked:
        return Checked(True)


class Note(msgspec.Struct, rename="camel"):
    text: str
    often: int = 1


@dataclass
class Desk:
    """What the operations do, for tests to look at and to hold up."""

    executed: list[str] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    ids: list[UUID | None] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    fails: list[Exception] = field(default_factory=list)

    async def note(self, call: Call[Note]) -> Answer:
        self.entered.set()
        await self.gate.wait()
        self.executed.append(call.body.text)
        self.ids.append(call.idempotent_id)
        if self.fails:
            raise self.fails.pop()
        data = {"text": call.body.text, "number": len(self.executed)}
        cookie = Cookie("lx_session", f"secret-{len(self.executed)}", 60)
        return Answer(data, cookie, consistency_token=f"token-{len(self.executed)}")

    async def bare(self, call: Call[None]) -> dict[str, int]:
        self.executed.append("bare")
        self.times.append(call.now)
        return {"number": len(self.executed)}

    async def refuse(self, call: Call[Note]) -> None:
        self.executed.append(call.body.text)
        raise InvalidState("note:refuse:DONE")

    async def prove(self, call: Call[Note]) -> dict[str, bool]:
        if call.body.text != "the proof":
            raise NotAuthenticated("note:proof")
        return {"ok": True}

    async def look(self, call: Call[None]) -> dict[str, bool]:
        return {"ok": True}

    async def slow(self, call: Call[None]) -> dict[str, bool]:
        self.entered.set()
        await self.gate.wait()
        return {"ok": True}

    async def crash(self, call: Call[None]) -> None:
        raise RuntimeError("out of the blue")

    async def busy(self, call: Call[None]) -> None:
        raise Unavailable

    async def stream(self, call: Call[None]) -> EventStream:
        async def events() -> AsyncIterator[ServerEvent]:
            yield ServerEvent("note", {"number": 1}, "1")
            self.entered.set()
            await self.gate.wait()

        return EventStream(events())

    def operations(self) -> list[Operation]:
        def row(method: str, path: str, handler: Any, access: Access, **more: Any) -> Operation:
            return Operation(
                method=method,
                path=path,
                handler=handler,
                access=access,
                out=dict,
                tag="t",
                summary="s",
                **more,
            )

        keyed, public = Access.WORKSPACE, Access.PUBLIC
        return [
            row("POST", "/notes", self.note, keyed, body=Note, subject="note"),
            row("POST", "/notes/{name}/bare", self.bare, keyed),
            row("POST", "/refused", self.refuse, keyed, body=Note, errors=(InvalidState,)),
            row("POST", "/proof", self.prove, public, body=Note, errors=(NotAuthenticated, InvalidInput)),
            row("POST", "/public", self.note, public, body=Note),
            row("POST", "/signed", self.bare, public, headers=("X-Proof",)),
            row("GET", "/look", self.look, public),
            row("GET", "/scoped", self.look, keyed, scopes=(Scope.SESSIONS_READ,)),
            row("GET", "/mine", self.look, keyed),
            row("GET", "/slow", self.slow, public),
            row("GET", "/crash", self.crash, public),
            row("GET", "/busy", self.busy, public),
            row("GET", "/stream", self.stream, keyed),
            row("GET", "/sessions/{session_id}/look", self.look, public),
        ]


class NoDatabase:
    """Where no request has an Idempotency-Key."""

    def begin(self) -> Any:
        raise AssertionError("no database here")

    read = begin


def framed(
    desk: Desk,
    *,
    idempotency: Idempotency | None = None,
    quotas: Quotas | None = None,
    clients: Clients | None = None,
    metrics: RequestMetrics | None = None,
) -> web.Application:
    keeper = Doorkeeper()
    frame = Frame(
        guard=Guard(keeper, keeper),
        clock=utc_now,
        limits=Limits(quotas or Quotas()),
        clients=clients or Clients(),
        observer=Observer(metrics or RequestMetrics()),
        idempotency=idempotency or Idempotency(NoDatabase(), None, utc_now, (SECRET,)),  # type: ignore[arg-type]
        origins=frozenset({ORIGIN}),
        secure=False,
    )
    return application(frame, desk.operations())


@dataclass
class Served:
    runner: Runner
    http: httpx.AsyncClient
    port: int

    async def __call__(
        self, method: str, path: str, *, key: str | None = None, bearer: str | None = "good-one", **more: Any
    ) -> httpx.Response:
        headers = {**more.pop("headers", {})}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            return await self.http.request(method, path, headers=headers, **more)
        finally:
            self.http.cookies.clear()

    async def raw(self, *parts: bytes, limit: float = 10) -> bytes:
        """Everything that the server answers to bytes that no client library would send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), limit)
        finally:
            writer.close()


@asynccontextmanager
async def serving(app: web.Application, *, grace: float = 5) -> AsyncIterator[Served]:
    runner = Runner(app, utc_now, grace=grace)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20
        ) as http:
            yield Served(runner, http, port)
    finally:
        await runner.cleanup()


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and detail, in an envelope that is right."""
    body = response.json()
    assert set(body) - {"detail"} == {"statusCode", "code", "message", "timestamp"}, body
    assert body["statusCode"] == response.status_code
    return response.status_code, body["code"], body.get("detail")


def envelope_of(answer: bytes) -> tuple[Sequence[bytes], dict[str, Any]]:
    """Head lines and JSON body of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), msgspec.json.decode(body)
