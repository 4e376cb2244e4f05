"""What a user says of a network camera, and the parts of an RTSP URL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator

from luxxon_core.source import SourceConfig, SourceConfigError

DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
"""RFC 2326 §3.2 and the IANA registration of rtsps."""


class Transport(StrEnum):
    AUTO = "auto"
    """TCP, and UDP where the camera refuses it: what is lost over UDP is lost."""
    TCP = "tcp"
    UDP = "udp"


class RtspConfig(SourceConfig):
    spec_field: ClassVar[str | None] = "url"
    url_schemes: ClassVar[tuple[str, ...]] = tuple(DEFAULT_PORTS)

    url: str = Field(
        default="",
        title="Stream URL",
        description="rtsp:// or rtsps://; empty to ask the camera by ONVIF",
    )
    username: str = Field(default="", title="User name")
    password: SecretStr = Field(default=SecretStr(""), title="Password")
    transport: Transport = Field(default=Transport.AUTO, title="Transport")
    tls_verify: bool = Field(
        default=True, title="Verify the certificate", description="Off for a camera that signed its own"
    )
    onvif: str = Field(
        default="",
        title="ONVIF address",
        description="Host, host:port or the URL of the device service; empty for a camera without PTZ",
    )
    profile: str = Field(
        default="", title="Media profile", description="Token of an ONVIF profile; empty for the first"
    )
    audio: bool = Field(default=False, title="Audio")

    @model_validator(mode="before")
    @classmethod
    def _take_credentials_out_of_addresses(cls, values: Any) -> Any:
        """Userinfo (RFC 3986 §3.2.1) would be shown wherever the address is."""
        if not isinstance(values, dict):
            return values
        taken = dict(values)
        for name in ("url", "onvif"):
            if isinstance(address := values.get(name), str) and "@" in address:
                taken[name], user, password = _split_userinfo(address)
                if user and not taken.get("username"):
                    taken["username"] = user
                if password and not taken.get("password"):
                    taken["password"] = SecretStr(password)
        return taken

    @model_validator(mode="after")
    def _names_a_camera(self) -> Self:
        if not self.url and not self.onvif:
            raise ValueError("a stream URL or an ONVIF address is needed")
        if self.url:
            try:
                StreamUrl.parse(self.url)
            except SourceConfigError as error:
                raise ValueError(error.message) from None
        return self


def _split_userinfo(address: str) -> tuple[str, str, str]:
    """The address without userinfo, the user name and the password, empty where there are none."""
    scheme, separator, rest = address.partition("://") if "://" in address else ("", "", address)
    authority = rest.partition("/")[0]
    if "@" not in authority and _is_host(authority):
        return address, "", ""  # the path has one
    # A password with a slash in it ought to be escaped, but is what people write.
    userinfo, _, _ = (authority if "@" in authority else rest).rpartition("@")
    user, _, password = userinfo.partition(":")
    return f"{scheme}{separator}{rest[len(userinfo) + 1 :]}", unquote(user), unquote(password)


def _is_host(authority: str) -> bool:
    _, colon, port = authority.rpartition("]")[2].rpartition(":")
    return not colon or (port.isascii() and port.isdigit() and len(port) < 6)


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """An RTSP URL without userinfo."""

    text: str
    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises SourceConfigError: not rtsp(s), no host, or a port that is none."""
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise SourceConfigError("rtsp:url", "the stream URL is malformed") from None
        if parts.scheme not in DEFAULT_PORTS or not host or any(ord(one) < 33 for one in text):
            raise SourceConfigError(
                "rtsp:url", "the stream URL must be rtsp://host/path or rtsps://host/path"
            )
        netloc = parts.netloc.rpartition("@")[2]
        text = parts._replace(netloc=netloc).geturl()
        return cls(text, host, port or DEFAULT_PORTS[parts.scheme], parts.scheme == "rtsps")

    def __str__(self) -> str:
        return self.text
