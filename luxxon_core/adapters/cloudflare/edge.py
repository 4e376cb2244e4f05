"""Implements ``luxxon_core.media.ports.Edge`` on Cloudflare Stream; gives no pictures itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog

from luxxon_core.adapters.rest import Answer, Rest
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent
from luxxon_core.media.usecases.liveness import Liveness

KIND = "cloudflare"
API_URL = "https://api.cloudflare.com/client/v4"
POLL_S = 10.0
"""Between two rounds: Cloudflare allows 1,200 requests in five minutes for everything together."""
REQUEST_S = 0.5
"""Between two requests of a round."""
FLOWING = frozenset({"connected", "reconnected"})
STOPPED = frozenset(
    {"client_disconnect", "disconnected", "ttl_exceeded", "failed_to_connect", "failed_to_reconnect"}
)
"""What else a status says, such as ``reconnecting`` or nothing at all, is no news."""

_UID = re.compile(r"[0-9a-f]{32}")

log = structlog.get_logger(__name__)


class CloudflareStream:
    """Serves between ``start`` and ``close``, on one event loop."""

    def __init__(
        self,
        *,
        account_id: str,
        api_token: str,
        name: str = KIND,
        clock: Clock = utc_now,
        api_url: str = API_URL,
        poll_s: float = POLL_S,
    ) -> None:
        """Args:
        account_id: 32 hex digits.
        api_token: with the permission Stream: Edit.
        """
        self._api = Rest(KIND, api_url, {"Authorization": f"Bearer {api_token}"})
        self._inputs = f"/accounts/{account_id}/stream/live_inputs"
        self._name, self._clock, self._poll_s = name, clock, poll_s
        self._live = Liveness(clock)
        self._polling: asyncio.Task[None] | None = None
        self.reachable = True
        """Whether the API answered when it was last asked."""

    async def start(self) -> None:
        """Begin to ask for the status of what is served."""
        self._polling = asyncio.create_task(self._poll(), name="cloudflare poll")

    async def close(self) -> None:
        """End ``events``; what was minted stays, and can be restored. Idempotent."""
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        await self._api.close()
        self._live.end()

    # The port.

    @property
    def name(self) -> str:
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._name})

    async def create(self) -> LiveInput:
        body = {"meta": {"name": self._name}, "recording": {"mode": "off"}}
        answer = await self._call("POST", self._inputs, body, idempotent=False)
        result = _result(answer)
        uid = result.get("uid")
        if not isinstance(uid, str) or not _UID.fullmatch(uid):
            raise _unclear()
        try:
            live_input = LiveInput(uid, self._name, _url(result, "webRTC"), _url(result, "webRTCPlayback"))
        except VideoError:
            with suppress(VideoError):  # one without URLs is of no use to anybody
                await self._call("DELETE", f"{self._inputs}/{uid}")
            raise
        self._live.open(live_input)
        return live_input

    async def restore(self, live_input: LiveInput) -> None:
        """Cloudflare has kept it. Raises VideoError when the live input is not one of this edge's."""
        if live_input.edge != self._name or not _ours(live_input):
            raise VideoError("video:live_input:foreign", "The live input belongs to another edge")
        self._live.open(live_input)

    async def delete(self, live_input: LiveInput) -> None:
        known = self._live.get(live_input.uid)
        self._live.close(live_input.uid)
        if not _UID.fullmatch(live_input.uid):
            return
        try:
            answer = await self._call("DELETE", f"{self._inputs}/{live_input.uid}")
            if answer.status >= 400 and answer.status != 404:
                raise VideoError(f"video:cloudflare:{answer.status}", "Cloudflare did not end the live input")
        except VideoError:
            if known is not None:  # who sweeps by what is served must find it again
                self._live.open(known)
            raise

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """Cloudflare gives none of WebRTC."""
        return None

    def serving(self, before: datetime) -> Mapping[str, str]:
        return self._live.serving(before)

    def announce(self) -> None:
        self._live.announce()

    def events(self) -> AsyncIterator[MediaEvent]:
        return self._live.events()

    # Liveness.

    async def _poll(self) -> None:
        while True:
            for live_input in self._live.all():
                with suppress(VideoError):
                    await self._look(live_input)
                await asyncio.sleep(min(REQUEST_S, self._poll_s))
            await asyncio.sleep(self._poll_s)

    async def _look(self, live_input: LiveInput) -> None:
        answer = await self._call("GET", f"{self._inputs}/{live_input.uid}")
        if answer.status == 404:
            self._live.stopped(live_input.uid)
            return
        state, now = _state(_result(answer)), self._clock()
        if state in FLOWING:
            self._live.flows(live_input.uid, now)
        elif state in STOPPED:
            self._live.stopped(live_input.uid)

    async def _call(self, method: str, path: str, body: object = None, *, idempotent: bool = True) -> Answer:
        try:
            answer = await self._api.call(method, path, body, idempotent=idempotent)
        except VideoError:
            if self.reachable:
                log.warning("cloudflare not answering")
            self.reachable = False
            raise
        self.reachable = True
        if answer.status in (401, 403):
            raise VideoError(f"video:cloudflare:{answer.status}", "Cloudflare refuses our API token")
        return answer


def _result(answer: Answer) -> dict[str, Any]:
    """What an answer brings, out of its envelope.

    Raises:
        VideoError: the call failed, or the answer is not understood.
    """
    if answer.status not in (200, 201):
        raise VideoError(f"video:cloudflare:{answer.status}", "Cloudflare refused the call")
    result = answer.document.get("result")
    if answer.document.get("success") is not True or not isinstance(result, dict):
        raise _unclear()
    return result


def _url(result: Mapping[str, Any], name: str) -> str:
    part = result.get(name)
    url = part.get("url") if isinstance(part, dict) else None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise _unclear()
    return url


def _state(result: Mapping[str, Any]) -> str | None:
    """Of a live input: a word by the API's schema, an object around it in its answers."""
    status = result.get("status")
    if isinstance(status, dict):
        current = status.get("current")
        status = current.get("state") if isinstance(current, dict) else None
    return status if isinstance(status, str) else None


def _ours(live_input: LiveInput) -> bool:
    """``https://<host>/<secret>k<uid>/webRTC/publish`` and ``https://<host>/<uid>/webRTC/play``."""
    return live_input.whip_url.endswith("/webRTC/publish") and live_input.whep_url.endswith("/webRTC/play")


def _unclear() -> VideoError:
    return VideoError("video:cloudflare:answer", "Cloudflare answers in a way that is not understood")
