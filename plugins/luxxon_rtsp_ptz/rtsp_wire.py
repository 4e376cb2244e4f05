"""RTSP messages and interleaved binary data on one connection (RFC 2326 §4, §6, §7, §10.12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

LONGEST_HEAD, LONGEST_BODY = 32 << 10, 256 << 10
_DOLLAR = 0x24
_BEGINNINGS = (
    b"RTSP/",
    b"OPTIONS ",
    b"SET_PARAMETER ",
    b"GET_PARAMETER ",
    b"ANNOUNCE ",
    b"REDIRECT ",
    b"TEARDOWN ",
)
"""Of what a camera may send: answers, and requests of its own (RFC 2326 §10)."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    reason: str
    headers: Mapping[str, list[str]]
    """By lower-case name."""
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        return next(iter(self.headers.get(name, ())), "")


class WireProtocol(asyncio.Protocol):
    """Splits what arrives. What is neither a message nor data of a known channel is skipped.

    ``on_data`` takes the channel and the data.
    """

    def __init__(self, on_data: Callable[[int, bytes], None], on_lost: Callable[[], None]) -> None:
        self.channels: set[int] = set()
        self.ended = False
        self._on_data, self._on_lost = on_data, on_lost
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, asyncio.Future[Response]] = {}

    @property
    def peer_address(self) -> str:
        assert self._transport is not None
        address: str = self._transport.get_extra_info("peername")[0]
        return address

    def send_request(self, method: str, uri: str, headers: Mapping[str, str]) -> None:
        assert self._transport is not None
        head = [f"{method} {uri} RTSP/1.0", *(f"{name}: {value}" for name, value in headers.items())]
        self._transport.write("\r\n".join([*head, "", ""]).encode())

    def send_interleaved(self, channel: int, data: bytes) -> None:
        if self._transport is not None and not self.ended:
            self._transport.write(bytes([_DOLLAR, channel]) + len(data).to_bytes(2, "big") + data)

    async def answer(self, sequence: int) -> Response:
        """The response of that CSeq. Raises ConnectionError when the connection ends before."""
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answers[sequence] = future
        try:
            return await future
        finally:
            del self._answers[sequence]

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        for future in self._answers.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection has ended"))
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        buffer = self._rest + data if self._rest else data
        channels, on_data = self.channels, self._on_data
        position, size = 0, len(buffer)
        while position < size:
            if buffer[position] == _DOLLAR and size - position >= 4 and buffer[position + 1] in channels:
                end = position + 4 + (buffer[position + 2] << 8 | buffer[position + 3])
                if end > size:
                    break
                on_data(buffer[position + 1], buffer[position + 4 : end])
                position = end
                continue
            taken = self._other(buffer, position)
            if not taken:
                break
            position += taken
        self._rest = buffer[position:]

    def _other(self, buffer: bytes, start: int) -> int:
        """Bytes of what is no data of a known channel; 0 where more must arrive first."""
        head = buffer[start : start + 14]
        if head[0] == _DOLLAR and len(head) < 4:
            return 0
        if not any(head.startswith(one) or one.startswith(head) for one in _BEGINNINGS):
            return _to_the_next(buffer, start)
        return self._message(buffer, start)

    def _message(self, buffer: bytes, start: int) -> int:
        end = buffer.find(b"\r\n\r\n", start)
        if end < 0:
            return len(buffer) - start if len(buffer) - start > LONGEST_HEAD else 0
        first, *lines = buffer[start:end].decode("utf-8", "replace").split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        text = next(iter(headers.get("content-length", ())), "0")
        length = int(text) if text.isdecimal() and len(text) < 10 else 0
        if length > LONGEST_BODY:
            self.abort()
            return len(buffer) - start
        if len(buffer) < end + 4 + length:
            return 0
        self._arrived(first, headers, buffer[end + 4 : end + 4 + length])
        return end + 4 + length - start

    def _arrived(self, first: str, headers: dict[str, list[str]], body: bytes) -> None:
        version, _, rest = first.partition(" ")
        number = next(iter(headers.get("cseq", ())), "")
        if not version.startswith("RTSP/"):
            if rest.endswith("RTSP/1.0") and self._transport is not None:
                # A request of the camera, such as OPTIONS or SET_PARAMETER: to see whether we are alive.
                self._transport.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n\r\n".encode())
            return
        status, _, reason = rest.partition(" ")
        future = self._answers.get(int(number)) if number.isdecimal() and len(number) < 10 else None
        if future is not None and not future.done() and status.isdecimal() and len(status) == 3:
            future.set_result(Response(int(status), reason, headers, body))


def _to_the_next(buffer: bytes, start: int) -> int:
    """Bytes up to where data or a message may begin again."""
    candidates = [at for mark in (b"$", b"RTSP/") if (at := buffer.find(mark, start + 1)) > 0]
    return min(candidates, default=len(buffer)) - start
