"""The client: its resources, one method per operation, and the calls that combine them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import msgspec

from luxxon_core.client.access import Auth, Me
from luxxon_core.client.errors import InvalidResponse
from luxxon_core.client.events import SILENCE_SECONDS, EventStream
from luxxon_core.client.links import Link
from luxxon_core.client.live_view import LiveViewResult, request_live_view
from luxxon_core.client.market import Coverage, Demand, Pricing
from luxxon_core.client.observations import Observations
from luxxon_core.client.payments import Settlements, Wallet
from luxxon_core.client.retrying import Retry
from luxxon_core.client.sessions import Sessions
from luxxon_core.client.system import ConfigResource, Documents, HealthResource
from luxxon_core.client.transport import Connection, Credential, Id, Json, Transport
from luxxon_core.client.webhooks import Webhooks
from luxxon_core.client.workspaces import Workspaces
from luxxon_core.kernel.wire import convert

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

BASE_URL = "https://api.luxxon.dev/api/v1"


class Luxxon:
    """A client of one server for one credential: an API key, a cookie, or the cookie that login sets.

    Every method raises a :class:`~luxxon_core.kernel.errors.LuxxonError` with ``code``, ``status``,
    ``message`` and ``detail``: of the code's class where the server refused, ``ApiError`` where the code is
    unknown here, ``ConnectionFailed`` where nothing answered.

    Calls that change nothing are repeated when nothing answers or a gateway fails; so are POSTs, which carry
    an Idempotency-Key for that: the server executes them once. All others are repeated only where they
    certainly were not executed.

    Args:
        base_url: of the API, with ``/api/v1``.
        api_key: a key's plaintext.
        bearer: a whole ``Authorization`` header; it wins over ``api_key``.
        cookie: a session cookie, its value or ``lx_session=value``.
        consistency_token: read at least as freshly as the answer that told it; later answers replace it.
        timeout: seconds for each attempt at a call.
        retry: False to make each call once.
        idempotency_keys: False for a server that does not know them: POSTs are then not repeated.
        transport: takes the place of the network.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str | None = None,
        bearer: str | None = None,
        cookie: str | None = None,
        consistency_token: str | None = None,
        timeout: float = 15.0,
        retry: Retry | bool = True,
        idempotency_keys: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        authorization = bearer or (f"Bearer {api_key}" if api_key else None)
        credential = Credential(authorization, cookie)
        self.base_url = base_url
        self._connection = Connection(base_url, credential, timeout, consistency_token, transport)
        self._use(Transport(self._connection, Retry.of(retry), idempotency_keys))

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self.auth = Auth(transport)
        self.me = Me(transport)
        self.config = ConfigResource(transport)
        self.health = HealthResource(transport)
        self.documents = Documents(transport)
        self.webhooks = Webhooks(transport)
        self.coverage = Coverage(transport)
        self.demand = Demand(transport)
        self.pricing = Pricing(transport)
        self.workspaces = Workspaces(transport)
        self.sessions = Sessions(transport)
        self.observations = Observations(transport)
        self.link = Link(transport)
        self.wallet = Wallet(transport)
        self.settlements = Settlements(transport)

    def with_retry(self, retry: Retry | bool) -> Luxxon:
        """The same client, cookie and connections included, with another will to repeat calls. It is closed
        when the original is."""
        other = object.__new__(type(self))
        other.base_url, other._connection = self.base_url, self._connection
        other._use(self._transport.with_retry(Retry.of(retry)))
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, those of event streams too."""
        await self._connection.http.aclose()

    def set_consistency_token(self, token: str | None) -> None:
        """Replace the token that is sent with every call; None forgets it."""
        self._connection.token = token

    async def request_live_view(
        self,
        *,
        lat: float,
        lng: float,
        max_duration_seconds: int,
        wait_timeout_seconds: int | None = None,
        quote_id: Id | None = None,
        workspace_id: Id | None = None,
        timeout: float = 30.0,
        cancel: bool = False,
    ) -> LiveViewResult:
        """Request a place, have an operator assigned, and wait until there is a picture to watch.

        That there is none in time, or no operator, is an answer and not an error.

        Args:
            timeout: seconds to wait for LIVE once an operator is assigned.
            cancel: cancel the session when it is not LIVE in the end; also when this call is cancelled.

        Raises:
            LuxxonError: as ``sessions.create``, and anything unexpected after it.
        """
        return await request_live_view(
            self.sessions,
            lat=lat,
            lng=lng,
            max_duration_seconds=max_duration_seconds,
            wait_timeout_seconds=wait_timeout_seconds,
            quote_id=quote_id,
            workspace_id=workspace_id,
            timeout=timeout,
            cancel=cancel,
        )

    def events(
        self,
        *,
        last_event_id: str | None = None,
        reconnect: bool = True,
        silence: float = SILENCE_SECONDS,
    ) -> EventStream:
        """Follow every session of the workspace from now on, or after an event; see ``sessions.events``."""
        return EventStream(
            self._transport, "/events", last_event_id=last_event_id, reconnect=reconnect, silence=silence
        )

    @overload
    async def json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Json: ...

    @overload
    async def json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        kind: type[T],
    ) -> T: ...

    async def json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        kind: type[T] | None = None,
    ) -> Json | T:
        """Call any endpoint below the base URL; ``data`` of the answer, or all of one without.

        Args:
            kind: a msgspec type that the data must be.
        """
        response = await self.raw(method, path, body=body, query=query, idempotency_key=idempotency_key)
        if not response.content:
            return None
        try:
            answer = msgspec.json.decode(response.content)
            enveloped = isinstance(answer, dict) and answer.get("data") is not None
            found: Json = answer["data"] if enveloped else answer
            return found if kind is None else convert(found, kind)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidResponse(message=f"{method} {path.split('/')[1]}: {error}") from error

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """Call any endpoint below the base URL; the answer as it came, if it is one of success.

        Raises:
            ValueError: ``path`` does not begin with a slash: the credential is for this server alone.
        """
        if not path.startswith("/"):
            raise ValueError("a path begins with a slash")
        return await self._transport.send(
            method.upper(), path, body, query, headers=headers, key=idempotency_key or True
        )
