"""Circles and places in SQL against geometry, on both flavours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace import Marketplace
from oracle import destination, great_circle_m

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import connection
from luxxon_core.adapters.postgres.workspaces import PgSuppliers
from luxxon_core.kernel.geo import Circle, Point, distance_m
from luxxon_core.workspaces.domain import Availability, Role

EXACT_M = 1e-5
"""Nearer to the edge than 10 µm neither doubles nor PostGIS tell places apart."""

latitudes = st.one_of(
    st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.9, -89.9, 89.9999, -89.99, 0.0, 1e-9])
)
longitudes = st.one_of(st.floats(-180, 180), st.sampled_from([180.0, -180.0, 179.9999, -179.99, 0.0, 1e-9]))
radii = st.one_of(st.floats(0, 50_000), st.sampled_from([0.0, 0.001, 1.0, 500.0, 50_000.0]))
beyond = st.one_of(st.floats(0, 3), st.sampled_from([0.0, 1 - 1e-6, 1 + 1e-6, 0.999, 1.001]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Circle, Point]:
    """A circle and a point that is mostly near its edge, on the other side of pole and antimeridian too."""
    center, radius = Point(draw(latitudes), draw(longitudes)), draw(radii)
    if draw(st.integers(0, 9)) == 0:
        return Circle(center, radius), Point(draw(latitudes), draw(longitudes))
    distance = radius * draw(beyond) if radius else draw(st.sampled_from([0.0, 0.0001, 0.01, 10.0]))
    return Circle(center, radius), destination(center, draw(st.floats(0, 360)), distance)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(cases(), min_size=20, max_size=60))
def test_circles_in_sql_and_domain_are_those_of_geometry(
    asker: Asker, found: list[tuple[Circle, Point]]
) -> None:
    for (circle, point), covers, near in zip(found, *asker.ask(found), strict=True):
        true = great_circle_m(circle.center, point)
        assert abs(distance_m(circle.center, point) - true) < 1e-3 + 1e-9 * true or true > 19_000_000
        if abs(true - circle.radius_m) > EXACT_M:
            inside = true <= circle.radius_m
            assert (covers, near, circle.contains(point)) == (inside,) * 3, (circle, point, true)


class Asker:
    """Asks one database about many circles at once, from tests that are not coroutines."""

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn))

    def ask(self, found: list[tuple[Circle, Point]]) -> tuple[list[bool], list[bool]]:
        """Whether each circle covers its point, and whether the point lies near its centre."""
        rows = self._runner.run(
            self._connection.fetch(
                "select lx_covers(a, b, r, c, d) as covers, lx_near(c, d, a, b, r) as near"
                " from unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[], $5::float8[])"
                " with ordinality as t (a, b, r, c, d, n) order by n",
                [circle.center.lat for circle, _ in found],
                [circle.center.lng for circle, _ in found],
                [circle.radius_m for circle, _ in found],
                [point.lat for _, point in found],
                [point.lng for _, point in found],
            )
        )
        return [row["covers"] for row in rows], [row["near"] for row in rows]

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


@pytest.fixture
def asker(dsn: str) -> Iterator[Asker]:
    made = Asker(dsn)
    yield made
    made.close()


ENDS_OF_THE_EARTH = [
    (Circle(Point(90, 0), 1000), Point(89.9999, 137), True),
    (Circle(Point(89.999, 0), 500), Point(89.999, 180), True),
    (Circle(Point(-90, 17), 50_000), Point(-89.56, -160), True),
    (Circle(Point(-90, 17), 48_000), Point(-89.56, -160), False),
    (Circle(Point(89.9, 10), 50_000), Point(89.7, -170), True),
    (Circle(Point(-89.9, 10), 50_000), Point(-89.6, -170), False),
    (Circle(Point(0, 179.999), 500), Point(0, -179.999), True),
    (Circle(Point(0, 180), 1), Point(0, -180), True),
    (Circle(Point(60, -179.99), 500), Point(60, 179.99), False),
    (Circle(Point(0, 0), 50_000), Point(0, 180), False),
    (Circle(Point(0, 0), 0), Point(0, 0), True),
    (Circle(Point(50, 180), 0), Point(50, -180), True),
    (Circle(Point(90, 0), 0), Point(90, 77), True),
    (Circle(Point(-90, -180), 0), Point(-90, 12.5), True),
    (Circle(Point(50, 4), 0), Point(50.0000001, 4), False),
]


@pytest.mark.parametrize(("circle", "point", "inside"), ENDS_OF_THE_EARTH)
async def test_a_supplier_at_the_ends_of_the_earth(
    marketplace: Marketplace, circle: Circle, point: Point, inside: bool
) -> None:
    made = await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.ONLINE)
    async with marketplace.database.begin() as tx:
        await connection(tx).execute("set local enable_seqscan = off")
        assert await PgSuppliers().covered(tx, point) is inside
        assert await PgSuppliers().claim(tx, point) == (made.id if inside else None)


OPEN = "select count(*) from session where state in ('REQUESTED', 'ASSIGNED', 'LIVE') and"


@pytest.mark.parametrize(("circle", "point", "inside"), ENDS_OF_THE_EARTH)
async def test_an_open_session_at_the_ends_of_the_earth(
    marketplace: Marketplace, circle: Circle, point: Point, inside: bool
) -> None:
    session = await marketplace.requested(await marketplace.consumer())
    place, asked = point, circle
    async with marketplace.database.begin() as tx:
        opened = connection(tx)
        await opened.execute(
            "update session set requested_lat = $2, requested_lng = $3 where id = $1",
            session.id,
            place.lat,
            place.lng,
        )
        await opened.execute("set local enable_seqscan = off")
        near = await opened.fetchval(
            f"{OPEN} lx_near(requested_lat, requested_lng, $1, $2, $3)",
            asked.center.lat,
            asked.center.lng,
            asked.radius_m,
        )
    assert near == inside


async def plan(tx: Any, statement: str, types: str, values: str) -> str:
    """The generic plan of a statement."""
    opened = connection(tx)
    await opened.execute("set local plan_cache_mode = force_generic_plan")
    await opened.execute(f"prepare asked ({types}) as {statement}")
    rows = await opened.fetch(f"explain (costs off) execute asked ({values})")
    await opened.execute("deallocate asked")
    return "\n".join(row[0] for row in rows)


SCATTERED = """
insert into session
select (jsonb_populate_record(session, jsonb_build_object(
    'id', gen_random_uuid(), 'requested_lat', n % 170 - 85, 'requested_lng', n % 350 - 175
))).* from session, generate_series(1, 3000) n
"""


@pytest.mark.parametrize("condition", ["state = 'REQUESTED'", "state in ('REQUESTED', 'ASSIGNED', 'LIVE')"])
async def test_an_index_serves_open_sessions_by_place(marketplace: Marketplace, condition: str) -> None:
    await marketplace.requested(await marketplace.consumer())
    async with marketplace.database.begin() as tx:
        await connection(tx).execute(SCATTERED)
        await connection(tx).execute("analyze session")
        said = await plan(
            tx,
            "select id from session where lx_near(requested_lat, requested_lng, $1, $2, $3)"
            f" and {condition} and created_at < $4",
            "float8, float8, float8, timestamptz",
            "50.8, 4.3, 5000, now()",
        )
    assert "session_place_idx" in said, said
    assert "Index Cond" in said, said


async def test_the_database_tells_its_flavour(dsn: str, request: pytest.FixtureRequest) -> None:
    found = await schema.look(dsn)
    assert found.age is schema.Age.CURRENT
    assert found.flavour == request.node.callspec.params["dsn"]
