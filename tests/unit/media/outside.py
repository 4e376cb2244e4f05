"""The embedded edge in the part of an outside one: it tells whether media flow, and gives no pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.aiortc_edge.watching import WhepPictures
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.usecases import Watched
from tests.unit.aiortc_edge.edge_peers import serve


class Outside(AiortcEdge):
    """``mute`` makes it tell nothing, like an edge without notifications."""

    mute = False

    async def frame(self, live_input: LiveInput) -> Frame | None:
        return None

    async def events(self) -> AsyncIterator[MediaEvent]:
        async for event in super().events():
            if not self.mute and event.kind in (MediaEventKind.CONNECTED, MediaEventKind.DISCONNECTED):
                yield event


async def watched(stack: AsyncExitStack) -> tuple[Watched, Outside, WhepPictures]:
    """Behind an aiohttp server on a free port, with a viewer of ours."""
    url = ""
    outside = await stack.enter_async_context(Outside(public_url=lambda: url, name="outside-1"))
    url = await serve(stack, outside)
    pictures = await stack.enter_async_context(WhepPictures())
    return Watched(outside, pictures), outside, pictures
