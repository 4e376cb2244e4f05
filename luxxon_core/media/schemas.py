"""A picture on the wire: what HTTP says of it beside its bytes (RFC 9110 §8.8, RFC 9111 §5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from luxxon_core.kernel.clock import iso
from luxxon_core.media.domain import Frame

CONTENT_TYPE = "image/jpeg"
CAPTURED_AT, SIZE = "X-Luxxon-Captured-At", "X-Luxxon-Size"


def entity_tag(frame: Frame) -> str:
    """The strong entity tag: same tag, same bytes, on whichever server."""
    return f'"{frame.digest}"'


def picture_headers(frame: Frame, now: datetime) -> dict[str, str]:
    """The headers of an answer with the picture, and of one that says it is still the same.

    ``Age`` is in whole seconds since it was captured; ``X-Luxxon-Size`` is ``<width>x<height>`` in pixels.
    """
    age = max(0, int((now - frame.captured_at).total_seconds()))
    return {**_lasting(frame.digest, frame.captured_at, frame.width, frame.height), "Age": str(age)}


@lru_cache(maxsize=256)
def _lasting(digest: str, captured_at: datetime, width: int, height: int) -> Mapping[str, str]:
    return {
        "Cache-Control": "no-store",
        "ETag": f'"{digest}"',
        "Last-Modified": format_datetime(captured_at.replace(microsecond=0), usegmt=True),
        CAPTURED_AT: iso(captured_at),
        SIZE: f"{width}x{height}",
    }


def unchanged(frame: Frame, if_none_match: str | None) -> bool:
    """Whether an ``If-None-Match`` names the picture (RFC 9110 §13.1.2: compared weakly; ``*`` names any)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return entity_tag(frame) in tags or tags == ["*"]
