"""What pictures cost: making them, and serving them with authorization.

Snapshots: keyframes of 720p H.264 are put together, decoded, looked at and coded as JPEG by the code that the
edge runs in its worker threads; CPU time of one thread, step by step. Serving: ``GET /sessions/:id/frame``
with a key, each connection for a session of its own, beside a bare aiohttp application that answers the same
bytes without asking anything; two processes taken in turns, as in ``api.py``.

Run: ``python benchmarks/frames.py``. About a minute.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from api import BRUSSELS, CONNECTIONS, Figure, consumer, get, load, run, show, started

from luxxon_core.adapters.aiortc_edge import payload
from luxxon_core.adapters.aiortc_edge.decoder import Decoder, Picture, Unit
from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import MediaEvent, MediaEventKind, digest_of
from luxxon_core.server import Server as Running

ROUNDS = 5
SERVED_LIMIT = 0.6
PUBLISHERS_LIMIT = 80
WIDTH, HEIGHT, FPS, BIT_RATE = 1280, 720, 30, 1_500_000
SECONDS, REPEATS = 8, 5
MTU = 1200


# -- making them -------------------------------------------------------------------------------------------


def scene(index: int) -> np.ndarray:
    """A picture of the size and detail of a street, moving."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    base = 128 + 60 * np.sin((x + index * 3) / 90) + 40 * np.cos(y / 70) + 20 * np.sin((x + y + index) / 7)
    colours = np.stack([base, base * 0.8 + 20, 255 - base], -1)
    return np.clip(colours + np.random.default_rng(index).normal(0, 4, (HEIGHT, WIDTH, 1)), 0, 255).astype(
        np.uint8
    )


def keyframes() -> list[Unit]:
    """Those of a stream with one a second, as RTP payloads (RFC 6184: single units, FU-A)."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.bit_rate = Fraction(1, FPS), Fraction(FPS), BIT_RATE
    parameters = f"keyint={FPS}:scenecut=0:vbv-maxrate={BIT_RATE // 1000}:vbv-bufsize={BIT_RATE // 1000}"
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": parameters,
    }
    pictures = [scene(index) for index in range(15)]
    units = []
    for index in range(SECONDS * FPS):
        frame = av.VideoFrame.from_ndarray(pictures[index % len(pictures)], format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = index
        units += [
            Unit(tuple(packets(bytes(packet))), True, index / FPS)
            for packet in encoder.encode(frame)
            if packet.is_keyframe
        ]
    return units[1:]


def packets(frame: bytes) -> list[bytes]:
    made = []
    for unit in frame.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        if len(unit) <= MTU:
            made.append(unit)
            continue
        parts = [unit[at : at + MTU] for at in range(1, len(unit), MTU)]
        for index, part in enumerate(parts):
            edge = 0x80 * (index == 0) | 0x40 * (index == len(parts) - 1)
            made.append(bytes((unit[0] & 0xE0 | payload.FU_A, edge | unit[0] & 31)) + part)
    return made


class Timed(Decoder):
    """The edge's decoder with a watch in its hand."""

    def __init__(self, codec: str) -> None:
        super().__init__(codec)
        self.spent: dict[str, list[float]] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("_frames", "_rgb", "_jpeg", "_light"):
            return found

        def timed(*arguments: Any, **named: Any) -> Any:
            begun = time.thread_time()
            try:
                return found(*arguments, **named)
            finally:
                self.spent.setdefault(name, []).append(time.thread_time() - begun)

        return timed


def snapshots() -> None:
    units = keyframes()
    plain, timed = Decoder("h264"), Timed("h264")
    whole: list[float] = []
    sizes: list[int] = []
    for _ in range(REPEATS):
        for unit in units:
            begun = time.thread_time()
            made = plain.decode([unit], every_frame=False, due=0.0)
            whole.append(time.thread_time() - begun)
            assert made.picture is not None
            sizes.append(len(made.picture.jpeg))
            timed.decode([unit], every_frame=False, due=0.0)
    each = statistics.median(whole) * 1e3
    steps = {name: statistics.median(spent) * 1e3 for name, spent in timed.spent.items()}
    keyframe = statistics.median(sum(map(len, unit.payloads)) for unit in units) / 1000
    publishers = 1000 / each
    met = publishers >= PUBLISHERS_LIMIT
    print(
        f"snapshot of 720p H.264        {each:5.2f} ms of a core: decode {steps['_frames']:.2f},"
        f" reformat {steps['_rgb']:.2f}, JPEG {steps['_jpeg']:.2f}, look for faults {steps['_light']:.2f};"
        f" keyframe {keyframe:.0f} kB, JPEG {statistics.median(sizes) / 1000:.0f} kB"
    )
    print(
        f"publishers per core at 1 fps  {publishers:5.0f}"
        f" (limit {PUBLISHERS_LIMIT}: {'met' if met else 'NOT MET'})"
    )


