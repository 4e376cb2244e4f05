"""The secrets in the URLs of live inputs, by digest: no process keeps one longer than a request."""

from __future__ import annotations

import hashlib
import re
from typing import Literal
from urllib.parse import urlsplit

from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import LiveInput

Side = Literal["whip", "whep"]
Door = tuple[Side, bytes]
"""Side, and SHA-256 of the secret."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{22,64}")
_UID = re.compile(r"[0-9a-f]{32}")


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def is_uid(text: str) -> bool:
    """Whether a live input may have this for its name, which is no secret."""
    return _UID.fullmatch(text) is not None


def doors(live_input: LiveInput, edge: str) -> tuple[Door, Door]:
    """Both doors of a live input that ``edge`` minted, whatever the base of its URLs is.

    Raises:
        VideoError: another edge's, or no such URLs; they are not repeated in the error, being secrets.
    """
    if live_input.edge != edge or not _UID.fullmatch(live_input.uid):
        raise VideoError("video:live_input:foreign", "The live input belongs to another edge")
    return _door("whip", live_input.whip_url), _door("whep", live_input.whep_url)


def _door(side: Side, url: str) -> Door:
    *_, kind, secret = ["", *urlsplit(url).path.split("/")]
    if kind != side or not _SECRET.fullmatch(secret):
        raise VideoError("video:live_input:url", "The live input's URL is not one of this edge's")
    return side, digest(secret)
