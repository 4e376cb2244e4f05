"""Server-sent events, from bytes (WHATWG HTML §9.2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from luxxon_core.client.errors import InvalidResponse

MOST_BYTES = 1 << 20
"""Of one event; none of ours comes near it."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; ``id`` None where it brought none of its own."""

    name: str
    data: str
    id: str | None


class EventParser:
    """Takes a stream as it comes, in pieces of any size.

    Lines end at CR and LF alone, which a reader of text lines (``httpx-sse``) does not keep to: U+2028 is
    legal inside JSON.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        """How long the server wants its clients to wait before they come back."""
        self._rest = b""
        self._begun = False
        self._after_cr = False
        self._size = 0
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that ``chunk`` completes.

        Raises:
            InvalidResponse: an event that does not end.
        """
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = (self._rest + chunk).splitlines(keepends=True)
        self._rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        found = []
        for line in lines:
            event = self._line(line.rstrip(b"\r\n"))
            if event is not None:
                found.append(event)
        if self._size + len(self._rest) > MOST_BYTES:
            raise InvalidResponse(message="an event of the stream does not end")
        return found

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BYTE_ORDER_MARK)
        if not line:
            return self._complete()
        self._size += len(line)
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
        return None

    def _complete(self) -> ServerSentEvent | None:
        name, data, id_ = self._name, self._data, self._id
        self._name, self._data, self._id, self._size = "", [], None, 0
        return ServerSentEvent(name or "message", "\n".join(data), id_) if data else None
