"""``luxxon serve`` on PostGIS, SpiceDB and a chain that is not its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio
from production import Cameras, Production, Serve, production, until

from luxxon_core.adapters.postgres import schema
from luxxon_core.client.events import StreamEvent
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party
from luxxon_core.events.schemas import SessionState, SettlementState
from luxxon_core.kernel.geo import Point
from luxxon_core.settlement.schemas import SettlementView

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACE = Point(50.8466, 4.3528)
POOL = 600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(postgis_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    async with production(postgis_dsn, tmp_path_factory.mktemp("production")) as opened:
        yield opened


async def refused(server: Serve) -> str:
    """What a server that cannot start says, on one line."""
    await server.spawn()
    try:
        code = await asyncio.wait_for(server.gone(), 60)
    finally:
        await server.kill()
    said = [entry["event"] for entry in server.log if entry["event"].startswith("luxxon: ")]
    assert (code, len(said)) == (2, 1), server.log
    assert "Traceback" not in str(server.log)
    line: str = said[0]
    return line


async def test_a_session_from_sign_up_to_payment(market: Production) -> None:
    server = market.server("one")
    async with (
        market.servers(server),
        Cameras.running() as cameras,
        market.parties(
            server.api_url,
            ("viewer", "CONSUMER", (*CONSUMER_SCOPES, "pricing:read")),
            ("camera", "SUPPLIER", SUPPLIER_SCOPES),
        ) as (consumer, supplier),
    ):
        geography = await market.rows("select extname from pg_extension where extname = 'postgis'")
        assert geography, "distances are PostGIS's"
        ready = await consumer.api.json("GET", "/ready")
        assert ready == {
            "ready": True,
            "checks": dict.fromkeys(("database", "chain", "authorization", "edge"), True),
        }
        await market.fund(server.api_url, consumer, POOL)
        cameras.operate(server.api_url, supplier, PLACE)

        async def covered() -> bool | None:
            return True if await consumer.api.coverage.list() else None

        await until(covered, 30, "a camera")
        quote = await consumer.api.pricing.quote(lat=PLACE.lat, lng=PLACE.lng, duration_seconds=60)
        session = await consumer.api.sessions.create(
            lat=PLACE.lat, lng=PLACE.lng, max_duration_seconds=60, quote_id=quote.quote_id
        )
        followed: list[StreamEvent] = []

        async def follow() -> None:
            async with consumer.api.sessions.events(session.id) as stream:
                async for event in stream:
                    followed.append(event)  # noqa: PERF401 - seen while it grows

        following = asyncio.create_task(follow())
        await until(lambda: _any(followed), 10, "the stream's beginning")
        dispatched = await consumer.api.sessions.dispatch(session.id)
        assert dispatched.operator_workspace_id == supplier.workspace_id
        live = await consumer.api.sessions.wait_for(session.id, "LIVE")
        assert live.state == "LIVE"
        assert (await consumer.api.sessions.frame(session.id))[:2] == b"\xff\xd8"

        async def second_charged() -> bool | None:
            receipt = await consumer.api.sessions.receipt(session.id)
            return True if receipt.clean_seconds else None

        await until(second_charged, 10, "a second to pay for")
        ended = await consumer.api.sessions.end(session.id)
        assert ended.clean_seconds > 0

        async def paid() -> SettlementView | None:
            view = await consumer.api.settlements.get(session.id)
            return view if view.state == "CONFIRMED" else None

        await until(paid, 30, "a payment")
        await asyncio.wait_for(following, 10)
        assert [_told(event) for event in followed if _told(event)] == [
            "REQUESTED",
            "ASSIGNED",
            "ASSIGNED",  # with a live input
            "LIVE",
            "ENDED",
            "PENDING",
            "SUBMITTED",
            "CONFIRMED",
        ]
        assert followed[-1].name == "end"
        assert await market.payments(session.id) == 1

        async def seen() -> list[tuple[str, int]] | None:
            events = await consumer.api.wallet.events()
            found = [(event.kind, int(event.amount_usdc)) for event in events]
            return found if "SETTLE" in dict(found) else None

        charged = int(ended.charged_micro_usdc)
        assert charged == ended.clean_seconds * int(quote.rate_per_second_micro_usdc)
        found = await until(seen, 10, "the settlement among the wallet's events")
        assert ("SETTLE", charged) in found
        assert ("DEPOSIT", POOL) in found
        assert await market.ledger.deposits(consumer.wallet.address, await market.ledger.head()) == (
            POOL - charged
        )
        await _asked_for_by_64_at_once(server, consumer)


async def _asked_for_by_64_at_once(server: Serve, consumer: Party) -> None:
    """Requests with one Idempotency-Key make one session."""
    body = {"lat": PLACE.lat, "lng": PLACE.lng, "maxDurationSeconds": 10}
    headers = {"Authorization": f"Bearer {consumer.api_key}", "Idempotency-Key": "one-of-64"}
    before = len(await consumer.api.sessions.list())
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        url = f"{server.api_url}/sessions"
        answers = await asyncio.gather(*(http.post(url, json=body, headers=headers) for _ in range(64)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert len(await consumer.api.sessions.list()) == before + 1


async def _any(found: list[StreamEvent]) -> bool | None:
    return True if found else None


def _told(event: StreamEvent) -> str | None:
    if isinstance(event.data, SessionState):
        return event.data.session.state
    return event.data.state if isinstance(event.data, SettlementState) else None


async def test_a_part_that_is_missing_or_wrong_is_refused_in_one_line(market: Production) -> None:
    lines = await asyncio.gather(
        refused(market.server("other-chain", LUXXON_CHAIN_ID="8453")),
        refused(market.server("no-chain", LUXXON_RPC_URL="http://127.0.0.1:9/hunter2")),
        refused(market.server("no-spicedb", LUXXON_SPICEDB_ENDPOINT="127.0.0.1:9")),
        refused(market.server("stranger", LUXXON_SPICEDB_TOKEN="hunter2-hunter2")),
        refused(market.server("no-database", LUXXON_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:9/db")),
    )
    assert lines[0] == "luxxon: setting chain_id: the chain at rpc_url is 31337, not 8453"
    assert lines[1].startswith("luxxon: setting rpc_url: ")
    assert "spicedb" in lines[2].lower()
    assert "spicedb" in lines[3].lower()
    assert "database" in lines[4]
    assert "hunter2" not in str(lines)


async def test_an_older_schema_of_somebody_else_s_database_is_refused(
    market: Production, postgis_dsn: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(postgis_dsn)
    try:
        await connection.execute("create database of_old")
    finally:
        await connection.close()
    dsn = postgis_dsn.replace("/postgres?", "/of_old?")
    await schema.upgrade(dsn)
    await schema.downgrade(dsn, "-1")
    line = await refused(market.server("of-old", LUXXON_DATABASE_URL=dsn))
    assert line.endswith("run luxxon db upgrade")
    await schema.upgrade(dsn)
    server = market.server("of-old", LUXXON_DATABASE_URL=dsn)
    async with market.servers(server):
        pass
