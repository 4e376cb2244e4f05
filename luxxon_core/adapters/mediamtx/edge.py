"""Implements ``luxxon_core.media.ports.Edge`` on a MediaMTX server; gives no pictures itself."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import structlog

from luxxon_core.adapters.rest import Failed, Rest
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent
from luxxon_core.media.usecases.liveness import Liveness

KIND = "mediamtx"
SECRET_BYTES = 24
POLL_S = 1.0
SILENT = timedelta(seconds=2)
"""Without a byte more: no media flow."""
PAGE = 1000
MAX_PAGES = 100

_PATH = re.compile(r"/([A-Za-z0-9_-]{22,64})/(whip|whep)")

log = structlog.get_logger(__name__)


class Paths(NamedTuple):
    """The names of a live input's two paths: both secret."""

    publish: str
    watch: str


class MediaMtx:
    """Serves between ``start`` and ``close``, on one event loop."""

    def __init__(
        self,
        *,
        api_url: str,
        public_url: str,
        rtsp_url: str = "rtsp://127.0.0.1:8554",
        credentials: tuple[str, str] | None = None,
        name: str = KIND,
        clock: Clock = utc_now,
        poll_s: float = POLL_S,
    ) -> None:
        """Args:
        api_url: of the control API: ``http://127.0.0.1:9997``.
        public_url: where clients find WHIP and WHEP: ``https://media.example:8889``.
        rtsp_url: where MediaMTX finds its own RTSP server.
        credentials: user and password of the control API.
        """
        self._api = Rest(KIND, api_url, _authorization(credentials))
        self._public_url, self._rtsp_url = public_url.rstrip("/"), rtsp_url.rstrip("/")
        self._name, self._clock, self._poll_s = name, clock, poll_s
        self._live = Liveness(clock)
        self._received: dict[str, int] = {}
        """Bytes that had come in when it was last asked, by uid."""
        self._polling: asyncio.Task[None] | None = None
        self.reachable = True
        """Whether the control API answered when it was last asked."""

    async def start(self) -> None:
        """Begin to ask; a server that is not there yet is waited for."""
        self._polling = asyncio.create_task(self._poll(), name="mediamtx poll")

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
        paths = Paths(secrets.token_urlsafe(SECRET_BYTES), secrets.token_urlsafe(SECRET_BYTES))
        try:
            await self._add(paths)
        except BaseException:
            with suppress(VideoError):  # what nobody knows of harms nobody
                await asyncio.shield(self._remove(paths))
            raise
        live_input = LiveInput(
            uid=uuid4().hex,
            edge=self._name,
            whip_url=f"{self._public_url}/{paths.publish}/whip",
            whep_url=f"{self._public_url}/{paths.watch}/whep",
        )
        self._live.open(live_input)
        return live_input

    async def restore(self, live_input: LiveInput) -> None:
        """MediaMTX forgets paths with its own restart: they are made again. Raises VideoError when the live
        input is not one of this edge's."""
        paths = _paths(live_input)
        if live_input.edge != self._name or paths is None:
            raise VideoError("video:live_input:foreign", "The live input belongs to another edge")
        self._live.open(live_input)
        try:
            await self._add(paths)
        except Failed as error:  # not there yet: the paths are made when it is found without them
            log.warning("mediamtx path not restored yet", uid=live_input.uid, detail=error.detail)

    async def delete(self, live_input: LiveInput) -> None:
        known = self._live.get(live_input.uid)
        self._live.close(live_input.uid)
        self._received.pop(live_input.uid, None)
        paths = _paths(known or live_input)
        if paths is None:
            return
        try:
            await self._remove(paths)
        except VideoError:
            if known is not None:  # who sweeps by what is served must find it again
                self._live.open(known)
            raise

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """MediaMTX gives none."""
        return None

    def serving(self, before: datetime) -> Mapping[str, str]:
        return self._live.serving(before)

    def announce(self) -> None:
        self._live.announce()

    def events(self) -> AsyncIterator[MediaEvent]:
        return self._live.events()

    def seen_from(self, live_input: LiveInput) -> LiveInput:
        """As our own viewer sees it: at the publisher's path, which costs no detour and answers at once."""
        paths = _paths(live_input)
        if paths is None:
            return live_input
        return replace(live_input, whep_url=f"{self._public_url}/{paths.publish}/whep")

    # The control API.

    async def _add(self, paths: Paths) -> None:
        await self._configure(paths.publish, {"source": "publisher", "overridePublisher": True})
        source = {
            "source": f"{self._rtsp_url}/{paths.publish}",
            "rtspTransport": "tcp",
            "sourceOnDemand": True,
            "sourceOnDemandStartTimeout": "5s",
            "sourceOnDemandCloseAfter": "10s",
        }
        await self._configure(paths.watch, source)

    async def _configure(self, path: str, configuration: dict[str, object]) -> None:
        answer = await self._api.call("POST", f"/v3/config/paths/add/{path}", configuration)
        if answer.status == 200:
            return
        if answer.status == 400:  # as when it exists already
            found = await self._api.call("GET", f"/v3/config/paths/get/{path}")
            if found.status == 200 and found.document.get("source") == configuration["source"]:
                return
        raise VideoError(f"video:mediamtx:{answer.status}", "MediaMTX refused the live input")

    async def _remove(self, paths: Paths) -> None:
        """The viewers' path first: who watches sees the end, and not the loss of a source."""
        for path in (paths.watch, paths.publish):
            answer = await self._api.call("DELETE", f"/v3/config/paths/delete/{path}")
            if answer.status not in (200, 404):
                raise VideoError(f"video:mediamtx:{answer.status}", "MediaMTX did not end the live input")

    # Liveness.

    async def _poll(self) -> None:
        while True:
            missing: list[LiveInput] = []
            try:
                if self._live.all():
                    missing = await self._look()
                self.reachable = True
            except VideoError as error:
                if self.reachable:
                    log.warning("mediamtx not answering", detail=error.detail)
                self.reachable = False
            for uid in self._live.silent_since(self._clock() - SILENT):
                self._live.stopped(uid)
            for live_input in missing:
                await self._make_again(live_input)
            await asyncio.sleep(self._poll_s)

    async def _look(self) -> list[LiveInput]:
        """Note where media flow; what MediaMTX does not have."""
        listed, missing = await self._list(), []
        now = self._clock()
        for live_input in self._live.all():
            paths = _paths(live_input)
            assert paths is not None
            found = listed.get(paths.publish)
            if found is None or paths.watch not in listed:
                self._received.pop(live_input.uid, None)
                self._live.stopped(live_input.uid)
                missing.append(live_input)
            elif found.get("ready") is True:
                self._advance(live_input.uid, _received(found), now)
            else:
                self._received.pop(live_input.uid, None)
                self._live.stopped(live_input.uid)
        return missing

    def _advance(self, uid: str, received: int, now: datetime) -> None:
        """Ready is not enough: a publisher that freezes stays ready until its session times out."""
        if received != self._received.get(uid, 0):
            self._live.flows(uid, now)
        self._received[uid] = received

    async def _make_again(self, live_input: LiveInput) -> None:
        """MediaMTX has been restarted; or the path is only being made, which does no harm."""
        paths = _paths(live_input)
        assert paths is not None
        try:
            await self._add(paths)
            if self._live.get(live_input.uid) is None:  # deleted meanwhile
                await self._remove(paths)
        except VideoError as error:  # tried again with the next look
            log.warning("mediamtx path not made again", uid=live_input.uid, detail=error.detail)
        else:
            log.info("mediamtx path made again", uid=live_input.uid)

    async def _list(self) -> dict[str, dict[str, Any]]:
        """Every path by its name."""
        listed: dict[str, dict[str, Any]] = {}
        for page in range(MAX_PAGES):
            answer = await self._api.call(
                "GET", f"/v3/paths/list?itemsPerPage={PAGE}&page={page}", attempts=1
            )
            items, pages = answer.document.get("items"), answer.document.get("pageCount")
            if answer.status != 200 or not isinstance(items, list) or not isinstance(pages, int):
                raise VideoError("video:mediamtx:answer", "MediaMTX answers in a way that is not understood")
            listed |= {str(one.get("name")): one for one in items if isinstance(one, dict)}
            if page + 1 >= pages:
                break
        return listed


def _authorization(credentials: tuple[str, str] | None) -> dict[str, str]:
    if credentials is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(credentials).encode()).decode()}


def _received(path: Mapping[str, Any]) -> int:
    """Bytes, under the present name or the former one."""
    counts = (path.get("inboundBytes"), path.get("bytesReceived"))
    return max((count for count in counts if isinstance(count, int)), default=0)


def _paths(live_input: LiveInput) -> Paths | None:
    """None where the URLs are not of this edge's making, or not known."""
    publish = _PATH.search(urlsplit(live_input.whip_url).path)
    watch = _PATH.search(urlsplit(live_input.whep_url).path)
    if publish is None or watch is None or (publish[2], watch[2]) != ("whip", "whep"):
        return None
    return Paths(publish[1], watch[1])
