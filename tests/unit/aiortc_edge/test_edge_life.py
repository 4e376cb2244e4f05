"""The running edge on bad networks, among strangers, and at its end."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import AsyncIterator, Sequence

import av
import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from edge_peers import SDP, Service, connect, offer, peer, send_h264, serving, until

from luxxon_core.adapters.aiortc_edge import decoder, private, rtp, udp
from luxxon_core.adapters.aiortc_edge import mux as mux_module
from luxxon_core.adapters.aiortc_edge import peer as peer_module
from luxxon_core.adapters.aiortc_edge.channel import MEDIA_TIMEOUT
from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.aiortc_edge.mux import Mux, advertised_addresses
from luxxon_core.adapters.aiortc_edge.publisher import Publisher
from luxxon_core.kernel.errors import StartError
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.media.ports import Edge


async def test_media_that_comes_with_the_last_handshake_message_is_not_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one keyframe arrives while our side is still busy with the handshake."""
    handshake = private.DtlsConnection.handshake

    async def slow(self: private.DtlsConnection, fingerprints: Sequence[tuple[str, str]]) -> private.SrtpKeys:
        keys = await handshake(self, fingerprints)
        await asyncio.sleep(0.4)
        return keys

    monkeypatch.setattr(private.DtlsConnection, "handshake", slow)
    live_input = await service.edge.create()
    async with peer() as pc:
        send_h264(pc)
        await connect(service.http, pc, live_input.whip_url)
        async with asyncio.timeout(2):
            await service.first_frame(live_input)


async def test_a_publisher_may_be_the_dtls_server(service: Service) -> None:
    live_input = await service.edge.create()
    async with peer() as pc:
        send_h264(pc)
        text = (await offer(pc)).replace("a=setup:actpass", "a=setup:passive")
        async with service.http.post(live_input.whip_url, data=text, headers=SDP) as answer:
            body = await answer.text()
        assert "a=setup:active" in body
        await pc.setRemoteDescription(RTCSessionDescription(body, "answer"))
        await service.first_frame(live_input)


