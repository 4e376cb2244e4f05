"""An edge that gives no pictures, watched as a viewer would: frames, first frame, liveness, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import aiohttp
import aioice.ice
import pytest
from structlog.testing import capture_logs

from luxxon_core.adapters.aiortc_edge.channel import Source
from luxxon_core.adapters.aiortc_edge.watching import Watch, WhepPictures
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.usecases import Watched
from tests.unit.aiortc_edge.edge_peers import connect, eventually, peer, send_h264, until
from tests.unit.media.outside import Outside, watched


@dataclass
class Deployment:
    outside: Outside
    pictures: WhepPictures
    edge: Watched
    http: aiohttp.ClientSession
    events: list[MediaEvent] = field(default_factory=list)

    def told(self, kind: MediaEventKind, live_input: LiveInput) -> list[MediaEvent]:
        return [event for event in self.events if event.kind is kind and event.uid == live_input.uid]


@pytest.fixture
async def market(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployment]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    async with AsyncExitStack() as stack:
        edge, outside, pictures = await watched(stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        deployment = Deployment(outside, pictures, edge, http)

        async def listen() -> None:
            async for event in deployment.edge.events():
                deployment.events.append(event)

        listening = asyncio.create_task(listen())
        yield deployment
        await outside.close()
        await pictures.close()
        await asyncio.wait_for(listening, 5)  # the events end with both


async def test_pictures_come_while_somebody_publishes_and_go_stale_after(market: Deployment) -> None:
    live_input = await market.edge.create()
    assert await market.edge.frame(live_input) is None
    async with peer() as camera:
        send_h264(camera)
        await connect(market.http, camera, live_input.whip_url)
        frame = await eventually(lambda: market.edge.frame(live_input), timeout=10)
        assert frame.jpeg.startswith(b"\xff\xd8")
        assert (frame.width, frame.height) == (320, 240)
        assert (utc_now() - frame.captured_at).total_seconds() < 5
        await until(lambda: market.told(MediaEventKind.FIRST_FRAME, live_input))

        async def newer() -> Frame | None:
            found = await market.edge.frame(live_input)
            return found if found is not None and found.captured_at > frame.captured_at else None

        await eventually(newer, timeout=5)
        assert market.outside.stats().viewers == 1
    await until(lambda: market.told(MediaEventKind.DISCONNECTED, live_input), timeout=6)
    await asyncio.sleep(5)
    assert await market.edge.frame(live_input) is None

    async with peer() as camera:  # to the same URL again: the viewer is still there, or comes back
        send_h264(camera)
        await connect(market.http, camera, live_input.whip_url)
        await eventually(lambda: market.edge.frame(live_input), timeout=10)
        await until(lambda: len(market.told(MediaEventKind.CONNECTED, live_input)) >= 2, timeout=5)
    assert len(market.told(MediaEventKind.FIRST_FRAME, live_input)) == 1


async def test_the_end_of_a_live_input_ends_its_viewer(market: Deployment) -> None:
    live_input = await market.edge.create()
    async with peer() as camera:
        send_h264(camera)
        await connect(market.http, camera, live_input.whip_url)
        await eventually(lambda: market.edge.frame(live_input), timeout=10)
        await market.edge.delete(live_input)
        assert await market.edge.frame(live_input) is None
        assert not market.pictures.attached(live_input.uid)
    count = len(market.events)
    await market.edge.delete(live_input)
    assert len(market.events) == count
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("watch", "whep"))]


async def test_a_live_input_of_another_server_is_watched_while_pictures_are_asked_for(
    market: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luxxon_core.adapters.aiortc_edge.watching.GUEST_LIFETIME", 2.0)
    market.outside.mute = True
    minted = await market.outside.create()
    theirs = replace(minted, edge="outside-2")
    async with peer() as camera:
        send_h264(camera)
        await connect(market.http, camera, minted.whip_url)
        await eventually(lambda: market.edge.frame(theirs), timeout=10)
        assert market.outside.stats().viewers == 1
        await until(lambda: market.outside.stats().viewers == 0, timeout=8)
    assert market.events == []  # their own server tells of it


async def test_no_secret_is_logged(market: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    live_input = await market.edge.create()
    gone = replace(live_input, whep_url="http://127.0.0.1:9/whep/sekret")
    assert market.pictures.frame(replace(gone, uid="1" * 32)) is None
    await asyncio.sleep(1.2)
    secrets = [url.rpartition("/")[2] for url in (live_input.whip_url, live_input.whep_url)]
    written = capsys.readouterr()
    text = written.out + written.err
    assert "sekret" not in text
    assert not [secret for secret in secrets if secret in text]


async def test_what_goes_wrong_with_a_packet_is_logged_and_watched_again(
    market: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, failures = Watch.fed, [ArithmeticError("of ours")]

    def failing(self: Watch, source: Source, now: float) -> None:
        if failures:
            raise failures.pop()
        fed(self, source, now)

    monkeypatch.setattr(Watch, "fed", failing)
    with capture_logs() as lines:
        live_input = await market.edge.create()
        async with peer() as camera:
            send_h264(camera)
            await connect(market.http, camera, live_input.whip_url)
            await eventually(lambda: market.edge.frame(live_input), timeout=15)
    crashes = [line for line in lines if line["event"] == "watch.crashed"]
    assert [str(line["exc_info"]) for line in crashes] == ["of ours"]
    assert live_input.whep_url not in str(lines)
