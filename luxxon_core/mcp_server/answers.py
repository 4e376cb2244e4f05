"""What a tool answers, and how that reads on the wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from msgspec import UNSET

from luxxon_core.client.errors import InvalidResponse
from luxxon_core.kernel.errors import ExternalError, InvalidInput, LuxxonError
from luxxon_core.kernel.wire import Timestamp, to_builtins
from luxxon_core.mcp_server.schemas import Failure
from luxxon_core.sessions.schemas import Session

UPSTREAM = 240
"""Characters of an answer that was not Luxxon's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Pictures, then a struct as pretty JSON, or plain text.

    Attributes:
        opened: a session that the call has opened and leaves running: who hears nothing of it cannot end it.
        owed: a session that the call has opened and could not end: it is still to be ended.
    """

    body: msgspec.Struct | str | None = None
    pictures: Sequence[bytes] = ()
    failed: bool = False
    opened: str | None = field(default=None, kw_only=True)
    owed: str | None = field(default=None, kw_only=True)

    def result(self) -> CallToolResult:
        """The result; an error has its JSON as text alone, for clients hold structured content against the
        tool's output schema whether or not the call has failed."""
        content: list[ContentBlock] = [image(one) for one in self.pictures]
        structured: Any = None
        if isinstance(self.body, str):
            content.append(TextContent(text=self.body))
        elif self.body is not None:
            structured = to_builtins(self.body)
            content.append(TextContent(text=json.dumps(structured, indent=2, ensure_ascii=False)))
        if self.failed:
            structured = None
        return CallToolResult(content=content, structured_content=structured, is_error=self.failed)


def image(jpeg: bytes) -> ImageContent:
    return ImageContent(data=base64.b64encode(jpeg).decode(), mime_type="image/jpeg")


class Unobserved(LuxxonError):
    """A session came to nothing.

    Attributes:
        session: as it was left, or was last known.
        cause: why.
    """

    def __init__(self, session: Session, cause: LuxxonError) -> None:
        super().__init__(cause.detail, cause.message)
        self.session, self.cause = session, cause


class NotLive(ExternalError):
    """No picture in the time that was given."""

    code, status, default_message = "TIMEOUT", 504, "no camera went LIVE in time"


def status_of(error: LuxxonError) -> int:
    """The HTTP status that came, or that of our own error where none did."""
    return (isinstance(error, InvalidResponse) and error.http_status) or error.status


def retryable(error: LuxxonError) -> bool:
    """Whether the same call may do better later."""
    status = status_of(error)
    return status in (408, 429) or status >= 500 or isinstance(error, ExternalError)


def failure(error: LuxxonError) -> Answer:
    """The contract's error: ``code``, ``status`` and what else is known."""
    session: Session | None = None
    if isinstance(error, Unobserved):
        session, error = error.session, error.cause
    status = status_of(error)
    upstream = error.upstream if isinstance(error, InvalidResponse) else None
    return Answer(
        Failure(
            code=error.code,
            status=status,
            message=error.message if error.message != f"{error.code} ({status})" else UNSET,
            detail=error.detail or UNSET,
            retryable=retryable(error),
            upstream=" ".join(upstream[:UPSTREAM].split()) if upstream else UNSET,
            session_id=UNSET if session is None else session.id,
            state=UNSET if session is None else session.state,
        ),
        failed=True,
    )


def refused(error: msgspec.ValidationError) -> Answer:
    """Arguments that do not fit."""
    return failure(InvalidInput("mcp:arguments", str(error)))


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct, an object at its root as revisions before 2026-07-28 want it."""
    found = msgspec.json.schema(kind, schema_hook=_custom)
    definitions = found.get("$defs", {})
    root: dict[str, Any] = definitions.pop(found["$ref"].rpartition("/")[2]) if "$ref" in found else found
    root.pop("title", None)
    return {**root, "$defs": definitions} if definitions else root


def _custom(kind: type) -> dict[str, str]:
    if kind is Timestamp:
        return {"type": "string", "format": "date-time"}
    raise NotImplementedError(kind)
