"""Who is claimed: the longest idle of those who cover the point, as a search through all of them finds it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import pytest
from marketplace import GRAND_PLACE, NOON, Marketplace, at
from oracle import destination, great_circle_m

from luxxon_core.adapters.postgres import schema, workspaces
from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.adapters.postgres.geography import Flavour
from luxxon_core.adapters.postgres.workspaces import PgSuppliers
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.workspaces.domain import Availability, Role

SQL = statements("workspaces")
PLACES = {
    "city": GRAND_PLACE,
    "north pole": Point(90, 0),
    "near the south pole": Point(-89.9, 120),
    "antimeridian": Point(-17, 180),
}


class Supplier(NamedTuple):
    id: UUID
    circle: Circle
    idle_since: datetime | None


async def store(tx: object, suppliers: Iterable[Supplier]) -> None:
    """Many ONLINE suppliers at once."""
    await connection(tx).executemany(
        """
        insert into workspace (id, slug, name, wallet_address, roles, availability, coverage_lat,
                               coverage_lng, coverage_radius_m, idle_since, created_at, created_by_wallet)
        values ($1, $1::uuid::text, 'supplier', '0x', '{SUPPLIER}', 'ONLINE', $2, $3, $4, $5, now(), '0x')
        """,
        [
            (one.id, one.circle.center.lat, one.circle.center.lng, one.circle.radius_m, one.idle_since)
            for one in suppliers
        ],
    )


def layout(seed: str, around: Point, count: int = 250) -> list[Supplier]:
    """Suppliers around a place, most of them overlapping; a few idle for equally long, a few never."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        center = destination(around, rng.uniform(0, 360), rng.uniform(0, 20_000))
        idle = at(-rng.choice([rng.uniform(0, 30_000), 600, 601, 602]))
        made.append(
            Supplier(
                UUID(int=rng.getrandbits(128), version=4),
                Circle(center, rng.choice([rng.uniform(1, 50_000), 20_000, 500])),
                None if rng.random() < 0.03 else idle,
            )
        )
    return made


def expected(suppliers: Iterable[Supplier], point: Point) -> Supplier | None:
    def order(one: Supplier) -> tuple[bool, datetime, UUID]:
        return one.idle_since is not None, one.idle_since or NOON, one.id

    covering = [one for one in suppliers if great_circle_m(one.circle.center, point) <= one.circle.radius_m]
    return min(covering, key=order, default=None)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("by_index", [True, False])
async def test_a_claim_is_that_of_a_search_through_all(
    database: Database, place: str, by_index: bool
) -> None:
    left = {one.id: one for one in layout(place, PLACES[place])}
    rng = random.Random(1)
    async with database.begin() as tx:
        await store(tx, left.values())
        scans = ("indexscan", "bitmapscan") if not by_index else ("seqscan",)
        for scan in scans:
            await connection(tx).execute(f"set local enable_{scan} = off")
        empty = 0
        while left and empty < 30:
            point = destination(PLACES[place], rng.uniform(0, 360), rng.uniform(0, 60_000))
            want = expected(left.values(), point)
            assert await PgSuppliers().covered(tx, point) is (want is not None)
            got = await PgSuppliers().claim(tx, point)
            assert got == (want and want.id)
            if want is None:
                empty += 1
            else:
                del left[want.id]
    assert len(left) < 200, "most were claimed"


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


# -- plans ------------------------------------------------------------------------------------------------


@pytest.fixture
async def crowded(database: Database) -> AsyncIterator[Database]:
    """A place that 3,000 of 20,000 suppliers cover, with the planner's statistics up to date."""
    rng = random.Random(7)
    crowd = layout("crowd", GRAND_PLACE, 3000)
    elsewhere = (
        Supplier(
            UUID(int=rng.getrandbits(128), version=4),
            Circle(Point(rng.uniform(-60, 70), rng.uniform(-180, 180)), rng.uniform(200, 20_000)),
            at(-rng.uniform(0, 30_000)),
        )
        for _ in range(17_000)
    )
    async with database.begin() as tx:
        await store(tx, crowd)
        await store(tx, elsewhere)
    async with database.read() as tx:
        await connection(tx).execute("vacuum analyze workspace")
    yield database


