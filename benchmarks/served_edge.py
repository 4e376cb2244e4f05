"""The embedded edge behind an HTTP server of its own, as the measured process has it."""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiohttp import web

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from tests.loopback import served


async def served_edge(stack: AsyncExitStack) -> AiortcEdge:
    """On a free port of 127.0.0.1 until the stack ends."""
    url = ""
    edge = await stack.enter_async_context(AiortcEdge(public_url=lambda: url))
    app = web.Application()
    app.add_routes(edge.routes())
    url = await stack.enter_async_context(served(app))
    return edge
