"""WS-Discovery (OASIS 1.1 in the April 2005 namespaces that ONVIF uses): who on this network is a camera?"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import uuid
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import structlog

log = structlog.get_logger(__name__)

GROUP = ("239.255.255.250", 3702)
REPEAT_SECONDS = 0.5
"""UDP may lose a probe: it goes out twice (SOAP-over-UDP §3.2)."""
LARGEST_ANSWER = 64 << 10
_ADDRESSING = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
_DISCOVERY = "{http://schemas.xmlsoap.org/ws/2005/04/discovery}"
_PROBE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" \
xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" \
xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" \
xmlns:n="http://www.onvif.org/ver10/network/wsdl"><s:Header>\
<a:Action s:mustUnderstand="1">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
<a:MessageID>{message_id}</a:MessageID>\
<a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>\
<s:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>"""


@dataclass(frozen=True, slots=True)
class Found:
    key: str
    """Endpoint reference: a UUID that stays with the device."""
    address: str
    """URL of the device service."""
    name: str
    hardware: str


async def probe(
    timeout: float, group: tuple[str, int] = GROUP, interfaces: list[str] | None = None
) -> AsyncGenerator[Found, None]:
    """Cameras as they answer within ``timeout`` seconds, each once.

    ``interfaces`` are IPv4 addresses of this machine to send from; by default all.
    """
    loop = asyncio.get_running_loop()
    message_id = f"urn:uuid:{uuid.uuid4()}"
    answers: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue(maxsize=1000)
    transports = []
    for interface in interfaces if interfaces is not None else _interfaces():
        if sock := _socket(interface):
            transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(answers), sock=sock)
            transports.append(transport)
    seen: set[str] = set()
    try:
        async with asyncio.timeout(timeout):
            sending = asyncio.create_task(_send(transports, message_id, group), name="ws-discovery")
            try:
                while True:
                    data, sender = await answers.get()
                    for found in parse(data, message_id, sender):
                        if found.key not in seen:
                            seen.add(found.key)
                            yield found
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    except TimeoutError:
        return
    finally:
        for transport in transports:
            transport.close()


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, answers: asyncio.Queue[tuple[bytes, str]]) -> None:
        self._answers = answers

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if not self._answers.full() and len(data) <= LARGEST_ANSWER:
            self._answers.put_nowait((data, address[0]))


async def _send(transports: list[asyncio.DatagramTransport], message_id: str, group: tuple[str, int]) -> None:
    for _ in range(2):
        for transport in transports:
            transport.sendto(_PROBE.format(message_id=message_id).encode(), group)
        await asyncio.sleep(REPEAT_SECONDS)


def parse(data: bytes, message_id: str, sender: str) -> Iterator[Found]:
    """Matches in an answer to our probe; nothing where it is none."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without a DTD there is nothing to expand
    except (ElementTree.ParseError, ValueError, LookupError):
        return
    if root.findtext(f".//{_ADDRESSING}RelatesTo", "").strip() != message_id:
        return
    for match in root.iter(f"{_DISCOVERY}ProbeMatch"):
        addresses = match.findtext(f"{_DISCOVERY}XAddrs", "").split()
        address = _reachable(addresses, sender)
        if address is None:
            continue
        scopes = _scopes(match.findtext(f"{_DISCOVERY}Scopes", ""))
        reference = match.findtext(f"{_ADDRESSING}EndpointReference/{_ADDRESSING}Address", "").strip()
        yield Found(reference or address, address, scopes.get("name", ""), scopes.get("hardware", ""))


def _reachable(addresses: list[str], sender: str) -> str | None:
    """The service address at the host that answered: others may be of networks we are not in."""
    usable = []
    for address in addresses:
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.hostname:
            usable.append((parts.hostname == sender, address))
    return max(usable, key=lambda one: one[0])[1] if usable else None


def _scopes(text: str) -> dict[str, str]:
    """``onvif://www.onvif.org/name/Front%20door`` → name (ONVIF Core §7.3.2.2)."""
    found: dict[str, str] = {}
    for scope in text.split():
        _, separator, rest = scope.partition("onvif://www.onvif.org/")
        name, _, value = rest.partition("/")
        if separator and value:
            found.setdefault(name.lower(), unquote(value)[:100])
    return found


def _interfaces() -> list[str]:
    import psutil

    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family is socket.AF_INET and not ipaddress.ip_address(one.address).is_loopback
    ]
    return found or ["127.0.0.1"]


def _socket(interface: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.bind((interface, 0))
    except OSError as error:
        log.debug("onvif.discovery", interface=interface, reason=error.strerror)
        sock.close()
        return None
    return sock
