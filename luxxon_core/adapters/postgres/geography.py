"""Coverage in SQL: the functions and indexes behind the statements, made by the migrations for each flavour.

Statements are the same for both flavours and call these functions, which the planner inlines, so that the
indexes serve them:

- ``lx_covers(lat, lng, radius_m, at_lat, at_lng)``: the circle contains the point, its edge included.
- ``lx_near(lat, lng, at_lat, at_lng, radius_m)``: the stored point lies within the radius of a place.
- ``lx_idle(idle_since)``, ``lx_id(id)``: the moment in seconds, 0 for never, and the first 52 bits of the id.
  ``order by lx_idle(idle_since) <-> 0, lx_id(id) <-> 0`` walks ``workspace_coverage_idx`` from who is idle
  for longest and stops at the first that fits, where sorting would look at everyone who covers the point.
  With PostGIS it holds of each circle a box that many have in common (0014).

Both flavours compute on the sphere of ``kernel.geo`` with one micrometre of tolerance, which makes every
longitude at a pole, and -180 and 180, the same place. They agree with exact geometry to 10 µm: PostGIS takes
points nearer than 6.4 µm (1e-12 rad) for the same.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import log, radians, sqrt

from luxxon_core.kernel.geo import EARTH_RADIUS_M


class Flavour(StrEnum):
    """By which extension a database computes distances; chosen at its first migration."""

    POSTGIS = "postgis"
    EARTHDISTANCE = "earthdistance"


ONLINE_SUPPLIER = "availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null"
ONLINE = "availability = 'ONLINE'"
"""Only suppliers that are not deleted ever are; every update of a row pays for what an index asks."""
OPEN_SESSION = "state in ('REQUESTED', 'ASSIGNED', 'LIVE')"
COVERS = "lx_covers(float8, float8, float8, float8, float8)"
NEAR = "lx_near(float8, float8, float8, float8, float8)"
MARK = "geography: "
"""Begins the comment on ``lx_covers`` that tells the flavour, and what stands for its statements in
``head.sql``."""
TOLERANCE_M = 1e-6
POSTGIS_RADIUS_M = 6_371_008.771415059
"""(2a + b) / 3 of WGS84, on which PostGIS computes without the spheroid (liblwgeom.h, WGS84_RADIUS)."""


def _place(lat: str, lng: str) -> str:
    return f"st_setsrid(st_makepoint({lng}, {lat}), 4326)::geography"


# The point that is asked about, from its WKB: PostGIS declares ST_MakePoint costly, and by this the planner
# finds that a generic plan loses nothing, and plans once for all points. Expanded, a point carries its
# bounding box, which the index would else compute again for every entry it looks at; the centimetre lets
# the boxes of equal places meet where their numbers differ, at the poles and the antimeridian.
_AT = r"geography('\x0000000001'::bytea || float8send(at_lng) || float8send(at_lat))"
_AT_BOX = f"_st_expand({_AT}, 0.01)"
_WITHIN = (
    f"st_dwithin({_place('lat', 'lng')}, {_AT},\n"
    f"            radius_m * {POSTGIS_RADIUS_M / EARTH_RADIUS_M!r} + {TOLERANCE_M:f}, false)"
)

_DEGREE_M = POSTGIS_RADIUS_M * radians(1)
_SIZES = log(2) / 4
"""Between the logarithms of one size of a box and the next: four a doubling."""
_MOVED = 0.15
"""How far a middle moves at most, in sizes. With finer boxes fewer circles share one, and picks in a crowd
read more pages; with coarser ones more circles are looked at that do not hold the point."""


def _own_box(lat: str, lng: str, radius_m: str) -> str:
    return f"_st_expand({_place(lat, lng)}, {radius_m})"


def _cell(lat: str, lng: str, radius_m: str) -> str:
    """A box around the circle that many circles have in common.

    The radius is rounded up to a size, and the middle to a grid (where it moves farthest along the diagonal
    at the equator); the box is made wider by as much as the middle may have moved. Circles with the same box
    lie in the index by how long they have been idle: a page whose longest idle were taken is then one of a
    few, where with boxes of their own every page of a crowd has some, and a pick reads all of them.
    """
    size = f"exp(ceil(ln(greatest({radius_m}, 1)) / {_SIZES!r}) * {_SIZES!r})"
    step = f"({size} * {sqrt(2) * _MOVED / _DEGREE_M!r})"
    at_lat = f"least(90, greatest(-90, round({lat} / {step}) * {step}))"
    at_lng = f"least(180, greatest(-180, round({lng} / {step}) * {step}))"
    return f"_st_expand({_place(at_lat, at_lng)}, {size} * {1 + _MOVED})"


_EARTH_SCALE = f"(earth() / {EARTH_RADIUS_M})"
"""earthdistance computes on a sphere of 6 378 168 m."""
_EARTH_BOX = "earth_box(ll_to_earth({}, {}), {} * 1.0012 + 0.001)"
"""A little wider than the circle: that sphere is greater, and numbers are rounded."""
_EARTH_WITHIN = (
    "earth_distance(ll_to_earth(lat, lng), ll_to_earth(at_lat, at_lng))\n"
    f"        <= radius_m * {_EARTH_SCALE} + {TOLERANCE_M:f}"
)

_IDLE = "coalesce(date_part('epoch', idle_since at time zone 'UTC'), 0)"
_ID = "('x' || encode(uuid_send(id), 'hex'))::bit(52)::bigint::float8"


def _function(signature: str, returns: str, body: str) -> str:
    return (
        f"create function {signature}\n"
        f"    returns {returns} language sql immutable parallel safe\n"
        f"    return {body}"
    )


def _covers(body: str) -> str:
    return _function(
        "lx_covers(lat float8, lng float8, radius_m float8, at_lat float8, at_lng float8)", "boolean", body
    )


def _coverage_index(area: str) -> str:
    return (
        "create index workspace_coverage_idx on workspace\n"
        f"    using gist (({area}), ({_IDLE}), ({_ID}))\n    where {ONLINE}"
    )


def _coverage(flavour: Flavour, *, covers: str, near: str, area: str, place: str) -> tuple[str, ...]:
    return (
        "create extension if not exists btree_gist",
        _covers(covers),
        _function(
            "lx_near(lat float8, lng float8, at_lat float8, at_lng float8, radius_m float8)", "boolean", near
        ),
        _function("lx_idle(idle_since timestamptz)", "float8", _IDLE),
        _function("lx_id(id uuid)", "float8", _ID),
        _coverage_index(area),
        f"create index session_place_idx on session\n    using gist (({place}))\n    where {OPEN_SESSION}",
        f"comment on function {COVERS} is '{MARK}{flavour}'",
    )


def _boxed(box: Callable[[str, str, str], str]) -> tuple[str, str]:
    """The body of ``lx_covers``, and what the index holds of a circle."""
    covers = f"{box('lat', 'lng', 'radius_m')} && {_AT_BOX}\n        and {_WITHIN}"
    return covers, box("coverage_lat", "coverage_lng", "coverage_radius_m")


def _reboxed(box: Callable[[str, str, str], str]) -> tuple[str, ...]:
    covers, area = _boxed(box)
    return (
        "drop index workspace_coverage_idx",
        _covers(covers).replace("create", "create or replace", 1),
        _coverage_index(area),
    )


_FIRST_COVERS, _FIRST_AREA = _boxed(_own_box)
_POSTGIS = (
    "create extension if not exists postgis",
    *_coverage(
        Flavour.POSTGIS,
        covers=_FIRST_COVERS,
        near=f"{_place('lat', 'lng')} && _st_expand({_AT}, radius_m + 0.01)\n        and {_WITHIN}",
        area=_FIRST_AREA,
        place=_place("requested_lat", "requested_lng"),
    ),
)
_EARTHDISTANCE = _coverage(
    Flavour.EARTHDISTANCE,
    covers=f"{_EARTH_BOX.format('lat', 'lng', 'radius_m')} @> ll_to_earth(at_lat, at_lng)\n"
    f"        and {_EARTH_WITHIN}",
    near=f"{_EARTH_BOX.format('at_lat', 'at_lng', 'radius_m')} @> ll_to_earth(lat, lng)\n"
    f"        and {_EARTH_WITHIN}",
    area=_EARTH_BOX.format("coverage_lat", "coverage_lng", "coverage_radius_m"),
    place="ll_to_earth(requested_lat, requested_lng)",
)

_FIRST_COVERAGE = (
    f"""create function lx_covers(lat float8, lng float8, radius_m float8, at_lat float8, at_lng float8)
    returns boolean language sql immutable parallel safe as $$
      select earth_box(ll_to_earth(lat, lng), radius_m * 1.0012) @> ll_to_earth(at_lat, at_lng)
         and earth_distance(ll_to_earth(lat, lng), ll_to_earth(at_lat, at_lng)) <= radius_m * {_EARTH_SCALE}
    $$""",
    f"""create index workspace_coverage_idx on workspace
    using gist (earth_box(ll_to_earth(coverage_lat, coverage_lng), coverage_radius_m * 1.0012))
    where {ONLINE_SUPPLIER}""",
)
_NO_FIRST_COVERAGE = (
    "drop index if exists workspace_coverage_idx",
    f"drop function if exists {COVERS}",
)

UP: dict[str, dict[Flavour, tuple[str, ...]]] = {
    "0001": {
        Flavour.POSTGIS: (),
        Flavour.EARTHDISTANCE: (
            "create extension if not exists cube",
            "create extension if not exists earthdistance",
            *_FIRST_COVERAGE,
        ),
    },
    "0003": {
        Flavour.POSTGIS: _POSTGIS,
        Flavour.EARTHDISTANCE: (*_NO_FIRST_COVERAGE, *_EARTHDISTANCE),
    },
    "0014": {Flavour.POSTGIS: _reboxed(_cell), Flavour.EARTHDISTANCE: ()},
}
"""What a revision does for each flavour; before 0003 there was but one."""

DOWN: dict[str, dict[Flavour, tuple[str, ...]]] = {
    "0001": {Flavour.POSTGIS: (), Flavour.EARTHDISTANCE: _NO_FIRST_COVERAGE},
    "0003": {
        flavour: (
            "drop index session_place_idx",
            "drop index workspace_coverage_idx",
            "drop function lx_id(uuid)",
            "drop function lx_idle(timestamptz)",
            f"drop function {NEAR}",
            f"drop function {COVERS}",
            *(_FIRST_COVERAGE if flavour is Flavour.EARTHDISTANCE else ()),
        )
        for flavour in Flavour
    },
    "0014": {Flavour.POSTGIS: _reboxed(_own_box), Flavour.EARTHDISTANCE: ()},
}
"""How it is undone; extensions stay, others may use them."""


def up(revision: str, flavour: Flavour | None) -> tuple[str, ...]:
    """The statements of a revision, or what stands for them in a script for both flavours."""
    return (f"-- {MARK}{revision}",) if flavour is None else UP[revision][flavour]
