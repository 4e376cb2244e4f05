"""From a call to the camera and back: two ``luxxon serve`` on one PostGIS database, the agent at the other.

The limit is the same way without anything on it: two GETs of the session, one at each server, for the call
and the device's answer, and two bare notifications of the database, there and back. All of it is measured in
turn with the commands, on loopback.

Run: ``python benchmarks/ptz.py``, half a minute. Budget: 150 ms from the call to the camera.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "journeys"), str(ROOT / "tests"), str(ROOT)]

import postgis  # noqa: E402
from filming import assigned, at, cast  # noqa: E402
from production import production  # noqa: E402

from luxxon_core.adapters.postgres import schema  # noqa: E402
from luxxon_core.client import Luxxon  # noqa: E402
from luxxon_core.controls.schemas import AbsoluteMove  # noqa: E402
from luxxon_core.kernel.geo import Point  # noqa: E402
from luxxon_core.operator.agent import Location, OperatorAgent  # noqa: E402
from luxxon_core.testing import FakeSource  # noqa: E402

PLACE = Point(50.85, 4.35)
COMMANDS, WARM_UP = 150, 20
PAUSE = 0.06
"""Seconds between commands, within the limit of a session."""
BUDGET_MS = 150.0


class Notifications:
    """Two connections to the database; one tells, the other hears of it."""

    def __init__(self, tells: asyncpg.Connection, hears: asyncpg.Connection) -> None:
        self._tells, self._hears = tells, hears
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        await self._hears.add_listener("bench", lambda *_: self._heard.set())

    async def seconds(self) -> float:
        self._heard.clear()
        begun = time.perf_counter()
        await self._tells.execute("select pg_notify('bench', '')")
        await self._heard.wait()
        return time.perf_counter() - begun


async def get(api: Luxxon, session_id: str) -> float:
    begun = time.perf_counter()
    await api.sessions.get(session_id)
    return time.perf_counter() - begun


async def measure(cluster_dsn: str, folder: Path) -> None:
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(production(cluster_dsn, folder))
        a, b = market.server("a"), market.server("b")
        await stack.enter_async_context(market.servers(a, b))
        (consumer,), (supplier,) = await stack.enter_async_context(cast(market, [a], 1, 1))
        on_a = await stack.enter_async_context(at(a, consumer))
        on_b = await stack.enter_async_context(at(b, supplier))
        tells, hears = [await asyncpg.connect(market.dsn) for _ in range(2)]
        stack.push_async_callback(tells.close)
        stack.push_async_callback(hears.close)
        bare = Notifications(tells, hears)
        await bare.listen()
        camera = FakeSource()
        agent = OperatorAgent(
            on_b, camera, supplier.workspace_id, Location(PLACE.lat, PLACE.lng), controls=["ptz"]
        )
        running = asyncio.create_task(agent.run())
        try:
            await asyncio.wait_for(agent.online.wait(), 20)
            session_id = await assigned(on_a, supplier, PLACE)
            await on_a.sessions.wait_for(session_id, "LIVE", timeout=30)
            there, back, limits = [], [], []
            for number in range(WARM_UP + COMMANDS):
                asked, begun = time.monotonic(), time.perf_counter()
                await on_a.sessions.ptz(session_id, AbsoluteMove(number / 1000, 0))
                answered = time.perf_counter() - begun
                limit = await get(on_a, session_id) + await get(on_b, session_id)
                limit += await bare.seconds() + await bare.seconds()
                if number >= WARM_UP:
                    there.append(camera.commands[-1].at - asked)
                    back.append(answered)
                    limits.append(limit)
                await asyncio.sleep(PAUSE)
            report("call to camera", there, None)
            report("call to answer", back, statistics.median(limits))
            worst = max(there) * 1000
            print(f"budget: {BUDGET_MS:.0f} ms from call to camera; worst of {COMMANDS}: {worst:.1f} ms")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def report(what: str, seconds: list[float], limit: float | None) -> None:
    median, *_, p99 = statistics.median(seconds), *statistics.quantiles(seconds, n=100)
    against = "" if limit is None else f"; limit {limit * 1000:.1f} ms, ratio {median / limit:.2f}"
    print(f"{what}: median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms{against}")


def main() -> None:
    binaries = postgis.programs()
    if binaries is None:
        raise SystemExit(postgis.INSTALL)
    with postgis.cluster(binaries) as dsn, tempfile.TemporaryDirectory(prefix="luxxon-ptz-") as folder:
        asyncio.run(schema.upgrade(dsn))
        asyncio.run(measure(dsn, Path(folder)))


if __name__ == "__main__":
    main()
