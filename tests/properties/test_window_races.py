"""Windows that open and close while their session ends: one truth is left, whoever was first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from contest import ROUNDS, held, together
from marketplace import GRAND_PLACE, Marketplace, at
from oracle import destination

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.media.domain import MediaEventKind
from luxxon_core.sessions.domain import Session, meter
from luxxon_core.telemetry.domain import Reason, Sample
from luxxon_core.workspaces.domain import Availability

FAR = destination(GRAND_PLACE, 90, 5_000)


async def bill_is_consistent(market: Marketplace, session: Session) -> Session:
    """What was charged is what the stored windows say, and none of them is open."""
    stored = await market.sessions.get(session.id, session.consumer_workspace_id)
    windows = await market.sessions.windows_of(session.id)
    assert stored.ended_at is not None
    reading = meter(stored, stored.ended_at, windows)
    assert (stored.clean_seconds, stored.charged_uusdc) == (reading.clean_seconds, reading.charged_uusdc)
    assert all(window.closed_at is not None for window in windows)
    return stored


@pytest.mark.parametrize("end_first", [True, False])
@pytest.mark.parametrize("kind", [MediaEventKind.DISCONNECTED, MediaEventKind.CONNECTED])
async def test_a_window_that_opens_or_closes_against_an_end_leaves_one_truth(
    dsn: str, markets: list[Marketplace], kind: MediaEventKind, end_first: bool
) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    session = await market.live(consumer, supplier)
    if kind is MediaEventKind.CONNECTED:
        await market.media(MediaEventKind.DISCONNECTED, session, at(3))
    end = markets[1].sessions.end(session.id, consumer, at(20))
    event = markets[2].media(kind, session, at(20), happened=at(9))
    async with held(dsn, "session", session.id) as contest:
        for contender in (end, event) if end_first else (event, end):
            await contest.enters(contender)
    assert not [result for result in contest.results if isinstance(result, BaseException)]
    stored = await bill_is_consistent(market, session)
    lost = {MediaEventKind.DISCONNECTED: (20, 9), MediaEventKind.CONNECTED: (3, 14)}[kind]
    assert stored.clean_seconds == lost[0 if end_first else 1]


@pytest.mark.parametrize("end_first", [True, False])
@pytest.mark.parametrize("outside", [True, False])
async def test_a_heartbeat_against_an_end_neither_deadlocks_nor_rewrites_the_bill(
    dsn: str, markets: list[Marketplace], outside: bool, end_first: bool
) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    session = await market.live(consumer, supplier)
    await market.telemetry.heartbeat(supplier, Sample(FAR, 5, 1, at(4)), None)
    if outside:
        await market.telemetry.heartbeat(supplier, Sample(GRAND_PLACE, 5, 2, at(6)), None)
    sample = Sample(FAR if outside else GRAND_PLACE, 5, 3, at(10))
    end = markets[1].sessions.end(session.id, consumer, at(20))
    heartbeat = markets[2].telemetry.heartbeat(supplier, sample, None)
    async with held(dsn, "session", session.id) as contest:
        for contender in (end, heartbeat) if end_first else (heartbeat, end):
            await contest.enters(contender)
    failed = [result for result in contest.results if isinstance(result, LuxxonError)]
    assert not failed, failed
    await bill_is_consistent(market, session)
    assert (await market.look(supplier)).last_seen_at == at(10)
    assert await market.availability(supplier) is Availability.ONLINE


async def test_windows_and_ends_in_a_crowd_leave_every_bill_consistent(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    for round_ in range(ROUNDS):
        session = await market.live(consumer, supplier)
        await market.media(MediaEventKind.DISCONNECTED, session, at(2))
        results = await together(
            markets[0].media(MediaEventKind.CONNECTED, session, at(5)),
            markets[1].telemetry.heartbeat(supplier, Sample(FAR, 5, round_ * 2 + 1, at(6)), None),
            markets[2].sessions.end(session.id, consumer, at(20)),
            markets[1].media(MediaEventKind.DISCONNECTED, session, at(8)),
            markets[0].telemetry.heartbeat(supplier, Sample(FAR, 5, round_ * 2 + 2, at(9)), None),
        )
        unexpected = [
            one
            for one in results
            if isinstance(one, BaseException) and getattr(one, "code", "") != "CONFLICT"
        ]
        assert not unexpected, unexpected
        await bill_is_consistent(market, session)


async def test_at_most_one_window_of_a_reason_is_open(markets: list[Marketplace]) -> None:
    market = markets[0]
    consumer, supplier = await market.consumer(), await market.supplier()
    session = await market.live(consumer, supplier)
    await market.telemetry.heartbeat(supplier, Sample(GRAND_PLACE, 5, 1, at(1)), None)
    for round_ in range(5):
        now = at(40) + timedelta(seconds=10 * round_)
        await together(
            *(one.media(MediaEventKind.DISCONNECTED, session, now) for one in markets),
            *(one.telemetry.sweep_stale(now) for one in markets),
        )
        rows = await market.rows(
            "select reason, count(*) from disconnect_window where closed_at is null group by reason"
        )
        assert {row["reason"]: row["count"] for row in rows} == {
            Reason.NETWORK_ERROR: 1,
            Reason.STALE_TELEMETRY: 1,
        }


async def test_of_equal_heartbeats_one_is_stored(markets: list[Marketplace]) -> None:
    market = markets[0]
    supplier = await market.supplier()
    for sequence in range(1, ROUNDS):
        sample = Sample(GRAND_PLACE, 5, sequence, at(sequence))
        results = await together(*(one.telemetry.heartbeat(supplier, sample, None) for one in markets))
        refused = [result for result in results if isinstance(result, BaseException)]
        assert [getattr(one, "detail", one) for one in refused] == ["heartbeat:sequence"] * 2
