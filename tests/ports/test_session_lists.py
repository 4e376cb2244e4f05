"""Lists of sessions in SQL against the same lists in Python."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from crowd import crowded
from marketplace import FEE_BPS, GEOFENCE_M, NOON, RATE, Marketplace, at
from oracle import destination

from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.adapters.postgres.sessions import PgSessions
from luxxon_core.kernel.errors import InvalidInput, NotAuthorized
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.ids import new_id
from luxxon_core.sessions.domain import Session, Side, State, Terms, assign, cancel, go_live
from luxxon_core.workspaces.domain import Role

TERMS = Terms(RATE, 60, 300, FEE_BPS, GEOFENCE_M)


async def some_sessions(market: Marketplace, people: list[UUID], chance: random.Random) -> list[Session]:
    """Sessions between these workspaces in every state, several of them made at one moment."""
    made = []
    async with market.database.begin() as tx:
        for _ in range(60):
            created = at(chance.randrange(12))
            session = Session(new_id(), chance.choice(people), Point(1, 2), TERMS, created)
            assert await PgSessions().add(tx, session)
            after = session
            if chance.random() < 0.7:
                after = assign(after, chance.choice(people), at(20))
                if chance.random() < 0.5:
                    after = go_live(after, at(21))
            if after.state is not State.LIVE and chance.random() < 0.4:
                after = cancel(after, at(22))
            assert await PgSessions().swap(tx, State.REQUESTED, after)
            made.append(after)
    return sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)


@pytest.mark.parametrize("seed", range(3))
async def test_pages_of_every_filter_are_the_list(marketplace: Marketplace, seed: int) -> None:
    chance = random.Random(seed)
    people = [(await marketplace.workspace(Role.CONSUMER, Role.SUPPLIER)).id for _ in range(3)]
    everything = await some_sessions(marketplace, people, chance)
    me = people[0]
    for side in (None, *Side):
        for states in (None, {State.REQUESTED}, {State.LIVE, State.CANCELLED}, {State.PAUSED}):
            wanted = [
                one
                for one in everything
                if (states is None or one.state in states)
                and (
                    (side is not Side.OPERATOR and one.consumer_workspace_id == me)
                    or (side is not Side.CONSUMER and one.operator_workspace_id == me)
                )
            ]
            found: list[Session] = []
            while page := await marketplace.sessions.list_of(
                me, states=states, side=side, cursor=found[-1].id if found else None, limit=7
            ):
                assert len(page) <= 7
                found += page
            assert found == wanted


async def test_a_cursor_must_be_a_session_of_ones_own(marketplace: Marketplace) -> None:
    consumer, other = await marketplace.consumer(), await marketplace.consumer()
    session = await marketplace.requested(consumer)
    for cursor in (session.id, new_id()):
        with pytest.raises(InvalidInput, match="session:cursor"):
            await marketplace.sessions.list_of(other, cursor=cursor)


# -- open requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "center", [Point(50.8, 4.3), Point(90, 0), Point(-89.9, 170), Point(12, 180), Point(0, 0)]
)
async def test_open_requests_are_those_in_the_circle(marketplace: Marketplace, center: Point) -> None:
    chance = random.Random(7)
    circle = Circle(center, 40_000)
    supplier = await marketplace.workspace(Role.SUPPLIER, coverage=circle)
    consumer = await marketplace.consumer()
    wanted = []
    for n in range(40):
        there = destination(center, chance.uniform(0, 360), circle.radius_m * chance.uniform(0.8, 1.2))
        session = await marketplace.sessions.create(consumer, there, 60, 300, at(n // 3))
        if circle.contains(there):
            wanted.append(session)
    wanted.sort(key=lambda one: (one.created_at, one.id))
    assert 5 < len(wanted) < 35
    found: list[Session] = []
    while page := await marketplace.sessions.open_requests(
        supplier.id, at(20), cursor=found[-1].id if found else None, limit=6
    ):
        found += page
    assert found == wanted


async def test_only_what_still_waits_is_open(marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    short, long = [await marketplace.requested(consumer, wait_s=wait) for wait in (5, 300)]

    async def found(seconds: float) -> list[UUID]:
        return [one.id for one in await marketplace.sessions.open_requests(supplier, at(seconds), limit=9)]

    assert set(await found(4.9)) == {short.id, long.id}
    assert await found(5) == [long.id]
    await marketplace.sessions.accept(long.id, supplier, at(6))
    assert await found(7) == []


async def test_who_supplies_nothing_or_nowhere_sees_nothing(marketplace: Marketplace) -> None:
    await marketplace.requested(await marketplace.consumer())
    with pytest.raises(NotAuthorized, match="session:notSupplier"):
        await marketplace.sessions.open_requests(await marketplace.consumer(), NOON, limit=9)
    nowhere = await marketplace.workspace(Role.SUPPLIER)
    assert await marketplace.sessions.open_requests(nowhere.id, NOON, limit=9) == []
    with pytest.raises(InvalidInput, match="session:cursor"):
        await marketplace.sessions.open_requests(nowhere.id, NOON, cursor=new_id(), limit=9)


# -- plans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name", "types", "values", "indexes"),
    [
        (
            "sessions",
            "of_workspace",
            "uuid, int, text, text[], timestamptz, uuid",
            "gen_random_uuid(), 50, null, null, null, null",
            {"session_consumer_idx", "session_operator_idx"},
        ),
        (
            "sessions",
            "open_in",
            "float8, float8, float8, timestamptz, int, timestamptz, uuid",
            "50.8, 4.3, 500, now(), 50, null, null",
            {"session_place_idx"},
        ),
        (
            "sessions",
            "committed",
            "text, bigint",
            "'0x', 5",
            {"session_consumer_open_idx", "settlement_unpaid_idx", "settlement_paid_idx"},
        ),
        ("sessions", "assigned_to", "uuid", "gen_random_uuid()", {"session_operator_open_idx"}),
        ("telemetry", "live_sessions", "uuid", "gen_random_uuid()", {"session_operator_open_idx"}),
        (
            "workspaces",
            "release",
            "uuid, timestamptz",
            "gen_random_uuid(), now()",
            {"session_operator_open_idx"},
        ),
        (
            "events",
            "add_samples",
            "uuid, jsonb, timestamptz",
            "gen_random_uuid(), '{}', now()",
            {"session_operator_open_idx"},
        ),
    ],
)
async def test_a_list_is_read_from_its_index(
    database: Database, file: str, name: str, types: str, values: str, indexes: set[str]
) -> None:
    async with database.begin() as tx:
        opened = connection(tx)
        await crowded(opened)
        await opened.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        await opened.execute("set local plan_cache_mode = force_generic_plan")
        await opened.execute(f"prepare asked ({types}) as {statements(file)[name]}")
        plan = "\n".join(row[0] for row in await opened.fetch(f"explain execute asked ({values})"))
        await opened.execute("deallocate asked")
    assert {one for one in indexes if one in plan} == indexes, plan
