"""What the one who opens the console knows about it and no endpoint says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from luxxon_core.kernel.geo import Point


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """The camera of a session, as far as its owner has made it known."""

    name: str
    """``ptz-04``."""
    kind: str | None = None
    """``PTZ``, ``webcam``, ``test card``."""
    operator: str | None = None
    """Name of the operator's workspace."""
    point: Point | None = None
    """Where it stands; with the requested point it gives the distance."""
    radius_m: float | None = None
    """Radius of the area it covers."""


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """Facts for header, caption and side panels. All are optional: what is missing is not shown."""

    workspace: str | None = None
    """Name of the consumer's workspace."""
    place: str | None = None
    """The requested place in words: ``Brussels, BE``."""
    chain_name: str | None = None
    camera: CameraFacts | None = None
    theme: str = "luxxon-dark"
    zone: tzinfo | None = None
    """Zone of times of day; None is the computer's own."""
    save_folder: Path | None = None
    """Where frames and receipts go; None is the current folder, or ``~/Pictures`` when that is read-only."""
