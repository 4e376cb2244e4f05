"""What a drone is configured with, and what its addresses mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from luxxon_core.source import SourceConfig

STANDARD_PORT = 14550
"""UDP port on which ground stations listen for vehicles."""


class Medium(StrEnum):
    UDP_IN, UDP_OUT, TCP, SERIAL = "udpin", "udpout", "tcp", "serial"


@dataclass(frozen=True, slots=True)
class LinkAddress:
    medium: Medium
    host: str
    """Host name or address; the device where ``medium`` is SERIAL."""
    port: int = 0

    def __str__(self) -> str:
        return self.host if self.medium is Medium.SERIAL else f"{self.medium}:{self.host}:{self.port}"


def parse_link(text: str) -> LinkAddress:
    """``udpin:host:port``, ``udpout:host:port``, ``tcp:host:port`` or a serial device (``serial:`` optional).

    Raises:
        ValueError: in words for the user.
    """
    medium, colon, rest = text.strip().partition(":")
    if medium in (Medium.UDP_IN, Medium.UDP_OUT, Medium.TCP) and colon:
        host, _, port = rest.rpartition(":")
        if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("a port between 1 and 65535 belongs to the end of a network link")
        host = host.removeprefix("[").removesuffix("]")
        if not host and medium != Medium.UDP_IN:
            raise ValueError(f"{medium}: needs the host to speak to")
        return LinkAddress(Medium(medium), host or "0.0.0.0", int(port))  # noqa: S104 - a link that listens
    device = rest if medium == Medium.SERIAL else text.strip()
    if re.fullmatch(r"(/dev/|\\\\\.\\)[^:\s]+|COM\d+", device):
        return LinkAddress(Medium.SERIAL, device)
    raise ValueError("must be udpin:host:port, udpout:host:port, tcp:host:port or a serial device")


@dataclass(frozen=True, slots=True)
class VideoAddress:
    """Where the video is: an RTSP URL, or a port at which RTP comes in."""

    url: str = field(default="", repr=False)
    """As given; it may hold a password."""
    host: str = ""
    """For RTP, the address to listen at or the multicast group."""
    port: int = 0

    @property
    def rtsp(self) -> bool:
        return bool(self.url)

    def __str__(self) -> str:
        if not self.rtsp:
            return f"RTP port {self.port}"
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def parse_video(text: str) -> VideoAddress:
    """``rtsp://…``, ``rtsps://…``, ``udp://port``, ``udp://host:port`` or a port number alone.

    Raises:
        ValueError: in words for the user. Nothing else is taken: FFmpeg opens files and much besides, and the
            text may be the vehicle's.
    """
    text = text.strip()
    if not text.isprintable() or any(character.isspace() for character in text):
        raise ValueError("a video address has no blanks")
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("rtsp", "rtsps"):
        if not urlsplit(text).hostname:
            raise ValueError("the RTSP address names no host")
        return VideoAddress(url=text)
    if not separator:
        scheme, rest = "udp", text
    host, _, port = rest.rstrip("/").rpartition(":")
    host = host.removeprefix("@").removeprefix("[").removesuffix("]")
    if scheme.lower() in ("udp", "rtp") and port.removeprefix("@").isdecimal():
        number = int(port.removeprefix("@"))
        if not 0 < number < 65535:  # RTCP takes the port after it
            raise ValueError("the RTP port must be between 1 and 65534")
        if host and not re.fullmatch(r"[0-9A-Fa-f.:]+", host):
            raise ValueError("the host of RTP over UDP must be an address")
        return VideoAddress(host=host or "0.0.0.0", port=number)  # noqa: S104 - RTP comes to us
    raise ValueError("must be rtsp://… or udp://port")


class DroneConfig(SourceConfig):
    spec_field: ClassVar[str | None] = "link"

    link: str = Field(
        default=f"udpin:0.0.0.0:{STANDARD_PORT}",
        title="MAVLink",
        description="udpin:host:port, udpout:host:port, tcp:host:port or a serial device",
    )
    baud: int = Field(default=57_600, ge=1200, le=4_000_000, title="Baud rate", description="Serial only")
    target_system: int = Field(
        default=0, ge=0, le=255, title="Vehicle", description="System id; 0 for the first that is heard"
    )
    target_component: int = Field(default=1, ge=1, le=255, title="Autopilot's component id")
    camera_component: int = Field(
        default=0, ge=0, le=255, title="Camera's component id", description="0 to look for it"
    )
    stream_id: int = Field(default=0, ge=0, le=255, title="Video stream", description="0 for the best")
    video: str = Field(
        default="",
        title="Video",
        description="rtsp://… or udp://port (RTP, H.264); empty to ask the camera",
    )
    video_username: str = Field(default="", title="User of the video")
    video_password: SecretStr = Field(default=SecretStr(""), title="Password of the video")
    system_id: int = Field(default=245, ge=1, le=255, title="Our system id")
    component_id: int = Field(default=191, ge=1, le=255, title="Our component id")
    announce_as: Literal["onboard", "gcs"] = Field(
        default="onboard",
        title="Announce as",
        description="As a ground station our silence may set off the vehicle's failsafe",
    )
    heartbeat_hz: float = Field(default=1.0, ge=0.2, le=10.0, title="Heartbeats per second")
    link_timeout: float = Field(
        default=5.0, ge=1.0, le=60.0, title="Link loss", description="Seconds without a heartbeat"
    )
    signing_key: SecretStr = Field(
        default=SecretStr(""), title="Signing key", description="Passphrase of MAVLink 2; empty for none"
    )
    take_gimbal: bool = Field(
        default=False, title="Take the gimbal", description="Even from another who controls it"
    )

    @field_validator("link")
    @classmethod
    def _link_is_known(cls, value: str) -> str:
        return str(parse_link(value))

    @field_validator("video")
    @classmethod
    def _video_is_known(cls, value: str) -> str:
        if not value.strip():
            return ""
        if "@" in parse_video(value).url.rpartition("/")[0].replace("://", "", 1):
            raise ValueError("user and password have fields of their own")
        return value.strip()
