"""Rate limits: one fixed window per API key, wallet or address, and a stricter one for failed credentials.

Counters live in this process and are lost with it: of several processes each grants the whole quota. They
are our own because every hit on the in-memory storage of ``limits`` walks all its counters: 18 µs with one
caller, 1.2 ms with 10,000; a hit here is a dictionary's, 1 µs with any number.

Headers: draft-ietf-httpapi-ratelimit-headers, ``RateLimit-Policy: "key";q=12000;w=60`` and
``RateLimit: "key";r=11999;t=42``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol

from luxxon_core.kernel.errors import RateLimited

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
IPV6_SUBSCRIBER = 64
"""Bits of an IPv6 address that tell subscribers apart: each has a whole /64 to choose from (RFC 6177)."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Requests a minute, 0 for as many as one likes.

    Generous: they stop floods, not a dashboard, a client that polls each second, or a load test.
    """

    key: int = 12_000
    wallet: int = 12_000
    address: int = 6_000
    """Of public operations."""
    failures: int = 1_200
    """Credentials and proofs of one address that are refused; beyond it not even good ones are looked at."""


class Window:
    """At most ``quota`` hits of each subject in ``seconds``; a quota of 0 is none.

    All subjects share the window's bounds, so that forgetting them is dropping one dictionary. Times are
    seconds of a monotonic clock.
    """

    __slots__ = ("_counts", "_ends", "name", "policy", "quota", "seconds")

    def __init__(self, name: str, quota: int, seconds: int = 60) -> None:
        self.name = name
        self.quota = quota
        self.seconds = seconds
        self.policy = f'"{name}";q={quota};w={seconds}'
        self._counts: dict[str, int] = {}
        self._ends = 0.0

    def hit(self, subject: str, now: float) -> int:
        """Count one; returns how many are left, -1 when this one is too many."""
        counts = self._current(now)
        count = counts.get(subject, 0) + 1
        if count > self.quota:
            return -1
        counts[subject] = count
        return self.quota - count

    def full(self, subject: str, now: float) -> bool:
        """Whether one more would be too many."""
        return now < self._ends and self._counts.get(subject, 0) >= self.quota

    def resets_in(self, now: float) -> int:
        """Whole seconds until all is forgotten, at least 1."""
        return max(1, math.ceil(self._ends - now))

    def standing(self, left: int, now: float) -> str:
        """The value of ``RateLimit``."""
        return f'"{self.name}";r={max(left, 0)};t={self.resets_in(now)}'

    def _current(self, now: float) -> dict[str, int]:
        if now >= self._ends:
            self._counts = {}
            self._ends = now + self.seconds
        return self._counts


class Standing(Protocol):
    """What an answer tells its client about limits; the frame's record of a request."""

    policy: str | None
    standing: str | None
    retry_after: int | None


class Limits:
    """The windows of a deployment."""

    def __init__(self, quotas: Quotas) -> None:
        self.key = Window("key", quotas.key)
        self.wallet = Window("wallet", quotas.wallet)
        self.address = Window("address", quotas.address)
        self._failures = Window("failures", quotas.failures)

    def admit(self, window: Window, subject: str, now: float, told: Standing) -> None:
        """Count a request and note in ``told`` where its sender stands.

        Raises:
            RateLimited: ``rate:<window>``.
        """
        if not window.quota:
            return
        left = window.hit(subject, now)
        told.policy = window.policy
        told.standing = window.standing(left, now)
        if left < 0:
            told.retry_after = window.resets_in(now)
            raise RateLimited(f"rate:{window.name}")

    def failed(self, address: str, now: float) -> None:
        """Count a credential or proof that was refused."""
        if self._failures.quota:
            self._failures.hit(address, now)

    def admit_proof(self, address: str, now: float, told: Standing) -> None:
        """Before a credential is looked at.

        Raises:
            RateLimited: ``rate:failures``: too many of this address have been refused.
        """
        window = self._failures
        if window.quota and window.full(address, now):
            told.policy = window.policy
            told.standing = window.standing(0, now)
            told.retry_after = window.resets_in(now)
            raise RateLimited("rate:failures")


class Clients:
    """Whose request it is: the peer's address or, behind proxies that we trust, what they say.

    Args:
        trusted: networks of our own proxies.
        header: the one that they write, ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239); the other one, which
            they may pass on from anybody, is not read.
    """

    def __init__(self, trusted: Iterable[Network] = (), header: str = "X-Forwarded-For") -> None:
        self._trusted = tuple(trusted)
        self._forwarded = header.lower() == "forwarded"
        self.header = header

    def trusts(self, peer: str) -> bool:
        """Whether the peer is one of our proxies."""
        return bool(self._trusted) and self._is_ours(_parsed(peer))

    def address(self, peer: str, said: Iterable[str] = ()) -> str:
        """The client's address, of an IPv6 one the subscriber's network.

        Args:
            said: every value of :attr:`header`, the last line last.
        """
        if not self._trusted or not self.trusts(peer):
            return _subscriber(peer)
        found = peer
        for hop in reversed([one for line in said for one in line.split(",")]):
            text = _forwarded_for(hop) if self._forwarded else hop.strip()
            at = _parsed(text)
            if at is None:  # "unknown", obfuscated or garbage: who is before it cannot be known
                break
            found = str(at)
            if not self._is_ours(at):
                break
        return _subscriber(found)

    def _is_ours(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _forwarded_for(element: str) -> str:
    """The node of a ``for=`` parameter (RFC 7239 §4)."""
    for parameter in element.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "for":
            return value.strip().strip('"')
    return ""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    """An address, with or without a port: ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _subscriber(text: str) -> str:
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_SUBSCRIBER), strict=False))
    return text if address is None else str(address)
