"""Telemetry samples and edge notifications on the real database: order, liveness, races."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from marketplace import GRAND_PLACE, NOON, Marketplace, MemoryEdge, at

from luxxon_core.adapters.chain.signatures import EthereumWallets
from luxxon_core.adapters.postgres.telemetry import PgBeacons, PgHeartbeats, PgNotifications, PgWindows
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import (
    Conflict,
    InvalidInput,
    InvalidState,
    MissingToken,
    NotAuthorized,
    SessionNotFound,
)
from luxxon_core.kernel.ids import new_id
from luxxon_core.sessions.domain import Session
from luxxon_core.telemetry.domain import STALE_AFTER, Beacon, Sample
from luxxon_core.telemetry.usecases import MAX_AHEAD, BeaconLog, Telemetry, VideoEvents


def beacon(session_id: UUID, when: datetime, by: LocalAccount | None = None) -> Beacon:
    unsigned = Beacon(session_id, iso(when), when, GRAND_PLACE, 5, "gps", "0x00", {"baro": 1013.25})
    if by is None:
        return unsigned
    signature = by.sign_message(encode_defunct(text=unsigned.text())).signature
    return Beacon(session_id, iso(when), when, GRAND_PLACE, 5, "gps", "0x" + bytes(signature).hex())


@pytest.fixture
def log(marketplace: Marketplace) -> BeaconLog:
    return BeaconLog(marketplace.database, PgBeacons(), PgWindows(), EthereumWallets())


@pytest.fixture
def sweeps(marketplace: Marketplace) -> Telemetry:
    return Telemetry(marketplace.database, PgWindows(), PgHeartbeats(), marketplace.workspaces, new_id)


@pytest.fixture
def video(marketplace: Marketplace) -> VideoEvents:
    return VideoEvents(marketplace.database, PgWindows(), PgNotifications(), new_id, "path", "header")


async def windows(market: Marketplace, session_id: UUID) -> list[tuple[str, float, float | None]]:
    """Reason, opened and closed, in seconds after noon."""
    return [
        (
            window.reason,
            (window.opened_at - NOON).total_seconds(),
            None if window.closed_at is None else (window.closed_at - NOON).total_seconds(),
        )
        for window in await market.sessions.windows_of(session_id)
    ]


async def live(market: Marketplace) -> tuple[Session, UUID]:
    supplier = await market.supplier()
    return await market.live(await market.consumer(), supplier), supplier


# -- beacons ----------------------------------------------------------------------------------------------


async def test_samples_are_kept_in_order(marketplace: Marketplace, log: BeaconLog) -> None:
    session, supplier = await live(marketplace)
    for second in (1, 2):
        await log.accept(supplier, beacon(session.id, at(second)), at(second + 0.2))
    for second in (2, 1.5):
        with pytest.raises(Conflict, match="telemetry:capturedAt"):
            await log.accept(supplier, beacon(session.id, at(second)), at(3))
    rows = await marketplace.rows("select * from telemetry_sample order by captured_at")
    assert [(row["captured_at"], row["received_at"], row["signed"]) for row in rows] == [
        (at(1), at(1.2), False),
        (at(2), at(2.2), False),
    ]
    assert rows[0]["sensors"] == '{"baro": 1013.25}'


@pytest.mark.parametrize(("off", "taken"), [(30, True), (-30, True), (30.001, False), (-30.001, False)])
async def test_clocks_may_be_thirty_seconds_apart(
    marketplace: Marketplace, log: BeaconLog, off: float, taken: bool
) -> None:
    session, supplier = await live(marketplace)
    sent = log.accept(supplier, beacon(session.id, at(60 + off)), at(60))
    if taken:
        await sent
    else:
        with pytest.raises(Conflict, match="telemetry:capturedAt"):
            await sent


async def test_of_samples_that_race_each_is_later_than_the_one_before(
    marketplace: Marketplace, log: BeaconLog
) -> None:
    session, supplier = await live(marketplace)
    order = random.Random(7).sample(range(40), 40)
    sent = [log.accept(supplier, beacon(session.id, at(1 + n / 10)), at(5)) for n in order]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), Conflict}
    # the order in which rows went in is the order of what they say
    rows = await marketplace.rows("select captured_at from telemetry_sample order by xmin::text::bigint")
    stored = [row["captured_at"] for row in rows]
    assert stored == sorted(stored) and stored[-1] == at(1 + 39 / 10)
    assert len(stored) == sum(result is None for result in results)


async def test_only_the_operator_of_a_started_session_sends(marketplace: Marketplace, log: BeaconLog) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.requested(consumer)
    first = beacon(session.id, NOON)
    with pytest.raises(SessionNotFound):
        await log.accept(supplier, beacon(uuid4(), NOON), NOON)
    with pytest.raises(NotAuthorized, match="session:notOperator"):
        await log.accept(supplier, first, NOON)
    await marketplace.sessions.accept(session.id, supplier, NOON)
    with pytest.raises(NotAuthorized, match="session:notOperator"):
        await log.accept(consumer, first, NOON)
    with pytest.raises(InvalidState, match="session:telemetry:ASSIGNED"):
        await log.accept(supplier, first, NOON)
    started = await marketplace.sessions.start(session.id, supplier, NOON)
    await log.accept(supplier, first, NOON)
    await marketplace.first_frame(started, at(1))
    await log.accept(supplier, beacon(session.id, at(1)), at(1))
    await marketplace.sessions.end(session.id, consumer, at(2))
    with pytest.raises(InvalidState, match="session:telemetry:ENDED"):
        await log.accept(supplier, beacon(session.id, at(2)), at(2))


async def test_whose_signature_it_is_is_noted_or_required(marketplace: Marketplace, log: BeaconLog) -> None:
    session, supplier = await live(marketplace)
    account = Account.create()
    await marketplace.rows(
        "update workspace set wallet_address = $2 where id = $1", supplier, account.address
    )
    strict = BeaconLog(log.uow, log.beacons, log.windows, log.wallets, required=True)
    with pytest.raises(InvalidInput, match="telemetry:signature"):
        await strict.accept(supplier, beacon(session.id, at(1), Account.create()), at(1))
    await log.accept(supplier, beacon(session.id, at(1), Account.create()), at(1))
    await strict.accept(supplier, beacon(session.id, at(2), account), at(2))
    rows = await marketplace.rows("select signed from telemetry_sample order by captured_at")
    assert [row["signed"] for row in rows] == [False, True]


async def test_samples_prove_that_the_operator_is_there(
    marketplace: Marketplace, log: BeaconLog, sweeps: Telemetry
) -> None:
    session, supplier = await live(marketplace)
    stale = STALE_AFTER.total_seconds()
    assert await sweeps.sweep_stale(at(stale + 60)) == 0  # who never sent anything is not waited for
    await log.accept(supplier, beacon(session.id, at(1)), at(1))
    assert await sweeps.sweep_stale(at(1 + stale)) == 0
    assert await sweeps.sweep_stale(at(2 + stale)) == 1
    await log.accept(supplier, beacon(session.id, at(40)), at(40))
    assert await windows(marketplace, session.id) == [("STALE_TELEMETRY", 1 + stale, 40)]


async def test_heartbeats_and_samples_count_alike(
    marketplace: Marketplace, log: BeaconLog, sweeps: Telemetry
) -> None:
    session, supplier = await live(marketplace)
    stale = STALE_AFTER.total_seconds()
    await sweeps.heartbeat(supplier, Sample(GRAND_PLACE, 5, 1, at(1)), None)
    await log.accept(supplier, beacon(session.id, at(20)), at(20))
    assert await sweeps.sweep_stale(at(20 + stale)) == 0
    await sweeps.heartbeat(supplier, Sample(GRAND_PLACE, 5, 2, at(44)), None)
    assert await sweeps.sweep_stale(at(44 + stale)) == 0
    assert await sweeps.sweep_stale(at(45 + stale)) == 1
    assert await windows(marketplace, session.id) == [("STALE_TELEMETRY", 44 + stale, None)]


# -- notifications ----------------------------------------------------------------------------------------


async def tell(video: VideoEvents, session: Session, kind: str, happened: float, now: float) -> None:
    assert session.live_input is not None
    await video.notify(session.live_input.uid, f"live_input.{kind}", at(happened), at(now))


async def test_a_lost_publisher_is_not_charged_until_it_is_back(
    marketplace: Marketplace, video: VideoEvents
) -> None:
    session, _ = await live(marketplace)
    await tell(video, session, "disconnected", 10, 11)
    await tell(video, session, "disconnected", 10, 12)  # delivered twice
    await tell(video, session, "connected", 15.5, 16)
    await tell(video, session, "disconnected", 14, 17)  # overtaken
    await tell(video, session, "errored", 20, 18)  # from the future: now at the latest
    await tell(video, session, "viewed", 21, 21)
    assert await windows(marketplace, session.id) == [
        ("NETWORK_ERROR", 10, 15.5),
        ("NETWORK_ERROR", 18, None),
    ]


async def test_before_a_session_is_live_nothing_opens(marketplace: Marketplace, video: VideoEvents) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.requested(consumer)
    await marketplace.sessions.accept(session.id, supplier, NOON)
    started = await marketplace.sessions.start(session.id, supplier, NOON)
    await tell(video, started, "disconnected", 1, 1)
    await marketplace.first_frame(started, at(2))
    await tell(video, started, "disconnected", 1.5, 3)  # of before, told late
    ((reason, opened, closed),) = await windows(marketplace, session.id)
    assert (reason, opened, closed) == ("NETWORK_ERROR", 2, None)
    await marketplace.sessions.end(session.id, consumer, at(5))
    await tell(video, started, "disconnected", 6, 6)
    assert len(await windows(marketplace, session.id)) == 1


async def test_notifications_that_race_end_in_the_newest(
    marketplace: Marketplace, video: VideoEvents
) -> None:
    session, _ = await live(marketplace)
    told = [("disconnected", 1.0), ("connected", 2.0), ("errored", 3.0), ("connected", 4.0)] * 8
    random.Random(3).shuffle(told)
    await asyncio.gather(*(tell(video, session, kind, happened, 9) for kind, happened in told))
    assert all(closed is not None for _, _, closed in await windows(marketplace, session.id))
    assert await marketplace.value("select last_event_at from live_input") == at(4)


async def test_a_stream_that_has_moved_says_nothing_of_its_session(
    marketplace: Marketplace, video: VideoEvents
) -> None:
    session, supplier = await live(marketplace)
    there = replace(marketplace.sessions, edge=MemoryEdge("there"))
    moved = await there.start(session.id, supplier, at(10))
    await tell(video, moved, "connected", 12, 12)
    await tell(video, session, "disconnected", 13, 13)
    assert await windows(marketplace, session.id) == [("NETWORK_ERROR", 10, 12)]


async def test_unknown_inputs_are_ignored_and_a_far_future_refused(
    marketplace: Marketplace, video: VideoEvents
) -> None:
    session, _ = await live(marketplace)
    await video.notify("00" * 16, "live_input.disconnected", NOON, NOON)
    with pytest.raises(InvalidInput, match="video:updated_at"):
        far = (MAX_AHEAD + timedelta(seconds=1)).total_seconds()
        await tell(video, session, "disconnected", far, 0)
    assert await windows(marketplace, session.id) == []


@pytest.mark.parametrize(
    ("path", "header"), [("path", "x"), ("x", "header"), ("", ""), ("header", "path"), ("päth", "header")]
)
def test_both_secrets_must_be_right(video: VideoEvents, path: str, header: str) -> None:
    video.check("path", "header")
    with pytest.raises(MissingToken):
        video.check(path, header)


@pytest.mark.parametrize("secrets", [(None, None), ("path", None), (None, "header"), ("", "")])
def test_without_secrets_nobody_gets_in(video: VideoEvents, secrets: tuple[str | None, str | None]) -> None:
    closed = VideoEvents(video.uow, video.windows, video.notifications, video.new_id, *secrets)
    for path, header in (("", ""), ("path", "header"), ("path", ""), ("", "header")):
        with pytest.raises(MissingToken):
            closed.check(path, header)


def test_secrets_do_not_show(video: VideoEvents) -> None:
    assert "path_token" not in repr(video) and "header" not in repr(video)
