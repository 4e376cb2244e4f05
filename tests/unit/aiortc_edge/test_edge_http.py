"""WHIP and WHEP as HTTP clients meet them: statuses, headers, sessions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import aioice.stun
import pytest
from edge_peers import SDP, Service, connect, offer, peer, send_h264, serving, until

from luxxon_core.adapters.aiortc_edge import peer as peer_module
from luxxon_core.adapters.aiortc_edge.edge import MAX_PENDING_VIEWERS, MAX_PUBLISHERS

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


async def test_offers_that_never_connect_leave_room_for_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL in the wrong hands neither fills the edge nor shuts out the other side; places come back."""
    live_input, other = await service.edge.create(), await service.edge.create()

    async def post(url: str, text: str) -> int:
        async with service.http.post(url, data=text, headers=SDP) as answer:
            assert ("Retry-After" in answer.headers) == (answer.status == 503)
            return answer.status

    async with peer() as one, peer() as two:
        send_h264(one)
        two.addTransceiver("video", "recvonly")
        sending, watching = await offer(one), await offer(two)
        monkeypatch.setattr(peer_module, "CONNECT_TIMEOUT", 1.0)
        assert await post(other.whip_url, sending) == 201
        await until(lambda: service.edge.stats().publishers == 0, timeout=3)
        monkeypatch.undo()
        assert await post(live_input.whip_url, sending) == 201
        viewers = [await post(live_input.whep_url, watching) for _ in range(MAX_PENDING_VIEWERS + 1)]
        assert viewers == [201] * MAX_PENDING_VIEWERS + [503]
        publishers = [await post(live_input.whip_url, sending) for _ in range(MAX_PUBLISHERS + 2)]
        assert set(publishers) == {201}
        assert service.edge.stats().publishers == MAX_PUBLISHERS
        assert await post(other.whip_url, sending) == 201
