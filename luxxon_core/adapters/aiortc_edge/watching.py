"""Pictures of live inputs that an outside edge serves (api-contract §15.4): each is watched by WHEP.

Implements ``luxxon_core.media.ports.Pictures``. Whoever watches sees whether video flows, so liveness and
faults come from here as well, by the same rules as on the embedded edge.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import structlog

from luxxon_core.adapters.aiortc_edge import decoder, private
from luxxon_core.adapters.aiortc_edge.channel import Channel, Context, Source
from luxxon_core.adapters.aiortc_edge.mux import Mux
from luxxon_core.adapters.aiortc_edge.subscriber import NothingToWatch, Subscriber
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent

if TYPE_CHECKING:
    from aiohttp import ClientSession

DECODER_THREADS = 2
PAUSE = (0.5, 5.0)
"""Shortest and longest wait in seconds before an edge is asked again; it doubles in between."""
GUEST_LIFETIME = 15.0
"""Seconds after the last request for a picture that another server's live input is watched on."""
MAX_GUESTS = 64
"""Each costs a session; whoever asks comes again."""
TIMEOUT = 10.0

log = structlog.get_logger(__name__)


class WhepPictures:
    """Watches between ``start`` and ``close``, on one event loop."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue()
        self._watches: dict[str, Watch] = {}
        self._guests: dict[str, Watch] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._http: ClientSession | None = None
        self._certificate: private.Certificate | None = None

    async def start(self) -> None:
        """Raises StartError where the media libraries lack what is needed."""
        from aiohttp import ClientSession, ClientTimeout

        private.check()
        self._executor = ThreadPoolExecutor(DECODER_THREADS, "watch-decoder")
        await asyncio.get_running_loop().run_in_executor(self._executor, decoder.warm_up)
        self._certificate = private.Certificate()
        self._http = ClientSession(timeout=ClientTimeout(total=TIMEOUT))

    async def close(self) -> None:
        """End every session and ``events``. Idempotent."""
        watches = [*self._watches.values(), *self._guests.values()]
        self._watches.clear()
        self._guests.clear()
        await asyncio.gather(*(watch.end() for watch in watches))
        http, self._http = self._http, None
        executor, self._executor = self._executor, None
        if http is not None:
            await http.close()
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self._events.put_nowait(None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # The port.

    def watch(self, live_input: LiveInput) -> None:
        watch = self._watches.get(live_input.uid)
        if watch is None:
            self._watches[live_input.uid] = self._begin(live_input, guest=False)
        else:
            watch.hurry()

    async def forget(self, uid: str) -> None:
        watch = self._watches.pop(uid, None)
        if watch is not None:
            await watch.end()

    def attached(self, uid: str) -> bool:
        watch = self._watches.get(uid)
        return watch is not None and watch.attached

    def frame(self, live_input: LiveInput) -> Frame | None:
        watch = self._watches.get(live_input.uid) or self._guests.get(live_input.uid)
        if watch is None:
            if len(self._guests) >= MAX_GUESTS:
                return None
            watch = self._guests[live_input.uid] = self._begin(live_input, guest=True)
        watch.asked_at = time.monotonic()
        return watch.frame()

    def announce(self) -> None:
        for watch in self._watches.values():
            watch.announce()

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)  # a later reader ends as well

    def _begin(self, live_input: LiveInput, *, guest: bool) -> Watch:
        if self._http is None or self._certificate is None or self._executor is None:
            raise VideoError("video:whep:stopped", "No pictures are taken")
        context = Context(
            mux=cast(Mux, None),  # nobody publishes here, and nobody views
            certificate=self._certificate,
            addresses=(),
            executor=self._executor,
            clock=self._clock,
            emit=_nowhere if guest else self._events.put_nowait,
            max_bitrate=0,
        )
        watch = Watch(live_input, context, self._http, guest=guest)
        if guest:
            watch.task.add_done_callback(lambda _: self._guests.pop(live_input.uid, None))
        return watch


class Watch(Channel):
    """One live input as another edge serves it. Implements ``subscriber.Receiver``."""

    def __init__(self, live_input: LiveInput, context: Context, http: ClientSession, *, guest: bool) -> None:
        """``guest``: watched only as long as pictures are asked for."""
        super().__init__(live_input.uid, context)
        self.attached = False
        """A session is connected: silence is the publisher's."""
        self.asked_at = time.monotonic()
        self._url, self._http, self._certificate = live_input.whep_url, http, context.certificate
        self._guest = guest
        self._hurry = asyncio.Event()
        self._subscriber: Subscriber | None = None
        self.task = asyncio.create_task(self._run(), name="watch")

    def hurry(self) -> None:
        """There may be something to watch now."""
        self._hurry.set()

    async def end(self) -> None:
        """Leave, and send no more events."""
        self.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> None:
        pause = PAUSE[0]
        while self._wanted():
            self._hurry.clear()
            if await self._attend():
                pause = PAUSE[0]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.0)):  # noqa: S311
                    await self._hurry.wait()
                    pause = PAUSE[0] / 2
            pause = min(pause * 2, PAUSE[1])
        self.close()

    async def _attend(self) -> bool:
        """One session, to its end; whether there was one."""
        self._subscriber = Subscriber(self._http, self._certificate, self, self._mark)
        self._connected = False
        try:
            await self._subscriber.run(self._url)
        except NothingToWatch as nothing:
            log.debug("watch.nothing", uid=self.uid, status=nothing.args[0])
        except VideoError as error:
            log.info("watch.failed", uid=self.uid, detail=error.detail)
        except Exception as error:  # what an edge sends must not end the watch of it
            log.error("watch.crashed", uid=self.uid, exc_info=error)
        return self._connected

    def _mark(self, attached: bool) -> None:
        self.attached = attached
        self._connected |= attached

    def _wanted(self) -> bool:
        return not self._guest or time.monotonic() - self.asked_at < GUEST_LIFETIME

    # The receiver of a session.

    def feed(self, source: Source) -> None:
        if self.publisher is source:  # in another codec
            self._publisher_gone(source)
        self._adopt(source)

    def fed(self, source: Source, now: float) -> None:
        self._media(source, now)

    def tend(self, source: Source, now: float) -> None:
        self._tick(source, now)
        if not self._wanted():
            source.close()

    def unfed(self, source: Source) -> None:
        self._publisher_gone(source)


def _nowhere(_: MediaEvent) -> None:
    """Its own server tells of it."""
