"""The suite that every media edge passes: real WebRTC peers over loopback against a real HTTP server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import aioice.ice
import pytest
from edge_clients import BLUE, GREEN, RED, Client, Pattern, close_to, decoded, picture

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.ports import Edge
from tests.unit.aiortc_edge.edge_peers import SDP, WAIT, encoded, eventually, serve, until
from tests.unit.media.outside import watched


@dataclass
class Served:
    """An edge in service, and what it has reported."""

    edge: Edge
    http: aiohttp.ClientSession
    events: list[MediaEvent] = field(default_factory=list)

    async def event(self, kind: MediaEventKind, uid: str, count: int = 1) -> MediaEvent:
        """The ``count``-th event of this kind; waits for it."""

        def found() -> list[MediaEvent]:
            return [event for event in self.events if event.kind is kind and event.uid == uid]

        await until(lambda: len(found()) >= count)
        return found()[count - 1]


async def embedded(stack: AsyncExitStack, *, batch: bool | None = None) -> Edge:
    """The embedded edge behind an aiohttp server on a free port."""
    url = ""
    edge = AiortcEdge(public_url=lambda: url, batch=batch)
    await stack.enter_async_context(edge)
    url = await serve(stack, edge)
    return edge


async def sharded(stack: AsyncExitStack) -> Edge:
    """The embedded edge in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    edge = ShardEdge(name="embedded-ab-1", public_url=url, listener=listener)
    stack.push_async_callback(edge.close)
    await edge.start()
    await edge.open()
    return edge


async def outside(stack: AsyncExitStack) -> Edge:
    """An edge that gives no pictures, with a viewer of ours."""
    edge, *_ = await watched(stack)
    return edge


EDGES: dict[str, Callable[[AsyncExitStack], Awaitable[Edge]]] = {
    "embedded": embedded,
    "embedded-sendto": lambda stack: embedded(stack, batch=False),
    "shard": sharded,
    "watched": outside,
}


@pytest.fixture(params=EDGES)
async def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        edge = await EDGES[request.param](stack)
        served = Served(edge, http)

        async def collect() -> None:
            async for event in edge.events():
                served.events.append(event)

        collector = asyncio.create_task(collect())
        yield served
    await asyncio.wait_for(collector, WAIT)  # closing the edge ends its events


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Callable[[], Client]]:
    clients: list[Client] = []

    def make() -> Client:
        clients.append(Client(served.http))
        return clients[-1]

    yield make
    await asyncio.gather(*(each.close() for each in clients))


MakeClient = Callable[[], Client]


async def test_urls_are_unguessable_and_stay_out_of_repr(served: Served) -> None:
    one, other = await served.edge.create(), await served.edge.create()
    assert len(one.uid) == 32 and int(one.uid, 16)
    assert one.edge == served.edge.name
    urls = {one.whip_url, one.whep_url, other.whip_url, other.whep_url}
    assert len(urls) == 4
    assert all(len(url.rsplit("/", 1)[1]) >= 22 for url in urls)
    assert not any(url in repr(one) for url in urls)


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_published_media_reaches_viewers_and_the_frame(
    served: Served, client: MakeClient, codec: str
) -> None:
    live_input = await served.edge.create()
    assert await served.edge.frame(live_input) is None
    posted = utc_now()
    await client().publish(live_input.whip_url, Pattern(GREEN), codec)

    first = await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    assert first.at - posted < timedelta(seconds=1.5)
    frame = await served.edge.frame(live_input)
    assert frame is not None
    assert close_to(decoded(frame), GREEN)
    assert timedelta() <= utc_now() - frame.captured_at < timedelta(seconds=2)

    viewers = [client(), client()]
    for viewer in viewers:
        await viewer.view(live_input.whep_url)
    for viewer in viewers:
        await viewer.sees(GREEN)
    assert [event.kind for event in served.events] == [MediaEventKind.CONNECTED, MediaEventKind.FIRST_FRAME]


