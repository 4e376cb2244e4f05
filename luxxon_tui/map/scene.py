"""What a map shows, frozen: the screen makes it, the painter draws it."""

from __future__ import annotations

from dataclasses import dataclass

from luxxon_core.kernel.geo import Circle, Point


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is online, and the circle that it covers."""

    area: Circle
    kind: str = ""
    name: str = ""
    own: bool = False

    @property
    def point(self) -> Point:
        return self.area.center


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests around a point, in a cell of ``DEMAND_DEGREES``."""

    point: Point
    requests: int
    unmet: int = 0


DEMAND_DEGREES = 0.045
"""Height and width of a cell of demand."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Anything else worth a glyph: a session, a camera of one's own."""

    point: Point
    glyph: str
    role: str = "text"
    label: str = ""


@dataclass(frozen=True, slots=True)
class MapScene:
    """Layers from the lowest to the highest."""

    demand: tuple[Demand, ...] = ()
    cameras: tuple[Camera, ...] = ()
    marks: tuple[Mark, ...] = ()
    chosen: Point | None = None
    chosen_name: str = ""
    serving: Camera | None = None
    """The camera that would serve the chosen point: its circle is drawn in accent."""
    circle: Circle | None = None
    """A circle that is being chosen: drawn in accent, over all others."""
    show_coverage: bool = True
    show_demand: bool = True
    crosshair: bool = False
    """Mark the middle: a key chooses it."""
