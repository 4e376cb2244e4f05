"""Video of a real RTSP server: by packet copy, over every transport, with and without credentials."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from luxxon_rtsp_ptz.config import Transport
from luxxon_rtsp_ptz.source_type import RtspType
from pydantic import SecretStr

from luxxon_core.rtp.nal import Codec, split_annex_b
from luxxon_core.source import (
    AudioSource,
    HealthState,
    PtzControl,
    SourceAuthError,
    SourceConfigError,
    SourceNotReady,
)
from tests.plugins.rtsp_ptz.camera_clips import CameraClip
from tests.plugins.rtsp_ptz.conftest import PASSWORD, USER, Cameras

pytestmark = pytest.mark.alone

T = TypeVar("T")
Clips = Callable[..., CameraClip]


async def take(items: AsyncGenerator[T, None], count: int, seconds: float = 20) -> list[T]:
    taken: list[T] = []
    async with asyncio.timeout(seconds), aclosing(items):
        async for item in items:
            taken.append(item)
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize(("only", "transport"), [("tcp", Transport.TCP), ("udp", Transport.UDP)])
@pytest.mark.parametrize("basic", [False, True], ids=["digest", "basic"])
async def test_what_the_camera_sends_is_what_a_decoder_shows(
    rtsp_camera: Cameras, clips: Clips, only: str, transport: Transport, basic: bool
) -> None:
    clip = clips()
    async with (
        rtsp_camera(clip, password=PASSWORD, basic=basic, only=only) as camera,
        await RtspType().open(camera.settings(transport)) as source,
    ):
        (profile,) = source.media_profiles()
        assert (profile.codec, profile.width, profile.height, profile.frame_rate) == ("h264", 320, 192, 25)
        packets = await take(source.packets(profile), 40)
        frames = await take(source.frames(profile), 30)
        assert source.health().state is HealthState.OK
        assert not source.health().warnings
        assert not isinstance(source, PtzControl | AudioSource)
    assert packets[0].keyframe
    assert all(earlier.pts < later.pts for earlier, later in pairwise(packets))
    assert sum(later.pts - earlier.pts for earlier, later in pairwise(packets)) == pytest.approx(
        39 * 3600, rel=0.1
    )
    assert all(clip.psnr(frame) == float("inf") for frame in frames)


async def test_a_camera_without_tcp_is_asked_by_udp(rtsp_camera: Cameras, clips: Clips) -> None:
    async with (
        rtsp_camera(clips(), only="udp") as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        assert await take(source.packets(source.media_profiles()[0]), 5)


async def test_every_key_frame_brings_the_parameter_sets(rtsp_camera: Cameras, clips: Clips) -> None:
    """Of the clip's key frames only the first of a round has them."""
    clip = clips(gop=5, count=10, headers_once=True)
    async with (
        rtsp_camera(clip) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        packets = await take(source.packets(source.media_profiles()[0]), 40)
    keyframes = [packet for packet in packets if packet.keyframe]
    assert len(keyframes) >= 6
    for packet in keyframes:
        kinds = [Codec.H264.kind(unit) for unit in split_annex_b(packet.data)]
        assert [kinds.count(kind) for kind in (7, 8)] == [1, 1]
        assert max(kinds.index(7), kinds.index(8)) < kinds.index(5)
        assert av.CodecContext.create("h264", "r").decode(av.Packet(packet.data)) is not None


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_password_is_said_and_not_tried_again(
    rtsp_camera: Cameras, clips: Clips, password: str
) -> None:
    async with rtsp_camera(clips(), password=PASSWORD) as camera:
        with pytest.raises(SourceAuthError) as raised:
            await RtspType().open(camera.settings(password=SecretStr(password)))
        assert "password" in raised.value.message
        config = camera.settings(
            url=camera.url.replace("://", f"://{USER}:{PASSWORD}@"), password=SecretStr("")
        )
        assert PASSWORD not in repr(config)
        async with await RtspType().open(config) as source:
            assert source.media_profiles()


async def test_a_path_that_is_not_there_and_a_camera_that_is_off(rtsp_camera: Cameras, clips: Clips) -> None:
    async with rtsp_camera(clips()) as camera:
        with pytest.raises(SourceConfigError, match="no such stream"):
            await RtspType().open(camera.settings(url=camera.url.replace("/cam", "/other")))
    with pytest.raises(SourceNotReady):
        await RtspType().open(camera.settings())


@pytest.mark.parametrize(
    ("properties", "because"),
    [({"codec": "libx265"}, "H.265"), ({"b_frames": 2}, "B-frames")],
    ids=["h265", "b-frames"],
)
async def test_what_viewers_cannot_play_is_offered_as_frames_with_a_warning(
    rtsp_camera: Cameras, clips: Clips, properties: dict[str, Any], because: str
) -> None:
    clip = clips(**properties)
    async with (
        rtsp_camera(clip) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        (profile,) = source.media_profiles()
        assert not profile.encoded
        assert because in source.health().warnings[0]
        frames = await take(source.frames(profile), 40)
        with pytest.raises(SourceConfigError, match=because):
            await take(source.packets(profile), 1)
    assert all(earlier.pts < later.pts for earlier, later in pairwise(frames))
    assert min(clip.psnr(frame) for frame in frames) > 45


@pytest.mark.parametrize("codec", ["pcmu", "pcma", "opus"])
async def test_sound_becomes_opus(rtsp_camera: Cameras, clips: Clips, codec: str) -> None:
    async with (
        rtsp_camera(clips(), audio=codec) as camera,
        await RtspType().open(camera.settings(audio=True)) as source,
    ):
        assert isinstance(source, AudioSource)
        packets = await take(source.audio_packets(), 50)
        assert await take(source.packets(source.media_profiles()[0]), 3)
    assert {packet.codec for packet in packets} == {"opus"}
    steps = [later.pts - earlier.pts for earlier, later in pairwise(packets)]
    assert all(step > 0 for step in steps)
    assert sorted(steps)[len(steps) // 2] == 960
    assert loudest_frequency([packet.data for packet in packets[10:]]) == pytest.approx(1000, abs=30)


def loudest_frequency(packets: list[bytes]) -> float:
    import numpy as np

    decoder = av.CodecContext.create("libopus", "r")
    frames = [frame for data in packets for frame in decoder.decode(av.Packet(data))]
    sound = np.concatenate(
        [frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0] for frame in frames]
    )
    spectrum = np.abs(np.fft.rfft(sound.astype(np.float64)))
    spectrum[0] = 0
    return float(np.argmax(spectrum)) * frames[0].sample_rate / len(sound)


async def test_sound_that_is_not_there_is_a_warning(rtsp_camera: Cameras, clips: Clips) -> None:
    async with (
        rtsp_camera(clips()) as camera,
        await RtspType().open(camera.settings(audio=True)) as source,
    ):
        assert not isinstance(source, AudioSource)
        assert "sound" in source.health().warnings[0]


async def test_tls_is_verified_unless_told_otherwise(
    rtsp_camera: Cameras, clips: Clips, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path / "camera.pem")
    async with rtsp_camera(clips(), password=PASSWORD, certificate=str(certificate)) as camera:
        with pytest.raises(SourceConfigError, match="certificate"):
            await RtspType().open(camera.settings())
        async with await RtspType().open(camera.settings(tls_verify=False)) as source:
            assert await take(source.packets(source.media_profiles()[0]), 5)


def self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(encoding))
    return path
