"""Media edges in processes of their own, as many as the settings say, and where each is reached."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings

if TYPE_CHECKING:
    from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge

BACKLOG = 1024
BIND_SECONDS = 5.0
"""How long a port may be in use by the shards of a server that was killed just now."""
KEPT = "media-ports.json"
"""In the data directory: free ports that were taken, so that URLs are good after a restart as well."""


async def shards(
    stack: AsyncExitStack,
    settings: Settings,
    public_url: str,
    name: str,
    clock: Clock,
    options: Mapping[str, Any],
) -> Sequence[ShardEdge]:
    """Start ``media_processes`` edges named ``name-1`` and on; none when that is 0.

    Args:
        public_url: of the server: shards without one of their own are reached at its host.
        options: of every edge; the UDP port, where one is given, is counted on from.

    Raises:
        StartError: a port is taken, or the settings do not fit together.
    """
    count = settings.media_processes
    if count == 0:
        return ()
    _check(settings, public_url)
    module = await asyncio.to_thread(import_module, "luxxon_core.adapters.aiortc_edge.shard_edge")
    bound = await listeners(stack, settings)
    made: list[ShardEdge] = []
    for number, listener in enumerate(bound):
        port = options.get("udp_port", 0)
        made.append(
            module.ShardEdge(
                name=f"{name}-{number + 1}",
                public_url=_url(settings, public_url, number, listener),
                listener=listener,
                clock=clock,
                options={**options, "udp_port": port + 1 + number if port else 0},
            )
        )
    for shard in made:
        stack.push_async_callback(shard.close)
    starting = [asyncio.create_task(shard.start(), name=f"start {shard.name}") for shard in made]
    try:
        await asyncio.gather(*starting)
    finally:
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
    return made


def _check(settings: Settings, public_url: str) -> None:
    given = len(settings.media_public_urls)
    if given not in (0, settings.media_processes):
        raise StartError(message="setting media_public_urls: one for each of media_processes")
    if not given and public_url.startswith("https://"):
        raise StartError(message="setting media_public_urls: needed beside media_processes and https")
    for name in ("media_http_port", "udp_port"):
        if getattr(settings, name) + settings.media_processes > 65535:
            raise StartError(message=f"setting {name}: too high for as many media_processes")


def _url(settings: Settings, public_url: str, number: int, listener: socket.socket) -> str:
    if settings.media_public_urls:
        return settings.media_public_urls[number]
    host = urlsplit(public_url).hostname or settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


async def listeners(stack: AsyncExitStack, settings: Settings) -> list[socket.socket]:
    """One for each shard: at the given ports, else at those of last time, else at free ones."""
    count, base = settings.media_processes, settings.media_http_port
    kept = settings.data_dir / KEPT
    former = [] if base else _ports(kept)
    bound = []
    for number in range(count):
        if base:
            listener = await _listening(settings.host, base + number)
        else:
            listener = await _again(settings.host, former[number] if number < len(former) else 0)
        stack.callback(listener.close)
        bound.append(listener)
    if not base:
        ports = [listener.getsockname()[1] for listener in bound]
        try:
            kept.write_text(json.dumps([*ports, *former[count:]]))
        except OSError as error:
            raise StartError(message=f"cannot write {kept}: {error.strerror}") from error
    return bound


def _ports(kept: Path) -> list[int]:
    try:
        found = json.loads(kept.read_text())
    except (OSError, ValueError):
        return []
    if not isinstance(found, list):
        return []
    return [port if isinstance(port, int) and 0 < port < 65536 else 0 for port in found]


async def _again(host: str, port: int) -> socket.socket:
    """At a port that we had before; at a free one when somebody else has it now."""
    try:
        return await _listening(host, port)
    except StartError:
        if port == 0:
            raise
        return await _listening(host, 0)


async def _listening(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BIND_SECONDS
    while True:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or loop.time() > deadline:
                reason = f"cannot listen on {host} port {port} for media: {error.strerror}"
                raise StartError(message=reason) from error
            await asyncio.sleep(0.1)
        else:
            listener.setblocking(False)
            return listener
