"""Media that stop, sound without a picture, and pictures that show nothing: what the edge tells of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack
from edge_peers import WAIT, Service, connect, eventually, peer

from luxxon_core.adapters.aiortc_edge.decoder import Decoded, Decoder, Unit
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Fault, MediaEvent, MediaEventKind

NOISE = np.random.default_rng(5).integers(60, 200, (240, 320, 3), np.uint8)
BLACK = np.zeros((240, 320, 3), np.uint8)
Kind = MediaEventKind


class Stage(MediaStreamTrack):
    """Shows what it is told, 15 times a second; while ``closed`` nothing is sent at all."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.lit, self.moving = True, True
        self.open = asyncio.Event()
        self.open.set()
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / 15)
        await self.open.wait()
        self._count += self.moving
        frame = av.VideoFrame.from_ndarray(np.roll(NOISE, self._count * 4, 1) if self.lit else BLACK)
        frame.pts, frame.time_base = int(asyncio.get_running_loop().time() * 90000), Fraction(1, 90000)
        return frame


class Told:
    """The events of an edge, as they come."""

    def __init__(self, service: Service) -> None:
        self._events = service.edge.events()

    async def next(self, *, seconds: float = WAIT) -> MediaEvent:
        async with asyncio.timeout(seconds):
            return await anext(self._events)


@asynccontextmanager
async def published(service: Service, *, sound: bool = False) -> AsyncIterator[tuple[Stage, Told]]:
    """A stage in front of the edge's camera, once its first picture is there."""
    live_input, told = await service.edge.create(), Told(service)
    async with peer() as pc:
        stage = Stage()
        transceiver = pc.addTransceiver(stage, "sendonly")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in codecs if c.mimeType in ("video/VP8", "video/rtx")])
        if sound:
            pc.addTransceiver(AudioStreamTrack(), "sendonly")
        await connect(service.http, pc, live_input.whip_url)
        assert [(await told.next()).kind for _ in range(2)] == [Kind.CONNECTED, Kind.FIRST_FRAME]
        yield stage, told
        assert pc.connectionState == "connected"


async def test_a_picture_that_is_ready_when_media_have_stopped_makes_nobody_live(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders that are busy with others: nobody would be told again that nothing flows."""
    free, decode = threading.Event(), Decoder.decode

    def late(self: Decoder, units: Sequence[Unit], every_frame: bool, due: float) -> Decoded:
        free.wait(WAIT)
        return decode(self, units, every_frame, due)

    monkeypatch.setattr(Decoder, "decode", late)
    live_input, told = await service.edge.create(), Told(service)
    async with peer() as pc:
        stage = Stage()
        pc.addTransceiver(stage, "sendonly")
        await connect(service.http, pc, live_input.whip_url)
        assert (await told.next()).kind is Kind.CONNECTED
        await asyncio.sleep(0.5)
        stage.open.clear()
        assert (await told.next(seconds=4)).kind is Kind.DISCONNECTED
        free.set()
        await eventually(lambda: service.edge.frame(live_input))
        stage.open.set()
        assert [(await told.next()).kind for _ in range(2)] == [Kind.CONNECTED, Kind.FIRST_FRAME]


@pytest.mark.parametrize("sound", [False, True], ids=["video", "with-sound"])
async def test_a_peer_that_stays_and_sends_no_picture_is_disconnected(service: Service, sound: bool) -> None:
    """The transport is up all the time; sound goes on where there is any."""
    async with published(service, sound=sound) as (stage, told):
        stage.open.clear()
        stopped = utc_now()
        gone = await told.next(seconds=4)
        noticed = utc_now()
        assert gone.kind is Kind.DISCONNECTED
        assert abs(gone.at - stopped) < timedelta(seconds=0.5), "it begins with the last packet"
        assert timedelta(seconds=1.9) < noticed - gone.at < timedelta(seconds=2.5)

        stage.open.set()
        back = await told.next(seconds=2)
        assert back.kind is Kind.CONNECTED
        assert back.at - gone.at > timedelta(seconds=1.9)


async def test_a_black_picture_is_told_and_its_end_and_media_flow_all_the_while(service: Service) -> None:
    async with published(service) as (stage, told):
        stage.lit = False
        darkened = utc_now()
        began = await told.next(seconds=10)
        assert (began.kind, began.fault) == (Kind.FAULT_BEGAN, Fault.BLACK)
        assert timedelta(seconds=-0.2) < began.at - darkened < timedelta(seconds=2)
        assert utc_now() - began.at >= timedelta(seconds=5)
        stage.lit = True
        lit = utc_now()
        ended = await told.next(seconds=4)
        assert (ended.kind, ended.fault) == (Kind.FAULT_ENDED, Fault.BLACK)
        assert timedelta(seconds=-0.2) < ended.at - lit < timedelta(seconds=2)


async def test_a_frozen_picture_is_told_again_by_announce_and_ends_with_the_media(service: Service) -> None:
    async with published(service) as (stage, told):
        stage.moving = False
        began = await told.next(seconds=10)
        assert (began.kind, began.fault) == (Kind.FAULT_BEGAN, Fault.FROZEN)
        service.edge.announce()
        again = [await told.next(seconds=1) for _ in range(2)]
        assert [event.kind for event in again] == [Kind.CONNECTED, Kind.FAULT_BEGAN]
        assert again[1].fault is Fault.FROZEN and abs(again[1].at - began.at) < timedelta(milliseconds=5)
        stage.open.clear()
        assert (await told.next(seconds=4)).kind is Kind.DISCONNECTED  # which ends the fault, too
        stage.open.set()
        stage.moving = True
        assert (await told.next(seconds=2)).kind is Kind.CONNECTED
