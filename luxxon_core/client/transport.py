"""One HTTP exchange: credentials out, envelope in, errors as exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from luxxon_core.kernel.errors import ExternalError, LuxxonError
from luxxon_core.kernel.wire import convert

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONSISTENCY_HEADER = "X-Lx-Consistency-Token"


class ConnectionFailed(ExternalError):
    """Nothing answered, or not in time; safe to try again for reads."""

    code, default_message = "CONNECTION_FAILED", "The server cannot be reached"


class InvalidResponse(ExternalError):
    """An answer that is not Luxxon's."""

    code, default_message = "INVALID_RESPONSE", "The server's answer is not Luxxon's"


class ApiError(LuxxonError):
    """A refusal whose code this version does not know. Known codes raise their class of ``kernel.errors``."""

    def __init__(self, status: int, code: str, message: str, detail: str | None) -> None:
        super().__init__(detail, message)
        self.status, self.code = status, code  # type: ignore[misc]


class Transport:
    """Owns the HTTP client. A cookie from the server is kept and sent back; an API key wins over it."""

    def __init__(
        self, base_url: str, api_key: str | None, timeout: float, inner: httpx.AsyncBaseTransport | None
    ) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers=headers,
            timeout=timeout,
            transport=inner,
            trust_env=False,
        )
        self._token: str | None = None

    async def close(self) -> None:
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """The raw answer of a successful call.

        Raises:
            LuxxonError: the server refused; the class is that of its code.
            ConnectionFailed: no answer.
            InvalidResponse: an error that is no error envelope.
        """
        import httpx

        headers = {CONSISTENCY_HEADER: self._token} if self._token else {}
        present = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = await self._http.request(method, path, json=body, params=present, headers=headers)
        except httpx.HTTPError as error:
            raise ConnectionFailed(
                message=f"no answer from {self._http.base_url.host}: {type(error).__name__}"
            ) from error
        self._token = response.headers.get(CONSISTENCY_HEADER, self._token)
        if response.is_success:
            return response
        raise _refusal(response)

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        """The ``data`` of a successful call as ``kind``."""
        response = await self.send(method, path, body, query)
        try:
            return convert(msgspec.json.decode(response.content)["data"], kind)
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            raise InvalidResponse(message=f"{method} {path.split('/')[1]}: {error}") from error


def _refusal(response: httpx.Response) -> LuxxonError:
    try:
        body = msgspec.json.decode(response.content)
        code, message, detail = body["code"], body["message"], body.get("detail")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return InvalidResponse(message=f"HTTP {response.status_code} without an error envelope")
    known = _by_code().get((code, response.status_code))
    return known(detail, message) if known else ApiError(response.status_code, code, message, detail)


@cache
def _by_code() -> dict[tuple[str, int], type[LuxxonError]]:
    """The kernel's errors by wire code and status."""
    found: dict[tuple[str, int], type[LuxxonError]] = {}
    waiting: list[type[LuxxonError]] = [LuxxonError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == LuxxonError.__module__:
            found[kind.code, kind.status] = kind
    return found
