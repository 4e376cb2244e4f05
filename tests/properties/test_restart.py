"""A server that was dead: nobody pays for that time, and no session is lost with it."""

from __future__ import annotations

from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.media.domain import Fault, MediaEvent, MediaEventKind
from luxxon_core.sessions.domain import Session
from luxxon_core.telemetry.domain import Sample
from luxxon_core.workspaces.domain import Role


async def live(marketplace: Marketplace, max_s: int) -> tuple[Session, Session]:
    """A session LIVE at noon: as requested, and as started."""
    marketplace.pools.balance = RATE * max_s
    consumer = await marketplace.workspace(Role.CONSUMER)
    operator = await marketplace.workspace(Role.SUPPLIER, coverage=Circle(GRAND_PLACE, 500))
    session = await marketplace.sessions.create(consumer.id, GRAND_PLACE, max_s, None, NOON)
    await marketplace.sessions.accept(session.id, operator.id, NOON)
    started = await marketplace.sessions.start(session.id, operator.id, NOON)
    assert started.live_input is not None
    first = MediaEvent(MediaEventKind.FIRST_FRAME, started.live_input.uid, NOON)
    await marketplace.sessions.on_media(first, NOON)
    return session, started


async def test_the_time_a_server_was_dead_is_not_charged(marketplace: Marketplace) -> None:
    session, started = await live(marketplace, 600)
    assert started.live_input is not None
    for second in range(11):
        await marketplace.sessions.stamp_alive(at(second))
    assert await marketplace.sessions.restore(at(300)) == 1
    back = MediaEvent(MediaEventKind.CONNECTED, started.live_input.uid, at(305))
    await marketplace.sessions.on_media(back, at(305))
    ended = await marketplace.sessions.end(session.id, session.consumer_workspace_id, at(310))
    assert ended.clean_seconds == 15, "ten seconds before, five after"


async def test_a_session_that_ran_out_meanwhile_pays_for_what_it_got(marketplace: Marketplace) -> None:
    session, _ = await live(marketplace, 60)
    await marketplace.sessions.stamp_alive(at(10))
    await marketplace.sessions.restore(at(300))
    assert await marketplace.sessions.sweep(at(300)) == 1
    expired = await marketplace.sessions.get(session.id, session.consumer_workspace_id)
    assert (expired.state, expired.clean_seconds) == ("EXPIRED", 10)


async def restarted(marketplace: Marketplace, dsn: str, seconds: float) -> Marketplace:
    """What a new process on the same database is; its edge is of the old one's name and has forgotten all."""
    again = Marketplace(await Database.connect(dsn), pools=marketplace.pools)
    await again.sessions.restore(at(seconds))
    return again


async def heartbeat(marketplace: Marketplace, session: Session, seconds: float, *, away_m: float = 0) -> None:
    assert session.operator_workspace_id is not None
    place = Point(GRAND_PLACE.lat + away_m / 111_000, GRAND_PLACE.lng)
    sample = Sample(place, 5, round(seconds * 1000), at(seconds))
    await marketplace.telemetry.heartbeat(session.operator_workspace_id, sample, None)


async def windows(marketplace: Marketplace, session: Session) -> set[tuple[str, float, float | None]]:
    """Reason, and seconds after noon of the beginning and the end."""
    return {
        (
            window.reason.value,
            (window.opened_at - NOON).total_seconds(),
            None if window.closed_at is None else (window.closed_at - NOON).total_seconds(),
        )
        for window in await marketplace.sessions.windows_of(session.id)
    }


async def test_open_windows_outlive_the_server_and_close_where_they_should(
    marketplace: Marketplace, dsn: str
) -> None:
    """Killed at 40 with all three open, back at 60."""
    session, started = await live(marketplace, 600)
    assert started.live_input is not None
    await heartbeat(marketplace, started, 5, away_m=900)
    assert await marketplace.telemetry.sweep_stale(at(31)) == 1
    lost = MediaEvent(MediaEventKind.DISCONNECTED, started.live_input.uid, at(35))
    await marketplace.sessions.on_media(lost, at(37))
    await marketplace.sessions.stamp_alive(at(40))
    found = {("OUTSIDE_GEOFENCE", 5, None), ("STALE_TELEMETRY", 30, None), ("NETWORK_ERROR", 35, None)}
    assert await windows(marketplace, session) == found

    again = await restarted(marketplace, dsn, 60)
    try:
        assert await windows(again, session) == found, "as they were, and none twice"
        assert await again.telemetry.sweep_stale(at(61)) == 0
        back = MediaEvent(MediaEventKind.CONNECTED, started.live_input.uid, at(62))
        await again.sessions.on_media(back, at(62))
        await heartbeat(again, started, 65, away_m=900)
        await heartbeat(again, started, 70)
        assert await windows(again, session) == {
            ("OUTSIDE_GEOFENCE", 5, 70),
            ("STALE_TELEMETRY", 30, 65),
            ("NETWORK_ERROR", 35, 62),
        }
        ended = await again.sessions.end(session.id, session.consumer_workspace_id, at(80))
        assert ended.clean_seconds == 5 + 10, "before 5 and after 70"
    finally:
        await again.database.close()


async def test_heartbeats_that_stopped_while_the_server_was_dead_are_missed_from_then_on(
    marketplace: Marketplace, dsn: str
) -> None:
    session, started = await live(marketplace, 600)
    assert started.live_input is not None
    await heartbeat(marketplace, started, 8)
    await marketplace.sessions.stamp_alive(at(10))
    again = await restarted(marketplace, dsn, 100)
    try:
        assert await again.telemetry.sweep_stale(at(100)) == 1
        assert await windows(again, session) == {
            ("NETWORK_ERROR", 10, None),
            ("STALE_TELEMETRY", 8 + 25, None),
        }
    finally:
        await again.database.close()


async def test_a_fault_of_the_picture_ends_with_the_server_that_saw_it(
    marketplace: Marketplace, dsn: str
) -> None:
    session, started = await live(marketplace, 600)
    assert started.live_input is not None
    uid = started.live_input.uid
    began = MediaEvent(MediaEventKind.FAULT_BEGAN, uid, at(10), Fault.FROZEN)
    await marketplace.sessions.on_media(began, at(16))
    await marketplace.sessions.stamp_alive(at(20))
    again = await restarted(marketplace, dsn, 60)
    try:
        await again.sessions.on_media(MediaEvent(MediaEventKind.CONNECTED, uid, at(65)), at(65))
        async with again.database.read() as tx:
            (fault,) = await again.sessions.faults.of_session(tx, session.id)
        assert (fault.fault, fault.opened_at, fault.closed_at) == (Fault.FROZEN, at(10), at(20))
        ended = await again.sessions.end(session.id, session.consumer_workspace_id, at(70))
        assert ended.clean_seconds == 20 + 5, "the fault cost nothing, the time without media was not charged"
    finally:
        await again.database.close()
