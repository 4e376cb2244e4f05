"""Where deliveries may go: which URLs are taken, and which addresses are dialled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from luxxon_core.kernel.errors import InvalidInput

MOST_CHARACTERS = 2048
USUAL_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
"""Below it listen services that understand lines of other people's requests: mail, FTP, Telnet."""
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?", re.IGNORECASE)

Network = IPv4Network | IPv6Network

_TUNNELS: tuple[IPv6Network, ...] = tuple(
    IPv6Network(one)
    for one in (
        "::/96",  # IPv4-compatible (RFC 4291 §2.5.5.1)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291 §2.5.5.2)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 for local use (RFC 8215)
        "2001::/32",  # Teredo (RFC 4380)
        "2002::/16",  # 6to4 (RFC 3056)
        "fec0::/10",  # site-local, deprecated (RFC 3879)
    )
)
"""IPv6 addresses that stand for others: what they lead to is not seen from them, or is not the internet."""
_SPECIAL: tuple[IPv4Network, ...] = tuple(
    IPv4Network(one)
    for one in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "168.63.129.16/32",  # Azure's host: a public address with a machine's secrets behind it
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "240.0.0.0/4",
    )
)
"""Named, because not every Python calls each of them private."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the deployment's settings allow beside https to public addresses.

    Attributes:
        networks: addresses that are dialled although they are not public.
        plain: whether http is taken.
    """

    networks: Sequence[Network] = ()
    plain: bool = False


def checked_url(url: str, target: Target) -> str:
    """The URL, if deliveries may go there as far as can be seen without asking DNS.

    Raises:
        InvalidInput: ``webhook:url``; the message says why.
    """
    if len(url) > MOST_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _refused(f"must be at most {MOST_CHARACTERS} characters of ASCII without blanks")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise _refused("is no URL") from None
    if parts.scheme != "https" and not (target.plain and parts.scheme == "http"):
        raise _refused("must begin with https://")
    if not host:
        raise _refused("must name a host")
    if "@" in parts.netloc:
        raise _refused("must not hold a user or password: check the signature instead")
    if parts.fragment:
        raise _refused("must not have a fragment")
    if port is not None and port not in USUAL_PORTS and port < FIRST_FREE_PORT:
        raise _refused(f"must have port 80, 443, or one from {FIRST_FREE_PORT} on")
    _check_host(host, target)
    return url


def _check_host(host: str, target: Target) -> None:
    try:
        literal = ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            raise _refused("must name a host") from None
        return
    if not allowed_address(str(literal), target):
        raise _refused("must not lead to a private address")


def allowed_address(address: str, target: Target) -> bool:
    """Whether this address, which is about to be dialled, is one of the public internet or allowed by name.

    Loopback, private, link-local (where clouds keep their metadata), shared, multicast, reserved and
    tunnelled addresses are none.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(found in network for network in target.networks):
        return True
    if isinstance(found, IPv6Address):
        return _public(found) and not any(found in network for network in _TUNNELS)
    return _public(found) and not any(found in network for network in _SPECIAL)


def _public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    )


def network(text: str) -> Network:
    """A network of the settings."""
    return ip_network(text)


def _refused(reason: str) -> InvalidInput:
    return InvalidInput("webhook:url", f"The URL {reason}")
