"""How many dispatches a second PostGIS picks among a million suppliers, against plain one-row updates.

32 clients in two processes send the product's own statements to a durable cluster made for the run. Two
worlds share a table: suppliers scattered around towns, where about a dozen cover a point, and crowds of 5,000
who all cover one point. Each figure is a ratio to bare updates by the same clients right before and after it.

What is picked is checked too: against a search through all suppliers, before and after the load; no supplier
is given twice; and whoever was taken from a crowd had been idle for longer than who was not.

Run: ``python benchmarks/dispatch.py [--quick]``, about three minutes; quick has a quarter of the suppliers.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

import postgis  # noqa: E402

from luxxon_core.adapters.postgres import schema  # noqa: E402
from luxxon_core.adapters.postgres.database import statements  # noqa: E402
from luxxon_core.adapters.postgres.workspaces import PgSuppliers  # noqa: E402
from luxxon_core.kernel.geo import Point  # noqa: E402

PROCESSES, CLIENTS = 2, 32
CROWD = 5_000
SPREAD = 0.9
"""Degrees around a town's middle within which its suppliers are and its sessions are asked for."""
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}
"""Durable; the data fit into memory, and no checkpoint falls into the run."""
ROUNDS, SECONDS = 4, 2.5
CHECKED = 8
"""Points of each world at which a pick is held against a search."""

SQL, SUPPLIERS = statements("workspaces"), PgSuppliers()
BARE = "update workspace set last_seen_at = $2 where id = $1"
LOAD = """
insert into workspace (id, slug, name, wallet_address, roles, availability, coverage_lat, coverage_lng,
                       coverage_radius_m, idle_since, created_at, created_by_wallet)
select gen_random_uuid(), gen_random_uuid()::text, $1 || n, '0x' || md5(random()::text), '{SUPPLIER}',
       'ONLINE', lat + (random() * 2 - 1) * $5::float8, lng + (random() * 2 - 1) * $5::float8,
       $6::float8 * ($7::float8 / $6::float8) ^ random(),
       now() - make_interval(secs => random() * 28800), now(), '0x'
from unnest($2::float8[], $3::float8[]) with ordinality as place (lat, lng, n), generate_series(1, $4::int)
"""
SEARCH = """
select id from workspace
where availability = 'ONLINE' and 2 * 6371008.7714 * asin(least(1, sqrt(
    sin(radians(coverage_lat - $1) / 2) ^ 2
    + cos(radians(coverage_lat)) * cos(radians($1)) * sin(radians(coverage_lng - $2) / 2) ^ 2
))) <= coverage_radius_m
order by idle_since nulls first, id
limit 1
"""
"""What a pick is by definition, without our functions and without an index."""
UNFAIR = """
select count(*) from (
    select max(idle_since) filter (where availability = 'BUSY') as taken,
           min(idle_since) filter (where availability = 'ONLINE') as waiting
    from workspace where name like 'crowd %' group by name
) as crowd
where taken > waiting
"""

Place = tuple[float, float]


@dataclass(frozen=True)
class World:
    """Where sessions are asked for."""

    towns: list[Place]
    crowds: list[Place]

    @classmethod
    def of(cls, suppliers: int) -> World:
        """Four fifths of the suppliers in towns of 4,000 in the south, the others in crowds in the north."""
        rng, crowds = random.Random(42), suppliers // 5 // CROWD
        return cls(
            [(rng.uniform(-45, -5), rng.uniform(-170, 170)) for _ in range(crowds * 5)],
            [(rng.uniform(5, 45), -170 + 340 * n / crowds) for n in range(crowds)],
        )

    def in_town(self, rng: random.Random) -> Place:
        lat, lng = rng.choice(self.towns)
        return lat + rng.uniform(-SPREAD, SPREAD), lng + rng.uniform(-SPREAD, SPREAD)

    def in_crowd(self, rng: random.Random) -> Place:
        return rng.choice(self.crowds)


# -- clients ----------------------------------------------------------------------------------------------


