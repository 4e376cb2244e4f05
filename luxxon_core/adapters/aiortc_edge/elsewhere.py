"""Pictures of live inputs that the edge of another server process holds.

Any server answers ``GET /sessions/:id/frame``; one that has no such stream asks the edge that does, at the
playback URL with ``/frame`` behind it. Whoever knows that URL may watch, so it needs no further credential.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from luxxon_core.media.domain import Frame, LiveInput

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

TIMEOUT_S = 2.0
CAPTURED_AT, SIZE = "X-Luxxon-Captured-At", "X-Luxxon-Size"

log = structlog.get_logger(__name__)


def frame_response(frame: Frame) -> web.Response:
    """The frame with what its JPEG does not say."""
    from aiohttp import web

    headers = {
        "Cache-Control": "no-store",
        CAPTURED_AT: frame.captured_at.isoformat(),
        SIZE: f"{frame.width}x{frame.height}",
    }
    return web.Response(body=frame.jpeg, content_type="image/jpeg", headers=headers)


class ElsewhereFrames:
    """Asks other edges; one client, made at first use."""

    def __init__(self) -> None:
        self._client: ClientSession | None = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """The latest frame of the edge that serves ``live_input``; None when it has none or does not answer:
        an edge that is gone has no picture either."""
        from aiohttp import ClientError, ClientSession, ClientTimeout

        if self._client is None:
            self._client = ClientSession(timeout=ClientTimeout(total=TIMEOUT_S))
        try:
            async with self._client.get(live_input.whep_url + "/frame", allow_redirects=False) as response:
                if response.status != 200:
                    return None
                jpeg = await response.read()
                width, _, height = response.headers[SIZE].partition("x")
                captured_at = datetime.fromisoformat(response.headers[CAPTURED_AT]).astimezone(UTC)
                return Frame(jpeg, int(width), int(height), captured_at)
        except (TimeoutError, ClientError, KeyError, ValueError) as error:
            log.warning("edge.elsewhere", edge=live_input.edge, cause=type(error).__name__)
            return None
