"""RFC 9725 (WHIP) and draft-ietf-wish-whep (WHEP) over real HTTP: the rows of whip_rows, and what takes more
than one request.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import aioice.ice
import pytest
from edge_peers import SDP, Service, connect, peer, send_h264, serving, until
from whip_rows import BOTH, FRAGMENT, RESTART, ROWS, STUN, TRICKLE, TURN, WHEP_OFFER, WHIP_OFFER, Answer, Row

from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer
from luxxon_core.media.domain import LiveInput


@dataclass
class Stage:
    """Two live inputs, one with a publisher, and a session on each side of it."""

    service: Service
    watched: LiveInput
    idle: LiveInput
    places: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with serving(ice_servers=(STUN, TURN)) as service:
        watched, idle = await service.edge.create(), await service.edge.create()
        stage = Stage(service, watched, idle)
        for side, url, text in (
            ("whip", watched.whip_url, WHIP_OFFER),
            ("whep", watched.whep_url, WHEP_OFFER),
        ):
            stage.places[side] = url
            stage.places[f"{side} idle"] = getattr(idle, f"{side}_url")
            stage.places[f"{side} public"] = f"{url.rsplit('/', 1)[0]}/{watched.uid}"
            stage.places[f"{side} unknown"] = f"{url.rsplit('/', 1)[0]}/{'A' * 32}"
            async with service.http.post(url, data=text, headers=SDP) as answer:
                assert answer.status == 201, await answer.text()
                stage.places[f"{side} session"] = answer.headers["Location"]
                stage.etags[side] = answer.headers["ETag"]
            stage.places[f"{side} no session"] = f"{url}/{'B' * 24}"
        yield stage


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.what} ({row.word})")
async def test_row(stage: Stage, row: Row) -> None:
    answer = await asked(stage, row)
    expected = row.status if isinstance(row.status, range) else range(row.status, row.status + 1)
    assert answer.status in expected, answer
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for name, pattern in row.has.items():
        if pattern:
            assert re.fullmatch(pattern, answer.headers.get(name, "")), (name, answer)
        else:
            assert name not in answer.headers
    assert row.check(answer), answer
    for secret in (stage.watched.whip_url, stage.watched.whep_url):
        assert answer.status < 400 or secret.rsplit("/", 1)[1] not in str(answer)


async def asked(stage: Stage, row: Row) -> Answer:
    side = row.place.split()[0]
    secrets = {name: stage.places[name].rsplit("/", 1)[1] for name in (*BOTH, "whip idle", "whep idle")}
    stands_for = {
        "ETAG": stage.etags[side],
        "TOKEN": secrets[side],
        "OTHER": secrets["whep" if side == "whip" else "whip"],
        "IDLE": secrets[f"{side} idle"],
    }
    words = re.compile(rf"\b({'|'.join(stands_for)})\b")
    headers = {
        name: words.sub(lambda found: stands_for[found[0]], value) for name, value in row.headers.items()
    }
    skip = ["Content-Type"] if not headers.get("Content-Type") else []
    headers = {name: value for name, value in headers.items() if value}
    async with stage.service.http.request(
        row.method,
        stage.places[row.place],
        data=row.body.encode() if isinstance(row.body, str) else row.body,
        headers=headers,
        skip_auto_headers=skip,
        allow_redirects=False,
    ) as answer:
        assert answer.status not in (301, 302)  # §4.5: they would turn a POST into a GET
        text = (await answer.read()).decode()
        return Answer(answer.status, answer.headers, tuple(answer.headers.getall("Link", ())), text)


# What takes more than one request.


async def test_entity_tags_are_unique_and_follow_the_ice_session(stage: Stage) -> None:
    """RFC 9725 §4.3.1, §4.3.3."""
    http, session, first = stage.service.http, stage.places["whep session"], stage.etags["whep"]

    async def patch(etag: str, body: str) -> tuple[int, str | None]:
        async with http.patch(session, data=body, headers={**FRAGMENT, "If-Match": etag}) as answer:
            return answer.status, answer.headers.get("ETag")

    status, second = await patch("*", RESTART)
    assert status == 200 and second is not None and len({second, *stage.etags.values()}) == 3
    assert await patch(first, TRICKLE) == (412, None)
    assert await patch(second, TRICKLE) == (204, None)
    # the credentials of the restart are the session's now: repeating them is no further restart
    assert await patch(second, RESTART) == (204, None)
    # but who repeats the restart has missed the answer: it is the same
    assert await patch("*", RESTART) == (200, second)


async def test_a_refused_restart_leaves_the_session(stage: Stage) -> None:
    """RFC 9725 §4.3.3: MUST NOT terminate the session."""
    http, session = stage.service.http, stage.places["whip session"]
    headers = {**FRAGMENT, "If-Match": "*"}
    async with http.patch(session, data="a=ice-pwd:lonely\r\n", headers=headers) as answer:
        assert answer.status == 400
    async with http.patch(
        session, data=TRICKLE, headers={**headers, "If-Match": stage.etags["whip"]}
    ) as answer:
        assert answer.status == 204


async def test_a_deleted_session_is_gone(stage: Stage) -> None:
    """RFC 9725 §4.2: removed. DELETE is idempotent: the second says that there is nothing left to end."""
    for side in BOTH:
        session = stage.places[f"{side} session"]
        for method, status in (("DELETE", 200), ("DELETE", 404), ("GET", 404), ("PATCH", 404)):
            async with stage.service.http.request(method, session) as answer:
                assert answer.status == status


async def test_deleting_ends_ice_and_dtls(service: Service) -> None:
    """RFC 9725 §4.2, RFC 7675 §5.2: DTLS says goodbye, and nothing answers any more."""
    live_input = await service.edge.create()
    async with peer() as sender, peer() as receiver:
        send_h264(sender)
        session, _ = await connect(service.http, sender, live_input.whip_url)
        await service.first_frame(live_input)
        receiver.addTransceiver("video", "recvonly")
        watching, _ = await connect(service.http, receiver, live_input.whep_url)
        await until(lambda: receiver.connectionState == "connected")
        for url, pc in ((watching, receiver), (session, sender)):
            async with service.http.delete(url) as answer:
                assert answer.status == 200
            await until(lambda pc=pc: pc.connectionState == "closed")
        assert (service.edge.stats().publishers, service.edge.stats().viewers) == (0, 0)


async def test_an_ice_restart_does_not_interrupt_the_media(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9725 §4.3.3, both sides at once: no frame is lost, and the old credentials end."""
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.2)
    live_input = await service.edge.create()
    async with peer() as sender, peer() as receiver:
        send_h264(sender)
        sides = [(sender, *await connect(service.http, sender, live_input.whip_url))]
        await service.first_frame(live_input)
        receiver.addTransceiver("video", "recvonly")
        sides.append((receiver, *await connect(service.http, receiver, live_input.whep_url)))
        track = receiver.getReceivers()[0].track
        await track.recv()
        for pc, session, etag in sides:
            ice = (*pc.getSenders(), *pc.getReceivers())[0].transport.transport._connection
            headers = {**FRAGMENT, "If-Match": "*"}
            async with service.http.patch(session, data=RESTART, headers=headers) as answer:
                assert answer.status == 200 and answer.headers["ETag"] != etag
                told = dict(re.findall(r"^a=(ice-ufrag|ice-pwd):(.+)\r$", await answer.text(), re.M))
            old = ice.remote_username
            ice.remote_username, ice.remote_password = told["ice-ufrag"], told["ice-pwd"]
            assert service.edge._context is not None
            served = service.edge._context.mux._by_ufrag
            await until(lambda old=old, served=served: old.encode() not in served)
        stamps = [(await track.recv()).pts for _ in range(25)]
        assert {b - a for a, b in pairwise(stamps)} == {3600}
        assert {sender.connectionState, receiver.connectionState} == {"connected"}