async def test_frame_stays_fresh(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    track = Pattern(RED)
    await client().publish(live_input.whip_url, track, "H264")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    track.colour = BLUE

    async def turned_blue() -> Frame | None:
        frame = await served.edge.frame(live_input)
        assert frame is not None and utc_now() - frame.captured_at < timedelta(seconds=2)
        return frame if close_to(decoded(frame), BLUE) else None

    await eventually(turned_blue, timeout=4)


async def test_a_source_that_ignores_keyframe_requests_is_served_all_the_same(
    served: Served, client: MakeClient
) -> None:
    """One keyframe in 8 s: viewers join at once, and the frame never grows old."""
    live_input = await served.edge.create()
    await client().publish(
        live_input.whip_url, Pattern(BLUE, encoded([picture(BLUE, index) for index in range(200)])), "H264"
    )
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    for _ in range(30):
        await asyncio.sleep(0.1)
        frame = await served.edge.frame(live_input)
        assert frame is not None
        assert utc_now() - frame.captured_at < timedelta(seconds=2)
    viewer = client()
    await viewer.view(live_input.whep_url)
    await viewer.sees(BLUE, timeout=2)


async def test_the_frame_of_a_still_scene_is_as_fresh_as_any(served: Served, client: MakeClient) -> None:
    """The same bytes, second after second, and each time they were captured just now."""
    live_input = await served.edge.create()
    await client().publish(live_input.whip_url, Pattern(RED, encoded([picture(RED, 0)])), "H264")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    digests, captured = set(), set()
    for _ in range(30):
        await asyncio.sleep(0.1)
        frame = await served.edge.frame(live_input)
        assert frame is not None and frame.jpeg
        assert utc_now() - frame.captured_at < timedelta(seconds=2)
        digests.add(frame.digest)
        captured.add(frame.captured_at)
    assert len(digests) == 1 and len(captured) >= 3


async def test_a_new_publisher_takes_over_and_viewers_stay(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    former, successor, viewer = client(), client(), client()
    await former.publish(live_input.whip_url, Pattern(RED), "VP8")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await viewer.view(live_input.whep_url)
    await viewer.sees(RED)

    await successor.publish(live_input.whip_url, Pattern(GREEN), "VP8")
    await viewer.sees(GREEN)
    assert viewer.pc.connectionState == "connected"
    await until(lambda: former.pc.connectionState == "closed")

    async def green() -> Frame | None:
        frame = await served.edge.frame(live_input)
        return frame if frame is not None and close_to(decoded(frame), GREEN) else None

    await eventually(green)
    kinds = [event.kind for event in served.events]
    assert kinds.count(MediaEventKind.FIRST_FRAME) == 1


async def test_a_takeover_in_another_codec_disconnects_viewers(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    before, after = client(), client()
    await client().publish(live_input.whip_url, Pattern(RED), "VP8")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await before.view(live_input.whep_url)
    await before.sees(RED)
    await client().publish(live_input.whip_url, Pattern(GREEN), "H264")
    await until(lambda: before.pc.connectionState == "closed")
    await after.view(live_input.whep_url)
    await after.sees(GREEN)


async def test_silence_is_reported_and_so_is_the_return(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    publisher, viewer = client(), client()
    await publisher.publish(live_input.whip_url, Pattern(RED), "H264")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await viewer.view(live_input.whep_url)
    await viewer.sees(RED)

    stopped = datetime.now(UTC)
    await publisher.close()
    gone = await served.event(MediaEventKind.DISCONNECTED, live_input.uid)
    noticed = datetime.now(UTC)
    assert timedelta(seconds=1.9) < noticed - gone.at < timedelta(seconds=4)
    assert abs(gone.at - stopped) < timedelta(seconds=1)

    await client().publish(live_input.whip_url, Pattern(GREEN), "H264")
    back = await served.event(MediaEventKind.CONNECTED, live_input.uid, count=2)
    assert back.at > gone.at
    await viewer.sees(GREEN)


async def test_a_frame_older_than_five_seconds_is_withheld(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    publisher = client()
    await publisher.publish(live_input.whip_url, Pattern(RED), "VP8")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await publisher.close()
    closed = asyncio.get_running_loop().time()

    async def withheld() -> bool | None:
        return True if await served.edge.frame(live_input) is None else None

    await eventually(withheld)
    assert 3.5 < asyncio.get_running_loop().time() - closed < 6.5


async def test_delete_disconnects_all_and_forgets_the_urls(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    publisher, viewer = client(), client()
    await publisher.publish(live_input.whip_url, Pattern(RED), "H264")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await viewer.view(live_input.whep_url)
    await viewer.sees(RED)

    await served.edge.delete(live_input)
    await served.edge.delete(live_input)
    assert await served.edge.frame(live_input) is None
    await until(lambda: {publisher.pc.connectionState, viewer.pc.connectionState} == {"closed"})
    for url in (live_input.whip_url, live_input.whep_url):
        async with served.http.post(url, data="v=0\r\n", headers=SDP) as answer:
            assert answer.status == 404


async def test_a_restored_live_input_works_as_before(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    await served.edge.delete(live_input)  # as after a restart: the edge knows nothing of it
    await served.edge.restore(live_input)
    await served.edge.restore(live_input)
    viewer = client()
    await client().publish(live_input.whip_url, Pattern(GREEN), "VP8")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    await viewer.view(live_input.whep_url)
    await viewer.sees(GREEN)


async def test_a_foreign_live_input_is_refused_without_repeating_its_secret(served: Served) -> None:
    foreign = LiveInput(
        "0" * 32, served.edge.name, "https://example.com/sekret/publish", "https://example.com/x"
    )
    with pytest.raises(VideoError) as caught:
        await served.edge.restore(foreign)
    assert "sekret" not in str(caught.value)


async def test_a_viewer_without_a_publisher_is_asked_to_come_back(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    viewer = client()
    viewer.pc.addTransceiver("video", "recvonly")
    offer = await viewer.pc.createOffer()
    async with served.http.post(live_input.whep_url, data=offer.sdp, headers=SDP) as answer:
        assert answer.status == 409
        assert int(answer.headers["Retry-After"]) > 0


async def test_the_session_ends_by_delete(served: Served, client: MakeClient) -> None:
    live_input = await served.edge.create()
    publisher = client()
    await publisher.publish(live_input.whip_url, Pattern(RED), "VP8")
    await served.event(MediaEventKind.FIRST_FRAME, live_input.uid)
    async with served.http.delete(publisher.session_url) as answer:
        assert answer.status == 200
    await until(lambda: publisher.pc.connectionState == "closed")
    async with served.http.delete(publisher.session_url) as answer:
        assert answer.status == 404
    await served.event(MediaEventKind.DISCONNECTED, live_input.uid)
