"""Offers as browsers, OBS, GStreamer and FFmpeg write them, answered by the running edge."""

from __future__ import annotations

import re

import pytest
from aiortc.sdp import MediaDescription, SessionDescription
from edge_peers import SDP, Service
from whip_rows import offered

H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={}"
PUBLISHERS = {
    "chromium_publishes": ("VP8", 97),
    "firefox_publishes": ("VP8", 124),
    "safari_publishes": ("H264", 97),
    "obs_publishes": ("H264", None),
    "gstreamer_publishes": ("H264", 97),
    "ffmpeg_publishes": ("H264", None),
    "ffmpeg_publishes_video_only": ("H264", None),
    "bundle_only_publishes": ("VP8", 97),
}


async def answered(service: Service, url: str, text: str) -> SessionDescription:
    async with service.http.post(url, data=text, headers=SDP) as answer:
        assert answer.status == 201, await answer.text()
        return SessionDescription.parse(await answer.text())


async def refused(service: Service, url: str, text: str) -> int:
    async with service.http.post(url, data=text, headers=SDP) as answer:
        return answer.status


def section(description: SessionDescription, kind: str) -> MediaDescription:
    return next(media for media in description.media if media.kind == kind)


def parameters(media: MediaDescription) -> dict[str, object]:
    return media.rtp.codecs[0].parameters


@pytest.mark.parametrize("name", PUBLISHERS)
async def test_publishers_of_the_field_are_taken(service: Service, name: str) -> None:
    codec, rtx = PUBLISHERS[name]
    text = offered(name)
    description = await answered(service, (await service.edge.create()).whip_url, text)
    video = section(description, "video")
    assert [media.direction for media in description.media] == ["recvonly"] * len(description.media)
    assert [media.rtp.muxId for media in description.media] == re.findall(r"^a=mid:(\S+)\r$", text, re.M)
    assert description.group[0].items == [media.rtp.muxId for media in description.media]
    assert video.rtp.codecs[0].name == codec and video.port > 0
    assert [one.payloadType for one in video.rtp.codecs[1:]] == ([rtx] if rtx else [])
    assert video.dtls is not None and video.dtls.role == ("client" if "setup:passive" in text else "server")
    for media in description.media:
        if media.kind == "audio":
            assert media.rtp.codecs[0].name.lower() == "opus" and media.rtp.codecs[0].channels == 2
    level = re.search(r"^a=fmtp:106 .*profile-level-id=(\S+)", text, re.M)
    if level is not None:
        assert parameters(video)["profile-level-id"] == level[1]


VIEWERS = ("chromium_views", "firefox_views", "safari_views", "gstreamer_views", "bundle_only_views")
PUBLISHED = {
    # what is published, and the payload type in which each viewer gets it; None where it cannot
    "42e01f": ("H264", H264.format("42e01f"), (108, 126, 98, 96, None)),
    "42001f": ("H264", H264.format("42001f"), (102, 105, 98, 96, None)),
    "4d001f": ("H264", H264.format("4d001f"), (39, 126, 96, 96, None)),
    "64001f": ("H264", H264.format("64001f"), (37, 126, 96, 96, None)),
    "640c1f": ("H264", H264.format("640c1f"), (37, 126, 96, 96, None)),
    "VP8": ("VP8", "", (96, 120, 104, None, 96)),
    "VP9": ("VP9", "profile-id=0", (98, 121, 45, None, None)),
    "VP9 of 10 bits": ("VP9", "profile-id=2", (100, None, None, None, None)),
    "AV1": ("AV1", "level-idx=5;profile=0;tier=0", (45, 99, None, None, None)),
}


@pytest.mark.parametrize("what", PUBLISHED)
async def test_each_viewer_gets_its_own_payload_type_of_what_is_published(
    service: Service, what: str
) -> None:
    name, format_, types = PUBLISHED[what]
    live_input = await service.edge.create()
    publisher = offered("obs_publishes", ("H264/90000", f"{name}/90000"))
    publisher = re.sub(r"a=fmtp:96 .*\r\n", f"a=fmtp:96 {format_}\r\n" if format_ else "", publisher)
    await answered(service, live_input.whip_url, publisher)
    for viewer, payload_type in zip(VIEWERS, types, strict=True):
        description = await answered(service, live_input.whep_url, offered(viewer))
        video, audio = section(description, "video"), section(description, "audio")
        assert audio.direction == "sendonly" and audio.rtp.codecs[0].name.lower() == "opus"
        if payload_type is None:  # sound alone, rather than nothing
            assert video.port == 0
            assert description.group[0].items == [audio.rtp.muxId]
            continue
        codec = video.rtp.codecs[0]
        assert (codec.payloadType, codec.name, video.direction) == (payload_type, name, "sendonly")
        assert f"a=fmtp:{payload_type} " not in offered(viewer) or parameters(video)
        asked = re.search(rf"^a=fmtp:{payload_type} (.*)\r$", offered(viewer), re.M)
        if (
            asked is not None and name == "H264"
        ):  # as offered: the level is the viewer's own (RFC 6184 §8.2.2)
            told = {key: str(value) for key, value in parameters(video).items()}
            wanted = dict(item.strip().split("=") for item in asked[1].split(";"))
            assert told == wanted
        repair = re.search(rf"^a=fmtp:(\d+) apt={payload_type}\r$", offered(viewer), re.M)
        rtx = [one.payloadType for one in video.rtp.codecs[1:]]
        assert rtx == ([int(repair[1])] if repair is not None else [])


async def test_viewers_of_one_kind_alone(service: Service) -> None:
    live_input, silent = await service.edge.create(), await service.edge.create()
    await answered(service, live_input.whip_url, offered("obs_publishes"))
    await answered(service, silent.whip_url, offered("ffmpeg_publishes_video_only"))
    sound, picture = offered("chromium_views_audio_only"), offered("chromium_views_video_only")
    for text, kind in ((sound, "audio"), (picture, "video")):
        (media,) = (await answered(service, live_input.whep_url, text)).media
        assert (media.kind, media.direction) == (kind, "sendonly")
    both = await answered(service, silent.whep_url, offered("chromium_views"))
    assert [media.direction for media in both.media] == ["sendonly", "sendonly"]
    assert await refused(service, silent.whep_url, sound) == 422


async def test_sound_that_comes_later_keeps_what_the_answer_said(service: Service) -> None:
    """RFC 5576: whoever watches already and whoever comes then hear the same SSRC. RFC 9725 §4.4.2: in the
    one MediaStream."""
    live_input = await service.edge.create()
    await answered(service, live_input.whip_url, offered("ffmpeg_publishes_video_only"))
    before = await answered(service, live_input.whep_url, offered("chromium_views"))
    await answered(service, live_input.whip_url, offered("obs_publishes"))
    after = await answered(service, live_input.whep_url, offered("chromium_views"))
    (told,), (later,) = section(before, "audio").ssrc, section(after, "audio").ssrc
    assert (told.ssrc, told.cname) == (later.ssrc, later.cname)
    assert {media.msid.split()[0] for media in before.media if media.msid} == {told.cname}


async def test_a_viewer_without_any_codec_of_the_publisher_is_refused(service: Service) -> None:
    live_input = await service.edge.create()
    await answered(service, live_input.whip_url, offered("ffmpeg_publishes_video_only"))
    assert await refused(service, live_input.whep_url, offered("bundle_only_views")) == 422
