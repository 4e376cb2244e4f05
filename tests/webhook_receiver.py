"""A receiver of webhooks on loopback that answers as a test tells it to, and remembers what it got."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

Reply = web.Response | int | None
"""A response, a status, or None: the connection is cut."""
Behaviour = Callable[["Hit"], Reply | Awaitable[Reply]]


@dataclass(frozen=True)
class Hit:
    """One request."""

    id: str
    headers: dict[str, str]
    body: bytes
    at: float
    request: web.Request | None = field(default=None, repr=False, compare=False)

    async def hung_up(self) -> None:
        """Until whoever sent it waits for an answer no longer."""
        while self.request is not None and self.request.transport is not None:
            await asyncio.sleep(0.02)

    @property
    def payload(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def session(self) -> str:
        return str(self.payload["data"]["sessionId"])

    @property
    def event(self) -> str:
        return str(self.payload["id"])

    def signed_by(self, secret: str) -> bool:
        """Whether a verifier that others wrote takes it."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except Exception:  # noqa: BLE001 - the verifier's own kinds
            return False
        return True


@dataclass
class Receiver:
    """Answers 200 while :attr:`behave` is not set to something else."""

    port: int = 0
    hits: list[Hit] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    """How often each webhook-id was answered 2xx."""
    paths: Counter[str] = field(default_factory=Counter)
    """Requests by path."""
    busy: int = 0
    """Requests that are being answered."""
    taken: list[Hit] = field(default_factory=list)
    """Those that were, in the order of the answers."""
    behave: Behaviour = lambda _: 200
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def events(self) -> list[str]:
        """Ids of the events that were taken, in that order."""
        return [hit.event for hit in self.taken]

    async def open(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def close(self) -> None:
        """Be gone; :meth:`open` comes back at the same port."""
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.cleanup()

    async def until(self, true: Callable[[], object], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.grown:
            await self.grown.wait_for(true)

    async def quiet(self) -> None:
        """Until every request that came has its answer; whoever comes meanwhile is cut off."""
        self.behave = lambda _: None
        await self.until(lambda: not self.busy)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.busy += 1
        try:
            return await self._answered(request)
        finally:
            self.busy -= 1
            async with self.grown:
                self.grown.notify_all()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        hit = Hit(
            headers.get("webhook-id", ""),
            headers,
            await request.read(),
            asyncio.get_running_loop().time(),
            request,
        )
        self.hits.append(hit)
        self.paths[request.path] += 1
        async with self.grown:
            self.grown.notify_all()
        reply = self.behave(hit)
        if isinstance(reply, Awaitable):
            reply = await reply
        if reply is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        response = web.Response(status=reply) if isinstance(reply, int) else reply
        heard = request.transport is not None and not request.transport.is_closing()
        if 200 <= response.status < 300 and heard:  # who has hung up waits for no answer
            self.answered[hit.id] += 1
            self.taken.append(hit)
        return response


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.open()
    try:
        yield receiver
    finally:
        await receiver.close()


def names(hits: Iterable[Hit]) -> list[str]:
    """The streams of which requests tell, in their order."""
    return [hit.payload["data"]["videoBackendRef"] for hit in hits]


def decoded(secret: str) -> bytes:
    """The bytes of a written secret."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def date_of(moment: datetime) -> str:
    """As HTTP writes it."""
    return moment.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
