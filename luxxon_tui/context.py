"""What the one who opens the console knows about it and no endpoint says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Point

if TYPE_CHECKING:
    from luxxon_core.profiles import ProfileTable


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
    leaving: str = "It goes on, and is charged, until it is ended or its time is used up."
    """What becomes of sessions that are LIVE when the console is left."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """The user's keys by action."""
    profiles: Mapping[str, ProfileTable] = field(default_factory=dict)
    """Marketplaces to choose from."""
    fresh: bool = False
    """Nobody has chosen a profile yet."""
    remember: bool = False
    """Whether choices, such as that of a theme, go into the user's file."""
    unlock_minutes: float = 15
    """How long a wallet stays open after it was last used."""
    preview: str = "auto"
    """How live pictures are drawn: one of ``picture.probe.SETTINGS``."""


def demo_context(
    *,
    workspace: str,
    place: str | None,
    chain_name: str,
    camera: str,
    operator: str,
    at: Point,
    radius_m: float | None,
) -> ConsoleContext:
    """What a demo knows: it opened the camera itself, at the very point that it asks for."""
    facts = CameraFacts(name=camera, kind=camera, operator=operator, point=at, radius_m=radius_m)
    return ConsoleContext(
        workspace=workspace,
        place=place,
        chain_name=chain_name,
        camera=facts,
        leaving="Leaving ends the session.",
    )
