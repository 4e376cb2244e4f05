"""Who covers what, and where people ask: the wire's lists as layers of the map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Circle, Point, distance_m
from luxxon_tui.map.operate import Asked, device
from luxxon_tui.map.scene import Camera, Demand

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.pricing.schemas import DemandCell
    from luxxon_core.workspaces.schemas import CoverageEntry, Workspace


@dataclass(frozen=True, slots=True)
class Near:
    """Cameras with their distance from a point in metres.

    Attributes:
        measured: those that cover it first, each by distance.
        covering: how many they are.
    """

    measured: tuple[tuple[Camera, float], ...] = ()
    covering: int = 0

    @property
    def serving(self) -> Camera | None:
        """The nearest that covers the point."""
        return self.measured[0][0] if self.covering else None


@dataclass(frozen=True, slots=True)
class Market:
    """What is on the map."""

    cameras: tuple[Camera, ...] = ()
    demand: tuple[Demand, ...] = ()

    def near(self, point: Point) -> Near:
        """All cameras by their distance from a point."""
        measured = [(camera, distance_m(point, camera.point)) for camera in self.cameras]
        measured.sort(key=lambda each: (each[1] > each[0].area.radius_m, each[1]))
        covering = sum(metres <= camera.area.radius_m for camera, metres in measured)
        return Near(tuple(measured), covering)

    def inside(self, area: Circle | None) -> tuple[int, int]:
        """How many cameras of others stand in a circle, and how often people asked there."""
        if area is None:
            return 0, 0
        cameras = sum(area.contains(each.point) for each in self.cameras if not each.own)
        return cameras, sum(each.requests for each in self.demand if area.contains(each.point))


async def read_market(api: Luxxon, own: Workspace | None, before: Market) -> Market:
    """Coverage and demand as they are now; what is the same stays the same object, so that it is not laid
    out anew.

    Raises:
        LuxxonError: the server refused, or is lost.
    """
    cameras = cameras_of(await api.coverage.list(), own)
    demand = demand_of(await api.demand.heatmap())
    return replace(
        before,
        cameras=before.cameras if cameras == before.cameras else cameras,
        demand=before.demand if demand == before.demand else demand,
    )


async def read_asked(api: Luxxon, acting: str | None, own: Circle | None) -> tuple[Asked, ...]:
    """Requests that could be served from here, the longest waiting first.

    Raises:
        LuxxonError: the server refused, or is lost.
    """
    found = []
    for each in await api.sessions.open(workspace_id=acting):
        point = point_of(each.lat, each.lng)
        if point is not None:
            away = distance_m(own.center, point) if own else None
            rate = int(each.rate_per_second_micro_usdc)
            found.append(Asked(str(each.id), point, each.created_at, each.max_duration_seconds, rate, away))
    return tuple(found)


def cameras_of(entries: Iterable[CoverageEntry], own: Workspace | None) -> tuple[Camera, ...]:
    """The circles of those who are online. One that is nowhere on earth is left out.

    The list names nobody: a circle that is exactly that of ``own`` is taken for its own.
    """
    mine = (own.coverage_lat, own.coverage_lng, own.coverage_radius_meters) if own else None
    found = []
    for entry in entries:
        area = circle(entry.lat, entry.lng, entry.radius_meters)
        if area is not None:
            same = (entry.lat, entry.lng, entry.radius_meters) == mine
            found.append(Camera(area, device(entry.device_kind) or "camera", own=same))
    return tuple(found)


def demand_of(cells: Sequence[DemandCell]) -> tuple[Demand, ...]:
    """Cells in which somebody asked."""
    points = ((cell, point_of(cell.lat, cell.lng)) for cell in cells if cell.requests > 0)
    return tuple(Demand(point, cell.requests, cell.unmet) for cell, point in points if point is not None)


def point_of(lat: float | None, lng: float | None) -> Point | None:
    """A place on earth, or None."""
    if lat is None or lng is None:
        return None
    try:
        return Point(lat, lng)
    except ValueError:
        return None


def circle(lat: float | None, lng: float | None, radius_m: float | None) -> Circle | None:
    """A circle on earth, or None."""
    point = point_of(lat, lng)
    if point is None or radius_m is None or not 0 < radius_m < 20_000_000:
        return None
    return Circle(point, radius_m)
