"""Two sessions cannot spend one pool, and an operator is never unpaid."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from uuid import UUID

import pytest
from marketplace import GRAND_PLACE, NOON, RATE, FixedPools, Marketplace, at

from luxxon_core.kernel.errors import Conflict, ExternalError, InsufficientCredit
from luxxon_core.kernel.ids import new_id
from luxxon_core.wallet.ports import PoolBalance
from luxxon_core.workspaces.domain import Role


async def test_open_sessions_count_against_the_pool(marketplace: Marketplace) -> None:
    consumer = await marketplace.workspace(Role.CONSUMER)
    marketplace.pools.balance = RATE * 100
    first = await marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, NOON)
    with pytest.raises(InsufficientCredit) as refused:
        await marketplace.sessions.create(consumer.id, GRAND_PLACE, 41, None, NOON)
    assert refused.value.detail == "session:holds"
    await marketplace.sessions.create(consumer.id, GRAND_PLACE, 40, None, NOON)
    await marketplace.sessions.cancel(first.id, consumer.id, at(1))
    await marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, at(2))


async def test_without_holds_the_pool_need_only_do_for_one(marketplace: Marketplace) -> None:
    cases = marketplace.sessions
    cases = replace(cases, policy=replace(cases.policy, holds=False))
    consumer = await marketplace.consumer()
    marketplace.pools.balance = RATE * 60
    for _ in range(3):
        await cases.create(consumer, GRAND_PLACE, 60, None, NOON)
    with pytest.raises(InsufficientCredit, match="session:insufficientCredit"):
        await cases.create(consumer, GRAND_PLACE, 61, None, NOON)


async def test_simultaneous_requests_cannot_both_have_the_last_of_it(marketplace: Marketplace) -> None:
    consumer = await marketplace.workspace(Role.CONSUMER)
    marketplace.pools.balance = RATE * 60
    made = await asyncio.gather(
        *(marketplace.sessions.create(consumer.id, GRAND_PLACE, 60, None, NOON) for _ in range(8)),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, InsufficientCredit)]
    assert len(refused) == 7
    assert {one.detail for one in refused} == {"session:holds"}


# -- a pool that was read a moment ago --------------------------------------------------------------------


async def test_a_deposit_counts_at_once(marketplace: Marketplace) -> None:
    consumer, pools = await marketplace.consumer(), marketplace.pools
    pools.balance = RATE * 10
    await marketplace.sessions.create(consumer, GRAND_PLACE, 10, None, NOON)
    pools.balance, pools.block = RATE * 80, 2
    await marketplace.sessions.create(consumer, GRAND_PLACE, 70, None, NOON)  # too much for what was there
    pools.balance, pools.block = RATE * 100, 3
    await marketplace.sessions.create(consumer, GRAND_PLACE, 20, None, NOON)  # too much for what was left


async def test_a_chain_that_does_not_answer_creates_nothing(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    marketplace.pools.unreachable = True
    with pytest.raises(ExternalError):
        await marketplace.sessions.create(consumer, GRAND_PLACE, 60, None, NOON)
    assert await marketplace.value("select count(*) from session") == 0


async def test_the_chain_is_read_once_when_the_pool_will_do(marketplace: Marketplace) -> None:
    consumer, pools = await marketplace.consumer(), marketplace.pools
    await marketplace.sessions.create(consumer, GRAND_PLACE, 60, None, NOON)
    assert pools.reads == 1
    pools.balance = 0
    await marketplace.sessions.create(consumer, GRAND_PLACE, 60, None, NOON)
    assert pools.reads == 2


async def test_the_database_is_not_held_while_the_chain_is_asked(marketplace: Marketplace) -> None:
    """With as many slow reads of the chain as connections, others still get one."""
    slow = asyncio.Event()

    class Slow(FixedPools):
        async def pool_of(self, wallet_address: str, *, fresh: bool = False) -> PoolBalance:
            await slow.wait()
            return await super().pool_of(wallet_address, fresh=fresh)

    consumer = await marketplace.consumer()
    cases = replace(marketplace.sessions, pools=Slow())
    waiting = [asyncio.create_task(cases.create(consumer, GRAND_PLACE, 60, None, NOON)) for _ in range(30)]
    async with asyncio.timeout(10):
        for _ in range(20):
            assert await marketplace.sessions.list_of(consumer) == []
        slow.set()
        await asyncio.gather(*waiting)


# -- the chain moves on -----------------------------------------------------------------------------------


class Ledger:
    """A consumer's pool on a chain where each payment is a block."""

    def __init__(self, balance: int) -> None:
        self.balance, self.block = balance, 1
        self.paid: set[UUID] = set()

    def pay(self, session_id: UUID, amount: int) -> int:
        """The block in which an operator was paid."""
        assert session_id not in self.paid
        self.paid.add(session_id)
        self.balance -= amount
        assert self.balance >= 0, "an operator is unpaid"
        self.block += 1
        return self.block