async def test_a_second_publisher_takes_over(service: Service) -> None:
    """A crashed publisher comes again to the same URL; its viewers stay."""
    live_input = await service.edge.create()
    async with peer() as first, peer() as second, peer() as receiver:
        send_h264(first)
        replaced, _ = await connect(service.http, first, live_input.whip_url)
        await service.first_frame(live_input)
        receiver.addTransceiver("video", "recvonly")
        await connect(service.http, receiver, live_input.whep_url)
        track = receiver.getReceivers()[0].track
        await track.recv()
        send_h264(second)
        await connect(service.http, second, live_input.whip_url)
        await until(lambda: first.connectionState == "closed")
        async with service.http.get(replaced) as answer:
            assert answer.status == 410  # not to be taken for a server that has been restarted
        for _ in range(50):
            await track.recv()
        assert receiver.connectionState == "connected"


async def test_a_session_made_by_token_wants_the_token(stage: Stage) -> None:
    """RFC 9725 §4.7.1: in all requests to endpoint and session."""
    http, secret = stage.service.http, stage.places["whep"].rsplit("/", 1)[1]
    token = {"Authorization": f"Bearer {secret}"}
    async with http.post(stage.places["whep public"], data=WHEP_OFFER, headers={**SDP, **token}) as answer:
        session = answer.headers["Location"]
        assert answer.status == 201 and secret not in session
    for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 401), (token, 200)):
        for method in ("GET", "DELETE"):
            async with http.request(method, session, headers=headers) as answer:
                assert answer.status == (204 if (method, status) == ("GET", 200) else status)


