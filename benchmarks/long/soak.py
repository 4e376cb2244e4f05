"""Whether the embedded edge grows: viewers come and go every second, publishers return now and then.

The edge is a process of its own; everybody else is in this one. Viewers leave by DTLS, by DELETE, by falling
silent, or never connect; publishers crash and take over, leave and return, or change to another live input.
Memory, file descriptors, threads and tasks are read every five seconds; the slope is that of the second half.

Run: ``python benchmarks/long/soak.py [MINUTES]``, 15 when not given.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [
    str(Path(__file__).parents[2] / "tests"),
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2]),
]

from media import RATE, stream  # noqa: E402
from processes import Child, answer, obey  # noqa: E402

MINUTES = 15.0
INPUTS = 3
EVERY = 5.0
COMING = 3
"""Viewers a second."""
PUBLISHER_STAYS = 12.0
AT_REST = 36.0
"""Seconds until the edge has given up those who fell silent."""
FIGURES = ("MB", "fds", "threads", "tasks", "peers")


# -- the edge ----------------------------------------------------------------------------------------------


async def run_edge() -> None:
    import logging

    import psutil
    import structlog
    from served_edge import served_edge

    from luxxon_core.server import settle_in

    wrong: list[str] = []

    def count(_: Any, method: str, event: Any) -> Any:
        if method in ("error", "critical", "exception"):
            wrong.append(str(event))
        raise structlog.DropEvent

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            wrong.append(record.getMessage())

    structlog.configure(processors=[count])
    logging.getLogger().addHandler(Records(logging.WARNING))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: wrong.append(str(context)))
    async with AsyncExitStack() as stack:
        edge = await served_edge(stack)
        inputs = {}
        settle_in()
        process = psutil.Process()

        async def create() -> dict[str, str]:
            live_input = await edge.create()
            inputs[live_input.uid] = live_input
            return {"uid": live_input.uid, "whip": live_input.whip_url, "whep": live_input.whep_url}

        async def delete(uid: str) -> None:
            await edge.delete(inputs.pop(uid))

        async def stats(collect: str = "") -> dict[str, Any]:
            if collect:
                gc.collect()
            counted = edge.stats()
            return {
                "MB": process.memory_info().rss / 1e6,
                "fds": process.num_fds(),
                "threads": process.num_threads(),
                "tasks": len(asyncio.all_tasks()),
                "peers": counted.publishers + counted.viewers,
                "sent": counted.datagrams_sent,
                "dropped": counted.datagrams_dropped,
                "wrong": wrong,
            }

        async def drain_events() -> None:
            async for _ in edge.events():
                pass

        events = asyncio.create_task(drain_events())
        answer({})
        await obey({"create": create, "delete": delete, "stats": stats})
    await events


# -- everybody else ----------------------------------------------------------------------------------------


@dataclass
class Tally:
    joined: int = 0
    refused: int = 0
    vanished: int = 0
    takeovers: int = 0
    returns: int = 0
    replaced: int = 0
    unfinished: int = 0
    waits: list[float] = field(default_factory=list)
    """Milliseconds from the connection to the first packet of media."""


class Soak:
    def __init__(self, edge: Child, http: Any, pictures: Sequence[Sequence[bytes]]) -> None:
        from luxxon_core.adapters.aiortc_edge import private

        self.edge, self.http, self.pictures = edge, http, pictures
        self.tally, self.rng = Tally(), random.Random(11)
        self.inputs: list[dict[str, str]] = []
        self.certificate = private.Certificate()
        self._orders = asyncio.Lock()

    async def order(self, text: str) -> Any:
        async with self._orders:
            return await self.edge.do(text)

    async def view(self, whep: str) -> None:
        """One viewer's visit."""
        from packet_peers import PacketPeer

        arrived = asyncio.Event()
        peer = PacketPeer(self.certificate, heard=lambda packet, rtcp: None if rtcp else arrived.set())
        try:
            if self.rng.random() < 0.05:  # asks, and is never seen again
                async with self.http.post(
                    whep, data=peer.offer("recvonly"), headers={"Content-Type": "application/sdp"}
                ):
                    self.tally.unfinished += 1
                return
            await peer.connect(self.http, whep)
            self.tally.joined += 1
            connected = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await arrived.wait()
                self.tally.waits.append((time.monotonic() - connected) * 1000)
            await asyncio.sleep(self.rng.uniform(2, 12))
            if self.rng.random() < 0.3:
                async with self.http.delete(peer.session_url):
                    pass
            elif self.rng.random() < 0.2:
                self.tally.vanished += 1
                peer.send = lambda datagram: None  # type: ignore[method-assign]
        except (ConnectionError, TimeoutError):
            self.tally.refused += 1
        finally:
            await peer.close()

    async def publish(self, slot: int) -> None:
        """A publisher that comes back again and again, in one way or another."""
        from packet_peers import PacketPeer, Source

        while True:
            peer = PacketPeer(
                self.certificate, payload_type=self.rng.choice((96, 102)), rtx=self.rng.choice((None, 103))
            )
            source = Source(peer, ssrc=self.rng.getrandbits(31), sequence=self.rng.getrandbits(15))
            try:
                await peer.connect(self.http, self.inputs[slot]["whip"], publish=True)
                await self.play(source, self.rng.uniform(PUBLISHER_STAYS / 2, PUBLISHER_STAYS * 2))
                way = self.rng.random()
                if way < 0.4:
                    self.tally.takeovers += 1
                    peer.send = lambda datagram: None  # type: ignore[method-assign]
                elif way < 0.8:
                    self.tally.returns += 1
                else:
                    self.tally.replaced += 1
                    await self.order(f"delete {self.inputs[slot]['uid']}")
                    self.inputs[slot] = await self.order("create")
            except (ConnectionError, TimeoutError):
                self.tally.refused += 1
                await asyncio.sleep(0.5)
            finally:
                await peer.close()

    async def play(self, source: Any, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(int(seconds * RATE)):
            if source.peer.gone.is_set():
                raise ConnectionError
            source.picture(self.pictures[number % len(self.pictures)])
            await asyncio.sleep(began + number / RATE - loop.time())

    async def come(self) -> None:
        """Viewers, one after the other, until cancelled."""
        visits: set[asyncio.Task[None]] = set()
        try:
            while True:
                visit = asyncio.create_task(self.view(self.rng.choice(self.inputs)["whep"]))
                visits.add(visit)
                visit.add_done_callback(visits.discard)
                await asyncio.sleep(1 / COMING)
        finally:
            for visit in visits:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)