async def test_a_payment_that_is_mined_and_not_confirmed_counts_once(marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    pools = marketplace.pools
    pools.balance = RATE * 100
    session = await marketplace.sessions.create(consumer, GRAND_PLACE, 60, None, NOON)
    await marketplace.sessions.accept(session.id, supplier, NOON)
    await marketplace.first_frame(await marketplace.sessions.start(session.id, supplier, NOON), NOON)
    await marketplace.sessions.end(session.id, consumer, at(500))
    charged = await marketplace.value("select to_amount_uusdc + fee_amount_uusdc from settlement")
    assert charged == RATE * 60

    async def submitted(block_number: int | None) -> None:
        await marketplace.rows(
            "update settlement set state = 'SUBMITTED', tx_hash = '0x', block_number = $1", block_number
        )

    async def can_have(seconds: int) -> bool:
        try:
            made = await marketplace.sessions.create(consumer, GRAND_PLACE, seconds, None, NOON)
        except InsufficientCredit:
            return False
        await marketplace.sessions.cancel(made.id, consumer, NOON)
        return True

    await submitted(None)
    assert (await can_have(40), await can_have(41)) == (True, False)
    await submitted(2)  # in a block that the pool we read is older than
    assert (await can_have(40), await can_have(41)) == (True, False)
    pools.balance, pools.block = RATE * 40, 2
    assert (await can_have(40), await can_have(41)) == (True, False)
    await submitted(None)  # its block is gone again
    assert not await can_have(1)


class Remembering(FixedPools):
    """One server's view of the ledger: remembers what it read until something fresh is asked for."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        super().__init__()
        self._ledger, self._chance = ledger, chance
        self._known: PoolBalance | None = None

    async def pool_of(self, wallet_address: str, *, fresh: bool = False) -> PoolBalance:
        if fresh or self._known is None or self._chance.random() < 0.2:
            self._known = PoolBalance(self._ledger.balance, self._ledger.block)
        known = self._known
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        return known


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_promised_is_always_there(markets: list[Marketplace], seed: int) -> None:
    """Servers with pools of different age, sessions that end, payments mined before they are noted."""
    chance = random.Random(seed)
    ledger = Ledger(RATE * 1000)
    for market in markets:
        market.sessions = replace(market.sessions, pools=Remembering(ledger, chance))
    first = markets[0]
    consumer, supplier = await first.consumer(), await first.supplier()
    running: list[UUID] = []
    made = refused = 0

    async def ask(market: Marketplace) -> None:
        nonlocal made, refused
        try:
            session = await market.sessions.create(consumer, GRAND_PLACE, chance.randint(1, 400), None, NOON)
        except InsufficientCredit:
            refused += 1
            return
        made += 1
        await market.sessions.accept(session.id, supplier, NOON)
        session = await market.sessions.start(session.id, supplier, NOON)
        await market.first_frame(session, NOON)
        running.append(session.id)

    async def finish(market: Marketplace) -> None:
        if running:
            session_id = running.pop(chance.randrange(len(running)))
            await market.sessions.end(session_id, consumer, at(chance.choice((1, 500))))

    async def pay(market: Marketplace, session_id: UUID, amount: int) -> None:
        block = ledger.pay(session_id, amount)
        await asyncio.sleep(0.001 * chance.randrange(3))
        await market.rows(
            "update settlement set state = 'CONFIRMED', block_number = $2 where session_id = $1",
            session_id,
            block,
        )

    for _ in range(12):
        owed = await first.rows(
            "select session_id, to_amount_uusdc + fee_amount_uusdc as amount"
            " from settlement where state <> 'CONFIRMED'"
        )
        due = [row for row in owed if chance.random() < 0.7]
        await asyncio.gather(
            *(ask(chance.choice(markets)) for _ in range(6)),
            *(finish(chance.choice(markets)) for _ in range(3)),
            *(pay(chance.choice(markets), row["session_id"], row["amount"]) for row in due),
        )
        promised = await first.value(
            "select coalesce((select sum(hold_uusdc) from session where ended_at is null), 0)"
            " + coalesce((select sum(to_amount_uusdc + fee_amount_uusdc) from settlement"
            "             where state <> 'CONFIRMED'), 0)"
        )
        assert promised <= ledger.balance
        if chance.random() < 0.3:
            ledger.balance += RATE * chance.randint(0, 300)
            ledger.block += 1
    assert made > 5
    assert refused > 5
    assert len(ledger.paid) > 3


# -- the id that is given ---------------------------------------------------------------------------------


async def test_a_request_repeated_under_its_id_is_the_same_session(marketplace: Marketplace) -> None:
    consumer, session_id = await marketplace.consumer(), new_id()
    marketplace.pools.balance = RATE * 60
    quote = await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON)

    async def ask(of: UUID = consumer) -> UUID:
        session = await marketplace.sessions.create(
            of, GRAND_PLACE, 60, None, NOON, quote_id=quote.id, session_id=session_id
        )
        return session.id

    assert [await ask(), await ask()] == [session_id] * 2
    assert await marketplace.value("select count(*) from session") == 1
    with pytest.raises(Conflict, match="session:id"):
        await ask(await marketplace.consumer())


@pytest.mark.parametrize("quoted", [True, False])
async def test_attempts_at_one_session_that_meet_are_one_session(
    marketplace: Marketplace, quoted: bool
) -> None:
    consumer = await marketplace.consumer()
    marketplace.pools.balance = RATE * 60
    for _ in range(5):
        session_id = new_id()
        quote = await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON)
        attempts = [
            marketplace.sessions.create(
                consumer,
                GRAND_PLACE,
                60,
                None,
                NOON,
                quote_id=quote.id if quoted else None,
                session_id=session_id,
            )
            for _ in range(8)
        ]
        assert {session.id for session in await asyncio.gather(*attempts)} == {session_id}
        await marketplace.sessions.cancel(session_id, consumer, NOON)
    assert await marketplace.value("select count(*) from session") == 5
