"""What several sources tell, in one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from luxxon_core.media.domain import MediaEvent


async def merged(*sources: AsyncIterator[MediaEvent]) -> AsyncGenerator[tuple[int, MediaEvent], None]:
    """What several sources tell, with the place of the source among them; each in its order. Ends when all
    have ended."""
    told: asyncio.Queue[tuple[int, MediaEvent] | None] = asyncio.Queue()

    async def read(place: int, source: AsyncIterator[MediaEvent]) -> None:
        try:
            async for event in source:
                told.put_nowait((place, event))
        finally:
            told.put_nowait(None)

    reading = [asyncio.create_task(read(*each), name="media events") for each in enumerate(sources)]
    try:
        ended = 0
        while ended < len(reading):
            if (event := await told.get()) is None:
                ended += 1
            else:
                yield event
        await asyncio.gather(*reading)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
