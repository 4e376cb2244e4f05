"""A pass that runs out of time leaves less to do for the next one, however slow the chain is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from relayer_world import World

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settlement.domain import SettlementState, Wait
from luxxon_core.settlement.ports import (
    AlreadySettled,
    InsufficientPool,
    NeverPayable,
    Receipt,
    SettlementRefused,
    Underpriced,
)
from luxxon_core.settlement.usecases.steps import CUT_AFTER, NO_LOG, PARK_AFTER


def limit(world: World, seconds: float = 0, **policy: object) -> None:
    """Give each pass so little time; with none at all it is over before anything is looked into."""
    changed = replace(world.policy, patience=timedelta(seconds=seconds), **policy)  # type: ignore[arg-type]
    world.relay = replace(world.relay, policy=changed)


async def endless(session_id: UUID, since: datetime) -> None:
    await asyncio.Event().wait()  # thousands of ranges of blocks


async def displaced(count: int) -> tuple[World, list[UUID]]:
    """Settlements whose transactions' nonces were used by others, with the same key, two minutes ago."""
    world = World(mines_at_once=False, batch=1)
    sessions = [await world.queue() for _ in range(count)]
    await world.relay.submit(world.now)
    world.network.mempool.clear()
    world.network.used = count
    world.now += timedelta(minutes=2)
    return world, sessions


@pytest.mark.parametrize(
    "reason",
    [SettlementRefused(message="odd token"), NeverPayable(), InsufficientPool(), AlreadySettled()],
    ids=lambda reason: type(reason).__name__,
)
async def test_one_that_reverts_unforeseen_keeps_no_other_waiting(reason: SettlementRefused) -> None:
    world = World()
    sessions = [await world.queue() for _ in range(100)]
    odd, works = sessions[1], world.network.simulate

    async def simulate(payloads: Sequence[object]) -> int:
        if any(one.session_id == odd for one in payloads):  # type: ignore[attr-defined]
            raise reason
        return await works(payloads)  # type: ignore[arg-type]

    world.network.simulate = simulate  # type: ignore[method-assign]
    limit(world)
    others = [one for one in sessions if one != odd]
    for _ in range(16):
        await world.relay.submit(world.now)
        assert all(world.store.rows[one].waits_for is None for one in others)
        world.now += timedelta(seconds=60)
    assert all(world.store.rows[one].state is SettlementState.SUBMITTED for one in others)
    assert len({tx_hash for _, tx_hash in world.network.payments}) <= 10  # together, as far as that goes
    assert world.store.rows[odd].state is SettlementState.PENDING


async def test_what_was_refused_beside_others_says_so_and_waits() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(4)]
    world.network.impossible.add(sessions[0])
    limit(world)
    await world.relay.submit(world.now)
    first, second, third, fourth = (world.store.rows[one] for one in sessions)
    assert first.last_error == f"One of 2 is refused: {NeverPayable.default_message}"
    assert first.next_attempt_at > world.now and (first.attempts, first.waits_for) == (1, None)
    assert replace(second, payload=first.payload) == first
    assert third.attempts == fourth.attempts == 0 and third.next_attempt_at <= world.now
    await world.run()
    assert world.store.rows[sessions[0]].waits_for is Wait.OPERATOR
    world.paid_once(*sessions[1:])


async def test_many_displaced_transactions_are_seen_to_over_several_passes() -> None:
    world, sessions = await displaced(6)
    limit(world, final=50)
    used = world.network.nonces_used

    async def nonces_used(account: str, depth: int) -> int:
        return 0 if depth == 50 else await used(account, depth)  # so that none is closed

    world.network.nonces_used = nonces_used  # type: ignore[method-assign]
    for done in range(1, 7):
        assert await world.relay.follow(world.now)
        rows = [world.store.rows[one] for one in sessions]
        assert sum(row.state is SettlementState.PENDING for row in rows) == done
        world.now += timedelta(seconds=31)
    assert all(row.attempts == 1 for row in rows)
    world.network.nonces_used = used  # type: ignore[method-assign]
    limit(world, 60)
    await world.run()
    world.paid_once(*sessions)


async def test_what_is_final_is_asked_once_for_all_that_were_displaced() -> None:
    world, sessions = await displaced(20)
    asked = list[int]()
    used = world.network.nonces_used

    async def nonces_used(account: str, depth: int) -> int:
        asked.append(depth)
        return await used(account, depth)

    world.network.nonces_used = nonces_used  # type: ignore[method-assign]
    limit(world, 60, final=50)
    await world.relay.follow(world.now)
    assert asked == [1, 50] and len(world.store.closed) == 20
    assert all(world.store.rows[one].state is SettlementState.PENDING for one in sessions)


