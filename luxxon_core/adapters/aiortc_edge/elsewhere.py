"""Pictures of live inputs that the edge of another server process holds.

Any server answers ``GET /sessions/:id/frame``; one that has no such stream asks the edge that does, at the
playback URL with ``/frame`` behind it. Whoever knows that URL may watch, so it needs no further credential.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from luxxon_core.adapters.rest import bounded
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame, LiveInput
from luxxon_core.media.schemas import (
    CAPTURED_AT,
    CONTENT_TYPE,
    SIZE,
    entity_tag,
    picture_headers,
    unchanged,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

TIMEOUT_S = 2.0
KEPT = 64
"""Pictures that are kept to be asked for again: most of the time they are still the same."""
MAX_BYTES = 1 << 24

log = structlog.get_logger(__name__)


def frame_response(frame: Frame, if_none_match: str | None) -> web.Response:
    """The frame with what its JPEG does not say, or 304 to who has it."""
    from aiohttp import web

    headers = picture_headers(frame, utc_now())
    if unchanged(frame, if_none_match):
        return web.Response(status=304, headers=headers)
    return web.Response(body=frame.jpeg, content_type=CONTENT_TYPE, headers=headers)


class ElsewhereFrames:
    """Asks other edges; one client, made at first use."""

    def __init__(self) -> None:
        self._client: ClientSession | None = None
        self._known: OrderedDict[str, Frame] = OrderedDict()
        """By live input, the one asked for last at the end."""

    async def close(self) -> None:
        client, self._client = self._client, None
        self._known.clear()
        if client is not None:
            await client.close()

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """The latest frame of the edge that serves ``live_input``; None when it has none or does not answer:
        an edge that is gone has no picture either."""
        from aiohttp import ClientError, ClientSession, ClientTimeout

        if self._client is None:
            self._client = ClientSession(timeout=ClientTimeout(total=TIMEOUT_S))
        known = self._known.pop(live_input.uid, None)
        asked = {"If-None-Match": entity_tag(known)} if known is not None else {}
        url = live_input.whep_url + "/frame"
        try:
            async with self._client.get(url, headers=asked, allow_redirects=False) as response:
                if response.status == 304 and known is not None:
                    found = _frame(known.jpeg, response.headers, known.digest)
                elif response.status == 200 and (jpeg := await bounded(response, MAX_BYTES)):
                    found = _frame(jpeg, response.headers)
                else:
                    return None
        except (TimeoutError, ClientError, KeyError, ValueError) as error:
            log.warning("edge.elsewhere", edge=live_input.edge, cause=type(error).__name__)
            return None
        self._known[live_input.uid] = found
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found


def _frame(jpeg: bytes, headers: Mapping[str, str], digest: str = "") -> Frame:
    width, _, height = headers[SIZE].partition("x")
    captured_at = datetime.fromisoformat(headers[CAPTURED_AT]).astimezone(UTC)
    return Frame(jpeg, int(width), int(height), captured_at, digest)
