"""What the embedded edge costs for a publisher and for each viewer, and how late a packet arrives.

The edge is a process of its own under uvloop, as the server runs it; its CPU time is what counts. A second
process publishes H.264 at 720p30 and 1.5 Mbit/s and holds the two viewers whose latency is measured: from the
publisher's send call to the kernel's receive timestamp at the viewer's socket. A third holds the other 198
viewers. All are DTLS-SRTP peers that came by WHIP and WHEP and send receiver reports. The limit is libsrtp's
protect and sendmmsg in C for 200 destinations, in the same run.

Run: ``python benchmarks/media.py``. About two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from struct import pack, unpack

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

from processes import Child, answer, obey  # noqa: E402
from srtp_limit import limit_us  # noqa: E402

VIEWERS = 200
RATE, KILOBITS, GOP, FRAMES = 30, 1610, 30, 60
WINDOWS, SECONDS = 5, 4.0
"""CPU is read over so many windows of so many seconds; their median counts."""
NOISE = 35
"""With it and what the encoder is told the stream has 1.5 Mbit/s and 182 packets/s."""
JOINING = 8
STAMP = b"sent"
SO_TIMESTAMPNS = 35
REPORTS_EVERY = 1.0

TARGET_PER_CORE, TARGET_ONE_MS, TARGET_LAST_MS, TARGET_RATIO = 1500, 1.0, 4.0, 3.0


# -- the edge ----------------------------------------------------------------------------------------------


async def run_edge() -> None:
    from served_edge import served_edge

    from luxxon_core.server import settle_in

    async with AsyncExitStack() as stack:
        edge = await served_edge(stack)
        live_input = await edge.create()
        settle_in()

        async def stats() -> dict[str, int]:
            counted = edge.stats()
            sent, dropped = counted.datagrams_sent, counted.datagrams_dropped
            return {"viewers": counted.viewers, "sent": sent, "dropped": dropped, "errors": counted.errors}

        answer({"whip": live_input.whip_url, "whep": live_input.whep_url})
        await obey({"stats": stats})


# -- the publisher and the viewers that are watched --------------------------------------------------------


def stream() -> list[list[bytes]]:
    """RTP payloads of each picture: a noisy panorama as a camera's encoder makes it."""
    from fractions import Fraction

    import av
    import numpy as np
    from packet_peers import h264_payloads, nal_units

    random = np.random.default_rng(3)
    scene = random.integers(0, 256, (90, 160), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.framerate, encoder.time_base, encoder.bit_rate = (
        Fraction(RATE),
        Fraction(1, RATE),
        KILOBITS * 1000,
    )
    steady = f"keyint={GOP}:scenecut=0:vbv-maxrate={KILOBITS}:vbv-bufsize={KILOBITS // 6}"
    steady += ":sliced-threads=0:threads=1"
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": steady,
    }
    pictures: list[list[bytes]] = []
    for number in range(FRAMES):
        grey = scene[number * 4 : number * 4 + 720, number * 8 : number * 8 + 1280]
        image = np.full((1080, 1280), 128, np.uint8)
        image[:720] = np.clip(grey + random.integers(-NOISE, NOISE + 1, grey.shape), 0, 255)
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            units = [unit for unit in nal_units(bytes(packet)) if unit[0] & 31 in (1, 5, 7, 8)]
            pictures.append([payload for unit in units for payload in h264_payloads(unit, 1100)])
    return pictures


