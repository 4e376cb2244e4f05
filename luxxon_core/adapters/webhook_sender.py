"""POSTs to servers that strangers name: to public addresses alone, one answer, no redirects, bounded in time
and size."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver

from luxxon_core.kernel.clock import Clock
from luxxon_core.webhooks.domain import Answer, Target, allowed_address, retry_after

TIMEOUT_S = 15.0
DRAIN_SECONDS = 1.0
DRAIN_BYTES = 64 * 1024
"""What is read of an answer's body, so that the connection can be used again; it is not kept."""
KEEPALIVE_SECONDS = 30.0
NAMES_SECONDS = 10
"""How long a name's addresses are remembered; what is dialled is checked each time."""
REFUSED = "the address is not a public one"


class AddressRefused(OSError):
    """Nothing was dialled: the name led to an address that is not allowed."""

    def __init__(self) -> None:
        super().__init__(REFUSED)  # not the address: it may tell of the inside of our network


class HttpSender:
    """Implements :class:`~luxxon_core.webhooks.ports.Sender`. ``close`` it; between that and construction it
    may be used on one event loop."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Args:
        timeout_s: for an attempt, from the look-up of the name until the head of the answer.
        resolver: instead of the machine's.
        """
        self._target, self._clock, self._timeout_s = target, clock, timeout_s
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def answer(status: int | None, fault: str | None, after: str | None = None) -> Answer:
            asked = None if after is None else retry_after(after, self._clock())
            return Answer(status, fault, round((loop.time() - began) * 1000), asked)

        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._open().post(url, data=body, headers=headers, allow_redirects=False)
            found = answer(response.status, _fault(response.status), response.headers.get("Retry-After"))
            await _drain(response)
        except TimeoutError:
            return answer(None, f"no answer within {self._timeout_s:g} s")
        except (InvalidURL, UnicodeError):
            return answer(None, "the URL cannot be used")
        except (ClientError, OSError) as error:  # its text may tell of the inside of our network
            return answer(None, _told(error))
        return found

    def _open(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(
                limit=0,
                ttl_dns_cache=NAMES_SECONDS,
                resolver=self._resolver,
                keepalive_timeout=KEEPALIVE_SECONDS,
                socket_factory=self._dialled,
            )
            self._session = ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),  # ours is shorter, and ends with the head of the answer
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("Accept-Encoding",),
            )
        return self._session

    def _dialled(self, address: Any) -> socket.socket:
        """The socket for an address that is dialled next: the check is here, where no name can come to mean
        something else in between, and where addresses written in a URL pass as well.

        Raises:
            AddressRefused: the address is not allowed.
        """
        family, kind, protocol, _, name = address
        if not allowed_address(str(name[0]), self._target):
            raise AddressRefused
        return socket.socket(family, kind, protocol)


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed"
    return f"HTTP {status}"


def _told(error: Exception) -> str:
    """What may be told of a failure."""
    cause = getattr(error, "os_error", error)
    if REFUSED in str(cause):  # where several addresses were tried, their errors are told as one
        return REFUSED
    if isinstance(error, ClientConnectorDNSError):
        return "the host's name is unknown"
    if isinstance(error, ClientConnectorCertificateError | ClientSSLError):
        return "TLS failed: the certificate is not valid for the host"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    return "the connection failed"


async def _drain(response: ClientResponse) -> None:
    """Read a short rest of the answer; hang up on a long or slow one."""
    if response.content.is_eof():  # it came with the head
        response.release()
        return
    read = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in response.content.iter_any():
                read += len(chunk)
                if read > DRAIN_BYTES:
                    break
            else:
                response.release()
                return
    except (TimeoutError, ClientError, OSError):
        pass  # the answer is known by now
    response.close()
