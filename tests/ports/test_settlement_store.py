"""The settlement rows in PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from ledger_node import CHAIN_ID
from settlement_rows import NOW, SIGNER, STORE, pending, submitted, version

from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.errors import InvalidState, SessionNotFound
from luxxon_core.settlement.domain import Settlement, SettlementState, Version, Wait
from luxxon_core.settlement.ports import Look
from luxxon_core.settlement.usecases import Desk

WAITING = "select count(*) from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))"
"""For the one who asks: others' tests wait for locks as well."""


async def test_what_is_saved_is_read_back(database: Database, dsn: str) -> None:
    one, other = await pending(database, dsn), await pending(database, dsn)
    async with database.begin() as tx:
        assert not await STORE.add(tx, replace(one, attempts=9))
        assert await STORE.get(tx, one.payload.session_id) == one
        changed = replace(
            await submitted(tx, one, 4),
            attempts=2,
            last_error="reverted",
            confirmed_at=NOW + timedelta(seconds=9),
            final_at=NOW + timedelta(seconds=99),
            block_number=77,
        )
        parked = replace(other, waits_for=Wait.DEPOSIT, short_at_block=5)
        await STORE.save(tx, [changed, parked])
    async with database.read() as tx:
        assert await STORE.get(tx, one.payload.session_id) == changed
        assert await STORE.get(tx, other.payload.session_id) == parked
        assert await STORE.get(tx, uuid4()) is None


async def test_each_gets_what_is_saved_of_it(database: Database, dsn: str) -> None:
    """Whether its neighbours in the list get the same or not."""
    rows = [await pending(database, dsn) for _ in range(5)]
    async with database.begin() as tx:
        first = await submitted(tx, rows[0], 1)
        other = await submitted(tx, rows[2], 2)
        changed = [
            replace(like, payload=row.payload)
            for row, like in zip(rows, (first, first, other, first, first), strict=True)
        ]
        await STORE.save(tx, changed)
        await STORE.save(tx, [])
    async with database.read() as tx:
        stored = await STORE.many(tx, [row.payload.session_id for row in rows])
        assert [stored[row.payload.session_id] for row in rows] == changed


async def test_the_longest_due_are_claimed_and_held(database: Database, dsn: str) -> None:
    late = await pending(database, dsn, NOW + timedelta(seconds=5))
    early = await pending(database, dsn, NOW)
    parked = replace(await pending(database, dsn, NOW), waits_for=Wait.OPERATOR)
    later = NOW + timedelta(seconds=9)
    async with database.begin() as tx:
        await STORE.save(tx, [parked])
        assert await STORE.next_due(tx) == NOW
    async with database.begin() as one, database.begin() as two, database.begin() as three:
        assert await STORE.claim(one, later, 1) == [early]
        assert await STORE.claim(two, NOW, 9) == []
        assert await STORE.claim(two, later, 9) == [late]
        assert await STORE.claim(three, later, 9) == []
        await STORE.save(one, [replace(early, state=SettlementState.CONFIRMED)])
        await STORE.save(two, [replace(late, state=SettlementState.CONFIRMED)])
    async with database.begin() as tx:
        assert await STORE.claim(tx, NOW + timedelta(days=1), 9) == []
        assert await STORE.next_due(tx) is None
        assert await STORE.unfinished(tx, parked=True, limit=9) == [parked]


async def test_a_transaction_is_followed_with_all_its_versions_until_it_is_closed(
    database: Database, dsn: str
) -> None:
    one, other = await pending(database, dsn), await pending(database, dsn)
    async with database.begin() as tx:
        one = await submitted(tx, one, 7)
        assert one.transaction_id is not None
        await STORE.save(tx, [replace(one, payload=other.payload)])  # a batch of two
        await STORE.add_version(tx, one.transaction_id, version(8), NOW + timedelta(seconds=30))
    async with database.begin() as tx, database.begin() as elsewhere:
        (found,) = await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)
        assert await STORE.claim_transactions(elsewhere, CHAIN_ID, NOW, 9) == []
        assert await STORE.claim_transactions(elsewhere, CHAIN_ID + 1, NOW, 9) == []
        assert (found.signer, found.nonce, found.versions) == (SIGNER, 7, (version(7), version(8)))
        assert found.signed_at == found.waiting_since == NOW + timedelta(seconds=30)
        assert len(await STORE.paid_by(tx, [found.id])) == 2
        await STORE.looked(tx, [Look(found.id, NOW + timedelta(seconds=60), None)])
    async with database.begin() as tx:
        assert await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9) == []
        await STORE.look_now(tx, found.id, NOW)
        assert len(await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)) == 1
        await STORE.close_transactions(tx, [found.id], NOW)
        assert await STORE.claim_transactions(tx, CHAIN_ID, NOW + timedelta(days=1), 9) == []
        closed = await STORE.transaction_of(tx, one)
    assert closed is not None
    assert [(each.tx_hash, each.raw) for each in closed.versions] == [
        (version(number).tx_hash, None) for number in (7, 8)
    ]


