"""Coverage in SQL against geometry, and who is claimed by it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace import GRAND_PLACE, Marketplace, at
from oracle import destination, great_circle_m

from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.adapters.postgres.workspaces import PgSuppliers
from luxxon_core.kernel.geo import Circle, Point, distance_m
from luxxon_core.workspaces.domain import Availability, Role

latitudes = st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.9999, -89.99, 0.0]))
longitudes = st.one_of(st.floats(-180, 180), st.sampled_from([180.0, -180.0, 179.9999, -179.99, 0.0]))
radii = st.one_of(st.floats(1, 50_000), st.sampled_from([1.0, 500.0, 50_000.0]))
beyond = st.one_of(st.floats(0, 3), st.sampled_from([0.0, 1 - 1e-6, 1 + 1e-6, 0.999, 1.001]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Circle, Point]:
    """A circle and a point that is mostly near its edge, on the other side of pole and antimeridian too."""
    center, radius = Point(draw(latitudes), draw(longitudes)), draw(radii)
    if draw(st.integers(0, 9)) == 0:
        return Circle(center, radius), Point(draw(latitudes), draw(longitudes))
    return Circle(center, radius), destination(center, draw(st.floats(0, 360)), radius * draw(beyond))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(cases(), min_size=20, max_size=60))
def test_coverage_in_sql_and_domain_is_that_of_geometry(dsn: str, found: list[tuple[Circle, Point]]) -> None:
    answers = runner_of(dsn).ask(found)
    for (circle, point), answer in zip(found, answers, strict=True):
        true = great_circle_m(circle.center, point)
        assert abs(distance_m(circle.center, point) - true) < 1e-3 + 1e-9 * true or true > 19_000_000
        if abs(true - circle.radius_m) > 1e-5:  # 10 µm: nearer to the edge doubles cannot tell
            assert answer == (true <= circle.radius_m) == circle.contains(point), (circle, point, true)


class Asker:
    """Asks one database about many circles at once, from tests that are not coroutines."""

    def __init__(self, dsn: str) -> None:
        import asyncio

        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn))

    def ask(self, found: list[tuple[Circle, Point]]) -> list[bool]:
        rows = self._runner.run(
            self._connection.fetch(
                "select lx_covers(a, b, r, c, d) as yes"
                " from unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[], $5::float8[])"
                " with ordinality as t (a, b, r, c, d, n) order by n",
                [circle.center.lat for circle, _ in found],
                [circle.center.lng for circle, _ in found],
                [circle.radius_m for circle, _ in found],
                [point.lat for _, point in found],
                [point.lng for _, point in found],
            )
        )
        return [row["yes"] for row in rows]

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


_askers: dict[str, Asker] = {}


def runner_of(dsn: str) -> Asker:
    if dsn not in _askers:
        _askers[dsn] = Asker(dsn)
    return _askers[dsn]


@pytest.fixture(scope="module", autouse=True)
def close_askers() -> Any:
    yield
    for asker in _askers.values():
        asker.close()
    _askers.clear()


@pytest.mark.parametrize(
    ("circle", "point", "covered"),
    [
        (Circle(Point(90, 0), 1000), Point(89.9999, 137), True),
        (Circle(Point(89.999, 0), 500), Point(89.999, 180), True),
        (Circle(Point(-90, 17), 50_000), Point(-89.56, -160), True),
        (Circle(Point(-90, 17), 48_000), Point(-89.56, -160), False),
        (Circle(Point(0, 179.999), 500), Point(0, -179.999), True),
        (Circle(Point(0, 180), 1), Point(0, -180), True),
        (Circle(Point(60, -179.99), 500), Point(60, 179.99), False),
        (Circle(Point(0, 0), 1), Point(0, 0), True),
        (Circle(Point(0, 0), 50_000), Point(0, 180), False),
    ],
)
async def test_coverage_at_the_ends_of_the_earth(
    marketplace: Marketplace, circle: Circle, point: Point, covered: bool
) -> None:
    made = await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.ONLINE)
    async with marketplace.database.begin() as tx:
        await connection(tx).execute("set local enable_seqscan = off")
        assert await PgSuppliers().covered(tx, point) is covered
        assert await PgSuppliers().claim(tx, point) == (made.id if covered else None)


async def test_only_online_suppliers_with_a_circle_are_claimed(marketplace: Marketplace) -> None:
    circle = Circle(GRAND_PLACE, 500)
    await marketplace.workspace(Role.SUPPLIER, coverage=circle)
    await marketplace.workspace(Role.CONSUMER, coverage=circle, availability=Availability.ONLINE)
    await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.BUSY)
    gone = await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.ONLINE)
    await marketplace.rows("update workspace set deleted_at = now() where id = $1", gone.id)
    async with marketplace.database.begin() as tx:
        assert await PgSuppliers().claim(tx, GRAND_PLACE) is None
        assert await PgSuppliers().claim(tx, GRAND_PLACE, wait=True) is None
        assert not await PgSuppliers().covered(tx, GRAND_PLACE)


async def test_who_never_waited_is_claimed_first_and_ties_go_by_id(marketplace: Marketplace) -> None:
    circle, online = Circle(GRAND_PLACE, 500), Availability.ONLINE
    made = [
        await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=online, idle_since=at(-60))
        for _ in range(3)
    ]
    never = await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=online)
    await marketplace.rows("update workspace set idle_since = null where id = $1", never.id)
    async with marketplace.database.begin() as tx:
        taken = [await PgSuppliers().claim(tx, GRAND_PLACE) for _ in range(5)]
    assert taken == [never.id, *sorted(one.id for one in made), None]


@pytest.mark.parametrize("name", ["claim", "claim_waiting", "covered"])
async def test_the_coverage_index_serves_the_claim(database: Database, name: str) -> None:
    async with database.begin() as tx:
        opened = connection(tx)
        await opened.execute("set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan")
        await opened.execute(f"prepare asked (float8, float8) as {statements('workspaces')[name]}")
        plan = await opened.fetch("explain execute asked (50.8, 4.3)")
        await opened.execute("deallocate asked")
    lines = [row[0] for row in plan]
    assert any("workspace_coverage_idx" in line for line in lines), "\n".join(lines)
    assert any("Index Cond" in line and "@>" in line for line in lines), "\n".join(lines)