async def soak(minutes: float) -> None:
    import aiohttp

    pictures = await asyncio.to_thread(stream)
    async with AsyncExitStack() as stack:
        edge, _ = await Child.start(stack, __file__, "--edge")
        http = await stack.enter_async_context(aiohttp.ClientSession())
        soak = Soak(edge, http, pictures)
        soak.inputs = [await soak.order("create") for _ in range(INPUTS)]
        empty = await soak.order("stats collect")
        busy = [asyncio.create_task(soak.publish(slot)) for slot in range(INPUTS)]
        await asyncio.sleep(2)
        busy.append(asyncio.create_task(soak.come()))
        read: list[tuple[float, dict[str, Any]]] = []
        began = time.monotonic()
        while (now := time.monotonic() - began) < minutes * 60:
            read.append((now, await soak.order("stats")))
            if any(task.done() for task in busy):
                break
            await asyncio.sleep(EVERY)
        for task in busy:
            task.cancel()
        ended = [
            result
            for result in await asyncio.gather(*busy, return_exceptions=True)
            if isinstance(result, Exception)
        ]
        await asyncio.sleep(AT_REST)
        rest = await soak.order("stats collect")
    show(soak.tally, empty, read, rest, ended)


def show(
    tally: Tally, empty: dict[str, Any], read: list[tuple[float, dict[str, Any]]], rest: dict[str, Any],
    ended: list[Exception],
) -> None:  # fmt: skip
    late = [(at, figures) for at, figures in read if at >= read[-1][0] / 2]
    print(
        f"{read[-1][0] / 60:.1f} minutes: {tally.joined} viewers joined, {tally.vanished} fell silent, ",
        end="",
    )
    print(f"{tally.unfinished} never connected, {tally.refused} refused while nobody published;")
    print(f"{tally.returns} publishers left and returned, {tally.takeovers} crashed and took over, ", end="")
    print(f"{tally.replaced} moved to a new live input")
    print(f"datagrams sent: {rest['sent']}, dropped {rest['dropped']}; ", end="")
    typical, worst = statistics.median(tally.waits), max(tally.waits)
    print(f"first packet after {typical:.0f} ms (median), {worst:.0f} ms (worst)\n")
    columns = ("empty", "start", "half", "end", "highest", "at rest")
    print(f"{'':9} " + " ".join(f"{column:>9}" for column in columns) + f" {'per hour':>10}")
    for name in FIGURES:
        values = [figures[name] for _, figures in read]
        slope = statistics.linear_regression(
            [at for at, _ in late], [figures[name] for _, figures in late]
        ).slope
        row = [empty[name], values[0], values[len(values) // 2], values[-1], max(values), rest[name]]
        print(f"{name:9} " + " ".join(f"{value:9.1f}" for value in row) + f" {slope * 3600:+10.1f}")
    print(f"\nexceptions and warnings logged: {len(rest['wrong'])}")
    for message in [*rest["wrong"][:5], *map(repr, ended)]:
        print(f"  {message[:300]}")
    if rest["wrong"] or ended:
        raise SystemExit(1)


if __name__ == "__main__":
    if sys.argv[1:] == ["--edge"]:
        import uvloop

        uvloop.run(run_edge())
    else:
        asyncio.run(soak(float(sys.argv[1]) if sys.argv[1:] else MINUTES))
