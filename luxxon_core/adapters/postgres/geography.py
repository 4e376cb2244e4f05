"""Coverage in SQL: the functions that statements call, made by the migrations for each flavour.

``lx_covers(lat, lng, radius_m, at_lat, at_lng)`` is true when the circle contains the point, its edge
included. It is inlined by the planner, so the partial index over ONLINE suppliers serves it.

The earthdistance flavour computes on a sphere of 6 378 168 m; distances are brought to the mean radius of
``kernel.geo`` so that SQL and domain agree, and the index box is a little wider than the circle.
"""

from __future__ import annotations

from luxxon_core.kernel.geo import EARTH_RADIUS_M

_SCALE = f"(earth() / {EARTH_RADIUS_M})"
ONLINE_SUPPLIER = "availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null"

EARTHDISTANCE = (
    "create extension if not exists cube",
    "create extension if not exists earthdistance",
    f"""create function lx_covers(lat float8, lng float8, radius_m float8, at_lat float8, at_lng float8)
    returns boolean language sql immutable parallel safe as $$
      select earth_box(ll_to_earth(lat, lng), radius_m * 1.0012) @> ll_to_earth(at_lat, at_lng)
         and earth_distance(ll_to_earth(lat, lng), ll_to_earth(at_lat, at_lng)) <= radius_m * {_SCALE}
    $$""",
    f"""create index workspace_coverage_idx on workspace
    using gist (earth_box(ll_to_earth(coverage_lat, coverage_lng), coverage_radius_m * 1.0012))
    where {ONLINE_SUPPLIER}""",
)


def drop(flavour: tuple[str, ...]) -> tuple[str, ...]:
    """The statements that undo a flavour; extensions stay, others may use them."""
    assert flavour
    return (
        "drop index workspace_coverage_idx",
        "drop function lx_covers(float8, float8, float8, float8, float8)",
    )
