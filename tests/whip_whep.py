"""A source that is published by WHIP, and a viewer that watches by WHEP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luxxon_core.client.whep import WhepViewer
from luxxon_core.operator.publisher import PublishEnd, Publisher
from luxxon_core.source import Source


@asynccontextmanager
async def publishing(source: Source, url: str) -> AsyncIterator[tuple[Publisher, asyncio.Task[PublishEnd]]]:
    publisher = Publisher(source)
    task = asyncio.create_task(publisher.publish(url))
    try:
        yield publisher, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[WhepViewer]:
    viewer = WhepViewer()
    try:
        await asyncio.wait_for(viewer.open(url), 10)
        yield viewer
    finally:
        await viewer.close()