async def run_source(whip: str, whep: str) -> None:
    import aiohttp
    from packet_peers import PacketPeer, rtp_header

    from luxxon_core.adapters.aiortc_edge import private

    class Probe(PacketPeer):
        """Notes how long each stamped packet was on its way."""

        def open_socket(self) -> None:
            super().open_socket()
            assert self.sock is not None
            self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self.late: list[float] = []

        def read(self) -> None:
            assert self.sock is not None
            while True:
                try:
                    data, extra, _, _ = self.sock.recvmsg(2048, 64)
                except BlockingIOError:
                    return
                self.arrived = unpack("=qq", extra[0][2][:16]) if extra else (0, 0)
                self.received(data)

        def note(self, packet: bytes, rtcp: bool) -> None:
            if not rtcp and packet[-12:-8] == STAMP:
                seconds, nanoseconds = self.arrived
                sent = int.from_bytes(packet[-8:], "big")
                self.late.append((seconds * 10**9 + nanoseconds - sent) / 1e6)

    pictures = await asyncio.to_thread(stream)
    certificate, http = private.Certificate(), aiohttp.ClientSession()
    publisher = PacketPeer(certificate)
    probes: list[Probe] = []
    shape = {
        "packets": RATE * sum(map(len, pictures)) / len(pictures),
        "kilobits": RATE * sum(len(p) for picture in pictures for p in picture) / len(pictures) / 125,
    }

    async def play() -> None:
        began, number, sequence = time.monotonic(), 0, 0
        while True:
            await asyncio.sleep(began + number / RATE - time.monotonic())
            picture = pictures[number % FRAMES]
            for at, payload in enumerate(picture):
                header = rtp_header(102, sequence, number * 3000, 77, marker=at == len(picture) - 1)
                if number % FRAMES % GOP:
                    publisher.send_rtp(header + payload[:-12] + STAMP + pack("!Q", time.time_ns()))
                else:  # keyframes are decoded: they stay as they are
                    publisher.send_rtp(header + payload)
                sequence += 1
            number += 1

    async def publish() -> dict[str, float]:
        await publisher.connect(http, whip, publish=True)
        playing.append(asyncio.create_task(play()))
        return shape

    async def probe() -> None:
        viewer = Probe(certificate)
        viewer.heard = viewer.note
        await viewer.connect(http, whep)
        probes.append(viewer)

    async def latency() -> list[dict[str, float]]:
        """Since the last call, in ms, of each probe."""
        figures = []
        for viewer in probes:
            late, viewer.late = sorted(viewer.late), []
            figures.append(
                {"median": statistics.median(late), "p95": late[int(len(late) * 0.95)], "n": len(late)}
            )
        return figures

    playing: list[asyncio.Task[None]] = []
    answer({})
    await obey({"publish": publish, "probe": probe, "latency": latency})
    for task in playing:
        task.cancel()
    await asyncio.gather(*playing, return_exceptions=True)
    for peer in (publisher, *probes):
        await peer.close()
    await http.close()


# -- the crowd ---------------------------------------------------------------------------------------------


async def run_crowd(whep: str) -> None:
    import aiohttp
    from packet_peers import PacketPeer

    from luxxon_core.adapters.aiortc_edge import private, rtp

    certificate, http = private.Certificate(), aiohttp.ClientSession()
    viewers: list[PacketPeer] = []
    got = 0

    async def come() -> None:
        viewer = PacketPeer(certificate)
        await viewer.connect(http, whep)
        viewer.unwatch()
        viewers.append(viewer)

    async def join(count: str) -> int:
        wanted = int(count)
        for at in range(0, wanted, JOINING):
            await asyncio.gather(*(come() for _ in range(min(JOINING, wanted - at))))
        return len(viewers)

    async def drain() -> None:
        """Ten times a second what lies in the sockets: the sooner would only disturb the edge."""
        nonlocal got
        buffer, turn = bytearray(2048), 0
        while True:
            turn += 1
            for at, viewer in enumerate(viewers):
                receive = viewer.sock.recv_into  # type: ignore[union-attr]
                try:
                    while True:
                        size = receive(buffer)
                        if 127 < buffer[0] < 192 and not 192 <= buffer[1] <= 223:
                            got += 1
                        elif not 127 < buffer[0] < 192:
                            viewer.received(bytes(buffer[:size]))
                except BlockingIOError:
                    pass
                if (turn + at) % int(10 * REPORTS_EVERY) == 0:
                    report = rtp.receiver_report(1, rtp.Reception(2, 0, 0, turn, 9, 0, 0))
                    viewer.send_rtcp(report + rtp.remb(1, 4_000_000, 2))
                if at % 50 == 49:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)

    async def received() -> int:
        return got

    draining = asyncio.create_task(drain())
    answer({})
    await obey({"join": join, "received": received})
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)
    for viewer in viewers:
        await viewer.close()
    await http.close()


# -- the measurement ---------------------------------------------------------------------------------------