async def test_a_pick_walks_the_index_from_the_longest_idle(crowded: Database) -> None:
    """Without sorting whoever covers the point, and by one plan for all points."""
    async with crowded.begin() as tx:
        opened = connection(tx)
        for name in ("claim", "await_given_back"):
            await opened.execute(f"prepare {name} (float8, float8) as {SQL[name]}")
            for _ in range(7):  # PostgreSQL weighs a generic plan from the sixth on
                await opened.execute(f"execute {name} (50.8467, 4.3525)")
            generic = await opened.fetchval(
                "select generic_plans from pg_prepared_statements where name = $1", name
            )
            assert generic >= 1
            for mode in ("generic", "custom"):
                await opened.execute(f"set local plan_cache_mode = force_{mode}_plan")
                rows = await opened.fetch(f"explain (costs off) execute {name} (50.8467, 4.3525)")
                plan = "\n".join(row[0] for row in rows)
                assert "Index Scan using workspace_coverage_idx" in plan, plan
                assert "Order By" in plan, plan
                assert "Index Cond" in plan, plan
                assert "Sort" not in plan, plan
            await opened.execute("set local plan_cache_mode = auto")
            await opened.execute(f"deallocate {name}")


async def test_the_index_serves_the_question_who_covers_a_point(crowded: Database) -> None:
    async with crowded.begin() as tx:
        opened = connection(tx)
        await opened.execute("set local plan_cache_mode = force_generic_plan")
        await opened.execute(f"prepare asked (float8, float8) as {SQL['covered']}")
        rows = await opened.fetch("explain (costs off) execute asked (50.8467, 4.3525)")
        await opened.execute("deallocate asked")
    plan = "\n".join(row[0] for row in rows)
    assert "workspace_coverage_idx" in plan, plan
    assert "Index Cond" in plan, plan


async def looked_at(tx: object) -> int:
    """Pages that a pick in the middle of the crowd reads."""
    sql = SQL["claim"].replace("$1", "50.8467").replace("$2", "4.3525")
    select = sql[sql.index("select ctid") : sql.index("for no key")]
    found = await connection(tx).fetchval(f"explain (analyze, buffers, format json) {select}")
    plan = json.loads(found)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


