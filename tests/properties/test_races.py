"""Two at once, on the real database: of those who want the same thing exactly one gets it.

Most races are run twice over: freely, many rounds with several pools; and held, where a third connection
keeps the row locked until every contender waits for it, so that they meet for certain.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest
from contest import ROUNDS, WAITING, held, only_winner, together
from marketplace import Marketplace, at

from luxxon_core.kernel.errors import InvalidState, NoCoverage, Unavailable
from luxxon_core.media.domain import MediaEventKind
from luxxon_core.sessions.domain import Session, State
from luxxon_core.workspaces.domain import Availability

# -- who gets the session ---------------------------------------------------------------------------------


async def test_of_two_accepts_one_wins(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, first, second = await market.consumer(), await market.supplier(), await market.supplier()
    for _ in range(ROUNDS):
        session = await market.requested(consumer)
        results = await together(
            markets[1].sessions.accept(session.id, first, at(1)),
            markets[2].sessions.accept(session.id, second, at(1)),
        )
        winner = only_winner(results, "session:accept:ASSIGNED")
        stored = await market.sessions.get(session.id, consumer)
        assert stored.operator_workspace_id == winner.operator_workspace_id
        assert stored.operator_workspace_id in (first, second)


async def test_an_accept_that_waited_is_told_the_state_it_lost_to(
    dsn: str, markets: list[Marketplace]
) -> None:
    market = markets[0]
    consumer, first, second = await market.consumer(), await market.supplier(), await market.supplier()
    session = await market.requested(consumer)
    async with held(dsn, "session", session.id) as contest:
        await contest.enters(markets[1].sessions.accept(session.id, first, at(1)))
        await contest.enters(markets[2].sessions.accept(session.id, second, at(1)))
    assert contest.results[0].operator_workspace_id == first
    assert only_winner(contest.results, "session:accept:ASSIGNED") is contest.results[0]


async def test_of_two_dispatches_one_wins_and_the_other_takes_no_supplier(
    dsn: str, markets: list[Marketplace]
) -> None:
    market = markets[0]
    consumer = await market.consumer()
    for is_held in [False] * ROUNDS + [True]:
        suppliers = [await market.supplier(), await market.supplier()]
        session = await market.requested(consumer)
        dispatches = [one.dispatch(session.id, consumer, at(1)) for one in markets[1:]]
        if is_held:
            async with held(dsn, "session", session.id) as contest:
                for dispatch in dispatches:
                    await contest.enters(dispatch)
            results = contest.results
        else:
            results = await together(*dispatches)
        only_winner(results, "session:dispatch:ASSIGNED")
        found = Counter([await market.availability(supplier) for supplier in suppliers])
        assert found == {Availability.BUSY: 1, Availability.ONLINE: 1}
        for supplier in suppliers:
            await market.rows("update workspace set availability = 'OFFLINE' where id = $1", supplier)


async def test_a_dispatch_and_an_accept_do_not_both_get_it(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer = await market.consumer()
    for _ in range(ROUNDS):
        online, offline = await market.supplier(), await market.supplier(online=False)
        session = await market.requested(consumer)
        results = await together(
            markets[1].dispatch(session.id, consumer, at(1)),
            markets[2].sessions.accept(session.id, offline, at(1)),
        )
        winner = only_winner(results, "session:dispatch:ASSIGNED", "session:accept:ASSIGNED")
        taken = winner.operator_workspace_id == online
        assert await market.availability(online) is (Availability.BUSY if taken else Availability.ONLINE)
        await market.rows("update workspace set availability = 'OFFLINE' where id = $1", online)


@pytest.mark.parametrize(("wanted", "there"), [(8, 8), (12, 5), (5, 9)])
async def test_many_dispatches_share_the_suppliers_out(
    markets: list[Marketplace], wanted: int, there: int
) -> None:
    """Every supplier is taken at most once, and as long as there are any nobody is turned away."""
    market = markets[0]
    consumer = await market.consumer()
    suppliers = [await market.supplier(idle_since=at(-600 + n)) for n in range(there)]
    sessions = [await market.requested(consumer) for _ in range(wanted)]
    results = await together(
        *(markets[n % 3].dispatch(one.id, consumer, at(1)) for n, one in enumerate(sessions))
    )
    taken = [result.operator_workspace_id for result in results if isinstance(result, Session)]
    refused = [result for result in results if not isinstance(result, Session)]
    assert len(taken) == len(set(taken)) == min(wanted, there)
    assert all(type(one) in (NoCoverage, Unavailable) for one in refused), refused
    assert set(taken) == set(suppliers[: len(taken)]), "those idle for longest"
    for supplier in suppliers:
        expected = Availability.BUSY if supplier in taken else Availability.ONLINE
        assert await market.availability(supplier) is expected
    states = Counter(row["state"] for row in await market.rows("select state from session"))
    assert states == Counter({"ASSIGNED": len(taken), "REQUESTED": len(refused)}) - Counter()


async def test_one_after_another_the_longest_idle_goes_first(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    late, early = (
        await marketplace.supplier(idle_since=at(-10)),
        await marketplace.supplier(idle_since=at(-90)),
    )
    middle = await marketplace.supplier(idle_since=at(-50))
    taken = []
    for _ in range(3):
        session = await marketplace.requested(consumer)
        taken.append((await marketplace.dispatch(session.id, consumer, at(1))).operator_workspace_id)
    assert taken == [early, middle, late]
    session = await marketplace.requested(consumer)
    with pytest.raises(NoCoverage):
        await marketplace.dispatch(session.id, consumer, at(1))
    assert (await marketplace.sessions.get(session.id, consumer)).state is State.REQUESTED


async def test_the_last_supplier_taken_meanwhile_is_unavailable(dsn: str, marketplace: Marketplace) -> None:
    """It covers the point, but another dispatch that holds its row takes it."""
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.requested(consumer)
    other = await asyncpg.connect(dsn)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("update workspace set availability = 'BUSY' where id = $1", supplier)
    waiting = asyncio.create_task(marketplace.dispatch(session.id, consumer, at(1)))
    async with asyncio.timeout(10):
        while not await marketplace.value(WAITING):
            await asyncio.sleep(0.002)
    await transaction.commit()
    await other.close()
    with pytest.raises(Unavailable) as refused:
        await waiting
    assert refused.value.code == "UNAVAILABLE"


async def test_a_supplier_given_back_meanwhile_is_taken(dsn: str, marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.requested(consumer)
    async with held(dsn, "workspace", supplier) as contest:
        await contest.enters(marketplace.dispatch(session.id, consumer, at(1)))
    assert contest.results[0].operator_workspace_id == supplier


# -- start and first frame --------------------------------------------------------------------------------


async def test_concurrent_starts_mint_one_live_input(dsn: str, markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    for is_held in [False] * ROUNDS + [True]:
        session = await market.requested(consumer)
        await market.sessions.accept(session.id, supplier, at(1))
        starts = [one.sessions.start(session.id, supplier, at(2)) for one in markets]
        if is_held:
            async with held(dsn, "session", session.id) as contest:
                for start in starts:
                    await contest.enters(start)
            results = contest.results
        else:
            results = await together(*starts)
        assert len({result.live_input.uid for result in results}) == 1, results
        assert set(market.edge.served) == {results[0].live_input.uid}, "no surplus one is left on the edge"
        await market.sessions.cancel(session.id, consumer, at(3))
        assert not market.edge.served


async def test_a_cancel_that_waited_for_a_start_tears_its_live_input_down(
    dsn: str, markets: list[Marketplace]
) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    session = await market.requested(consumer)
    await market.sessions.accept(session.id, supplier, at(1))
    async with held(dsn, "session", session.id) as contest:
        await contest.enters(markets[1].sessions.start(session.id, supplier, at(2)))
        await contest.enters(markets[2].sessions.cancel(session.id, consumer, at(2)))
    assert contest.results[1].state is State.CANCELLED
    assert not market.edge.served
    assert await market.availability(supplier) is Availability.ONLINE


async def test_of_cancel_and_first_frame_exactly_one_wins(dsn: str, markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    seen: Counter[State] = Counter()
    for round_ in range(ROUNDS + 2):
        session = await market.requested(consumer)
        await market.sessions.accept(session.id, supplier, at(1))
        session = await market.sessions.start(session.id, supplier, at(2))
        cancel = markets[1].sessions.cancel(session.id, consumer, at(3))
        frame = markets[2].first_frame(session, at(3))
        if round_ < ROUNDS:
            results = await together(cancel, frame)
        else:
            async with held(dsn, "session", session.id) as contest:
                for contender in (cancel, frame) if round_ == ROUNDS else (frame, cancel):
                    await contest.enters(contender)
            results = contest.results if round_ == ROUNDS else contest.results[::-1]
        assert results[1] is None, "a first frame that comes too late is no error"
        stored = await market.sessions.get(session.id, consumer)
        seen[stored.state] += 1
        if isinstance(results[0], InvalidState):
            assert results[0].detail == "session:cancel:LIVE"
            assert (stored.state, stored.started_at) == (State.LIVE, at(3))
            await market.sessions.end(session.id, consumer, at(9))
        else:
            assert (stored.state, stored.started_at) == (State.CANCELLED, None)
            assert await market.settlements(session.id) == 0
        assert not market.edge.served, "torn down whoever won"
        assert await market.availability(supplier) is Availability.ONLINE
    assert seen[State.LIVE] >= 1
    assert seen[State.CANCELLED] >= 1


# -- the end ----------------------------------------------------------------------------------------------


async def test_end_and_sweep_charge_the_same_and_once(dsn: str, markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    ends: Counter[State] = Counter()
    for round_ in range(ROUNDS + 2):
        session = await market.live(consumer, supplier, max_s=60)
        await market.media(MediaEventKind.DISCONNECTED, session, at(10.25))
        await market.media(MediaEventKind.CONNECTED, session, at(22.5))
        end = markets[1].sessions.end(session.id, consumer, at(60.5))
        sweep = markets[2].sessions.sweep(at(60.7))
        if round_ < ROUNDS:
            results = await together(end, sweep)
        else:
            async with held(dsn, "session", session.id) as contest:
                for contender in (end, sweep) if round_ == ROUNDS else (sweep, end):
                    await contest.enters(contender)
            results = contest.results if round_ == ROUNDS else contest.results[::-1]
        stored = await market.sessions.get(session.id, consumer)
        ends[stored.state] += 1
        if stored.state is State.ENDED:
            assert results[1] == 0
        else:
            assert (results[0].detail, results[1]) == ("session:end:EXPIRED", 1)
        assert (stored.ended_at, stored.clean_seconds) == (at(60), 47)
        assert await market.settlements(session.id) == 1
        assert await market.availability(supplier) is Availability.ONLINE
    assert set(ends) == {State.ENDED, State.EXPIRED}


async def test_two_ends_of_one_session_settle_once(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    for _ in range(ROUNDS):
        session = await market.live(consumer, supplier)
        results = await together(
            markets[1].sessions.end(session.id, consumer, at(7)),
            markets[2].sessions.end(session.id, supplier, at(9)),
        )
        winner = only_winner(results, "session:end:ENDED")
        stored = await market.sessions.get(session.id, consumer)
        assert (stored.clean_seconds, stored.ended_at) == (winner.clean_seconds, winner.ended_at)
        assert await market.settlements(session.id) == 1


async def test_two_sessions_of_an_operator_that_end_at_once_release_it(
    dsn: str, markets: list[Marketplace]
) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    for is_held in [False] * ROUNDS + [True]:
        sessions = [await market.live(consumer, supplier) for _ in range(3)]
        assert await market.availability(supplier) is Availability.BUSY
        ends = [markets[n].sessions.end(one.id, consumer, at(5 + n)) for n, one in enumerate(sessions)]
        if is_held:
            async with held(dsn, "workspace", supplier) as contest:
                for end in ends:
                    await contest.enters(end)
            results = contest.results
        else:
            results = await together(*ends)
        assert all(isinstance(result, Session) for result in results), results
        assert await market.availability(supplier) is Availability.ONLINE


async def test_two_sweeps_at_once_expire_each_session_once(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    for _ in range(5):
        sessions = [await market.live(consumer, supplier, max_s=30) for _ in range(4)]
        await market.requested(consumer, wait_s=5)
        swept = await together(*(one.sessions.sweep(at(31)) for one in markets))
        assert sum(swept) == 5, swept
        assert [await market.settlements(one.id) for one in sessions] == [1] * 4
        assert await market.availability(supplier) is Availability.ONLINE


# -- single use -------------------------------------------------------------------------------------------


async def test_a_challenge_is_used_once_however_many_try(markets: list[Marketplace]) -> None:
    from eth_account import Account
    from eth_account.messages import encode_defunct

    from luxxon_core.access.domain import Purpose

    market, account = markets[0], Account.create()
    challenge = await market.access.challenge(account.address, Purpose.LOGIN, at(0))
    signed = account.sign_message(encode_defunct(text=challenge.message)).signature
    results = await together(
        *(
            one.access.login(account.address, challenge.nonce, "0x" + bytes(signed).hex(), at(1))
            for one in markets
        )
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert [getattr(one, "detail", one) for one in refused] == ["auth:nonce"] * 2
