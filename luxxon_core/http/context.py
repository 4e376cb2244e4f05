"""What is known of the request at hand: for its log lines, its answer's headers and its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from time import monotonic
from typing import Any
from uuid import UUID

from luxxon_core.http.principal import ApiKeyPrincipal, LinkPrincipal, Principal

_ID = re.compile(r"[0-9A-Fa-f-]{36}")


class Exchange:
    """One request and its answer. Only what a log line needs is computed, when there is one."""

    __slots__ = (
        "code",
        "credential",
        "path",
        "policy",
        "principal",
        "request_id",
        "retry_after",
        "route",
        "standing",
        "started",
        "streamed",
        "workspace",
    )

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.started = monotonic()
        self.route: str | None = None
        """The operation's pattern; None for what is no operation."""
        self.path: Mapping[str, str] | None = None
        self.principal: Principal | None = None
        self.workspace: UUID | None = None
        """The one acted for."""
        self.code = "OK"
        """OK, or the error's code."""
        self.credential = False
        """Whether a credential or proof was looked at."""
        self.streamed = False
        self.policy: str | None = None
        self.standing: str | None = None
        """Values of ``RateLimit-Policy`` and ``RateLimit``."""
        self.retry_after: int | None = None
        """Seconds."""

    def fields(self) -> dict[str, str]:
        """For log lines: who asked for what, and no secret."""
        found = {"request_id": self.request_id}
        if self.route is not None:
            found["route"] = self.route
        session_id = self.path.get("session_id") if self.path is not None else None
        if session_id is not None and _ID.fullmatch(session_id):
            found["session"] = session_id
        if isinstance(self.principal, ApiKeyPrincipal):
            found["key"] = str(self.principal.key_id)
        elif isinstance(self.principal, LinkPrincipal):
            found |= {"session": str(self.principal.session_id), "link": self.principal.side}
        elif self.principal is not None:
            found["wallet"] = self.principal.wallet_address
        if self.workspace is not None:
            found["workspace"] = str(self.workspace)
        return found


CURRENT: ContextVar[Exchange | None] = ContextVar("luxxon_exchange", default=None)
"""Set for the task of each request, and for the tasks that it starts."""


def merge_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: adds the fields of the request at hand."""
    exchange = CURRENT.get()
    if exchange is not None:
        for name, value in exchange.fields().items():
            event.setdefault(name, value)
    return event