@pytest.mark.parametrize("quota", ["address_quota", "live_input_quota"])
async def test_too_many_requests_are_told_when_to_come_again(quota: str) -> None:
    """RFC 9725 §5: POST, PATCH and DELETE, of an address and of one side of a live input."""
    async with serving(**{quota: 5}) as service:
        live_input, other = await service.edge.create(), await service.edge.create()

        async def ask(method: str, url: str, forwarded: str = "192.0.2.1") -> int:
            headers = {**SDP, "X-Forwarded-For": forwarded}
            async with service.http.request(method, url, data=WHIP_OFFER, headers=headers) as answer:
                if answer.status == 429:
                    assert 1 <= int(answer.headers["Retry-After"]) <= 60
                    assert answer.headers["Access-Control-Allow-Origin"] == "*"
                return answer.status

        url = live_input.whip_url
        assert [await ask("POST", url) for _ in range(6)] == [201] * 5 + [429]
        for method in ("PATCH", "DELETE"):
            assert await ask(method, url + "/session") == 429
        assert await ask("POST", url, forwarded="192.0.2.2") == 429  # whoever says so is no proxy of ours
        elsewhere = [await ask("POST", one) for one in (other.whip_url, live_input.whep_url)]
        assert elsewhere == ([429, 429] if quota == "address_quota" else [201, 422])
        assert await ask("GET", url) == 204


async def test_proxies_of_ours_tell_whose_request_it_is() -> None:
    async with serving(address_quota=1, trusted_proxies=["127.0.0.0/8"]) as service:
        url = (await service.edge.create()).whip_url
        told = {}
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            headers = {**SDP, "X-Forwarded-For": address}
            async with service.http.post(url, data=WHIP_OFFER, headers=headers) as answer:
                told[address] = answer.status
        assert told == {"192.0.2.1": 429, "192.0.2.2": 201}


async def test_session_urls_cannot_be_guessed(stage: Stage) -> None:
    """RFC 9725 §5: 144 bits of the system's generator, each time others."""
    seen = {stage.places["whep session"].rsplit("/", 1)[1]}
    for _ in range(20):
        async with stage.service.http.post(stage.places["whep"], data=WHEP_OFFER, headers=SDP) as answer:
            seen.add(answer.headers["Location"].rsplit("/", 1)[1])
    assert len(seen) == 21 and all(len(one) == 24 for one in seen)


async def test_no_secret_is_logged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither those of URLs, nor tokens, nor TURN credentials, whatever goes wrong."""
    for row in ROWS:
        if row.status != 201:
            await asked(stage, row)
    said = capsys.readouterr()
    secrets = [stage.places[side].rsplit("/", 1)[1] for side in (*BOTH, "whip idle", "whep idle")]
    sessions = [stage.places[f"{side} session"].rsplit("/", 1)[1] for side in BOTH]
    for secret in [*secrets, *sessions, "vw5LmwG4y/e6dPP/zAP9Gp5k", "pass"]:
        assert secret not in said.out + said.err
    assert TURN.credential is not None and TURN.credential not in repr(TURN) + repr(stage.service.edge)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://example.net"},
        {"url": 'stun:example.net>; rel="x'},
        {"url": "turn:example.net\r\nX-Header: 1"},
        {"url": "turn:user@example.net"},
        {"url": "turn:example.net", "username": "user"},
        {"url": "turn:example.net", "username": "user", "credential": "pass\r\n"},
    ],
)
def test_what_is_no_ice_server_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError) as refused:
        IceServer(**wrong)
    assert wrong["url"] not in str(refused.value)


def test_credentials_are_quoted() -> None:
    """RFC 8288 §3, RFC 9725 §4.6."""
    assert STUN.link == '<stun:stun.example.net>; rel="ice-server"'
    assert TURN.link == (
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; '
        'credential="pass\\"word\\\\"; credential-type="password"'
    )


async def test_ice_servers_may_come_over_a_wire() -> None:
    async with serving(ice_servers=[{"url": STUN.url, "username": None, "credential": None}]) as service:
        assert service.edge.ice_servers == (STUN,)


def test_every_row_says_where_it_is_from() -> None:
    for row in ROWS:
        assert re.match(r"(RFC 9725|WHEP) §\d(\.\d+)*: ", row.what)
        assert row.word in ("MUST", "SHALL", "SHOULD", "MAY", "OWN")
    assert len({row.what for row in ROWS}) == len(ROWS)
