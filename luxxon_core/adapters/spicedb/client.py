"""One gRPC channel to SpiceDB: credentials, deadlines, and its errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from luxxon_core.kernel.errors import AuthzError, StartError

if TYPE_CHECKING:
    import grpc
    from authzed.api.v1 import AsyncClient

RETRY_AFTER_SECONDS = 0.05
_OPTIONS = (
    # a server that comes back is found within the second; gRPC's own limit is two minutes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 16 << 20),
)

Answer_co = TypeVar("Answer_co", covariant=True)
Answer = TypeVar("Answer")


class Method(Protocol[Answer_co]):
    """A unary call of a stub, its request bound."""

    def __call__(
        self, *, timeout: float, metadata: tuple[tuple[str, str], ...] | None
    ) -> Awaitable[Answer_co]: ...


class Refused(AuthzError):
    """SpiceDB answered, and what it answered is an error; ``grpc_status`` is its status name."""

    def __init__(self, grpc_status: str, reason: str) -> None:
        super().__init__("authz:refused")
        self.grpc_status = grpc_status
        self.reason = reason


class Connection:
    """A channel to ``endpoint`` (``host:port``) whose every call carries the token and has a deadline.

    Args:
        token: SpiceDB's preshared key; sent over TLS as call credentials, without TLS as metadata.
        plaintext: no TLS, for a server on loopback or behind a proxy that does it.
        ca: PEM certificates that the server's one must lead to; the usual ones when not given.
        timeout_s: for a whole call, retry included.

    Raises:
        StartError: the token cannot be sent.
    """

    def __init__(
        self, endpoint: str, token: str, *, plaintext: bool, ca: bytes | None, timeout_s: float
    ) -> None:
        if not token or not (token.isascii() and token.isprintable()):
            raise StartError("authz:token", "the SpiceDB token must be printable ASCII")
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._metadata = (("authorization", f"Bearer {token}"),) if plaintext else None
        self._channel = _channel(endpoint, token, plaintext=plaintext, ca=ca)
        self.api = _api(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def call(self, method: Method[Answer], timeout_s: float | None = None) -> Answer:
        """The method's answer; what can be repeated at once, because the server was not there, is, once.

        Raises:
            AuthzError: ``authz:unavailable`` or ``authz:timeout``; :class:`Refused`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + (timeout_s or self.timeout_s)
        try:
            return await self._once(method, until - loop.time())
        except AuthzError as error:
            if error.detail != "authz:unavailable" or until - loop.time() < RETRY_AFTER_SECONDS * 2:
                raise
        await asyncio.sleep(RETRY_AFTER_SECONDS)
        return await self._once(method, until - loop.time())

    async def stream(self, method: Any, request: Any, timeout_s: float) -> AsyncIterator[Any]:
        """Every answer of a streaming method; raises as :meth:`call`, without repeating."""
        import grpc

        try:
            async for answer in method(request, timeout=timeout_s, metadata=self._metadata):
                yield answer
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error

    async def _once(self, method: Method[Answer], timeout_s: float) -> Answer:
        import grpc

        try:
            return await method(timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error


def _translated(error: grpc.aio.AioRpcError) -> AuthzError:
    status = error.code().name
    if status == "UNAVAILABLE":
        return AuthzError("authz:unavailable")
    if status == "DEADLINE_EXCEEDED":
        return AuthzError("authz:timeout")
    return Refused(status, " ".join(str(error.details()).split())[:200])


def _channel(endpoint: str, token: str, *, plaintext: bool, ca: bytes | None) -> grpc.aio.Channel:
    import grpc

    if plaintext:
        return grpc.aio.insecure_channel(endpoint, options=(*_OPTIONS, ("grpc.enable_http_proxy", 0)))
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(ca), grpc.access_token_call_credentials(token)
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)


def _api(channel: grpc.aio.Channel) -> AsyncClient:
    """authzed's asynchronous client on our channel: the one it makes has TLS only and cannot be closed."""
    from authzed.api import v1

    class Client(v1.AsyncClient):
        def __init__(self) -> None:
            self.init_stubs(channel)  # type: ignore[attr-defined]

    return Client()
