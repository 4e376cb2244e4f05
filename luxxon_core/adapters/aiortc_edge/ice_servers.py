"""STUN and TURN servers that clients are told of, as ``Link`` headers (RFC 9725 §4.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_URL = re.compile(r"(?:stuns?:[^\s\"<>?@]+|turns?:[^\s\"<>?@]+(?:\?transport=(?:udp|tcp))?)", re.ASCII)
"""RFC 7064 and RFC 7065."""
_TEXT = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server: ``stun:stun.example.net`` or ``turn:turn.example.net?transport=udp`` with credentials."""

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)
    """The long-term password (RFC 8489 §9.2)."""

    def __post_init__(self) -> None:
        """Raises ValueError, without the value, for what cannot be such a header."""
        if not _URL.fullmatch(self.url):
            raise ValueError("an ICE server's URL is stun:, stuns:, turn: or turns: and a host")
        if (self.username is None) != (self.credential is None):
            raise ValueError("an ICE server has a username and a credential or neither")
        if not (_TEXT.fullmatch(self.username or "") and _TEXT.fullmatch(self.credential or "")):
            raise ValueError("an ICE server's username and credential are printable ASCII")

    @property
    def link(self) -> str:
        """The value of a ``Link`` header; a secret where there is a credential."""
        value = f'<{self.url}>; rel="ice-server"'
        if self.username is not None and self.credential is not None:
            value += f"; username={_quoted(self.username)}; credential={_quoted(self.credential)}"
            value += '; credential-type="password"'
        return value


def _quoted(text: str) -> str:
    """As quoted-string (RFC 9110 §5.6.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