async def test_picks_do_not_look_at_everyone_who_was_taken_before(
    crowded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(count: int, forgetting: float) -> int:
        monkeypatch.setattr(workspaces, "FORGETTING", forgetting)
        for _ in range(count):
            async with crowded.begin() as tx:
                assert await PgSuppliers().claim(tx, GRAND_PLACE) is not None
        async with crowded.read() as tx:
            return await looked_at(tx)

    async with crowded.read() as tx:
        fresh = await looked_at(tx)
    assert await take(200, forgetting=0) > fresh + 100, "those who were taken are in the way"
    assert await take(1, forgetting=1) < fresh + 100, "until the index is rid of them"


async def test_a_pick_in_a_crowd_stays_cheap_when_its_longest_idle_are_gone(
    dsn: str, crowded: Database
) -> None:
    """Else each of the crowd's pages has lost one of them, and keeps the bounds that it had with it."""
    if (await schema.look(dsn)).flavour is not Flavour.POSTGIS:
        pytest.skip("earthdistance gives each circle a box of its own")
    async with crowded.read() as tx:
        fresh = await looked_at(tx)
    for _ in range(300):
        async with crowded.begin() as tx:
            assert await PgSuppliers().claim(tx, GRAND_PLACE) is not None
    async with crowded.read() as tx:
        await connection(tx).execute("vacuum workspace")
        assert await looked_at(tx) < fresh + 10


async def test_every_point_of_a_circle_is_covered(database: Database) -> None:
    """What the index holds of a circle lets none of it out, whatever its size and wherever it is."""
    rng = random.Random(3)
    radii = [0.5, 1.0, *(2 ** (half / 2) * (1 + off) for half in range(1, 40) for off in (-1e-9, 0, 1e-9))]
    middles = [*PLACES.values(), Point(-90, 7), Point(0, -180), Point(89.999, -179.999)]
    cases = []
    for radius in radii:
        for middle in middles:
            nearby = destination(middle, rng.uniform(0, 360), rng.uniform(0, 2 * radius))
            for center in (middle, nearby):
                on_edge = destination(center, rng.uniform(0, 360), radius * (1 - 1e-9))
                cases.append((center.lat, center.lng, radius, on_edge.lat, on_edge.lng))
    async with database.read() as tx:
        outside = await connection(tx).fetch(
            """
            select given.* from unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[], $5::float8[])
                as given (lat, lng, radius_m, at_lat, at_lng)
            where not lx_covers(lat, lng, radius_m, at_lat, at_lng)
            """,
            *(list(column) for column in zip(*cases, strict=True)),
        )
    assert outside == []


# -- others at the same time ------------------------------------------------------------------------------

WAITING = """
select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""


async def waits(market: Marketplace, task: asyncio.Task[object]) -> None:
    async with asyncio.timeout(10):
        while not task.done() and not await market.value(WAITING):
            await asyncio.sleep(0.002)


async def test_a_supplier_that_others_only_refer_to_is_free(dsn: str, marketplace: Marketplace) -> None:
    """A row that refers to it holds a key lock on it until its transaction ends."""
    supplier = await marketplace.supplier()
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        await other.execute("insert into workspace_member values ($1, '0xabc', 'OWNER', now())", supplier)
        async with marketplace.database.begin() as tx:
            assert await PgSuppliers().claim(tx, GRAND_PLACE) == supplier
    await other.close()


async def test_one_held_by_others_is_passed_over_or_waited_for(dsn: str, marketplace: Marketplace) -> None:
    first = await marketplace.supplier(idle_since=at(-60))
    second = await marketplace.supplier(idle_since=at(-30))
    other = await asyncpg.connect(dsn)
    for given_back in (True, False):
        held = other.transaction()
        await held.start()
        await other.execute("update workspace set availability = 'BUSY' where id = $1", first)
        async with marketplace.database.begin() as tx:
            assert await PgSuppliers().claim(tx, GRAND_PLACE) == second, "not the one that is being taken"
            assert await PgSuppliers().claim(tx, GRAND_PLACE) is None
            assert await PgSuppliers().covered(tx, GRAND_PLACE)
            waiting = asyncio.create_task(PgSuppliers().claim(tx, GRAND_PLACE, wait=True))
            await waits(marketplace, waiting)
            assert not waiting.done()
            await (held.rollback() if given_back else held.commit())
            assert await asyncio.wait_for(waiting, 10) == (first if given_back else None)
        await marketplace.rows("update workspace set availability = 'ONLINE'")
    await other.close()


async def test_of_all_who_wait_one_gets_it(dsn: str, marketplace: Marketplace) -> None:
    """They hold no lock on what they wait for: nobody waits for one who waits."""
    supplier = await marketplace.supplier()
    other = await asyncpg.connect(dsn)
    held = other.transaction()
    await held.start()
    await other.execute("select from workspace where id = $1 for update", supplier)
    wide = await Database.connect(dsn, max_size=6)

    async def wait() -> UUID | None:
        async with wide.begin() as tx:
            return await PgSuppliers().claim(tx, GRAND_PLACE, wait=True)

    tasks = [asyncio.create_task(wait()) for _ in range(5)]
    async with asyncio.timeout(10):
        while await marketplace.value(WAITING) < 5:
            await asyncio.sleep(0.002)
    await held.rollback()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks)
    assert sorted(results, key=str) == sorted([supplier, None, None, None, None], key=str)
    await other.close()
    await wide.close()


async def test_idle_to_the_microsecond(marketplace: Marketplace) -> None:
    microsecond = timedelta(microseconds=1)
    order = [await marketplace.supplier(idle_since=NOON + n * microsecond) for n in (2, 0, 1)]
    async with marketplace.database.begin() as tx:
        taken = [await PgSuppliers().claim(tx, GRAND_PLACE) for _ in range(4)]
    assert taken == [order[1], order[2], order[0], None]
