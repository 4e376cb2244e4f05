"""What a media edge deals in: live inputs, frames and what happened to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LiveInput:
    """One publishing point of an edge, minted by ``start`` and kept until teardown (api-contract §15.1).

    ``whip_url`` and ``whep_url`` are bearer secrets: kept out of repr, logs and errors.
    """

    uid: str
    """32 lower-case hex digits: ``videoBackendRef`` on the wire."""
    edge: str
    """Name of the edge that minted it; a live input keeps its edge for life."""
    whip_url: str = field(repr=False)
    whep_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """The latest decoded picture of a live input."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    captured_at: datetime


class MediaEventKind(StrEnum):
    FIRST_FRAME = "FIRST_FRAME"
    """The first JPEG of a live input is buffered; sent once per live input, again after a restart."""
    CONNECTED = "CONNECTED"
    """Media flows (again)."""
    DISCONNECTED = "DISCONNECTED"
    """No media for the edge's time-out; ``at`` is the arrival of the last packet."""


@dataclass(frozen=True, slots=True)
class MediaEvent:
    kind: MediaEventKind
    uid: str
    at: datetime
