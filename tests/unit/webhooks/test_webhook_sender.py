"""Where deliveries never go, and what receivers cannot do with the one who sends them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from webhook_receiver import Hit, Receiver, receiving

from luxxon_core.adapters.webhook_sender import REFUSED, HttpSender
from luxxon_core.kernel.clock import utc_now
from luxxon_core.webhooks.domain import Answer, Target

STRICT = Target()
OPEN = Target((ip_network("127.0.0.0/8"),), plain=True)


class Names(AbstractResolver):
    """Answers each question with the next list of addresses, and the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def sent(url: str, target: Target, *, names: Names | None = None, timeout_s: float = 5) -> Answer:
    sender = HttpSender(target, utc_now, timeout_s=timeout_s, resolver=names)
    try:
        return await sender.send(url, {"webhook-id": "one"}, b"{}")
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"]
)
async def test_no_way_of_writing_loopback_reaches_it(receiver: Receiver, host: str) -> None:
    answer = await sent(f"http://{host}:{receiver.port}/", STRICT)
    assert answer.status is None
    assert answer.fault is not None
    assert receiver.hits == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::1", "169.254.169.254", "10.0.0.1"]
)
async def test_a_name_that_leads_inside_is_not_dialled(receiver: Receiver, address: str) -> None:
    answer = await sent(f"http://hooks.example:{receiver.port}/", STRICT, names=Names([address]))
    assert (answer.status, answer.fault) == (None, REFUSED)
    assert receiver.hits == []


async def test_a_rebinding_name_is_checked_each_time_it_is_dialled(receiver: Receiver) -> None:
    """The first answer is allowed, the second one is not: what was found out before counts nothing."""
    elsewhere = Target((ip_network("127.0.0.2/32"),), plain=True)
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    sender = HttpSender(elsewhere, utc_now, timeout_s=5, resolver=names)
    url = f"http://hooks.example:{receiver.port}/"
    try:
        first = await sender.send(url, {}, b"{}")
        assert first.fault == "the connection was refused"  # dialled, and nobody is there
        assert sender._session is not None
        connector: Any = sender._session.connector
        connector.clear_dns_cache()
        second = await sender.send(url, {}, b"{}")
    finally:
        await sender.close()
    assert names.asked == 2
    assert (second.status, second.fault) == (None, REFUSED)
    assert receiver.hits == []


async def test_of_several_addresses_only_those_allowed_are_dialled(receiver: Receiver) -> None:
    names = Names(["10.0.0.1", "169.254.169.254", "127.0.0.1"])
    answer = await sent(f"http://hooks.example:{receiver.port}/", OPEN, names=names)
    assert answer.status == 200
    all_inside = Names(["10.0.0.1", "169.254.169.254"])
    answer = await sent(f"http://hooks.example:{receiver.port}/", OPEN, names=all_inside)
    assert answer.fault == REFUSED


async def test_what_is_told_of_a_failure_does_not_tell_of_the_inside() -> None:
    names = Names(["10.11.12.13"])
    answer = await sent("http://hooks.example:9000/", STRICT, names=names)
    assert answer.fault is not None
    assert "10.11" not in answer.fault
    unknown = await sent("https://no-such-host.invalid/", STRICT)
    assert unknown.fault == "the host's name is unknown"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver, status: int) -> None:
    async with receiving() as inside:
        answer_with = web.Response(status=status, headers={"Location": inside.url})
        receiver.behave = lambda _: answer_with
        answer = await sent(receiver.url, OPEN)
        assert (answer.status, answer.fault) == (status, f"HTTP {status}: redirects are not followed")
        assert inside.hits == []
    assert len(receiver.hits) == 1


async def test_no_proxy_of_the_environment_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await sent(receiver.url, OPEN)).status == 200
        assert proxy.hits == []
    assert len(receiver.hits) == 1


async def test_a_receiver_that_stalls_is_given_up_in_time(receiver: Receiver) -> None:
    async def stall(_: Hit) -> int:
        await asyncio.sleep(10)
        return 200

    receiver.behave = stall
    began = time.monotonic()
    answer = await sent(receiver.url, OPEN, timeout_s=0.3)
    assert (answer.status, answer.fault) == (None, "no answer within 0.3 s")
    assert time.monotonic() - began < 3


async def raw(answering: bytes, *, forever: bool = False) -> tuple[asyncio.Server, int]:
    """A server that says these bytes, and then more and more of the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answering)
            while forever:
                writer.write(b"x" * 65536)
                await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    server, port = await raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", forever=True)
    began = time.monotonic()
    answer = await sent(f"http://127.0.0.1:{port}/", OPEN)
    server.close()
    assert answer.status == 200
    assert answer.good
    assert time.monotonic() - began < 3


async def test_an_answer_whose_body_never_comes_is_an_answer() -> None:
    server, port = await raw(b"HTTP/1.1 204 No\r\nContent-Length: 5000\r\n\r\n")
    answer = await sent(f"http://127.0.0.1:{port}/", OPEN)
    server.close()
    assert answer.good


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 999999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000,
    ],
)
async def test_what_is_no_http_is_a_failure(said: bytes) -> None:
    server, port = await raw(said)
    answer = await sent(f"http://127.0.0.1:{port}/", OPEN, timeout_s=2)
    server.close()
    assert answer.status is None
    assert answer.fault is not None


async def test_plain_servers_are_no_https_servers(receiver: Receiver) -> None:
    answer = await sent(f"https://127.0.0.1:{receiver.port}/", OPEN)
    assert answer.status is None
    assert answer.fault is not None
    assert answer.fault.startswith("TLS failed")


async def test_cookies_are_not_kept_and_connections_are(receiver: Receiver) -> None:
    receiver.behave = lambda _: web.Response(headers={"Set-Cookie": "a=b"})
    sender = HttpSender(OPEN, utc_now)
    for _ in range(3):
        assert (await sender.send(receiver.url, {}, b"{}")).good
    await sender.close()
    assert all("cookie" not in hit.headers for hit in receiver.hits)