async def test_many_higher_offers_are_made_over_several_passes() -> None:
    world = World(mines_at_once=False, batch=1)
    for _ in range(4):
        await world.queue()
    await world.relay.submit(world.now)
    limit(world, reprice_after=timedelta(hours=1))
    world.network.mempool.clear()
    cheap, works = set(world.network.signed), world.network.broadcast_all

    async def broadcast_all(raws: Sequence[bytes]) -> list[ExternalError | None]:
        said = await works(raws)
        return [Underpriced() if raw in cheap else one for raw, one in zip(raws, said, strict=True)]

    world.network.broadcast_all = broadcast_all  # type: ignore[method-assign]
    for offers in range(1, 5):
        world.now += timedelta(seconds=31)
        await world.relay.follow(world.now)
        assert len(world.network.signed) == 4 + offers


async def test_a_search_that_was_cut_is_no_search_that_found_nothing() -> None:
    world = World()
    session_id = await world.queue()
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments.append((session_id, "0xforeign"))
    find, world.network.find_settlement = world.network.find_settlement, endless  # type: ignore[assignment, method-assign]
    limit(world, 0.02)
    while world.store.rows[session_id].attempts < PARK_AFTER + 2:
        await world.relay.submit(world.now)
        row = world.store.rows[session_id]
        assert row.state is SettlementState.PENDING and row.next_attempt_at > world.now
        world.now += timedelta(minutes=5)
    assert row.last_error != NO_LOG
    world.network.find_settlement = find  # type: ignore[method-assign]
    limit(world, 60)
    await world.run()
    world.paid_once(session_id)


async def test_a_search_that_never_ends_is_given_up() -> None:
    world = World()
    session_id = await world.queue()
    world.store.rows[session_id] = replace(world.store.rows[session_id], attempts=CUT_AFTER - 1)
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments.append((session_id, "0xforeign"))
    world.network.find_settlement = endless  # type: ignore[assignment, method-assign]
    limit(world, 0.02)
    states = set[tuple[SettlementState, int]]()
    for _ in range(40):
        await world.relay.submit(world.now)
        row = world.store.rows[session_id]
        states.add((row.state, row.attempts))
        if row.state is SettlementState.CONFIRMED:
            break
        world.now += timedelta(minutes=5)
    assert (SettlementState.PENDING, CUT_AFTER) in states
    assert (row.state, row.tx_hash) == (SettlementState.CONFIRMED, None)


async def test_a_search_that_was_cut_takes_no_hash_from_what_was_paid() -> None:
    world = World(mines_at_once=False, batch=1)
    sessions = [await world.queue() for _ in range(5)]
    await world.relay.submit(world.now)
    world.network.mine()
    world.now += timedelta(minutes=3)
    sent = dict(world.store.rows)
    receipts, find = world.network.receipts, world.network.find_settlement

    async def none(_: Sequence[str]) -> dict[str, Receipt]:
        return {}

    world.network.receipts, world.network.find_settlement = none, endless  # type: ignore[assignment, method-assign]
    limit(world, 0.02)
    await world.relay.follow(world.now)  # since when they wait for receipts
    waiting_since = world.now
    while world.now - waiting_since < timedelta(minutes=55):
        await world.relay.follow(world.now)
        world.now += timedelta(minutes=5)
    assert world.store.rows == sent
    world.network.receipts, world.network.find_settlement = receipts, find  # type: ignore[method-assign]
    limit(world, 60)
    world.now += timedelta(hours=1)
    await world.run()
    world.paid_once(*sessions)
    assert {row.tx_hash for row in world.store.rows.values()} == {row.tx_hash for row in sent.values()}


async def test_displaced_ones_whose_search_never_ends_keep_no_other_and_are_given_back() -> None:
    world, (paid, *others) = await displaced(4)
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments.append((paid, "0xforeign"))
    world.network.find_settlement = endless  # type: ignore[assignment, method-assign]
    limit(world)
    for _ in range(8):
        await world.relay.follow(world.now)
        world.now += timedelta(seconds=31)
    assert all(world.store.rows[one].state is SettlementState.PENDING for one in others)
    assert world.store.rows[paid].state is SettlementState.SUBMITTED
    world.now += timedelta(hours=1)
    await world.relay.follow(world.now)
    row = world.store.rows[paid]
    assert (row.state, row.last_error) == (SettlementState.PENDING, NO_LOG)
