"""Media edges and signers of plugins, where the settings name them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from luxxon_core.bootstrap.outside import watched
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError, StartError
from luxxon_core.plugins import EdgeContext, EdgeType, PluginRegistry, load_plugins, one_line
from luxxon_core.settings import Settings

if TYPE_CHECKING:
    from luxxon_core.kernel.signing import Signer
    from luxxon_core.media.ports import Edge

log = structlog.get_logger(__name__)

BUILT_IN = ("embedded", "cloudflare", "mediamtx")


async def plugged_edges(
    stack: AsyncExitStack, settings: Settings, server: str, public_url: str, clock: Clock
) -> dict[str, Edge]:
    """Start every edge that a plugin registers, by key; one that cannot start and is not chosen is left out.

    Plugins are imported only where ``media_edge`` is none of the built-in ones or there are tables
    ``[plugins.NAME]``: a server has no cameras.

    Raises:
        StartError: ``media_edge`` names an edge that no plugin registers, or that cannot start.
    """
    chosen = None if settings.media_edge in BUILT_IN else settings.media_edge
    if chosen is None and not settings.plugins:
        return {}
    registry = await _registry(settings)
    if chosen is not None and chosen not in registry.edges:
        known = ", ".join([*BUILT_IN, *sorted(registry.edges)])
        raise StartError(
            message=f"setting media_edge: there is no edge {chosen!r}; available: {known}{registry.absences}"
        )
    context = EdgeContext(server, public_url, settings.data_dir, clock)
    started: dict[str, Edge] = {}
    for key, edge_type in registry.edges.items():
        try:
            started[key] = await _opened(stack, edge_type, context)
        except StartError as error:
            if key == chosen:
                raise
            log.error("edge.left_out", edge=key, reason=error.message)
    return started


async def plugged_signer(stack: AsyncExitStack, settings: Settings) -> Signer:
    """Open the signer that ``relayer_signer`` names.

    Raises:
        StartError: no plugin registers it, or it cannot be opened.
    """
    registry = await _registry(settings)
    signer_type = registry.signers.get(settings.relayer_signer or "")
    if signer_type is None:
        known = ", ".join(sorted(registry.signers)) or "none"
        raise StartError(
            message=f"setting relayer_signer: there is no signer {settings.relayer_signer!r}; "
            f"available: {known}{registry.absences}"
        )
    try:
        return await stack.enter_async_context(signer_type.open())
    except Exception as error:  # a plugin's
        raise _cannot("signer", signer_type.key, error) from error


async def _opened(stack: AsyncExitStack, edge_type: EdgeType, context: EdgeContext) -> Edge:
    try:
        edge = await stack.enter_async_context(edge_type.open(context))
        if edge.name not in (edge_type.key, f"{edge_type.key}-{context.server}"):
            raise ValueError(f"its name is {edge.name!r}, not {edge_type.key}-{context.server}")
    except Exception as error:  # a plugin's
        raise _cannot("media edge", edge_type.key, error) from error
    return edge if edge_type.pictures else await watched(stack, edge, context.clock)


async def _registry(settings: Settings) -> PluginRegistry:
    registry = await asyncio.to_thread(load_plugins, settings=settings)
    for failure in registry.failures:
        log.warning("plugin.left_out", plugin=failure.plugin, reason=failure.reason)
    return registry


def _cannot(what: str, key: str, error: Exception) -> StartError:
    reason = error.message if isinstance(error, LuxxonError) else one_line(error)
    return StartError(message=f"{what} {key}: {reason}")
