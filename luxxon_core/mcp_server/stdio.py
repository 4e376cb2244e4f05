"""MCP on standard input and output, for one host that starts us."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import structlog
from mcp.server.stdio import stdio_server

from luxxon_core.client import Luxxon
from luxxon_core.mcp_server.calls import Calls
from luxxon_core.mcp_server.server import Caller, made

if TYPE_CHECKING:
    import anyio

log = structlog.get_logger(__name__)

LONGEST_LINE = 1 << 20
"""Bytes of one message: arguments are small."""
CLOSE_SECONDS = 5.0
"""How long we go on ending what calls could not end."""
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Lines:
    """The lines of a file descriptor, until it ends or :meth:`close` is called.

    They are read by a thread that nobody waits for: a read cannot be interrupted, and a host that asks us to
    end need not have closed our input before.
    """

    def __init__(self, descriptor: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._closed = False
        threading.Thread(target=self._read, args=(descriptor,), name="stdin", daemon=True).start()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        line = None if self._closed else await self._lines.get()
        if line is None or self._closed:
            raise StopAsyncIteration
        return line

    def close(self) -> None:
        self._closed = True
        self._lines.put_nowait(None)

    def _read(self, descriptor: int) -> None:
        rest = b""
        try:
            while chunk := os.read(descriptor, 1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, line.decode(errors="replace"))
                if len(rest) > LONGEST_LINE:
                    break
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)
        except (OSError, RuntimeError):  # closed, or the loop is
            return


async def serve(base_url: str, api_key: str | None) -> int:
    """Answer until the host closes our input or asks us to end; then end what calls have begun.

    Without a key the tools can be listed and each call says what is missing.
    """
    calls = Calls()
    loop = asyncio.get_running_loop()
    lines = Lines(0)
    for number in STOPS:
        loop.add_signal_handler(number, lines.close)
    api = Luxxon(base_url, api_key=api_key) if api_key else None

    @asynccontextmanager
    async def opened(_: Any) -> AsyncIterator[Caller]:
        yield Caller(api)

    server, code = made(opened, calls), 0
    try:
        async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (reading, writing):
            log.info("mcp ready", url=base_url, key=api is not None)
            await server.run(reading, writing, server.create_initialization_options())
    except* OSError:
        log.warning("mcp host gone")
        code = 1
    finally:
        await calls.close(CLOSE_SECONDS)
        for number in STOPS:
            loop.remove_signal_handler(number)
        if api is not None:
            await api.close()
    return code
