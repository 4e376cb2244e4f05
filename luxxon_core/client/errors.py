"""What the client raises beside the kernel's errors, and how an answer becomes one of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from luxxon_core.kernel import errors
from luxxon_core.kernel.errors import ExternalError, LuxxonError

if TYPE_CHECKING:
    import httpx

UPSTREAM = 1000
"""Characters that are kept of an answer which is not Luxxon's."""


class ConnectionFailed(ExternalError):
    """Nothing answered, or not in time.

    Attributes:
        sent: whether the request may have reached the server; False where no connection was made.
    """

    code, default_message = "CONNECTION_FAILED", "The server cannot be reached"

    def __init__(self, detail: str | None = None, message: str | None = None, *, sent: bool = True) -> None:
        super().__init__(detail, message)
        self.sent = sent


class InvalidResponse(ExternalError):
    """An answer that is not Luxxon's.

    Attributes:
        http_status: what the answer's status line said, where it was that of an error.
        upstream: the beginning of such an answer's text.
    """

    code, default_message = "INVALID_RESPONSE", "The server's answer is not Luxxon's"

    def __init__(
        self,
        detail: str | None = None,
        message: str | None = None,
        *,
        http_status: int | None = None,
        upstream: str | None = None,
    ) -> None:
        super().__init__(detail, message)
        self.http_status, self.upstream = http_status, upstream


class RateLimited(errors.RateLimited):
    """Too many requests.

    Attributes:
        retry_after: seconds that the server asked to wait, if it named any.
    """

    def __init__(
        self, detail: str | None = None, message: str | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(detail, message)
        self.retry_after = retry_after


class ApiError(LuxxonError):
    """A refusal whose code this version does not know. Known codes raise their class of ``kernel.errors``."""

    def __init__(self, status: int, code: str, message: str, detail: str | None) -> None:
        super().__init__(detail, message)
        self.status, self.code = status, code  # type: ignore[misc]


def refusal(response: httpx.Response) -> LuxxonError:
    """The error that an answer without success tells; its body must have been read."""
    status = response.status_code
    try:
        body = msgspec.json.decode(response.content)
        code, message, detail = str(body["code"]), str(body["message"]), body.get("detail")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message = f"HTTP {status} without an error envelope"
        return InvalidResponse(message=message, http_status=status, upstream=response.text[:UPSTREAM])
    known = _by_code().get((code, status))
    if known is errors.RateLimited:
        return RateLimited(detail, message, retry_after=retry_after(response))
    return known(detail, message) if known else ApiError(status, code, message, detail)


def retry_after(response: httpx.Response) -> float | None:
    """Retry-After in seconds (RFC 9110 §10.2.3); its date form is not worth a clock here."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


@cache
def _by_code() -> dict[tuple[str, int], type[LuxxonError]]:
    """The kernel's errors by wire code and status; of two that share them, the more general."""
    found: dict[tuple[str, int], type[LuxxonError]] = {}
    waiting: list[type[LuxxonError]] = [LuxxonError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == LuxxonError.__module__:
            found.setdefault((kind.code, kind.status), kind)
    return found