@dataclass
class Result:
    taken: list[UUID] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Client:
    """One connection with its prepared statements."""

    def __init__(self, connection: asyncpg.Connection[Any], world: World, ids: list[UUID], seed: int) -> None:
        self._connection, self._world, self._ids = connection, world, ids
        self._rng = random.Random(seed)

    async def prepare(self) -> None:
        """Plan every statement and touch what a connection touches first, leaving nothing behind."""
        prepared = self._connection.prepare
        self._bare, self._release = await prepared(BARE), await prepared(SQL["release"])
        transaction = self._connection.transaction()
        await transaction.start()
        for _ in range(10):
            for turn in (self.bare, self.town, self.pair):
                await turn()
        await transaction.rollback()

    async def bare(self) -> UUID | None:
        await self._bare.fetch(self._rng.choice(self._ids), datetime.now(UTC))
        return None

    async def town(self) -> UUID | None:
        return await SUPPLIERS.claim(self._connection, Point(*self._world.in_town(self._rng)))

    async def crowd(self) -> UUID | None:
        return await SUPPLIERS.claim(self._connection, Point(*self._world.in_crowd(self._rng)))

    async def pair(self) -> UUID | None:
        taken = await self.crowd()
        await self._release.fetch(taken, datetime.now(UTC))
        return taken

    async def run(self, kind: str, until: float, result: Result) -> None:
        turn: Callable[[], Awaitable[UUID | None]] = getattr(self, kind)
        while (begun := time.monotonic()) < until:
            taken = await turn()
            if taken is not None:
                result.taken.append(taken)
            if taken is not None or kind == "bare":
                result.seconds.append(time.monotonic() - begun)


