"""What a Video4Linux2 driver says of a device. A driver in a function stands for the hardware: it is asked by
the same calls, and answers in the layout of linux/videodev2.h."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from luxxon_webcam import device, v4l2
from luxxon_webcam.webcam import WebcamConfig, WebcamType

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux2 is Linux's")

SIZES = {b"H264": [(1280, 720), (1920, 1080)], b"MJPG": [(1280, 720)], b"YUYV": [(640, 480)]}
RATES = {(1280, 720): [(1, 30), (1, 60)], (1920, 1080): [(1, 30)], (640, 480): [(1001, 30000)]}


class Driver:
    """Of a camera with H.264; ``stepwise``: one range of sizes and intervals for each format."""

    def __init__(self, capabilities: int = v4l2.VIDEO_CAPTURE, *, stepwise: bool = False) -> None:
        self.capabilities = capabilities
        self.stepwise = stepwise
        self.wishes: list[tuple[int, int]] = []

    def __call__(self, _: int, request: int, told: bytearray) -> object:
        if request == v4l2.VIDIOC_QUERYCAP:
            assert len(told) == 104
            told[0:104] = struct.pack(
                "=16s32s32sIII12x",
                b"uvcvideo",
                b"HD Pro Webcam",
                b"usb-1.2",
                1,
                0x85200001,
                self.capabilities,
            )
        elif request == v4l2.VIDIOC_ENUM_FMT:
            index, kind = struct.unpack_from("=II", told)
            assert (len(told), kind) == (64, 1)
            told[44:48] = self._nth(list(SIZES), index)
        elif request == v4l2.VIDIOC_ENUM_FRAMESIZES:
            assert len(told) == 44
            index, pixels = struct.unpack_from("=I4s", told)
            if self.stepwise:
                self._nth([0], index)
                told[8:36] = struct.pack("=I6I", 3, 160, 1920, 2, 120, 1080, 2)
            else:
                told[8:20] = struct.pack("=III", 1, *self._nth(SIZES[pixels], index))
        elif request == v4l2.VIDIOC_ENUM_FRAMEINTERVALS:
            assert len(told) == 52
            index, _pixels, width, height = struct.unpack_from("=I4sII", told)
            if self.stepwise:
                told[16:44] = struct.pack("=I6I", 3, 1, 25, 1, 1, 1, 1)
            else:
                told[16:28] = struct.pack("=III", 1, *self._nth(RATES[width, height], index))
        elif request == v4l2.VIDIOC_S_CTRL:
            self.wishes.append(struct.unpack("=Ii", told))
        else:
            raise OSError(errno.ENOTTY, "what?")
        return 0

    @staticmethod
    def _nth(of: list[Any], index: int) -> Any:
        if index >= len(of):
            raise OSError(errno.EINVAL, "no more")
        return of[index]


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for number in (0, 1, 10, 2):
        (tmp_path / f"video{number}").touch()
    return tmp_path


def test_formats_sizes_and_rates_are_the_drivers(nodes: Path) -> None:
    found = v4l2.probe(str(nodes / "video0"), Driver())
    assert found is not None
    assert found.card == "HD Pro Webcam"
    assert [(one.codec, one.width, one.height, round(one.frame_rate, 2)) for one in found.formats] == [
        ("h264", 1280, 720, 60),
        ("h264", 1920, 1080, 30),
        ("mjpeg", 1280, 720, 60),
        ("raw", 640, 480, 29.97),
    ]


def test_a_range_of_sizes_is_known_by_its_largest(nodes: Path) -> None:
    found = v4l2.probe(str(nodes / "video0"), Driver(stepwise=True))
    assert found is not None
    assert {(one.width, one.height, one.frame_rate) for one in found.formats} == {(1920, 1080, 25)}
    assert len(found.formats) == 3


def test_nodes_come_by_number_and_those_without_pictures_not_at_all(nodes: Path) -> None:
    assert [Path(one.path).name for one in v4l2.devices(Driver(), nodes)] == [
        "video0",
        "video1",
        "video2",
        "video10",
    ]
    assert v4l2.devices(Driver(0x00800000), nodes) == [], "a second node, for metadata"
    assert v4l2.devices(None, nodes) == [], "files are no devices"


def test_a_driver_that_never_says_no_more_ends(nodes: Path) -> None:
    class Endless(Driver):
        @staticmethod
        def _nth(of: list[Any], index: int) -> Any:
            return of[index % len(of)]

    assert v4l2.probe(str(nodes / "video0"), Endless()) is not None


def test_a_key_frame_is_asked_for_where_that_can_be(nodes: Path) -> None:
    driver = Driver()
    assert v4l2.force_keyframe(str(nodes / "video0"), driver)
    assert driver.wishes == [(0x009909E5, 1)]
    assert not v4l2.force_keyframe(str(nodes / "video0"))
    assert not v4l2.force_keyframe(str(nodes / "video9"))


@pytest.fixture
def driven(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As if the nodes were this computer's cameras."""
    real = v4l2.probe
    monkeypatch.setattr(v4l2, "devices", lambda: [real(str(nodes / "video0"), Driver())])
    monkeypatch.setattr(v4l2, "probe", lambda path, _=None: real(path, Driver()))
    yield nodes


async def test_discovery_tells_names_and_formats(driven: Path) -> None:
    (found,) = [one async for one in WebcamType(input_format="v4l2").discover(2.0)]
    assert (found.title, found.config) == ("HD Pro Webcam", WebcamConfig(device=str(driven / "video0")))
    assert [(one.codec, one.width, one.frame_rate) for one in found.media_profiles][:2] == [
        ("h264", 1920, 30),
        ("h264", 1280, 60),
    ]
    assert len({one.token for one in found.media_profiles}) == len(found.media_profiles)


def test_h264_is_asked_for_where_the_camera_has_it(driven: Path) -> None:
    def asked(encoded: bool | None) -> list[str | None]:
        wanted = device.Wanted(str(driven / "video0"), 1280, 720, 30, encoded)
        return [one.get("input_format") for one in device._attempts("v4l2", wanted)]

    assert asked(None) == ["h264", "h264", "mjpeg", None, None]
    assert asked(True) == ["h264", "h264"]
    assert asked(False) == ["mjpeg", None, None]
