"""WHIP and WHEP as HTTP clients meet them: statuses, headers, sessions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import aioice.stun
import pytest
from edge_peers import SDP, Service, connect, offer, peer, send_h264, serving, until

from luxxon_core.adapters.aiortc_edge import edge as edge_module
from luxxon_core.adapters.aiortc_edge import peer as peer_module
from luxxon_core.adapters.aiortc_edge.edge import MAX_PUBLISHERS

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


async def test_refusals_of_an_offer(service: Service) -> None:
    live_input = await service.edge.create()
    url = live_input.whip_url
    async with peer() as pc:
        pc.addTransceiver("audio", "sendonly")
        audio_only = await offer(pc)
    cases: Sequence[tuple[str, str | bytes, dict[str, str], int]] = [
        (url, audio_only, {"Content-Type": "application/json"}, 415),
        (url, "this is no SDP", SDP, 400),
        (url, b"\xff\xfe", SDP, 400),
        (url, audio_only, SDP, 422),
        (url, "v=0\r\n" + "a" * 70_000, SDP, 413),
        (url[:-1], audio_only, SDP, 404),
        (url.replace("/whip/", "/whep/"), audio_only, SDP, 404),
        (live_input.whep_url.replace("/whep/", "/whip/"), audio_only, SDP, 404),
        (live_input.whep_url, audio_only, SDP, 409),
    ]
    for target, body, headers, status in cases:
        async with service.http.post(target, data=body, headers=headers) as answer:
            assert answer.status == status, (status, await answer.text())
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert ("Retry-After" in answer.headers) == (status == 409)
            assert url not in await answer.text()
    assert service.edge.stats().publishers == 0


async def test_a_body_that_grows_too_long_is_cut_off(service: Service) -> None:
    live_input = await service.edge.create()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 8192

    async with service.http.post(live_input.whip_url, data=endless(), headers=SDP) as answer:
        assert answer.status == 413


async def test_a_browser_may_ask_from_another_origin(service: Service) -> None:
    live_input = await service.edge.create()
    for url in (live_input.whip_url, live_input.whep_url, live_input.whip_url + "/session"):
        async with service.http.options(url) as answer:
            assert answer.status == 200
            assert answer.headers["Accept-Post"] == "application/sdp"
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert {"Location", "ETag", "Link"} <= {name.strip() for name in exposed.split(",")}
            for method in ("POST", "PATCH", "DELETE"):
                assert method in answer.headers["Access-Control-Allow-Methods"]


async def test_trickle_needs_the_right_entity_tag(service: Service) -> None:
    live_input = await service.edge.create()
    candidate = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"
    async with peer() as pc:
        send_h264(pc)
        session, etag = await connect(service.http, pc, live_input.whip_url)
        assert etag[0] == etag[-1] == '"'
        cases: Sequence[tuple[dict[str, str], str, int]] = [
            ({}, candidate, 428),
            ({"If-Match": '"stale"'}, candidate, 412),
            ({"If-Match": etag}, candidate, 204),
            ({"If-Match": etag, "Content-Type": "text/plain"}, candidate, 415),
            ({"If-Match": etag}, "nonsense", 400),
            ({"If-Match": "*"}, candidate, 204),
            ({"If-Match": f'"other", {etag}'}, candidate, 204),
            ({"If-Match": "W/" + etag}, candidate, 412),
        ]
        for headers, body, status in cases:
            async with service.http.patch(session, data=body, headers={**FRAGMENT, **headers}) as answer:
                assert answer.status == status, await answer.text()
        for wrong in (session[:-1], session.replace("/whip/", "/whep/")):
            async with service.http.patch(wrong, data=candidate, headers=FRAGMENT) as answer:
                assert answer.status == 404


async def test_ice_restarts_with_new_credentials(service: Service) -> None:
    live_input = await service.edge.create()
    async with peer() as pc:
        send_h264(pc)
        session, etag = await connect(service.http, pc, live_input.whip_url)
        await service.first_frame(live_input)
        fragment = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"
        headers = {**FRAGMENT, "If-Match": "*"}
        async with service.http.patch(session, data=fragment, headers=headers) as answer:
            assert answer.status == 200 and answer.content_type == FRAGMENT["Content-Type"]
            assert answer.headers["ETag"] not in ("", etag)
            text = await answer.text()
        port = int(next(line for line in text.split("\r\n") if "candidate" in line).split()[5])
        new, old = credentials(text), credentials(pc.remoteDescription.sdp)
        assert not await answered(port, new[0], "wrong")
        assert await answered(port, *old)  # until the new ones are used
        assert await answered(port, *new)
        assert not await answered(port, *old)
        trickle = fragment + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=candidate:\r\n"
        async with service.http.patch(session, data=trickle, headers=headers) as answer:
            assert answer.status == 204 and "ETag" not in answer.headers  # the restart has been taken up
        assert pc.connectionState == "connected"


def credentials(text: str) -> tuple[str, str]:
    lines = text.replace("\r", "").split("\n")
    ufrag, password = (
        next(line.split(":", 1)[1] for line in lines if line.startswith(f"a=ice-{name}:"))
        for name in ("ufrag", "pwd")
    )
    return ufrag, password


async def answered(port: int, ufrag: str, password: str) -> bool:
    """Whether a nominating binding request with these credentials is answered."""
    message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ufrag}:x"
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(sock, bytes(message), ("127.0.0.1", port))
        try:
            data = await asyncio.wait_for(loop.sock_recv(sock, 1500), 0.5)
        except TimeoutError:
            return False
    return aioice.stun.parse_message(data).message_class is aioice.stun.Class.RESPONSE


async def test_a_full_edge_says_so() -> None:
    async with serving(max_peers=1) as service, peer() as first, peer() as second:
        live_input = await service.edge.create()
        send_h264(first)
        await connect(service.http, first, live_input.whip_url)
        second.addTransceiver("video", "recvonly")
        async with service.http.post(live_input.whep_url, data=await offer(second), headers=SDP) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0


async def test_an_edge_full_of_viewers_keeps_no_publisher_out() -> None:
    """Who may watch could open so many sessions that no camera comes back after a dropped connection."""
    async with serving(max_peers=2) as service, peer() as one, peer() as two:
        first, second, third = [await service.edge.create() for _ in range(3)]
        send_h264(one)
        two.addTransceiver("video", "recvonly")
        sending, watching = await offer(one), await offer(two)

        async def post(url: str, text: str) -> int:
            async with service.http.post(url, data=text, headers=SDP) as answer:
                return answer.status

        assert await post(first.whip_url, sending) == 201
        assert [await post(first.whep_url, watching) for _ in range(2)] == [201, 503]
        assert await post(second.whip_url, sending) == 201
        assert await post(third.whip_url, sending) == 503, "full of publishers"
        assert await post(first.whip_url, sending) == 201, "one who comes again takes nobody's place"
        assert await post(first.whep_url, watching) == 503


async def test_a_crowd_may_come_at_once(service: Service) -> None:
    """All viewers of a popular input POST again after a failure of the network, before any is connected."""
    live_input = await service.edge.create()
    async with peer() as one, peer() as two:
        send_h264(one)
        await connect(service.http, one, live_input.whip_url)
        two.addTransceiver("video", "recvonly")
        watching = await offer(two)
        crowd = [post(service, live_input.whep_url, watching) for _ in range(1000)]
        assert {status for status, _, _ in await asyncio.gather(*crowd)} == {201}


async def post(service: Service, url: str, text: str) -> tuple[int, str, str]:
    """Status, session URL and answer."""
    async with service.http.post(url, data=text, headers=SDP) as answer:
        assert ("Retry-After" in answer.headers) == (answer.status == 503)
        return answer.status, answer.headers.get("Location", ""), await answer.text()


async def test_viewers_who_never_come_give_their_places_to_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL in the wrong hands shuts nobody out for long; who is on the way keeps its place."""
    monkeypatch.setattr(edge_module, "MAX_PENDING_VIEWERS", 4)
    monkeypatch.setattr(edge_module, "PATIENCE", 2.5)
    live_input = await service.edge.create()
    url = live_input.whep_url
    async with peer() as one, peer() as two, peer() as three:
        send_h264(one)
        await connect(service.http, one, live_input.whip_url)
        await service.first_frame(live_input)
        two.addTransceiver("video", "recvonly")
        watching = await offer(two)
        sessions = []
        for _ in range(4):
            status, session, text = await post(service, url, watching)
            sessions.append(session)
            assert status == 201
        port = int(next(line for line in text.split("\r\n") if "candidate" in line).split()[5])
        assert await answered(port, *credentials(text))  # the last one is on its way
        assert (await post(service, url, watching))[0] == 503, "the others may be, too"
        await asyncio.sleep(2.5)
        three.addTransceiver("video", "recvonly")
        await connect(service.http, three, url)
        await until(lambda: three.connectionState == "connected")
        assert [await there(service, each) for each in sessions] == [404, 204, 204, 204], "the oldest went"
        assert [(await post(service, url, watching))[0] for _ in range(4)] == [201, 201, 201, 503]
        assert [await there(service, each) for each in sessions] == [404, 404, 404, 204]
        assert three.connectionState == "connected"


