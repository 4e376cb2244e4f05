"""WS-Discovery on loopback: multicast as it is, cameras that answer well, and those that do not."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from luxxon_rtsp_ptz.discovery import parse
from luxxon_rtsp_ptz.source_type import RtspType

from luxxon_core.source import DiscoveredDevice

GROUP = "239.255.255.250"
ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<SOAP-ENV:Header><wsa:RelatesTo>{relates_to}</wsa:RelatesTo></SOAP-ENV:Header><SOAP-ENV:Body>
<d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>{reference}</wsa:Address>
</wsa:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/type/ptz onvif://www.onvif.org/name/Front%20door
 onvif://www.onvif.org/hardware/D3 onvif://www.onvif.org/Profile/Streaming</d:Scopes>
<d:XAddrs>{addresses}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>
</SOAP-ENV:Body></SOAP-ENV:Envelope>"""


class Responder(asyncio.DatagramProtocol):
    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.probes: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.probes.append(data.decode())
        found = re.search(r"MessageID>([^<]+)<", data.decode())
        assert found
        for answer in self.answers:
            self._transport.sendto(answer.replace("{relates_to}", found[1]).encode(), address)


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[tuple[int, Responder]]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 0))
    sock.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
    )
    responder = Responder(list(answers))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: responder, sock=sock)
    try:
        yield sock.getsockname()[1], responder
    finally:
        transport.close()


def match(reference: str, addresses: str) -> str:
    return ANSWER.replace("{reference}", reference).replace("{addresses}", addresses)


async def discovered(port: int, timeout: float = 1.0) -> list[DiscoveredDevice]:
    source_type = RtspType(discovery_group=(GROUP, port), interfaces=("127.0.0.1",))
    return [device async for device in source_type.discover(timeout)]


async def test_cameras_that_answer_are_found_once() -> None:
    """By the address of the host that answered, where a camera names several."""
    first = match(
        "urn:uuid:1", "http://192.0.2.1/onvif/device_service http://127.0.0.1:8000/onvif/device_service"
    )
    second = match("urn:uuid:2", "http://127.0.0.1:8001/onvif/device_service")
    async with answering(first, second, first) as (port, responder):
        devices = {device.key: device for device in await discovered(port)}
    assert set(devices) == {"urn:uuid:1", "urn:uuid:2"}
    device = devices["urn:uuid:1"]
    assert device.title == "Front door"
    assert device.device_information.model == "D3"
    assert device.config.onvif == "http://127.0.0.1:8000/onvif/device_service"  # type: ignore[attr-defined]
    assert "NetworkVideoTransmitter" in responder.probes[0]


async def test_nobody_there() -> None:
    async with answering() as (port, responder):
        assert await discovered(port) == []
    assert len(responder.probes) == 2


BAD = [
    "",
    "not xml",
    "<a>" * 50_000,
    match("urn:uuid:3", ""),
    match("urn:uuid:3", "ftp://127.0.0.1/ http://[::1/ javascript:alert(1)"),
    match("urn:uuid:3", "http://127.0.0.1/").replace("{relates_to}", "urn:uuid:of-another"),
    '<!DOCTYPE a [<!ENTITY b "c">]>' + match("urn:uuid:3", "http://127.0.0.1/"),
]


@pytest.mark.parametrize("bad", BAD)
async def test_what_makes_no_sense_is_passed_over(bad: str) -> None:
    assert list(parse(bad.replace("{relates_to}", "urn:uuid:0").encode(), "urn:uuid:0", "127.0.0.1")) == []
    if len(bad) < 50_000:
        async with answering(bad, match("urn:uuid:4", "http://127.0.0.1/")) as (port, _):
            assert [device.key for device in await discovered(port, 0.4)] == ["urn:uuid:4"]
