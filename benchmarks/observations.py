"""Whether a media edge that does not answer slows observations of other edges, and what those who wait cost.

1. 100 observations of an edge that answers at once: until all are READY, by themselves and beside 100 more of
   an edge that keeps everybody for the three seconds that it may take. Limit: twice as long.
2. 1,000 requests that wait for 200 observations of another server: the CPU of this process meanwhile, and its
   statements. Limit: 5 % of a core above what it takes with nobody waiting.

Run: ``python benchmarks/observations.py``, about half a minute.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "ports"), str(TESTS), str(TESTS.parent)]

from marketplace import NOON, Marketplace, at  # noqa: E402
from newsroom import newsroom  # noqa: E402
from observation_stage import ASKED, Running, Stage, TwoEdges, live, picture  # noqa: E402

from luxxon_core.adapters.postgres import schema  # noqa: E402
from luxxon_core.adapters.postgres.database import Database, connection  # noqa: E402
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres  # noqa: E402
from luxxon_core.events.usecases import Feed  # noqa: E402

EACH, WAITERS, AWAITED, SECONDS = 100, 1000, 200, 5.0
SLOWER, SHARE = 2.0, 0.05


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """The DSN of an empty one with the schema."""
    with tempfile.TemporaryDirectory(prefix="luxxon-bench-") as folder:
        server = await EmbeddedPostgres.start(Path(folder) / "cluster", durable=False)
        try:
            await schema.upgrade(server.dsn)
            yield server.dsn
        finally:
            await server.close()


async def until_ready(dsn: str, silent: int) -> float:
    """Seconds until all of the quick edge are READY."""
    opened = await Database.connect(dsn)
    try:
        async with opened.begin() as tx:
            await connection(tx).execute("truncate workspace, session, observation cascade")
        market, edges = Marketplace(opened), TwoEdges()
        stage = Running(market, pytest.MonkeyPatch())
        market.edge, market.sessions = edges, replace(market.sessions, edge=edges)
        stage.cases = stage.server()
        await live(stage, edges, "slow", silent)
        quick = await live(stage, edges, "memory", EACH)
        edges.shown = picture(at(1.5))
        async with stage.working(2):
            begun = time.monotonic()
            asked = "select count(*) from observation where status = 'READY' and id = any($1::uuid[])"
            while await market.value(asked, quick) < EACH:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
            return time.monotonic() - begun
    finally:
        await opened.close()


async def share(statements: Database) -> tuple[float, int]:
    """CPU of this process as a share of a core, and uses of connections, for some seconds."""
    count, held = 0, statements.read

    def counted() -> object:
        nonlocal count
        count += 1
        return held()

    statements.read = counted  # type: ignore[method-assign,assignment]
    begun, busy = time.monotonic(), time.process_time()
    await asyncio.sleep(SECONDS)
    found = (time.process_time() - busy) / (time.monotonic() - begun)
    statements.read = held  # type: ignore[method-assign]
    return found, count


async def _meters(feed: Feed) -> None:
    """As a server has them read while somebody follows."""
    while True:
        await feed.second(NOON)


async def waiting(dsn: str) -> tuple[float, float, int]:
    """The share with nobody waiting, with many, and their statements."""
    async with newsroom(dsn) as news, asyncio.TaskGroup() as group:
        meters = group.create_task(_meters(news.feed))
        stage = Stage(news.market, pytest.MonkeyPatch())
        consumer, server = await news.market.consumer(), stage.server(news.feed)
        made = [await stage.cases.create(consumer, ASKED, NOON) for _ in range(AWAITED)]
        idle, _ = await share(news.market.database)
        waits = [asyncio.create_task(server.wait(made[n % AWAITED], 600)) for n in range(WAITERS)]
        while news.feed.followers < WAITERS:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        busy, statements = await share(news.market.database)
        await server.stop()
        await asyncio.gather(*waits)
        meters.cancel()
        return idle, busy, statements


async def main() -> int:
    async with database() as dsn:
        alone, beside = await until_ready(dsn, 0), await until_ready(dsn, EACH)
        idle, busy, statements = await waiting(dsn)
    slower, more = beside / alone, busy - idle
    print(
        f"{EACH} observations READY in {alone:.2f} s; beside {EACH} of an edge that does not answer"
        f" {beside:.2f} s: {slower:.2f} times as long, limit {SLOWER}"
    )
    print(
        f"{WAITERS} requests wait for {AWAITED} observations: {more:.1%} of a core (limit {SHARE:.0%}),"
        f" {statements / SECONDS:.1f} statements/s"
    )
    return int(slower > SLOWER or more > SHARE)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