async def there(service: Service, session: str) -> int:
    async with service.http.get(session) as answer:
        return answer.status


async def test_viewers_who_never_come_do_not_keep_an_edge_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those of another live input."""
    monkeypatch.setattr(edge_module, "PATIENCE", 2.5)
    async with serving(max_peers=4) as service, peer() as one, peer() as two:
        first, second = await service.edge.create(), await service.edge.create()
        send_h264(one)
        two.addTransceiver("video", "recvonly")
        sending, watching = await offer(one), await offer(two)
        for each in (first, second):
            assert (await post(service, each.whip_url, sending))[0] == 201
        assert [(await post(service, first.whep_url, watching))[0] for _ in range(3)] == [201, 201, 503]
        await asyncio.sleep(2.5)
        assert (await post(service, second.whep_url, "v=0"))[0] == 400
        assert service.edge.stats().viewers == 2, "a bad offer costs nobody's place"
        assert [(await post(service, second.whep_url, watching))[0] for _ in range(3)] == [201, 201, 503]


async def test_offers_that_never_connect_keep_no_publisher_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those of viewers nor those of publishers; places come back."""
    monkeypatch.setattr(edge_module, "MAX_PENDING_VIEWERS", 2)
    live_input, other = await service.edge.create(), await service.edge.create()
    async with peer() as one, peer() as two:
        send_h264(one)
        two.addTransceiver("video", "recvonly")
        sending, watching = await offer(one), await offer(two)
        with monkeypatch.context() as patch:
            patch.setattr(peer_module, "CONNECT_TIMEOUT", 1.0)
            assert (await post(service, other.whip_url, sending))[0] == 201
            await until(lambda: service.edge.stats().publishers == 0, timeout=3)
        assert (await post(service, live_input.whip_url, sending))[0] == 201
        assert [(await post(service, live_input.whep_url, watching))[0] for _ in range(3)] == [201, 201, 503]
        publishers = [await post(service, live_input.whip_url, sending) for _ in range(MAX_PUBLISHERS + 2)]
        assert {status for status, _, _ in publishers} == {201}
        assert service.edge.stats().publishers == MAX_PUBLISHERS
        assert (await post(service, other.whip_url, sending))[0] == 201