def serve(pipe: Connection, dsn: str, world: World, number: int) -> None:
    """A process of clients: runs what the pipe says until it says None."""
    import uvloop

    async def clients() -> None:
        connections = [await asyncpg.connect(dsn) for _ in range(CLIENTS // PROCESSES)]
        rows = await connections[0].fetch("select id from workspace tablesample bernoulli (10)")
        ids = [row["id"] for row in rows]
        made = [Client(one, world, ids, number * 1000 + n) for n, one in enumerate(connections)]
        for client in made:
            await client.prepare()
        loop = asyncio.get_running_loop()
        pipe.send(None)
        while (order := await loop.run_in_executor(None, pipe.recv)) is not None:
            kind, start, seconds = order
            await asyncio.sleep(start - time.monotonic())
            result = Result()
            await asyncio.gather(*(client.run(kind, start + seconds, result) for client in made))
            pipe.send(result)
        for one in connections:
            await one.close()

    uvloop.run(clients())


class Clients:
    def __init__(self, dsn: str, world: World) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for number in range(PROCESSES):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=serve, args=(theirs, dsn, world, number), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, kind: str) -> Result:
        start = time.monotonic() + 0.1
        for pipe in self._pipes:
            pipe.send((kind, start, SECONDS))
        results = [pipe.recv() for pipe in self._pipes]
        return Result(
            [one for result in results for one in result.taken],
            [one for result in results for one in result.seconds],
        )

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


# -- the database -----------------------------------------------------------------------------------------


async def load(dsn: str, world: World) -> None:
    """Fill the table without its index, which takes longer to fill row by row than to build."""
    opened = await asyncpg.connect(dsn)
    index = await opened.fetchval("select pg_get_indexdef('workspace_coverage_idx'::regclass)")
    await opened.execute("drop index workspace_coverage_idx")
    await opened.execute("select setseed(0.42)")
    for name, places, count, spread, radii in (
        ("town ", world.towns, 4 * CROWD // 5, SPREAD, (200.0, 20_000.0)),
        ("crowd ", world.crowds, CROWD, 0.03, (8_000.0, 20_000.0)),
    ):
        lats, lngs = [lat for lat, _ in places], [lng for _, lng in places]
        await opened.execute(LOAD, name, lats, lngs, count, spread, *radii, timeout=300)
    await opened.execute(index, timeout=300)
    await opened.execute("vacuum analyze workspace", timeout=300)
    await opened.close()


async def restore(dsn: str) -> None:
    """Everybody is ONLINE again, and what was updated is vacuumed away."""
    opened = await asyncpg.connect(dsn)
    await opened.execute("update workspace set availability = 'ONLINE' where availability = 'BUSY'")
    await opened.execute("vacuum workspace", timeout=300)
    await opened.close()


async def check_picks(dsn: str, world: World) -> int:
    """Hold picks, one after the other, against the definition; they are rolled back."""
    opened = await asyncpg.connect(dsn)
    rng = random.Random(1)
    points = [world.in_town(rng) for _ in range(CHECKED)] + [world.in_crowd(rng) for _ in range(CHECKED)]
    async with opened.transaction():
        for point in points:
            wanted = await opened.fetchval(SEARCH, *point)
            taken = await SUPPLIERS.claim(opened, Point(*point))
            assert taken == wanted, f"at {point} {taken} was picked, {wanted} is the longest idle"
        await opened.execute("update workspace set availability = 'ONLINE' where availability = 'BUSY'")
    await opened.close()
    return len(points)


async def check_taken(dsn: str, kind: str, taken: list[UUID]) -> None:
    opened = await asyncpg.connect(dsn)
    busy = await opened.fetchval("select count(*) from workspace where availability = 'BUSY'")
    if kind != "pair":
        assert len(set(taken)) == len(taken) == busy, "a supplier was given twice, or lost"
    if kind == "crowd":
        assert await opened.fetchval(UNFAIR) == 0, "somebody was passed over"
    await opened.close()


# -- figures ----------------------------------------------------------------------------------------------

FIGURES = (
    ("town", "dispatch, little overlap", 0.5),
    ("crowd", f"dispatch, {CROWD:,} overlapping", 0.33),
    ("pair", f"dispatch and release, {CROWD:,}", 0.2),
)


def measure(dsn: str, world: World) -> None:
    clients = Clients(dsn, world)
    per_second: dict[str, list[float]] = {kind: [] for kind, _, _ in FIGURES}
    ratios: dict[str, list[float]] = {kind: [] for kind, _, _ in FIGURES}
    waits: dict[str, list[float]] = {kind: [] for kind, _, _ in FIGURES}
    bare = [len(clients.run("bare").seconds) / SECONDS for _ in range(2)][-1:]
    for _ in range(ROUNDS):
        for kind, _, _ in FIGURES:
            result = clients.run(kind)
            asyncio.run(check_taken(dsn, kind, result.taken))
            asyncio.run(restore(dsn))
            bare.append(len(clients.run("bare").seconds) / SECONDS)
            per_second[kind].append(len(result.seconds) / SECONDS)
            ratios[kind].append(per_second[kind][-1] / statistics.mean(bare[-2:]))
            waits[kind] += result.seconds
    clients.close()
    print(
        f"{'bare one-row update':32} {statistics.median(bare):6.0f} /s"
        f" (min {min(bare):.0f}, max {max(bare):.0f})"
    )
    for kind, name, least in FIGURES:
        ratio = statistics.median(ratios[kind])
        verdict = "met" if ratio >= least else "MISSED"
        p95 = statistics.quantiles(waits[kind], n=20)[-1] * 1000
        print(
            f"{name:32} {statistics.median(per_second[kind]):6.0f} /s, 95 % within {p95:5.1f} ms:"
            f" {ratio:5.2f} of bare (min {min(ratios[kind]):.2f}, max {max(ratios[kind]):.2f}),"
            f" at least {least:.2f}: {verdict}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the suppliers")
    world = World.of(250_000 if parser.parse_args().quick else 1_000_000)
    binaries = postgis.programs()
    if binaries is None:
        raise SystemExit(f"PostgreSQL with PostGIS is missing; install it with: {postgis.INSTALL}")
    with postgis.cluster(binaries, SETTINGS) as dsn:
        asyncio.run(schema.upgrade(dsn))
        begun = time.monotonic()
        asyncio.run(load(dsn, world))
        suppliers = len(world.towns) * 4 * CROWD // 5 + len(world.crowds) * CROWD
        print(f"{suppliers:,} suppliers loaded in {time.monotonic() - begun:.0f} s, {CLIENTS} clients")
        checked = asyncio.run(check_picks(dsn, world))
        measure(dsn, world)
        checked += asyncio.run(check_picks(dsn, world))
        print(f"{checked} picks held against a search through all suppliers: exact, the longest idle first")


if __name__ == "__main__":
    main()