async def test_loss_in_both_directions_is_repaired(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 % each way: the picture moves on all the same."""
    rng = random.Random(5)
    receive, fan = Mux._deliver, Mux.fan

    def lossy_receive(self: Mux, peer: object, packet: bytes | None, rtcp: bool, now: float) -> None:
        if rtcp or rng.random() > 0.05:
            receive(self, peer, packet, rtcp, now)  # type: ignore[arg-type]

    def lossy_fan(self: Mux, routes: object, packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        kept = packets if rtcp else [packet for packet in packets if rng.random() > 0.05]
        if kept:
            fan(self, routes, kept, rtcp=rtcp)  # type: ignore[arg-type]

    monkeypatch.setattr(Mux, "_deliver", lossy_receive)
    monkeypatch.setattr(Mux, "fan", lossy_fan)
    live_input = await service.edge.create()
    frames: list[av.VideoFrame] = []
    async with peer() as pc, peer() as viewer:
        send_h264(pc)
        await connect(service.http, pc, live_input.whip_url)
        await service.first_frame(live_input)
        transceiver = viewer.addTransceiver("video", "recvonly")
        await connect(service.http, viewer, live_input.whep_url)

        async def read() -> None:
            while True:
                frames.append(await transceiver.receiver.track.recv())  # type: ignore[arg-type]

        reader = asyncio.create_task(read())
        await until(lambda: len(frames) > 5)
        start = len(frames)
        await asyncio.sleep(3)
        reader.cancel()
        assert len(frames) - start > 60
        assert await service.edge.frame(live_input) is not None


async def test_a_peer_without_a_sign_of_life_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "CONSENT_TIMEOUT", 1.0)
    monkeypatch.setattr(peer_module, "CONNECT_TIMEOUT", 2.0)
    async with serving() as service:
        live_input = await service.edge.create()
        async with peer() as never, peer() as vanished:
            send_h264(never)
            async with service.http.post(live_input.whip_url, data=await offer(never), headers=SDP) as answer:
                assert answer.status == 201
            await until(lambda: service.edge.stats().publishers == 0, timeout=3)

            send_h264(vanished)
            await connect(service.http, vanished, live_input.whip_url)
            await service.first_frame(live_input)
            assert service.edge.stats().publishers == 1
            for way_in in ("_stun", "_deliver"):  # the cable is cut
                monkeypatch.setattr(Mux, way_in, lambda *_: None)
            await until(lambda: service.edge.stats().publishers == 0, timeout=3)


async def test_headers_without_media_are_no_sign_of_a_picture(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_input = await service.edge.create()
    async with peer() as pc:
        send_h264(pc)
        await connect(service.http, pc, live_input.whip_url)
        await service.first_frame(live_input)
        parse = rtp.parse_rtp
        monkeypatch.setattr(rtp, "parse_rtp", lambda data: parse(data)._replace(payload=b""))
        async with asyncio.timeout(MEDIA_TIMEOUT + 2):
            kinds = [event.kind async for event in once(service.edge)]
        assert kinds == [MediaEventKind.DISCONNECTED]
        assert pc.connectionState == "connected"


async def once(edge: AiortcEdge) -> AsyncIterator[MediaEvent]:
    async for event in edge.events():
        yield event
        return


async def test_datagrams_from_strangers_do_no_harm(service: Service) -> None:
    live_input = await service.edge.create()
    rng = random.Random(1)
    async with peer() as pc:
        send_h264(pc)
        await connect(service.http, pc, live_input.whip_url)
        await service.first_frame(live_input)
        assert service.edge._context is not None
        target = service.edge._context.mux.socket.address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(2000):
                first = bytes((rng.choice([0, 1, 3, 22, 63, 128, 144, 191, 255]),))
                sock.sendto(first + rng.randbytes(rng.randrange(0, 2000)), target)
            sock.sendto(b"", target)
        before = service.edge.stats().datagrams_received
        await until(lambda: service.edge.stats().datagrams_received > before + 50)
        assert pc.connectionState == "connected"
        assert service.edge.stats().errors == 0


async def test_close_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    async with peer() as publisher, peer() as viewer:
        async with serving() as service:
            live_input = await service.edge.create()
            send_h264(publisher)
            await connect(service.http, publisher, live_input.whip_url)
            await service.first_frame(live_input)
            viewer.addTransceiver("video", "recvonly")
            await connect(service.http, viewer, live_input.whep_url)
            await until(lambda: viewer.connectionState == "connected")
            edge = service.edge
            assert [edge.stats().publishers, edge.stats().viewers] == [1, 1]
        await edge.close()
        async with asyncio.timeout(1):
            assert [event async for event in edge.events()] == []
        await until(lambda: {publisher.connectionState, viewer.connectionState} == {"closed"})
    gc.collect()
    await until(lambda: not [task for task in asyncio.all_tasks() - before if not task.done()], timeout=2)
    assert not caplog.records


async def test_sound_reaches_viewers_who_came_while_there_was_none(service: Service) -> None:
    """The publisher comes again with its microphone on: nobody has to ask anew."""
    live_input = await service.edge.create()
    async with peer() as mute, peer() as loud, peer() as viewer:
        send_h264(mute)
        await connect(service.http, mute, live_input.whip_url)
        await service.first_frame(live_input)
        for kind in ("video", "audio"):
            viewer.addTransceiver(kind, "recvonly")
        await connect(service.http, viewer, live_input.whep_url)
        picture, sound = (receiver.track for receiver in viewer.getReceivers())
        await picture.recv()
        send_h264(loud)
        loud.addTransceiver(AudioStreamTrack(), "sendonly")
        await connect(service.http, loud, live_input.whip_url)
        async with asyncio.timeout(5):
            for _ in range(20):
                await sound.recv()
            await picture.recv()
        assert viewer.connectionState == "connected"


async def test_nothing_of_a_publisher_with_sound_outlives_a_takeover_without(service: Service) -> None:
    live_input = await service.edge.create()
    before = set(map(id, _publishers()))
    async with peer() as loud, peer() as mute:
        send_h264(loud)
        loud.addTransceiver(AudioStreamTrack(), "sendonly")
        send_h264(mute)
        await connect(service.http, loud, live_input.whip_url)
        await until(lambda: loud.connectionState == "connected")
        await connect(service.http, mute, live_input.whip_url)
        await until(lambda: loud.connectionState == "closed")

        def alone() -> bool:
            gc.collect()
            return len([each for each in _publishers() if id(each) not in before]) == 1

        await until(alone)


def _publishers() -> list[Publisher]:
    return [each for each in gc.get_objects() if type(each) is Publisher]


async def test_a_taken_port_is_a_start_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        edge = AiortcEdge(public_url="http://localhost", udp_port=sock.getsockname()[1])
        with pytest.raises(StartError, match=r"Cannot bind UDP 127\.0\.0\.1"):
            await edge.start()
        await edge.close()


async def test_a_missing_decoder_is_a_start_error_and_leaves_the_port_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise StartError("media:decoder", "no decoder")

    monkeypatch.setattr(decoder, "warm_up", missing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(StartError, match="no decoder"):
        await AiortcEdge(public_url="", udp_port=port).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))


def test_a_missing_private_name_is_a_start_error(monkeypatch: pytest.MonkeyPatch) -> None:
    private.check()
    monkeypatch.delattr(private.RTCDtlsTransport, "_set_role")
    with pytest.raises(StartError, match=r"RTCDtlsTransport\._set_role"):
        private.check()


def test_it_is_an_edge() -> None:
    edge: Edge = AiortcEdge(public_url="http://localhost")
    assert edge.name == "embedded"


def test_addresses_for_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    def interfaces(*addresses: str) -> object:
        entries = [type("Entry", (), {"family": socket.AF_INET, "address": a})() for a in addresses]
        return lambda: {"any": entries}

    assert advertised_addresses("127.0.0.1") == ("127.0.0.1",)
    assert advertised_addresses("10.0.0.5", ["203.0.113.1"]) == ("203.0.113.1", "10.0.0.5")
    monkeypatch.setattr(mux_module.psutil, "net_if_addrs", interfaces("127.0.0.1", "10.0.0.5", "169.254.3.3"))
    assert advertised_addresses("0.0.0.0") == ("10.0.0.5",)
    monkeypatch.setattr(mux_module.psutil, "net_if_addrs", interfaces("127.0.0.1"))
    assert advertised_addresses("0.0.0.0") == ("127.0.0.1",)


def test_addresses_round_trip() -> None:
    assert udp.unpack_address(udp.pack_address("192.0.2.3", 65535)) == ("192.0.2.3", 65535)
