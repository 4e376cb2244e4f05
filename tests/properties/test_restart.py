"""A server that was dead: nobody pays for that time, and no session is lost with it."""

from __future__ import annotations

from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.kernel.geo import Circle
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.sessions.domain import Session
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
