"""STUN binding requests as an ICE-lite agent meets them (RFC 8489, RFC 8445 §7.3). Pure."""

from __future__ import annotations

import hmac
from binascii import crc32
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack, unpack_from

MAGIC_COOKIE = b"\x21\x12\xa4\x42"
HEADER = 20

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
XOR_MAPPED_ADDRESS = 0x0020
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
FINGERPRINT_XOR = 0x5354554E


class StunError(ValueError):
    """Not a well-formed binding request that carries USERNAME and MESSAGE-INTEGRITY."""


@dataclass(frozen=True, slots=True)
class BindingRequest:
    transaction_id: bytes
    """12 bytes."""
    local_ufrag: bytes
    """The part of USERNAME before the colon: the username fragment of the agent that is asked."""
    nominates: bool
    """USE-CANDIDATE was present."""
    signed: bytes = field(repr=False)
    """What MESSAGE-INTEGRITY covers, with the length field set as RFC 8489 §14.5 asks."""
    integrity: bytes = field(repr=False)
    """The 20 bytes of MESSAGE-INTEGRITY."""

    def authentic(self, password: bytes) -> bool:
        """Whether the sender knew ``password`` (short-term credentials, RFC 8489 §9.1)."""
        return hmac.compare_digest(self.integrity, hmac.digest(password, self.signed, "sha1"))


def parse_binding_request(data: bytes) -> BindingRequest:
    """Parse one datagram. Attributes after MESSAGE-INTEGRITY are not authenticated and are ignored.

    Raises:
        StunError: anything that an ICE-lite agent has no use for.
    """
    if len(data) < HEADER or data[4:8] != MAGIC_COOKIE:
        raise StunError("not STUN")
    kind, length = unpack_from("!HH", data)
    if kind != BINDING_REQUEST:
        raise StunError("not a binding request")
    if length % 4 or HEADER + length != len(data):
        raise StunError("wrong length")
    username: bytes | None = None
    nominates = False
    at = HEADER
    while at + 4 <= len(data):
        attribute, size = unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) < size:
            raise StunError("attribute cut short")
        if attribute == USERNAME:
            username = value
        elif attribute == USE_CANDIDATE:
            nominates = True
        elif attribute == MESSAGE_INTEGRITY:
            if size != 20 or username is None:
                raise StunError("no usable credentials")
            signed = data[:2] + pack("!H", at + 24 - HEADER) + data[4:at]
            return BindingRequest(data[8:20], username.partition(b":")[0], nominates, signed, value)
        at += 4 + (size + 3 & ~3)
    raise StunError("not authenticated")


def binding_success(request: BindingRequest, password: bytes, host: str, port: int) -> bytes:
    """The signed answer: the address (``host``, ``port``) from which ``request`` came."""
    body = _attribute(XOR_MAPPED_ADDRESS, _xor_address(ip_address(host), port, request.transaction_id))
    head = MAGIC_COOKIE + request.transaction_id
    signed = pack("!HH", BINDING_SUCCESS, len(body) + 24) + head + body
    body += _attribute(MESSAGE_INTEGRITY, hmac.digest(password, signed, "sha1"))
    message = pack("!HH", BINDING_SUCCESS, len(body) + 8) + head + body
    return message + _attribute(FINGERPRINT, pack("!L", crc32(message) ^ FINGERPRINT_XOR))


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _xor_address(address: IPv4Address | IPv6Address, port: int, transaction_id: bytes) -> bytes:
    mask = (MAGIC_COOKIE + transaction_id)[: len(address.packed)]
    masked = bytes(a ^ b for a, b in zip(address.packed, mask, strict=True))
    family = 1 if address.version == 4 else 2
    return pack("!BBH", 0, family, port ^ 0x2112) + masked