async def cpu_percent(pid: int, windows: int = WINDOWS) -> float:
    import psutil

    process, shares = psutil.Process(pid), []
    for _ in range(windows):
        before, began = process.cpu_times(), time.monotonic()
        await asyncio.sleep(SECONDS)
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        shares.append(used / (time.monotonic() - began) * 100)
    return statistics.median(shares)


def verdict(name: str, value: str, target: str, ratio: float) -> None:
    """``ratio`` is 1.0 or less when the target is met."""
    print(f"{name:<44} {value:>12} {target:>12} {ratio:7.2f}")


async def main() -> None:
    async with AsyncExitStack() as stack:
        edge, doors = await Child.start(stack, __file__, "--edge")
        source, _ = await Child.start(stack, __file__, "--source", doors["whip"], doors["whep"])
        crowd, _ = await Child.start(stack, __file__, "--crowd", doors["whep"])
        pid = edge.process.pid
        shape = await source.do("publish")
        await asyncio.sleep(3)
        publisher = await cpu_percent(pid)
        await source.do("probe")
        await asyncio.sleep(1)
        await source.do("latency")
        one = await cpu_percent(pid, 2)
        first = (await source.do("latency"))[0]
        limits = [limit_us(VIEWERS, int(shape["kilobits"] * 125 / shape["packets"]))]

        joined = time.monotonic()
        await crowd.do(f"join {VIEWERS - 2}")
        await source.do("probe")
        joined = time.monotonic() - joined
        await asyncio.sleep(2)
        await source.do("latency")
        before, got, began = await edge.do("stats"), await crowd.do("received"), time.monotonic()
        full = await cpu_percent(pid)
        took = time.monotonic() - began
        after, got = await edge.do("stats"), await crowd.do("received") - got
        last = (await source.do("latency"))[-1]
        limits.append(limit_us(VIEWERS, int(shape["kilobits"] * 125 / shape["packets"])))

    each = (full - publisher) / VIEWERS
    packet = each / 100 / shape["packets"] * 1e6
    limit = statistics.mean(limits)
    per_core = (100 - publisher) / each
    print(f"stream: 720p{RATE}, {shape['kilobits']:.0f} kbit/s, {shape['packets']:.0f} packets/s")
    print(
        f"{after['viewers']} viewers joined in {joined:.1f} s; {(after['sent'] - before['sent']) / took:.0f} "
        f"datagrams/s, {after['dropped'] - before['dropped']} dropped, {after['errors']} errors; "
        f"crowd received {got / took / (VIEWERS - 2) / shape['packets']:.1%} of the stream\n"
    )
    print(f"{'':<44} {'measured':>12} {'target':>12}   ratio")
    print(f"{'a publisher, a picture a second included':<44} {publisher:10.2f} %")
    print(f"{'the first viewer':<44} {one - publisher:10.2f} %")
    print(f"{f'{VIEWERS} viewers and a publisher':<44} {full:10.2f} %")
    print(f"{'each viewer':<44} {each:10.4f} %")
    verdict("viewers on a core", f"{per_core:.0f}", f">= {TARGET_PER_CORE}", TARGET_PER_CORE / per_core)
    verdict("one-way latency, one viewer, median", f"{first['median']:.2f} ms", "<= 1 ms", first["median"])
    print(f"{'  95th percentile':<44} {first['p95']:9.2f} ms")
    verdict(
        f"one-way latency, last of {VIEWERS}, median", f"{last['median']:.2f} ms", "<= 4 ms",
        last["median"] / TARGET_LAST_MS,
    )  # fmt: skip
    print(f"{'  95th percentile':<44} {last['p95']:9.2f} ms")
    print(f"{'protect + sendmmsg in C':<44} {limit:9.2f} us")
    verdict("a packet through the edge", f"{packet:.2f} us", "<= 3 x C", packet / limit / TARGET_RATIO)
    print(f"{'  times the limit':<44} {packet / limit:9.2f} x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--edge", action="store_true")
    parser.add_argument("--source", nargs=2)
    parser.add_argument("--crowd")
    chosen = parser.parse_args()
    if chosen.edge:
        import uvloop

        uvloop.run(run_edge())
    elif chosen.source:
        asyncio.run(run_source(*chosen.source))
    elif chosen.crowd:
        asyncio.run(run_crowd(chosen.crowd))
    else:
        asyncio.run(main())
