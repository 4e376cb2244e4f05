"""How many offers, trickles and deletions one address and one live input may send (RFC 9725 §5)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from time import monotonic

from aiohttp import web

from luxxon_core.http.limits import Clients, Window


class Limits:
    """The windows of one edge.

    Generous by default: two thousand viewers behind one address may all come back at once, each with an
    offer and a trickle. What the open sessions of a live input may cost is bounded apart from this.

    Args:
        address: requests a minute of one address, 0 for as many as one likes.
        live_input: of one side of a live input: who only watches keeps nobody from publishing.
        trusted_proxies: networks whose word on the client's address is taken.
        header: where they say it.
    """

    def __init__(self, address: int, live_input: int, trusted_proxies: Iterable[str], header: str) -> None:
        self._address = Window("address", address)
        self._live_input = Window("live input", live_input)
        self._clients = Clients([ip_network(network) for network in trusted_proxies], header)

    def address_waits(self, request: web.Request) -> int:
        """Count a request of its client; seconds that it has to wait, 0 when it is admitted."""
        clients, peer = self._clients, request.remote or ""
        said = request.headers.getall(clients.header, ()) if clients.trusts(peer) else ()
        return _waits(self._address, clients.address(peer, said))

    def live_input_waits(self, side: str, uid: str) -> int:
        """The same for one side of a live input."""
        return _waits(self._live_input, f"{side} {uid}")


def _waits(window: Window, subject: str) -> int:
    if not window.quota:
        return 0
    now = monotonic()
    return window.resets_in(now) if window.hit(subject, now) < 0 else 0
