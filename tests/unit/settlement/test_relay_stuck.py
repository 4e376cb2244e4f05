"""What was broadcast and does not come to pay is repeated, offered more, or replaced."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from relayer_world import World

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settlement.domain import Fee, SettlementState
from luxxon_core.settlement.ports import ChainUnreachable, InsufficientGasFunds, Receipt
from luxxon_core.settlement.usecases.steps import PARK_AFTER


async def test_a_transaction_that_reverts_is_replaced() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    assert await world.relay.relay_once(world.now)
    first = world.store.rows[session_id].tx_hash
    world.network.pool = 0  # withdrawn after it was signed
    world.network.mine()
    await world.relay.relay_once(world.now)
    row = world.store.rows[session_id]
    assert (row.state, row.tx_hash, row.attempts) == (SettlementState.PENDING, None, 1)
    assert row.last_error == f"reverted in {first}"
    world.network.pool = 10**9
    await world.run()
    world.paid_once(session_id)


async def test_a_nonce_taken_by_somebody_else_is_replaced() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.mempool.clear()
    world.network.used += 1  # the same key was used elsewhere
    await world.run()
    world.paid_once(session_id)


async def test_a_payment_made_before_the_row_knew_is_taken_over() -> None:
    world = World()
    session_id = await world.queue()
    before = dict(world.store.rows)
    await world.run()
    world.store.rows = before  # a database restored from a backup
    world.store.transactions.clear()
    world.store.closed.clear()
    await world.run()
    world.paid_once(session_id)


async def test_what_is_stuck_offers_more_until_the_cap_and_whichever_is_mined_counts() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.base_fee = 60  # three times what was thought enough
    await world.run(passes=60)
    offers = [fee.max_fee for _, fee, _ in world.network.signed.values()]
    assert offers == sorted(set(offers)) and offers[-1] > 60
    assert all(later * 8 >= former * 9 for former, later in itertools.pairwise(offers))
    world.paid_once(session_id)


async def test_a_gap_of_nonces_is_filled() -> None:
    world = World(mines_at_once=False)
    world.network.mempool[0] = ("0xforeign", Fee(20, 1), ())  # the same key was used elsewhere
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    del world.network.mempool[0]  # and what it sent was dropped
    await world.run(passes=60)
    world.paid_once(session_id)
    assert world.network.used == 2


async def test_what_a_reorganisation_takes_back_is_broadcast_again() -> None:
    world = World(mines_at_once=False)
    world.relay = replace(world.relay, policy=replace(world.policy, final=50))
    session_id = await world.queue()
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert row.state is SettlementState.CONFIRMED and row.final_at is None
    world.network.payments.clear()
    world.network.mined.clear()
    world.network.used = world.network.height = 0
    world.now += timedelta(seconds=31)
    await world.relay.relay_once(world.now)
    assert world.store.rows[session_id].state is SettlementState.SUBMITTED
    world.network.mine()
    world.network.height += 50
    await world.run()
    world.paid_once(session_id)
    assert world.store.rows[session_id].tx_hash == row.tx_hash


async def test_what_reverted_in_a_block_is_not_said_to_be_paid_in_it() -> None:
    world = World(mines_at_once=False, confirmations=3)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.pool = 0
    world.network.mine()
    await world.relay.relay_once(world.now)
    row = world.store.rows[session_id]
    assert row.state is SettlementState.SUBMITTED
    assert row.block_number is None  # else its consumer could spend the same money again


async def test_a_node_that_takes_nothing_is_asked_once_and_what_is_mined_is_seen() -> None:
    world = World(mines_at_once=False, batch=1)
    paid = await world.queue()
    await world.relay.submit(world.now)
    world.network.mine()
    waiting = [await world.queue() for _ in range(20)]
    await world.relay.submit(world.now)
    world.network.mempool.clear()
    asked = 0

    async def silent(raws: Sequence[bytes]) -> list[ExternalError | None]:
        nonlocal asked
        asked += 1
        return [ChainUnreachable() for _ in raws]

    works, world.network.broadcast_all = world.network.broadcast_all, silent  # type: ignore[method-assign]
    fees = world.network.fees
    world.network.fees = None  # type: ignore[assignment]
    world.now += timedelta(minutes=5)
    assert await world.relay.follow(world.now)
    assert asked == 1
    assert world.store.rows[paid].state is SettlementState.CONFIRMED
    world.network.broadcast_all, world.network.fees = works, fees  # type: ignore[method-assign]
    await world.run()
    world.paid_once(paid, *waiting)


async def test_what_somebody_paid_unseen_is_believed_when_no_reorganisation_can_take_it_back() -> None:
    world = World()
    world.relay = replace(world.relay, policy=replace(world.policy, final=50))
    session_id = await world.queue()
    row = world.store.rows[session_id]
    world.store.rows[session_id] = replace(row, attempts=PARK_AFTER)
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments.append((session_id, "0xforeign"))

    async def nothing(session_id: UUID, since: datetime) -> None:
        return None  # a node without logs

    world.network.find_settlement = nothing  # type: ignore[assignment, method-assign]
    await world.run(passes=3)
    assert world.store.rows[session_id].state is SettlementState.PENDING
    world.network.height += 50
    await world.run(passes=3)
    assert world.store.rows[session_id].state is SettlementState.CONFIRMED


async def test_one_whose_payment_cannot_be_found_keeps_no_other_waiting() -> None:
    world = World()
    paid, *others = [await world.queue() for _ in range(3)]
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments.append((paid, "0xforeign"))

    async def refused(session_id: UUID, since: datetime) -> None:
        raise ExternalError("chain:node", "The chain's node answers: logs have been pruned")

    world.network.find_settlement = refused  # type: ignore[assignment, method-assign]
    await world.run(passes=2)
    assert all(world.store.rows[one].state is SettlementState.CONFIRMED for one in others)
    await world.run(passes=12)
    row = world.store.rows[paid]
    assert (row.state, row.tx_hash) == (SettlementState.CONFIRMED, None)


async def test_a_long_search_for_payments_is_cut_and_keeps_nobody_waiting() -> None:
    world = World()
    world.relay = replace(world.relay, policy=replace(world.policy, patience=timedelta(seconds=0.05)))
    *paid, other = [await world.queue() for _ in range(4)]
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments += [(one, "0xforeign") for one in paid]
    searched = list[UUID]()

    async def endless(session_id: UUID, since: datetime) -> None:
        searched.append(session_id)
        await asyncio.Event().wait()  # thousands of ranges of blocks

    find, world.network.find_settlement = world.network.find_settlement, endless  # type: ignore[assignment, method-assign]
    assert await asyncio.wait_for(world.relay.submit(world.now), 10)
    assert world.store.rows[other].state is SettlementState.SUBMITTED
    rows = [world.store.rows[one] for one in paid]
    assert len(searched) == 1 and sorted(row.attempts for row in rows) == [0, 0, 1]
    assert all(row.state is SettlementState.PENDING and row.next_attempt_at > world.now for row in rows)
    world.network.find_settlement = find  # type: ignore[method-assign]
    await world.run()
    assert {row.tx_hash for one, row in world.store.rows.items() if one in paid} == {"0xforeign"}


async def test_one_that_cannot_be_afforded_keeps_no_other_from_a_higher_offer() -> None:
    world = World(mines_at_once=False, batch=1)
    sessions = [await world.queue() for _ in range(2)]
    await world.relay.submit(world.now)
    poor = world.store.rows[sessions[1]].tx_hash
    world.network.base_fee = 100
    works = world.network.broadcast

    async def broadcast(raw: bytes) -> None:
        if f"0x{raw.hex()}" == poor:
            raise InsufficientGasFunds
        await works(raw)

    world.network.broadcast = broadcast  # type: ignore[method-assign]
    world.now += timedelta(minutes=2)
    await world.relay.follow(world.now)
    world.now += timedelta(minutes=2)
    await world.relay.follow(world.now)
    hashes = [world.store.rows[one].tx_hash for one in sessions]
    assert hashes[1] == poor
    world.network.mine()
    assert world.network.payments == [(sessions[0], hashes[0])]


async def test_what_reverted_beside_one_that_is_paid_is_paid_anew() -> None:
    world = World(mines_at_once=False)
    paid, other = await world.queue(), await world.queue()
    await world.relay.submit(world.now)
    world.network.mined["0xforeign"] = (1, True)
    world.network.payments.append((paid, "0xforeign"))  # so that the batch reverts

    async def silent(session_id: UUID, since: datetime) -> None:
        raise ChainUnreachable

    world.network.find_settlement = silent  # type: ignore[assignment, method-assign]
    await world.run(passes=5)
    assert world.store.rows[other].state is SettlementState.CONFIRMED
    assert len(world.network.payments) == 2


async def test_state_that_is_newer_than_receipts_and_logs_changes_nothing() -> None:
    world = World(mines_at_once=False)
    sessions = [await world.queue(), await world.queue()]
    await world.relay.submit(world.now)
    world.network.mine()
    before = dict(world.store.rows)
    receipts, find = world.network.receipts, world.network.find_settlement

    async def none(_: Sequence[str]) -> dict[str, Receipt]:
        return {}

    async def nothing(session_id: UUID, since: datetime) -> None:
        return None

    world.network.receipts, world.network.find_settlement = none, nothing  # type: ignore[assignment, method-assign]
    assert await world.relay.follow(world.now)
    assert world.store.rows == before and len(world.store.transactions) == 1
    world.network.receipts, world.network.find_settlement = receipts, find  # type: ignore[method-assign]
    await world.run()
    world.paid_once(*sessions)


async def test_what_one_transaction_of_somebody_elses_paid_is_followed_in_one() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(5)]
    world.network.mined["0xforeign"], world.network.height = (1, True), 1
    world.network.payments += [(one, "0xforeign") for one in sessions]
    await world.run()
    world.paid_once(*sessions)
    assert len(world.store.transactions) == 1