async def test_nonces_are_handed_out_one_after_the_other(database: Database, dsn: str) -> None:
    first, second = await pending(database, dsn), await pending(database, dsn)
    order: list[str] = []

    async def take(name: str, settlement: Settlement, begun: asyncio.Event, go_on: asyncio.Event) -> int:
        async with database.begin() as tx:
            (nonce,) = await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 3, 1)
            begun.set()
            await go_on.wait()
            order.append(name)
            await submitted(tx, settlement, nonce)
            return nonce

    held, free, unheeded = asyncio.Event(), asyncio.Event(), asyncio.Event()
    unheeded.set()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        one = group.create_task(take("one", first, held, free))
        await held.wait()
        two = group.create_task(take("two", second, asyncio.Event(), unheeded))
        async with database.begin() as tx:  # another account does not wait, nor another chain
            assert await STORE.free_nonces(tx, CHAIN_ID, "0x" + "Dd" * 20, 0, 2) == [0, 1]
            assert await STORE.free_nonces(tx, 1, SIGNER, 0, 1) == [0]
        free.set()
    assert (one.result(), two.result(), order) == (3, 4, ["one", "two"])


async def test_nonces_of_gaps_come_first_and_those_of_what_is_final_never_again(
    database: Database, dsn: str
) -> None:
    async with database.begin() as tx:
        signed: list[tuple[int | None, Version]] = [(nonce, version(nonce)) for nonce in (3, 4, 6)]
        _, fourth, _ = await STORE.open_transactions(tx, CHAIN_ID, SIGNER, signed, NOW, NOW)
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 3, 3) == [5, 7, 8]
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 9, 1) == [9]
        await STORE.close_transactions(tx, [fourth], NOW)
        # a node that lags tells of a nonce long used
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 1, 2) == [5, 7]


async def test_a_deposit_in_the_ledger_wakes_what_waits_for_it(database: Database, dsn: str) -> None:
    waiting = [
        replace(
            await pending(database, dsn, NOW + timedelta(hours=1)),
            waits_for=Wait.DEPOSIT,
            short_at_block=short,
        )
        for short in (10, 20)
    ]
    ledger = PgLedger("1:0x")
    async with database.begin() as tx:
        await STORE.save(tx, waiting)
        await ledger.set_pools(tx, {waiting[0].payload.consumer_wallet: 59_999}, 15, NOW)
        other = PgLedger("2:0x")  # a chain that has come further, of which there was money before
        await other.set_pools(tx, {waiting[0].payload.consumer_wallet: 10**9}, 99, NOW)
        await STORE.wake(tx, "1:0x", NOW)
        assert await STORE.claim(tx, NOW, 9) == []  # still too little
        await ledger.set_pools(tx, {waiting[0].payload.consumer_wallet: 60_000}, 15, NOW)
        await STORE.wake(tx, "1:0x", NOW)
        claimed = await STORE.claim(tx, NOW, 9)
    # the other one was refused when that deposit had been made
    assert [one.payload.session_id for one in claimed] == [waiting[0].payload.session_id]


async def test_the_desk_and_the_follower_do_not_wait_for_each_other(database: Database, dsn: str) -> None:
    desk, row = Desk(database, STORE), await pending(database, dsn)
    async with database.begin() as tx:
        sent = await submitted(tx, row, 3)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        async with database.begin() as tx:
            assert await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)
            retrying = tasks.create_task(desk.retry(sent.payload.session_id, NOW + timedelta(hours=1)))
            while not retrying.done() and not await connection(tx).fetchval(WAITING):
                await asyncio.sleep(0.002)
            seen = replace(sent, block_number=7)
            await STORE.save(tx, [seen])
        assert await retrying == seen


async def test_the_desk_retries_what_the_follower_gives_back_meanwhile(database: Database, dsn: str) -> None:
    desk, row, later = Desk(database, STORE), await pending(database, dsn), NOW + timedelta(hours=1)
    async with database.begin() as tx:
        sent = await submitted(tx, row, 3)
    assert sent.transaction_id is not None
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        async with database.begin() as tx:
            assert await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)
            retrying = tasks.create_task(desk.retry(sent.payload.session_id, later))
            while not retrying.done() and not await connection(tx).fetchval(WAITING):
                await asyncio.sleep(0.002)
            back = replace(row, attempts=9, next_attempt_at=later + timedelta(minutes=5))
            await STORE.save(tx, [back])
            await STORE.close_transactions(tx, [sent.transaction_id], NOW)
        again = await retrying
    assert again == replace(back, attempts=0, next_attempt_at=later)
    async with database.begin() as tx:
        assert await STORE.claim(tx, later, 9) == [again]


async def test_the_desk_retries_what_was_parked(database: Database, dsn: str) -> None:
    desk, parked = Desk(database, STORE), replace(await pending(database, dsn), waits_for=Wait.OPERATOR)
    other = await pending(database, dsn)
    async with database.begin() as tx:
        await STORE.save(tx, [replace(parked, attempts=9)])
        sent = await submitted(tx, other, 3)
    assert len(await desk.unfinished(parked=False, limit=9)) == 2
    assert [one.attempts for one in await desk.unfinished(parked=True, limit=9)] == [9]
    shown = await desk.show(sent.payload.session_id)
    assert shown.settlement == sent and shown.transaction and shown.transaction.nonce == 3
    later = NOW + timedelta(hours=1)
    again = await desk.retry(parked.payload.session_id, later)
    assert (again.waits_for, again.attempts, again.next_attempt_at) == (None, 0, later)
    async with database.begin() as tx:
        assert await STORE.claim(tx, later, 9) == [again]
        await STORE.save(tx, [replace(again, state=SettlementState.CONFIRMED)])
    with pytest.raises(InvalidState):
        await desk.retry(parked.payload.session_id, later)
    with pytest.raises(SessionNotFound):
        await desk.show(uuid4())
