"""An answer of bytes that are there already, put on the connection as they are.

aiohttp makes an answer's head in a dozen steps and, on some versions of Python, joins it and the body to one
string: a copy of each picture. Here each of them is one piece, and the kernel gets both at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from time import time

from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_writer import SKIP_WRITELINES


class Whole(web.StreamResponse):
    """200 with a body; only for requests that :func:`takes_whole`.

    Args:
        headers: all but Date, Server and Content-Length, each name at most once.

    Raises:
        ValueError: a header has more than one line.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        text = "".join(lines)
        if not text.count("\r") == text.count("\n") == len(lines):
            raise ValueError("a header of more than one line")
        self._parts = (
            f"HTTP/1.1 200 OK\r\n{text}{_dated(int(time()))}Content-Length: {len(body)}\r\n\r\n".encode(),
            body,
        )

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send all of it, and wait for a client that reads slowly."""
        writer, (head, body) = request.writer, self._parts
        if (transport := request.transport) is None or transport.is_closing():
            raise ClientConnectionResetError("the client has gone")
        if SKIP_WRITELINES or not body:  # some Pythons do not pause then, or wait for ever to send nothing
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        writer.output_size += len(head) + len(body)
        await writer.drain()
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""


def takes_whole(request: web.BaseRequest) -> bool:
    """Whether it asks for a body, and leaves the connection as it is."""
    return request.method == "GET" and request.keep_alive and request.version == HttpVersion11


@lru_cache(maxsize=1)
def _dated(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n"
