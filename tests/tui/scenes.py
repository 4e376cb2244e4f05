"""Recorded moments of a session and a picture that is the same on every machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sin

import numpy as np
from PIL import Image

from luxxon_core.http.schemas import Config
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.links.schemas import Link
from luxxon_core.wallet.schemas import WalletState
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import CameraFacts, ConsoleContext
from luxxon_tui.feed import SessionFeed
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.store import Readiness, Side, Store, Who
from luxxon_tui.video import SignalMeter, Stream
from luxxon_tui.views import Failure, LiveView, Loss, Offline, Online, Phase, SessionView
from luxxon_tui.widgets.header import HeaderView
from luxxon_tui.widgets.picture import Picture

NOW = datetime(2026, 5, 13, 14, 2, 11, tzinfo=UTC)
CREATED = datetime(2026, 5, 13, 14, 0, 27, 400_000, tzinfo=UTC)
ASSIGNED = CREATED + timedelta(milliseconds=400)
STARTED = ASSIGNED + timedelta(milliseconds=1100)

REQUESTED_POINT = Point(50.8466, 4.3524)
CONTEXT = ConsoleContext(
    workspace="acme-drones",
    place="Brussels, BE",
    chain_name="Base Sepolia",
    camera=CameraFacts(
        name="ptz-04",
        kind="PTZ",
        operator="north-roofs",
        point=Point(50.84691, 4.35271),
        radius_m=500,
    ),
    zone=UTC,
)

SESSION = SessionView(
    id="1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21",
    state="LIVE",
    created_at=CREATED,
    assigned_at=ASSIGNED,
    started_at=STARTED,
    max_seconds=300,
    wait_seconds=300,
    rate_micro=1000,
    hold_micro=300_000,
    requested=REQUESTED_POINT,
    elapsed_ms=102_150,
    lost_ms=1_000,
    clean_seconds=101,
    charged_micro=101_000,
    losses=(Loss("NETWORK_ERROR", 43_200, 44_200),),
    stream_url="http://127.0.0.1:8081/whep/2f7c",
)

LIVE = LiveView(
    Phase.LIVE,
    Online(12),
    SESSION,
    NOW,
    pool_micro=12_400_000,
    workspace="acme-drones",
    chain_name="Base Sepolia",
)
EMPTY = replace(LIVE, phase=Phase.EMPTY, session=None)
LOADING = LiveView(Phase.LOADING)
WAITING = replace(
    LIVE,
    phase=Phase.WAITING,
    session=SessionView(
        id=SESSION.id,
        state="REQUESTED",
        created_at=NOW - timedelta(seconds=3),
        max_seconds=300,
        wait_seconds=300,
        rate_micro=1000,
        hold_micro=300_000,
        requested=REQUESTED_POINT,
    ),
)
LOSING = replace(
    LIVE,
    session=replace(
        SESSION,
        lost_ms=6_000,
        clean_seconds=96,
        charged_micro=96_000,
        losses=(*SESSION.losses, Loss("NETWORK_ERROR", 97_150, None)),
    ),
)
OFFLINE = replace(
    LIVE,
    link=Offline(NOW - timedelta(seconds=8), 3, NOW + timedelta(seconds=4)),
    as_of=NOW - timedelta(seconds=8),
)
ENDED = replace(
    LIVE,
    phase=Phase.OVER,
    session=replace(
        SESSION,
        state="ENDED",
        ended_at=STARTED + timedelta(milliseconds=184_300),
        elapsed_ms=184_300,
        lost_ms=13_400,
        clean_seconds=170,
        charged_micro=170_000,
        losses=(*SESSION.losses, Loss("OUTSIDE_GEOFENCE", 120_000, 132_400)),
        to_micro=144_500,
        fee_micro=25_500,
        settlement="SUBMITTED",
        tx_hash="0x83f1d0ab5e7c4926b1d8fa03c55e9b7a6402d1fe38c7b5a9e0d4f61273b809ac",
        tx_url="https://sepolia.basescan.org/tx/"
        "0x83f1d0ab5e7c4926b1d8fa03c55e9b7a6402d1fe38c7b5a9e0d4f61273b809ac",
        stream_url=None,
    ),
)
CONFIRMED = replace(ENDED, session=replace(ENDED.session or SESSION, settlement="CONFIRMED"))
CANCELLED = replace(
    WAITING, phase=Phase.OVER, session=replace(WAITING.session or SESSION, state="CANCELLED", ended_at=NOW)
)
FAILED = replace(
    EMPTY,
    phase=Phase.FAILED,
    failure=Failure("Session not found", "session:unknown", "check the session's id"),
)
ALL = {
    "empty": EMPTY,
    "loading": LOADING,
    "waiting": WAITING,
    "live": LIVE,
    "losing": LOSING,
    "offline": OFFLINE,
    "ended": ENDED,
    "confirmed": CONFIRMED,
    "cancelled": CANCELLED,
    "failed": FAILED,
}

GOOD = Stream(1280, 720, "vp8", "WHEP", 29.8, 1_400_000, 0.002, 38.0)
STALLED = replace(GOOD, fps=0.0, bits_per_second=0.0, age_ms=8_000.0)


def picture(width: int = 320, height: int = 180) -> Image.Image:
    """Flat areas, gradients and slanted edges, in integer arithmetic: the same pixels everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    red = 60 + x * 150 // width
    green = 70 + y * 110 // height
    blue = 150 - x * 90 // width
    disc = (x - width * 2 // 3) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2
    post = abs(x * 3 - y - width) < 18
    for channel, disc_level, post_level in ((red, 250, 30), (green, 190, 34), (blue, 70, 46)):
        channel[disc] = disc_level
        channel[post] = post_level
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


LINK = Link(
    "https://api.luxxon.dev/s/AWsC74Bny2a_Q_BDgKO5QtrRDmn7i0ytKJJ6QYeRn-JCd0D4FUF3u99Dhgk593Mi5kOMksM",
    "consumer",
    Timestamp.of(NOW + timedelta(minutes=15)),
)


class RecordedFeed(SessionFeed):
    """Views that are handed to it, and what was asked of it."""

    def __init__(self, *views: LiveView) -> None:
        self.queue: asyncio.Queue[LiveView] = asyncio.Queue()
        for view in views:
            self.queue.put_nowait(view)
        self.ended = self.retried = 0

    async def views(self) -> AsyncIterator[LiveView]:
        while True:
            yield await self.queue.get()

    async def end(self) -> None:
        self.ended += 1

    async def link(self) -> Link:
        return LINK

    def retry(self) -> None:
        self.retried += 1


class RecordedVideo:
    """One frame, then silence; a stream of settled quality with a history."""

    def __init__(self, stream: Stream = GOOD, frame: Image.Image | None = None) -> None:
        self.reading = stream
        self.frames: asyncio.Queue[Image.Image] = asyncio.Queue()
        self.frames.put_nowait(frame or picture())
        self.closed = False

    async def frame(self) -> Image.Image:
        return await self.frames.get()

    def stream(self) -> Stream:
        return self.reading

    async def close(self) -> None:
        self.closed = True


def history(stream: Stream, samples: int = 80) -> list[Stream]:
    """Readings before ``stream``: a steady rate with one dip, so that graphs have a shape."""
    readings = []
    for number in range(samples):
        dip = 0.15 if samples - 38 <= number < samples - 36 else 1.0
        fps = (29.6 + 0.6 * sin(number * 1.3)) * dip
        bits = (1.4e6 + 2.5e5 * sin(number * 0.9) * sin(number * 0.31)) * dip
        readings.append(replace(stream, fps=fps, bits_per_second=bits, age_ms=38.0))
    return readings


def console(
    view: LiveView,
    *,
    stream: Stream = GOOD,
    frame: Image.Image | None = None,
    context: ConsoleContext = CONTEXT,
) -> ConsoleApp:
    """The console before it shows ``view``, its clock standing still; what is over was live before."""
    before = LIVE if view.phase is Phase.OVER and view.session and view.session.started_at else view
    return watching(RecordedFeed(before), lambda: RecordedVideo(stream, frame), before, context=context)


def watching(
    feed: RecordedFeed,
    open_video: Callable[[], RecordedVideo] = RecordedVideo,
    view: LiveView = LIVE,
    *,
    context: ConsoleContext = CONTEXT,
) -> ConsoleApp:
    """The console on its Live screen, the store as ``view`` has it."""
    store = Store()
    fill(store, view)
    return ConsoleApp(store=store, feed=feed, open_video=open_video, facts=context, clock=lambda: NOW)


READINESS = {Phase.LOADING: Readiness.LOADING, Phase.FAILED: Readiness.FAILED}
WORKSPACE = "7b1f0c52-4f0e-4f5e-9a53-0a1c5f0b2d11"
WALLET = "0x71C4000000000000000000000000000000009F02"
CONFIG = Config("TEST", 84532, "Base Sepolia", "", "https://sepolia.basescan.org", "0x0", "0x0")


def fill(store: Store, view: LiveView) -> None:
    """Put what a view of the Live screen says of the server into a store."""
    store.readiness.set(READINESS.get(view.phase, Readiness.READY))
    store.failure.set(view.failure)
    store.link.set(view.link)
    store.as_of.set(view.as_of)
    if view.workspace is not None:
        store.who.set(Who(WORKSPACE, view.workspace, view.workspace, scopes=("sessions:read",)))
    store.config.set(CONFIG if view.chain_name else None)
    if view.pool_micro is not None:
        pool = WalletState(WORKSPACE, WALLET, str(view.pool_micro), "19204771", Timestamp.of(NOW))
        store.wallet.set(pool)
    if view.session is not None:
        store.put(view.session)


def headline(view: LiveView, context: ConsoleContext) -> HeaderView:
    """The header over a view of the Live screen."""
    return HeaderView(
        view.link,
        NOW,
        view.as_of,
        context.workspace or view.workspace,
        context.chain_name or view.chain_name,
        view.chain_name is not None,
        view.pool_micro,
        Side.REQUEST,
        context.zone,
    )


async def settle(app: ConsoleApp, view: LiveView, *, stream: Stream = GOOD) -> None:
    """Wait for the picture, give the graphs their past, then show ``view``."""
    screen = app.screen
    assert isinstance(screen, LiveScreen)
    fill(app.store, view)
    if screen.scene.live or view.phase is Phase.LIVE:
        await until(lambda: screen.query_one(Picture).latest is not None)
    screen._sampling.pause()  # readings come from here from now on, not from the time that passes
    meter = screen._meter = SignalMeter(lambda: NOW)
    meter.arrived()
    if view.phase in (Phase.LIVE, Phase.OVER):
        stopped = [stream] * 16 if stream is STALLED else []
        for reading in [*history(GOOD, 80 - len(stopped)), *stopped]:
            screen.scene = replace(screen.scene, signal=meter.sample(reading))
    if stream is STALLED:
        meter._newest_at = NOW - timedelta(seconds=8)
    screen.take(view)
    screen._tick()


def tell(app: ConsoleApp, view: LiveView) -> None:
    """The server has told ``view``."""
    screen = app.screen_stack[0]
    assert isinstance(screen, LiveScreen)
    fill(app.store, view)
    screen.take(view)


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition of the screen; there is no event for it."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)
