"""What a server does with the schema that it finds, and how schemas change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from marketplace import GRAND_PLACE, NOON, Marketplace, MemoryEdge, at

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.geography import Flavour
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.workspaces.domain import Patch, Role
from tests.ports.test_postgres import empty_database


@pytest.fixture
async def empty(dsn: str) -> AsyncIterator[str]:
    async with empty_database(dsn, "schemas") as other:
        yield other


async def at_revision(dsn: str, revision: str) -> None:
    """As another version of the code would have left it."""
    opened = await asyncpg.connect(dsn)
    await opened.execute("update alembic_version set version_num = $1", revision)
    await opened.close()


def test_revisions_are_known_by_their_files() -> None:
    script = ScriptDirectory.from_config(schema.config())
    assert {one.revision for one in script.walk_revisions()} == schema._revisions()


@pytest.mark.parametrize("external", [True, False])
async def test_an_empty_database_is_set_up(empty: str, external: bool) -> None:
    assert (await schema.look(empty)).age is schema.Age.EMPTY
    await schema.prepare(empty, external=external)
    await schema.prepare(empty, external=external)
    assert (await schema.look(empty)).age is schema.Age.CURRENT


async def test_an_older_schema_is_upgraded_in_a_database_of_our_own(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.downgrade(empty, "0002")
    with pytest.raises(StartError, match=r"has schema 0002.*run luxxon db upgrade"):
        await schema.prepare(empty, external=True)
    assert (await schema.look(empty)).revision == "0002"
    await schema.prepare(empty, external=False)
    assert (await schema.look(empty)).age is schema.Age.CURRENT


@pytest.mark.parametrize("external", [True, False])
async def test_a_newer_schema_is_refused(empty: str, external: bool) -> None:
    await schema.upgrade(empty)
    await at_revision(empty, "9999")
    assert (await schema.look(empty)).age is schema.Age.NEWER
    with pytest.raises(StartError, match="9999, newer than"):
        await schema.prepare(empty, external=external)
    with pytest.raises(StartError, match="9999, newer than"):
        await schema.downgrade(empty, "base")


async def test_servers_that_start_at_once_set_it_up_once(empty: str) -> None:
    await asyncio.gather(*(schema.prepare(empty, external=True) for _ in range(5)))
    assert (await schema.look(empty)).age is schema.Age.CURRENT


async def test_upgrades_at_once_run_once(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.downgrade(empty, "0001")
    found = await asyncio.gather(*(schema.upgrade(empty) for _ in range(3)))
    assert sorted(str(one.revision) for one in found) == ["0001", schema.head(), schema.head()]


async def test_geography_is_by_postgis_where_that_is(empty: str, request: pytest.FixtureRequest) -> None:
    await schema.prepare(empty, external=True)
    assert (await schema.look(empty)).flavour == request.node.callspec.params["dsn"]


@pytest.mark.parametrize("dsn", ["postgis"], indirect=True)
async def test_geography_may_be_forced_and_stays_what_it_is(dsn: str) -> None:
    async with empty_database(dsn, "forced") as other:
        await schema.prepare(other, external=True, geography="earthdistance")
        await schema.prepare(other, external=True)
        assert (await schema.look(other)).flavour is Flavour.EARTHDISTANCE
        with pytest.raises(StartError, match="computes distances by earthdistance"):
            await schema.prepare(other, external=True, geography="postgis")
        await schema.downgrade(other, "0002")
        await schema.upgrade(other)
        assert (await schema.look(other)).flavour is Flavour.EARTHDISTANCE


@pytest.mark.parametrize("dsn", ["earthdistance"], indirect=True)
async def test_postgis_that_is_not_there_cannot_be_forced(dsn: str) -> None:
    async with empty_database(dsn, "forced") as other:
        with pytest.raises(StartError, match="has no PostGIS"):
            await schema.prepare(other, external=True, geography="postgis")
        assert (await schema.look(other)).age is schema.Age.EMPTY


async def test_a_database_of_somebody_else_is_left_alone(empty: str) -> None:
    opened = await asyncpg.connect(empty)
    await opened.execute("create table session (id int)")
    with pytest.raises(StartError, match='cannot prepare the database: relation "session" already exists'):
        await schema.prepare(empty, external=True)
    assert await opened.fetchval("select to_regclass('workspace') is null")
    await opened.close()


async def test_who_may_not_make_extensions_is_told(empty: str) -> None:
    opened = await asyncpg.connect(empty)
    await opened.execute("drop role if exists weak")
    await opened.execute("create role weak login")
    await opened.close()
    with pytest.raises(StartError, match="permission denied"):
        await schema.prepare(empty.replace("//luxxon@", "//weak@"), external=True)


async def test_a_downgrade_to_nowhere_is_refused(empty: str) -> None:
    await schema.upgrade(empty)
    with pytest.raises(StartError, match="cannot downgrade"):
        await schema.downgrade(empty, "4711")
    assert (await schema.look(empty)).age is schema.Age.CURRENT


async def test_what_the_older_schema_cannot_hold_is_let_go_by_a_downgrade(empty: str) -> None:
    await schema.upgrade(empty)
    database = await Database.connect(empty)
    try:
        market = Marketplace(database)
        consumer, supplier = await market.consumer(), await market.supplier()
        session = await market.live(consumer, supplier)
        there = replace(market.sessions, edge=MemoryEdge("there"))
        moved = await there.start(session.id, supplier, at(10))
        half = (await market.workspace(Role.SUPPLIER)).id
        await market.tenants.update(half, Patch(coverage_lat=50.0), NOON)
        await market.pricing.quote(consumer, GRAND_PLACE, 60, NOON)
        await schema.downgrade(empty, "0001")
        await schema.upgrade(empty)
        assert moved.live_input is not None
        assert [row["uid"] for row in await market.rows("select uid from live_input")] == [
            moved.live_input.uid
        ]
        assert (await market.look(half)).coverage_lat is None
        assert (await market.look(supplier)).coverage is not None
        assert (await market.sessions.get(session.id, supplier)).live_input == moved.live_input
    finally:
        await database.close()


async def test_a_pending_delivery_that_has_lost_its_lane_is_given_one(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.downgrade(empty, "0011")
    database = await Database.connect(empty)
    try:
        market = Marketplace(database)
        workspace, webhook, lanes, now = await market.consumer(), uuid4(), [uuid4(), uuid4()], utc_now()
        await market.rows(
            "insert into webhook"
            " (id, workspace_id, url, description, kinds, secret, created_at, after_position)"
            " values ($1, $2, 'https://receiver.test', '', '{}', '', $3, 0)",
            webhook,
            workspace,
            now,
        )
        await market.rows(
            "insert into webhook_delivery"
            " (id, webhook_id, lane, cause, kind, body, state, created_at, finished_at)"
            " select gen_random_uuid(), $1, lane, 'TEST', 'webhook.test', '', state, $3::timestamptz,"
            " case when state = 'FAILED' then $3::timestamptz end"
            " from unnest($2::uuid[]) with ordinality l (lane, place),"
            " unnest('{FAILED,PENDING,PENDING}'::text[]) s (state) order by place",
            webhook,
            lanes,
            now,
        )
        await market.rows(
            "insert into webhook_lane (webhook_id, lane, due_at) values ($1, $2, $3)", webhook, lanes[0], now
        )
        await schema.upgrade(empty)
        opened = await market.rows("select lane, head from webhook_lane order by head")
        first = await market.rows(
            "select lane, min(number) as head from webhook_delivery where state = 'PENDING'"
            " group by lane order by head"
        )
        assert [one["lane"] for one in first] == lanes and opened == first
    finally:
        await database.close()


async def test_nothing_answers(tmp_path: Path) -> None:
    for work in (schema.look, schema.upgrade):
        with pytest.raises(StartError, match="cannot prepare the database"):
            await work(f"postgresql://nobody@/none?host={tmp_path}")
