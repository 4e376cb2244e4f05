"""JSON over HTTP to a service that may be slow, busy or gone. Its address and our credentials stay here."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from luxxon_core.kernel.errors import VideoError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

TIMEOUT_S = 5.0
ATTEMPTS = 3
TOTAL_S = 12.0
"""For all attempts of a call together: somebody waits for ``start``."""
PAUSE_S = (0.2, 2.0)
MAX_BODY = 8 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    document: dict[str, Any] = field(repr=False)
    """Empty where the body is no JSON object; it may hold secrets."""


class Failed(VideoError):
    """Not answered, or answered that it should be asked again."""

    def __init__(self, detail: str, *, refused: bool, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.refused = refused
        """The call was certainly not carried out."""
        self.retry_after = retry_after


class Rest:
    """One service. ``close`` it; between that and construction ``call`` may be used on one event loop."""

    def __init__(self, name: str, base: str, headers: dict[str, str] | None = None) -> None:
        """Args:
        name: of the service, for errors and the log.
        base: URL that the paths of calls continue, without a trailing slash.
        """
        self._name, self._base, self._headers = name, base.rstrip("/"), headers or {}
        self._session: ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        idempotent: bool = True,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Any answer below 500 but 429. Others are tried again: what is not ``idempotent`` only where the
        service has certainly done nothing.

        Raises:
            VideoError: ``video:<name>:unreachable``, ``…:timeout`` or ``…:<status>``, of the last attempt.
        """
        import stamina

        loop = asyncio.get_running_loop()
        deadline = loop.time() + TOTAL_S

        def again(error: Exception) -> bool | float:
            if not isinstance(error, Failed) or not (idempotent or error.refused):
                return False
            if error.retry_after is None:
                return loop.time() < deadline
            pause = error.retry_after + random.uniform(0, PAUSE_S[0])  # noqa: S311
            return pause if loop.time() + pause < deadline else False

        retrying = stamina.retry_context(
            again,
            attempts=attempts,
            timeout=TOTAL_S,
            wait_initial=PAUSE_S[0],
            wait_max=PAUSE_S[1],
            wait_jitter=PAUSE_S[0],
        )
        async for attempt in retrying:
            with attempt:
                return await self._once(method, path, body)
        raise AssertionError("the last attempt raises")

    async def _once(self, method: str, path: str, body: object) -> Answer:
        from aiohttp import ClientConnectorError, ClientError

        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._open().request(method, self._base + path, json=body, allow_redirects=False) as response,
            ):
                content = await bounded(response, MAX_BODY)
        except TimeoutError:
            raise Failed(f"video:{self._name}:timeout", refused=False) from None
        except ClientError as error:  # its text and its chain hold the address
            log.info("service unreachable", service=self._name, cause=type(error).__name__)
            refused = isinstance(error, ClientConnectorError)
            raise Failed(f"video:{self._name}:unreachable", refused=refused) from None
        if response.status == 429 or response.status >= 500:
            raise Failed(
                f"video:{self._name}:{response.status}",
                refused=response.status in (429, 503),
                retry_after=_seconds(response.headers.get("Retry-After")),
            )
        return Answer(response.status, _object(content))

    def _open(self) -> ClientSession:
        from aiohttp import ClientSession, ClientTimeout

        if self._session is None:
            self._session = ClientSession(headers=self._headers, timeout=ClientTimeout(total=TIMEOUT_S * 2))
        return self._session


async def bounded(response: ClientResponse, limit: int) -> bytes:
    """The body of a response; empty where it has more bytes than ``limit``."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit:
            return b""
    return bytes(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(value: str | None) -> float | None:
    """Of ``Retry-After``; dates are not understood, which means the usual pause."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
