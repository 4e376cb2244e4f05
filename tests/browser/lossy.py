"""A network that loses packets: a relay of datagrams between peers on this machine and an edge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass
class Direction:
    """Loses a share of what passes: which packets is settled by the seed."""

    share: float
    dice: random.Random
    passed: int = 0
    lost: int = 0

    def loses(self) -> bool:
        lost = self.dice.random() < self.share
        self.lost += lost
        self.passed += not lost
        return lost


class Lossy:
    """Listens on a port of its own; each address that sends to it appears to the edge as an address too."""

    def __init__(self, edge: Address, share: float, seed: int) -> None:
        self.inwards = Direction(share, random.Random(seed))
        self.outwards = Direction(share, random.Random(seed + 1))
        self._edge = edge
        self._front: asyncio.DatagramTransport | None = None
        self._backs: dict[Address, asyncio.DatagramTransport] = {}
        self._opening: dict[Address, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        assert self._front is not None
        port: int = self._front.get_extra_info("sockname")[1]
        return port

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(self._from_peer), local_addr=("127.0.0.1", 0)
        )

    async def close(self) -> None:
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for transport in (self._front, *self._backs.values()):
            if transport is not None:
                transport.close()

    def _from_peer(self, data: bytes, peer: Address) -> None:
        if (back := self._backs.get(peer)) is not None:
            if not self.inwards.loses():
                back.sendto(data)
        elif peer not in self._opening:
            self._opening[peer] = asyncio.create_task(self._open(peer, data))

    async def _open(self, peer: Address, first: bytes) -> None:
        back, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiver(lambda data, _: self._to_peer(data, peer)), remote_addr=self._edge
        )
        self._backs[peer] = back
        back.sendto(first)

    def _to_peer(self, data: bytes, peer: Address) -> None:
        if self._front is not None and not self.outwards.loses():
            self._front.sendto(data, peer)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, received: object) -> None:
        self.datagram_received = received  # type: ignore[method-assign,assignment]


@asynccontextmanager
async def lossy(edge: Address, share: float, seed: int) -> AsyncIterator[Lossy]:
    """A relay to the edge's UDP address that loses ``share`` of the packets in each direction."""
    relay = Lossy(edge, share, seed)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.close()
