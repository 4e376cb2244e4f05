"""What a media edge deals in: live inputs, frames and what happened to them."""

from __future__ import annotations

import hashlib
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
    """Name of the edge that minted it, ``kind`` or ``kind-id``; a live input keeps its edge for life."""
    whip_url: str = field(repr=False)
    whep_url: str = field(repr=False)


def kind_of(edge: str) -> str:
    """What sort of edge a name stands for: edges of one kind are reached in the same way."""
    return edge.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Frame:
    """The latest decoded picture of a live input."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    captured_at: datetime
    digest: str = ""
    """Of the JPEG; made here where it is not given. The same bytes have the same one on every server."""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.jpeg))


def digest_of(jpeg: bytes) -> str:
    """32 hex digits that tell one picture from another."""
    return hashlib.sha256(jpeg).hexdigest()[:32]


class Fault(StrEnum):
    """What is wrong with a picture although media flow."""

    BLACK = "BLACK"
    """Next to no light and no contrast."""
    FROZEN = "FROZEN"
    """Nothing has changed since the picture with which it began."""
    UNDECODED = "UNDECODED"
    """Video comes, but none of it makes a picture."""


@dataclass(frozen=True, slots=True)
class PictureFault:
    """A stretch of a LIVE session with a faulty picture; ``closed_at`` is None while it lasts. It is recorded
    and told, and costs nobody anything."""

    fault: Fault
    opened_at: datetime
    closed_at: datetime | None = None


class MediaEventKind(StrEnum):
    FIRST_FRAME = "FIRST_FRAME"
    """The first JPEG of a live input is buffered; sent once per live input, again after a restart."""
    CONNECTED = "CONNECTED"
    """Video flows (again); sound alone does not count."""
    DISCONNECTED = "DISCONNECTED"
    """No video for the edge's time-out; ``at`` is the arrival of the last packet. Ends every fault, too."""
    FAULT_BEGAN = "FAULT_BEGAN"
    """Media flow, but the picture is no good; ``at`` is when that began."""
    FAULT_ENDED = "FAULT_ENDED"
    """The picture is good again; ``at`` is the arrival of the first that was."""


@dataclass(frozen=True, slots=True)
class MediaEvent:
    kind: MediaEventKind
    uid: str
    at: datetime
    fault: Fault | None = None
    """Of the last two kinds."""
