"""The media edges of a deployment: the embedded one always, others where the settings name them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from luxxon_core.adapters.system import kept_secret
from luxxon_core.bootstrap.outside import outside_edges
from luxxon_core.bootstrap.plugged import plugged_edges
from luxxon_core.bootstrap.shards import shards
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings, revealed

if TYPE_CHECKING:
    from aiohttp import web

    from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge, EdgeStats
    from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer
    from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge
    from luxxon_core.media.ports import Edge
    from luxxon_core.media.usecases import Edges


@dataclass(frozen=True, slots=True)
class MediaEdges:
    """The edges, started.

    Attributes:
        all: what the use cases deal with.
        embedded: within this process, with its routes and figures.
        shards: edges in processes of their own; with any, the embedded one keeps what it minted without them.
    """

    all: Edges
    embedded: AiortcEdge
    shards: Sequence[ShardEdge] = ()

    async def open(self) -> None:
        """Take publishers and viewers, now that what was stored is restored."""
        await asyncio.gather(*(shard.open() for shard in self.shards))

    @property
    def running(self) -> bool:
        """Whether live inputs can be minted in this server's processes."""
        return any(shard.running for shard in self.shards) if self.shards else self.embedded.running

    def routes(self) -> list[web.RouteDef]:
        """WHIP and WHEP of the embedded edge; what is a shard's is redirected there."""
        from luxxon_core.adapters.aiortc_edge.redirect import redirecting

        return redirecting(self.embedded.routes(), self.shards) if self.shards else self.embedded.routes()

    def stats(self) -> EdgeStats:
        """Of the embedded edge and the shards together."""
        return sum((shard.stats() for shard in self.shards), start=self.embedded.stats())


async def edges(stack: AsyncExitStack, settings: Settings, public_url: str, clock: Clock) -> MediaEdges:
    """Start every edge that the settings name; ``media_edge`` is the one that mints.

    The others go on serving what they minted before the setting was changed.

    Raises:
        StartError: an edge cannot start as the settings say.
    """
    from luxxon_core.media.usecases import Edges

    server = kept_secret(settings.data_dir / "edge.id", 8).hex()
    embedded = await _embedded(stack, settings, public_url, server, clock)
    processes = await shards(stack, settings, public_url, embedded.name, clock, _options(settings))
    outside = await outside_edges(stack, settings, server, clock)
    outside |= await plugged_edges(stack, settings, server, public_url, clock)
    started: dict[str, Sequence[Edge]] = {"embedded": processes or [embedded]}
    started |= {kind: [edge] for kind, edge in outside.items()}
    minting = started.pop(settings.media_edge)
    keeping = [edge for group in started.values() for edge in group] + ([embedded] if processes else [])
    return MediaEdges(Edges(minting, keeping), embedded, processes)


def _options(settings: Settings) -> dict[str, Any]:
    """What the settings say of every embedded edge, in whichever process: numbers, texts and lists."""
    return {
        "udp_host": settings.udp_host,
        "udp_port": settings.udp_port,
        "public_addresses": [str(address) for address in settings.public_addresses],
        "ice_servers": _ice_servers(settings),
        "address_quota": settings.rate_limit_address,
        "live_input_quota": settings.rate_limit_live_input,
        "trusted_proxies": [str(network) for network in settings.trusted_proxies],
        "forwarded_header": settings.forwarded_header,
    }


def _ice_servers(settings: Settings) -> list[IceServer]:
    from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer

    try:
        return [IceServer(s.url, s.username, revealed(s.credential)) for s in settings.ice_servers]
    except ValueError as error:
        raise StartError(message=f"setting ice_servers: {error}") from error


async def _embedded(
    stack: AsyncExitStack, settings: Settings, public_url: str, server: str, clock: Clock
) -> AiortcEdge:
    module = await asyncio.to_thread(import_module, "luxxon_core.adapters.aiortc_edge.edge")
    edge: AiortcEdge = module.AiortcEdge(
        public_url=public_url,
        name=f"{module.KIND}-{server}",
        clock=clock,
        **_options(settings),
    )
    await edge.start()
    stack.push_async_callback(edge.close)
    return edge
