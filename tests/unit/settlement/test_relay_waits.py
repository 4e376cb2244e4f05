"""What cannot be paid now waits for what it lacks, and holds up nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from relayer_world import START, World

from luxxon_core.settlement.domain import Payload, SettlementState, Wait
from luxxon_core.settlement.ports import ContractPaused, InsufficientPool, NeverPayable, SettlementRefused
from luxxon_core.settlement.usecases import GetSettlement, QueueSettlement


async def test_a_poor_pool_waits_for_its_next_deposit() -> None:
    world = World()
    world.network.pool = 100
    session_id = await world.queue()
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert (row.state, row.attempts) == (SettlementState.PENDING, 3)
    assert row.last_error == InsufficientPool.default_message and row.next_attempt_at > world.now - timedelta(
        1
    )
    world.network.pool = 10**9
    await world.run()
    world.paid_once(session_id)
    assert world.store.rows[session_id].last_error is None


async def test_confirmations_are_waited_for() -> None:
    world = World(confirmations=3)
    session_id = await world.queue()
    await world.run(passes=2)
    assert world.store.rows[session_id].state is SettlementState.SUBMITTED
    world.network.height += 2
    await world.run()
    world.paid_once(session_id)


async def test_a_chain_out_of_reach_is_tried_again() -> None:
    world = World()
    session_id = await world.queue()
    world.network.down = True
    await world.run(passes=4)
    assert world.store.rows[session_id].attempts == 0  # it has not failed: it was not asked
    world.network.down = False
    await world.run()
    world.paid_once(session_id)


async def test_a_relayer_without_gas_money_keeps_its_transaction() -> None:
    world = World()
    session_id = await world.queue()
    world.network.gasless = True
    await world.run(passes=3)
    stored = world.store.rows[session_id]
    assert stored.state is SettlementState.SUBMITTED
    world.network.gasless = False
    await world.run()
    world.paid_once(session_id)
    assert world.network.payments == [(session_id, stored.tx_hash)]


async def test_a_session_without_charge_never_meets_the_chain() -> None:
    world = World()
    session_id = await world.queue(rate=0)
    await world.run()
    assert not world.network.payments and not world.network.signed
    found = await GetSettlement(world.store, world.store)(session_id)
    assert found and found.state is SettlementState.CONFIRMED and found.confirmed_at == START
    assert await GetSettlement(world.store, world.store)(uuid4()) is None


async def test_queueing_twice_changes_nothing() -> None:
    world = World()
    session_id = await world.queue()
    stored = world.store.rows[session_id]
    async with world.store.begin() as tx:
        changed = replace(stored.payload, rate_uusdc=5)
        await QueueSettlement(world.store)(tx, changed, START, START)
    assert world.store.rows == {session_id: stored}


async def test_one_that_cannot_be_paid_holds_up_no_other_and_is_parked() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(9)]
    world.network.impossible.add(sessions[4])
    await world.run()
    parked = world.store.rows[sessions[4]]
    assert (parked.state, parked.waits_for) == (SettlementState.PENDING, Wait.OPERATOR)
    assert parked.last_error == NeverPayable.default_message
    world.paid_once(*(one for one in sessions if one != sessions[4]))
    assert len({tx_hash for _, tx_hash in world.network.payments}) == 1  # in one transaction


async def test_a_refusal_that_nobody_knows_is_tried_for_a_while_before_it_is_parked() -> None:
    world = World()
    session_id = await world.queue()

    async def refuse(_: Sequence[object]) -> int:
        raise SettlementRefused("settlement:refused", "The settlement contract reverts: paused token")

    world.network.simulate = refuse  # type: ignore[method-assign]
    await world.run(passes=7)
    assert world.store.rows[session_id].waits_for is None
    await world.run()
    assert world.store.rows[session_id].waits_for is Wait.OPERATOR
    assert await world.relay.next_due() is None


async def test_a_long_wait_for_a_deposit_is_no_reason_to_be_parked() -> None:
    world = World()
    world.network.pool = 0
    session_id = await world.queue()
    await world.run(passes=20)
    works, said = world.network.simulate, [SettlementRefused("settlement:refused", "paused token")]

    async def refuse_once(payloads: Sequence[Payload]) -> int:
        if said:
            raise said.pop()
        return await works(payloads)

    world.network.pool = 10**9
    world.network.simulate = refuse_once  # type: ignore[method-assign]
    await world.run()
    assert not said
    world.paid_once(session_id)


async def test_a_node_that_gives_no_reason_has_neither_the_paid_nor_the_poor_parked() -> None:
    world = World()
    poor = await world.queue()
    world.network.pool = 0
    works = world.network.simulate

    async def silent(payloads: Sequence[Payload]) -> int:
        try:
            return await works(payloads)
        except SettlementRefused:
            raise SettlementRefused from None

    world.network.simulate = silent  # type: ignore[method-assign]
    await world.run(passes=20)
    assert world.store.rows[poor].waits_for is Wait.DEPOSIT
    world.network.pool = 10**9
    await world.run()
    world.paid_once(poor)
    paid = await world.queue()
    world.network.payments.append((paid, world.network.payments[0][1]))
    await world.run()
    world.paid_once(poor, paid)


async def test_many_suspects_are_not_all_looked_at_in_one_pass() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(100)]
    world.store.rows |= {one: replace(world.store.rows[one], attempts=6) for one in sessions}
    assert await world.relay.submit(world.now)
    assert world.network.simulated <= 40
    await world.run()
    world.paid_once(*sessions)


async def test_fees_above_the_cap_are_waited_out() -> None:
    world = World()
    session_id = await world.queue()
    world.network.base_fee = 5000
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert (row.waits_for, row.attempts) == (Wait.FEES, 0) and not world.network.signed
    world.network.base_fee = 10
    await world.run()
    world.paid_once(session_id)


async def test_an_outage_does_not_have_each_session_paid_alone_afterwards() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(5)]
    world.network.down = True
    await world.run(passes=40)
    world.network.down, world.network.paused = False, True
    await world.run(passes=40)
    assert all(world.store.rows[one].attempts == 0 for one in sessions)
    assert all(world.store.rows[one].last_error == ContractPaused.default_message for one in sessions)
    world.network.paused = False
    await world.run()
    world.paid_once(*sessions)
    assert len({tx_hash for _, tx_hash in world.network.payments}) == 1


async def test_what_waited_long_for_a_deposit_is_paid_together() -> None:
    world = World()
    world.network.pool = 0
    sessions = [await world.queue() for _ in range(5)]
    await world.run(passes=20)
    assert all(world.store.rows[one].attempts > 6 for one in sessions)
    world.network.pool = 10**9
    await world.run(passes=60)
    world.paid_once(*sessions)
    assert len({tx_hash for _, tx_hash in world.network.payments}) == 1


async def test_an_empty_pool_costs_others_no_long_search() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(100)]
    charge = world.store.rows[sessions[0]].payload.charged_uusdc
    world.network.pool = 30 * charge
    assert await world.relay.submit(world.now)
    assert len(world.network.payments) == 30 and world.network.simulated <= 3
    rows = world.store.rows.values()
    assert sum(row.waits_for is Wait.DEPOSIT for row in rows) == 70


async def test_a_search_that_takes_long_ends_and_goes_on_in_the_next_pass() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(100)]
    world.network.impossible.update(sessions[::2])
    assert await world.relay.submit(world.now)
    assert world.network.simulated <= 40
    undecided = [
        row for row in world.store.rows.values() if row.next_attempt_at == START and row.attempts == 0
    ]
    assert undecided  # and not given up
    for _ in range(20):
        await world.relay.submit(world.now)
    parked = {key for key, row in world.store.rows.items() if row.waits_for is Wait.OPERATOR}
    assert parked == set(sessions[::2])
    await world.run()
    world.paid_once(*sessions[1::2])


async def test_a_relayer_without_gas_money_does_not_offer_more_and_more() -> None:
    world = World()
    session_id = await world.queue()
    world.network.gasless = True
    await world.run(passes=80)
    assert world.now - START > timedelta(minutes=10)
    assert len(world.network.signed) == 1
    world.network.gasless = False
    await world.run()
    world.paid_once(session_id)
