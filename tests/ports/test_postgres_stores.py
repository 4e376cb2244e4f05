"""The repositories of workspaces, sessions and windows."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest
from marketplace import GRAND_PLACE, NOON, Marketplace, at

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.sessions import PgSessions
from luxxon_core.adapters.postgres.telemetry import PgWindows
from luxxon_core.adapters.postgres.workspaces import PgWorkspaces
from luxxon_core.kernel.geo import Circle
from luxxon_core.kernel.ids import new_id
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Session, State, assign, cancel, end, go_live
from luxxon_core.telemetry.domain import Reason
from luxxon_core.workspaces.domain import Availability, DeviceKind, Role

# -- workspaces -------------------------------------------------------------------------------------------


async def test_a_workspace_comes_back_as_it_was_saved(marketplace: Marketplace) -> None:
    made = await marketplace.workspace(Role.SUPPLIER, Role.CONSUMER)
    wanted = replace(
        made,
        name="Été 2026",
        availability=Availability.BUSY,
        wished_availability=Availability.OFFLINE,
        coverage_lat=-33.8568,
        coverage_lng=151.2153,
        coverage_radius_m=1234.5,
        device_kind=DeviceKind.PTZ,
        idle_since=at(3),
        last_seen_at=at(4.123),
    )
    async with marketplace.database.begin() as tx:
        await marketplace.workspaces.save(tx, wanted)
    assert await marketplace.look(made.id) == wanted


async def test_a_slug_is_taken_once(marketplace: Marketplace) -> None:
    made = await marketplace.workspace(Role.SUPPLIER)
    async with marketplace.database.begin() as tx:
        assert not await marketplace.workspaces.add(tx, replace(made, id=new_id()))


async def test_a_deleted_workspace_is_nowhere(marketplace: Marketplace) -> None:
    circle = Circle(GRAND_PLACE, 500)
    gone = await marketplace.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.ONLINE)
    async with marketplace.database.begin() as tx:
        await marketplace.memberships.add_owner(tx, gone.id, gone.wallet_address, NOON)
    assert [w.id for w in await marketplace.tenants.coverage()] == [gone.id]
    await marketplace.rows("update workspace set deleted_at = now() where id = $1", gone.id)
    async with marketplace.database.begin() as tx:
        for lock in (False, True):
            assert await marketplace.workspaces.get(tx, gone.id, lock=lock) is None
        assert await marketplace.workspaces.of_wallet(tx, gone.wallet_address) == []
        assert await marketplace.workspaces.covering(tx) == []
    assert await marketplace.access.role(gone.wallet_address, gone.id) is None
    assert await marketplace.access.memberships(gone.wallet_address) == []
    assert await marketplace.access.workspace_name(gone.id) is None


@pytest.mark.parametrize(
    ("before", "wished", "after"),
    [("ONLINE", None, "ONLINE"), ("OFFLINE", None, "OFFLINE"), ("BUSY", "OFFLINE", "OFFLINE")],
)
async def test_occupied_and_released_it_is_what_was_wished(
    marketplace: Marketplace, before: str, wished: str | None, after: str
) -> None:
    made = await marketplace.workspace(Role.SUPPLIER, coverage=Circle(GRAND_PLACE, 500))
    await marketplace.rows(
        "update workspace set availability = $2, wished_availability = $3 where id = $1",
        made.id,
        before,
        wished,
    )
    async with marketplace.database.begin() as tx:
        for _ in range(2):
            await marketplace.workspaces.occupy(tx, made.id)
    assert await marketplace.availability(made.id) is Availability.BUSY
    async with marketplace.database.begin() as tx:
        for _ in range(2):
            await marketplace.workspaces.release(tx, made.id, at(9))
    found = await marketplace.look(made.id)
    assert (found.availability, found.wished_availability) == (after, None)
    assert found.idle_since == (at(9) if after == "ONLINE" else None)


# -- sessions ---------------------------------------------------------------------------------------------


async def test_a_session_comes_back_as_it_was_at_every_step(marketplace: Marketplace) -> None:
    repository, database = PgSessions(), marketplace.database
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.requested(consumer)

    async def stored() -> list[Session | None]:
        async with database.begin() as tx:
            return [await repository.get(tx, session.id, lock=lock) for lock in (False, True)]

    assert await stored() == [session] * 2
    assigned = assign(session, supplier, at(1), operation="dispatch")
    live_input = LiveInput("ab" * 16, "memory", "https://edge.test/in", "https://edge.test/out")
    async with database.begin() as tx:
        assert await repository.swap(tx, State.REQUESTED, assigned)
        assert await repository.add_live_input(tx, session.id, live_input, at(2))
        assert not await repository.add_live_input(tx, session.id, replace(live_input, uid="cd" * 16), at(2))
    started = replace(assigned, live_input=live_input)
    assert await stored() == [started] * 2
    live = go_live(started, at(3))
    over = end(live, at(63.4), [])
    async with database.begin() as tx:
        assert await repository.swap(tx, State.ASSIGNED, live)
        assert await repository.swap(tx, State.LIVE, over)
    assert await stored() == [over] * 2
    async with database.begin() as tx:
        await repository.mark_deleted(tx, live_input.uid, at(70))
        assert await repository.live_input_of(tx, live_input.uid) is None
    assert await stored() == [replace(over, live_input=None)] * 2


async def test_a_swap_from_another_state_changes_nothing(marketplace: Marketplace) -> None:
    repository, consumer = PgSessions(), await marketplace.consumer()
    session = await marketplace.requested(consumer)
    cancelled = cancel(session, at(1))
    async with marketplace.database.begin() as tx:
        for state in set(State) - {State.REQUESTED}:
            assert not await repository.swap(tx, state, cancelled)
        assert await repository.get(tx, session.id) == session
        assert not await repository.swap(tx, State.REQUESTED, replace(cancelled, id=new_id()))


async def test_sessions_of_both_sides_newest_first(marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    stranger = await marketplace.consumer()
    made = [await marketplace.requested(consumer, now=at(n)) for n in range(4)]
    await marketplace.requested(stranger)
    await marketplace.sessions.accept(made[1].id, supplier, at(5))
    assert [one.id for one in await marketplace.sessions.list_of(consumer)] == [one.id for one in made[::-1]]
    assert [one.id for one in await marketplace.sessions.list_of(supplier)] == [made[1].id]
    async with marketplace.database.read() as tx:
        newest = await PgSessions().of_workspace(tx, consumer, 2)
    assert [one.id for one in newest] == [made[3].id, made[2].id]


async def test_what_is_due_is_found_strictly_after_its_deadline(marketplace: Marketplace) -> None:
    repository = PgSessions()
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    waiting = await marketplace.requested(consumer, wait_s=30)
    live = await marketplace.live(consumer, supplier, max_s=60)
    async with marketplace.database.read() as tx:
        assert await repository.waited_out(tx, at(30)) == []
        assert await repository.waited_out(tx, at(30.001)) == [waiting.id]
        assert await repository.run_out(tx, at(60)) == []
        assert await repository.run_out(tx, at(60.001)) == [live.id]


async def test_live_inputs_are_served_while_open_and_torn_down_after(marketplace: Marketplace) -> None:
    repository = PgSessions()
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    live = await marketplace.live(consumer, supplier)
    assert live.live_input is not None
    async with marketplace.database.read() as tx:
        assert await repository.live_inputs(tx, marketplace.edge.name) == [live.live_input]
        assert await repository.live_input_of(tx, live.live_input.uid) == live.id
        assert await repository.torn_down(tx, marketplace.edge.name, at(0)) == []
    marketplace.edge.unreachable = True
    await marketplace.sessions.end(live.id, consumer, at(9))
    async with marketplace.database.read() as tx:
        assert await repository.live_inputs(tx, marketplace.edge.name) == []
        assert await repository.torn_down(tx, marketplace.edge.name, at(0)) == [live.live_input]
    assert await marketplace.sessions.sweep_torn_down(at(10)) == 0
    marketplace.edge.unreachable = False
    assert await marketplace.sessions.sweep_torn_down(at(11)) == 1
    assert not marketplace.edge.served
    assert await marketplace.sessions.sweep_torn_down(at(12)) == 0


# -- windows ----------------------------------------------------------------------------------------------


async def test_a_window_neither_opens_before_the_start_nor_closes_before_it_opened(
    marketplace: Marketplace,
) -> None:
    windows, reason = PgWindows(), Reason.NETWORK_ERROR
    live = await marketplace.live(await marketplace.consumer(), await marketplace.supplier(), now=at(10))
    async with marketplace.database.begin() as tx:
        assert await windows.open(tx, new_id(), live.id, reason, at(4))
        assert not await windows.open(tx, new_id(), live.id, reason, at(12))
        assert await windows.close(tx, live.id, reason, at(5))
        assert not await windows.close(tx, live.id, reason, at(13))
        assert await windows.open(tx, new_id(), live.id, reason, at(20))
        assert await windows.open(tx, new_id(), live.id, Reason.STALE_TELEMETRY, at(30))
        await windows.close_all(tx, live.id, at(25))
        found = await windows.of_session(tx, live.id)
    assert [(w.reason, w.opened_at, w.closed_at) for w in found] == [
        (reason, at(10), at(10)),
        (reason, at(20), at(25)),
        (Reason.STALE_TELEMETRY, at(30), at(30)),
    ]


@pytest.mark.parametrize("state", ["REQUESTED", "ASSIGNED", "ENDED"])
async def test_a_window_opens_on_a_live_session_only(marketplace: Marketplace, state: str) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    if state == "ENDED":
        session = await marketplace.live(consumer, supplier)
        await marketplace.sessions.end(session.id, consumer, at(5))
    else:
        session = await marketplace.requested(consumer)
        if state == "ASSIGNED":
            await marketplace.sessions.accept(session.id, supplier, at(1))
    async with marketplace.database.begin() as tx:
        assert not await PgWindows().open(tx, new_id(), session.id, Reason.NETWORK_ERROR, at(2))
        assert await PgWindows().of_session(tx, session.id) == []


async def test_workspaces_repository_locks_what_it_is_asked_to_lock(dsn: str, database: Database) -> None:
    market = Marketplace(database)
    consumer = await market.consumer()
    other = await asyncpg.connect(dsn)
    try:
        async with database.begin() as tx:
            await PgWorkspaces().get(tx, consumer, lock=True)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await other.execute("select from workspace where id = $1 for update nowait", consumer)
    finally:
        await other.close()
