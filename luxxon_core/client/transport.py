"""One HTTP exchange: credentials out, envelope in, errors as exceptions, again where that is right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec

from luxxon_core.client.errors import ConnectionFailed, InvalidResponse, refusal, retry_after
from luxxon_core.client.retrying import Retry, insist, worth_repeating
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.wire import convert

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

Id = UUID | str
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

CONSISTENCY_HEADER = "X-Lx-Consistency-Token"
IDEMPOTENCY_HEADER = "Idempotency-Key"
COOKIE = "lx_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client shows: ``authorization`` is a whole header, ``cookie`` a raw value or ``name=value``."""

    authorization: str | None = field(default=None, repr=False)
    cookie: str | None = field(default=None, repr=False)

    @property
    def cookie_header(self) -> str | None:
        """Our cookie's values have no ``=``, so one that has is named already."""
        if self.cookie is None or "=" in self.cookie:
            return self.cookie
        return f"{COOKIE}={self.cookie}"


class Connection:
    """The HTTP client and what it remembers: a cookie that the server set, and the consistency token.

    The credential's cookie counts until the server sets another one.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential,
        timeout: float,
        token: str | None,
        inner: httpx.AsyncBaseTransport | None,
    ) -> None:
        import httpx

        named = credential.authorization
        self.http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": named} if named else {},
            timeout=timeout,
            # Event streams stay open: with a limit, a hundred of them would leave no room for calls.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            transport=inner,
            trust_env=False,
        )
        self.timeout = timeout
        self.token = token
        self.streams = True
        """Whether the server has event streams, as far as is known."""
        self._cookie = credential.cookie_header

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        found = dict(more or {})
        if self.token:
            found[CONSISTENCY_HEADER] = self.token
        if self._cookie is not None:
            found["Cookie"] = self._cookie
        return found

    def note(self, response: httpx.Response) -> None:
        """Remember what an answer asks to be remembered."""
        self.token = response.headers.get(CONSISTENCY_HEADER, self.token)
        if any(one.startswith(f"{COOKIE}=") for one in response.headers.get_list("Set-Cookie")):
            self._cookie = None

    def still(self) -> httpx.AsyncClient:
        """The HTTP client.

        Raises:
            ConnectionFailed: it is closed: whoever made it has gone on, and a task of theirs has not.
        """
        if self.http.is_closed:
            raise ConnectionFailed(message="this client is closed", sent=False)
        return self.http

    def failure(self, error: httpx.HTTPError) -> ConnectionFailed:
        """That nothing answered; without the URL, which may be secret."""
        import httpx

        unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
        message = f"no answer from {self.http.base_url.host}: {type(error).__name__}"
        return ConnectionFailed(message=message, sent=not isinstance(error, unsent))


@dataclass(frozen=True, slots=True)
class Transport:
    """Makes calls on a connection, with a will of its own to repeat them.

    Args:
        keys: whether POSTs carry an Idempotency-Key, and are repeated for it.
    """

    connection: Connection
    retry: Retry
    keys: bool = True

    def with_retry(self, retry: Retry) -> Transport:
        return replace(self, retry=retry)

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | bool = True,
    ) -> httpx.Response:
        """The answer of a successful call, or that nothing has changed where ``headers`` ask for that.

        Args:
            key: the Idempotency-Key of a POST; True for a fresh one, False for none.

        Raises:
            LuxxonError: the server refused; the class is that of its code.
            ConnectionFailed: no answer.
            InvalidResponse: an error that is no error envelope.
        """
        more = dict(headers or {})
        if method == "POST" and key and self.keys:
            more[IDEMPOTENCY_HEADER] = str(uuid4()) if key is True else key
        repeatable = method in SAFE or IDEMPOTENCY_HEADER in more
        asked: list[float | None] = [None]

        async def call() -> httpx.Response:
            asked[0] = None
            response = await self._exchange(method, path, body, query, more)
            if response.is_success or response.status_code == 304:
                return response
            asked[0] = retry_after(response)
            raise refusal(response)

        def pause_of(error: LuxxonError) -> float | bool:
            if not worth_repeating(error, repeatable=repeatable):
                return False
            return True if asked[0] is None else asked[0]

        return await insist(self.retry, call, pause_of)

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | bool = True,
    ) -> T:
        """The ``data`` of a successful call as ``kind``.

        Raises:
            LuxxonError: as :meth:`send`; InvalidResponse, too, for data that is no ``kind``.
        """
        response = await self.send(method, path, body, query, headers=headers, key=key)
        try:
            return convert(msgspec.json.decode(response.content)["data"], kind)
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            raise InvalidResponse(message=f"{method} {path.split('/')[1]}: {error}") from error

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str], silence: float
    ) -> AsyncIterator[httpx.Response]:
        """An answer that goes on, given up when no byte has come for ``silence`` seconds.

        Raises:
            LuxxonError: as :meth:`send`, without another attempt; ConnectionFailed, too, when it breaks off.
        """
        import httpx

        connection = self.connection
        timeout = httpx.Timeout(connection.timeout, read=silence)
        sent = connection.headers(headers)
        try:
            async with connection.still().stream("GET", path, headers=sent, timeout=timeout) as response:
                connection.note(response)
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                yield response
        except httpx.HTTPError as error:
            raise connection.failure(error) from error

    async def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        import httpx

        connection = self.connection
        params = present(query or {})
        try:
            response = await connection.still().request(
                method, path, json=body, params=params or None, headers=connection.headers(headers)
            )
        except httpx.HTTPError as error:
            raise connection.failure(error) from error
        connection.note(response)
        return response


class Resource:
    """A group of operations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def text(given: Id | None) -> str | None:
    """An id as the wire has it."""
    return None if given is None else str(given)


def segment(given: Id) -> str:
    """An id as one segment of a path.

    Raises:
        ValueError: it is empty, or made of dots, and so would be another path.
    """
    found = quote(str(given), safe="")
    if not found.strip("."):
        raise ValueError("an id is not empty")
    return found