# -- serving them ------------------------------------------------------------------------------------------


def jpeg() -> Picture:
    found = Decoder("h264").decode(keyframes()[:1], every_frame=False, due=0.0).picture
    assert found is not None
    return found


async def bare(path: str) -> None:
    from aiohttp import web

    picture = picture_in(path)(0.0)

    async def frame(_: web.Request) -> web.Response:
        return web.Response(body=picture.jpeg, content_type="image/jpeg")

    app = web.Application()
    app.add_routes([web.get("/frame", frame)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


async def product(directory: str, path: str) -> None:
    from luxxon_core.server import running, settle_in
    from luxxon_core.settings import load

    settings = load(data_dir=Path(directory), durable=False, port=0, udp_port=0, rate_limit_key=0)
    async with running(settings) as server:
        supplier = await operator(server)
        keys, sessions, inputs = [], [], []
        for number in range(CONNECTIONS):
            _, key = await consumer(server, number)
            async with Luxxon(server.api_url, api_key=key) as api:
                made = await api.sessions.create(**BRUSSELS, max_duration_seconds=3600)
            async with Luxxon(server.api_url, api_key=supplier) as api:
                await api.sessions.accept(made.id)
                inputs.append((await api.sessions.start(made.id)).video_backend_ref)
            event = MediaEvent(MediaEventKind.FIRST_FRAME, inputs[-1], utc_now())
            await server.deployment.cases.sessions.on_media(event, utc_now())
            keys.append(key)
            sessions.append(made.id)
        channels = [server.deployment.parts.media.embedded._channels[uid] for uid in inputs]
        picture = picture_in(path)
        ready = {"port": int(server.url.rpartition(":")[2]), "keys": keys, "sessions": sessions}
        settle_in()  # as ``luxxon serve`` does
        print(json.dumps(ready), flush=True)
        while True:  # what the decoder's threads hand over once a second
            for channel in channels:
                channel._pictured(picture(time.monotonic()))
            await asyncio.sleep(1)


def picture_in(path: str) -> Callable[[float], Picture]:
    body = Path(path).read_bytes()
    light, digest = np.zeros((36, 64), np.uint8), digest_of(body)
    return lambda at: Picture(body, WIDTH, HEIGHT, at, digest, light)


async def operator(server: Running) -> str:
    """The API key of a supplier that covers the place."""
    wallet = LocalWallet.create()
    async with Luxxon(server.api_url) as api:
        challenge = await api.workspaces.challenge(wallet.address)
        made = await api.workspaces.create(
            slug="bench-operator",
            name="bench",
            wallet_address=wallet.address,
            signature=wallet.sign_message(challenge.message),
            nonce=challenge.nonce,
            roles=["SUPPLIER"],
        )
        challenge = await api.auth.challenge(wallet.address)
        await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        await api.auth.select_workspace(made.id)
        await api.workspaces.update(
            made.id, coverage_lat=BRUSSELS["lat"], coverage_lng=BRUSSELS["lng"], coverage_radius_meters=500
        )
        key = await api.workspaces.create_api_key(made.id, label="bench", scopes=["sessions:operate"])
    return key.plaintext


async def serving() -> None:
    with tempfile.TemporaryDirectory(prefix="luxxon-bench-") as directory:
        path = Path(directory) / "frame.jpeg"
        path.write_bytes(jpeg().jpeg)
        data = str(Path(directory) / "data")
        async with (
            started("product", data, str(path), file=__file__) as ours,
            started("bare", str(path), file=__file__) as least,
        ):
            told = ours.told
            asked = [
                get(f"/api/v1/sessions/{session}/frame", f"Authorization: Bearer {key}")
                for session, key in zip(told["sessions"], told["keys"], strict=True)
            ]
            plain = [get("/frame")]
            await load(ours, asked)
            await load(least, plain)
            figures: list[tuple[Figure, Figure]] = [
                (await load(ours, asked), await load(least, plain)) for _ in range(ROUNDS)
            ]
            name = "GET /sessions/:id/frame"
            show(name, [a for a, _ in figures], [b for _, b in figures], SERVED_LIMIT)


async def measure() -> None:
    snapshots()
    await serving()


if __name__ == "__main__":
    run(measure=measure, product=product, bare=bare)
