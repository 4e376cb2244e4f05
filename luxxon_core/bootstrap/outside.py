"""Media edges that somebody else runs, where the settings name them; a viewer of ours for their pictures."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings, revealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from luxxon_core.media.domain import LiveInput
    from luxxon_core.media.ports import Edge


async def outside_edges(
    stack: AsyncExitStack, settings: Settings, server: str, clock: Clock
) -> dict[str, Edge]:
    """Start them; by kind.

    Args:
        server: which server of the deployment this is: a part of the edges' names.

    Raises:
        StartError: ``media_edge`` names one that the settings do not describe.
    """
    found: dict[str, Edge] = {}
    if settings.cloudflare_account_id is not None and settings.cloudflare_api_token is not None:
        found["cloudflare"] = await _cloudflare(stack, settings, server, clock)
    if settings.mediamtx_api_url is not None and settings.mediamtx_url is not None:
        found["mediamtx"] = await _mediamtx(stack, settings, server, clock)
    needs = {
        "cloudflare": "cloudflare_account_id and cloudflare_api_token",
        "mediamtx": "mediamtx_api_url and mediamtx_url",
    }
    if settings.media_edge in needs and settings.media_edge not in found:
        raise StartError(message=f"setting media_edge: needs {needs[settings.media_edge]} beside it")
    return found


async def _cloudflare(stack: AsyncExitStack, settings: Settings, server: str, clock: Clock) -> Edge:
    from luxxon_core.adapters.cloudflare.edge import KIND, CloudflareStream

    assert settings.cloudflare_account_id is not None
    edge = CloudflareStream(
        account_id=settings.cloudflare_account_id,
        api_token=revealed(settings.cloudflare_api_token) or "",
        api_url=settings.cloudflare_api_url,
        name=f"{KIND}-{server}",
        clock=clock,
    )
    await edge.start()
    stack.push_async_callback(edge.close)
    return await watched(stack, edge, clock)


async def _mediamtx(stack: AsyncExitStack, settings: Settings, server: str, clock: Clock) -> Edge:
    from luxxon_core.adapters.mediamtx.edge import KIND, MediaMtx

    assert settings.mediamtx_api_url is not None
    assert settings.mediamtx_url is not None
    password = revealed(settings.mediamtx_password)
    edge = MediaMtx(
        api_url=settings.mediamtx_api_url,
        public_url=settings.mediamtx_url,
        rtsp_url=settings.mediamtx_rtsp_url,
        credentials=None if password is None else (settings.mediamtx_user, password),
        name=f"{KIND}-{server}",
        clock=clock,
    )
    await edge.start()
    stack.push_async_callback(edge.close)
    return await watched(stack, edge, clock, edge.seen_from)


async def watched(
    stack: AsyncExitStack,
    edge: Edge,
    clock: Clock,
    seen_from: Callable[[LiveInput], LiveInput] | None = None,
) -> Edge:
    """The edge with pictures that a viewer of ours takes from it, seen where ``seen_from`` says."""
    from luxxon_core.media.usecases import Watched

    module = await asyncio.to_thread(import_module, "luxxon_core.adapters.aiortc_edge.watching")
    pictures = module.WhepPictures(clock)
    await pictures.start()
    stack.push_async_callback(pictures.close)
    return Watched(edge, pictures, seen_from)
