"""FFmpeg's ``whip`` muxer publishes a file of H.264 and Opus, packet by packet; Chromium views it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import ffmpeg_publisher
import numpy as np
import pytest
from chromium import Browser
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from viewing import BLUE, decodes, rgb, sees

from tests.running_edge import RunningEdge

SIZE, FPS, SECONDS = (640, 360), 25, 4
RATE = 48_000
PUBLISHING_SECONDS = 15.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blue with a bar that moves, and a tone; a keyframe a second, no B-frames: what WebRTC can carry."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    tone = np.sin(np.arange(RATE // FPS) * 2 * np.pi * 440 / RATE) * 8000
    with av.open(path, "w") as out:
        picture = out.add_stream("libx264", FPS, options={"preset": "ultrafast", "profile": "baseline"})
        picture.width, picture.height = SIZE
        picture.pix_fmt, picture.codec_context.gop_size = "yuv420p", FPS
        sound = out.add_stream("libopus", RATE, layout="stereo")
        for count in range(FPS * SECONDS):
            image = np.full((SIZE[1], SIZE[0], 3), rgb(BLUE), np.uint8)
            image[:16, count * 8 % SIZE[0] :][:, :16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = count
            heard = av.AudioFrame.from_ndarray(tone.astype(np.int16).repeat(2)[None], "s16", "stereo")
            heard.sample_rate, heard.pts = RATE, count * len(tone)
            out.mux(picture.encode(frame))
            out.mux(sound.encode(heard))
        out.mux(picture.encode(None))
        out.mux(sound.encode(None))
    return path


KEYS: dict[str, Callable[[], ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


def certificate(kind: str, folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    key, now = KEYS[kind](), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    )
    return files


@asynccontextmanager
async def ffmpeg(film: Path, url: str, certificate: tuple[Path, Path], flags: str) -> AsyncIterator[None]:
    """The publisher at work; when it ends by itself, so does the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ffmpeg_publisher.__file__,
        *map(str, (film, url, *certificate, flags)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield
        assert process.returncode is None, (await process.communicate())[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(("flags", "key"), [("0", "P-256"), ("0", "RSA"), ("dtls_active", "P-256")])
async def test_a_file_that_ffmpeg_publishes_is_seen_and_heard(
    browser: Browser,
    peer_page: str,
    edge: RunningEdge,
    until: Callable[..., Awaitable[None]],
    film: Path,
    tmp_path: Path,
    flags: str,
    key: str,
) -> None:
    """In both DTLS roles: by itself the muxer is the server."""
    live_input = await edge.create()
    viewer = await browser.page(peer_page)
    async with ffmpeg(film, live_input.whip_url, certificate(key, tmp_path), flags):
        await until(lambda: edge.publishers, PUBLISHING_SECONDS)
        await viewer.call("watch", live_input.whep_url)
        await sees(viewer, BLUE)
        picture = await decodes(viewer, FPS * SECONDS)  # beyond the end of the file and its beginning
        assert picture["codec"] == "video/H264" and picture["packetsLost"] == 0
        await viewer.until("stats('inbound-rtp', 'audio').then((sound) => sound?.totalAudioEnergy > 0)")
