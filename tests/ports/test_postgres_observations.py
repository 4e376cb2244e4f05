"""Observations on a real database: the row is the job, and the frame and its price are one transaction."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at
from observation_stage import ASKED, PRICE, UNIT_S, Stage, picture
from PIL import Image

from luxxon_core.adapters.postgres.observations import PgObservations
from luxxon_core.kernel.errors import (
    Conflict,
    FrameNotAvailable,
    InsufficientCredit,
    InvalidState,
    NotAuthorized,
    NotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.ids import new_id
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Fault, Frame, MediaEvent, MediaEventKind
from luxxon_core.observations import domain
from luxxon_core.observations.domain import Kept, Position, PositionSource, Reason, Status
from luxxon_core.sessions.domain import Session, State
from luxxon_core.telemetry.domain import Sample
from luxxon_core.workspaces.domain import Patch, patched


@pytest.fixture
def stage(marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(marketplace, monkeypatch)


async def test_a_frame_and_its_price(stage: Stage) -> None:
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    made = await stage.live(consumer, supplier)
    assert (await stage.session(made)).terms.hold_uusdc == PRICE

    stage.shown = picture(at(0.9))
    await stage.turn(1.5)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING, "it is from before LIVE"
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    found = await stage.cases.get(made.id, consumer)
    assert (found.status, found.captured_at, found.finished_at) == (Status.READY, at(1.7), at(2))
    assert found.position == Position(GRAND_PLACE, 500, PositionSource.COVERAGE, at(1.7))
    assert found.kept == Kept(len(stage.shown.jpeg), 640, 320, at(2) + timedelta(days=7))
    session = await stage.session(made)
    assert (session.state, session.charged_uusdc, session.ended_at) == (State.ENDED, PRICE, at(2))
    assert await stage.marketplace.settlements(session.id) == 1
    for viewer in (consumer, supplier):
        assert await stage.cases.frame(made.id, viewer, at(3)) == stage.shown
    with pytest.raises(NotAuthorized):
        await stage.cases.get(made.id, supplier)
    with pytest.raises(NotAuthorized):
        await stage.cases.frame(made.id, await stage.marketplace.consumer(), at(3))


async def test_the_device_says_where_it_was(stage: Stage) -> None:
    market = stage.marketplace
    consumer, supplier = await market.consumer(), await market.supplier()
    made = await stage.live(consumer, supplier)
    here = Point(50.8469, 4.3521)
    await market.telemetry.heartbeat(supplier, Sample(here, 5, 1, at(1.2)), made.id)
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    found = await stage.cases.get(made.id, consumer)
    assert found.position == Position(here, 5, PositionSource.TELEMETRY, at(1.2))


async def test_where_a_device_was_yesterday_is_not_where_it_is(stage: Stage) -> None:
    """It goes ONLINE, and has not said where yet."""
    market = stage.marketplace
    consumer, supplier = await market.consumer(), await market.supplier()
    paris = Point(48.85, 2.35)
    await market.telemetry.heartbeat(supplier, Sample(paris, 5, 1, at(-86_400)), None)
    online = patched(await market.look(supplier), Patch(availability="ONLINE"), at(-1))
    async with market.database.begin() as tx:
        await market.workspaces.save(tx, online)
    await stage.live(consumer, supplier)
    async with market.database.read() as tx:
        found = await stage.store.position(tx, supplier, at(1.7))
    assert found == Position(GRAND_PLACE, 500, PositionSource.COVERAGE, at(1.7))


async def test_a_camera_that_is_elsewhere_sells_nothing(stage: Stage) -> None:
    market = stage.marketplace
    consumer, supplier = await market.consumer(), await market.supplier()
    made = await stage.live(consumer, supplier)
    await market.telemetry.heartbeat(supplier, Sample(Point(51.8, 4.3), 5, 1, at(1.2)), made.id)
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING
    await market.telemetry.heartbeat(supplier, Sample(GRAND_PLACE, 5, 2, at(2.2)), made.id)
    await stage.turn(2.5)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING, "captured elsewhere"
    stage.shown = picture(at(2.7))
    await stage.turn(3)
    assert (await stage.cases.get(made.id, consumer)).status is Status.READY


async def test_a_crash_while_it_is_stored_charges_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    made = await stage.live(consumer, supplier)
    stage.shown = picture(at(1.7))

    async def crash(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(PgObservations, "keep", crash)
        await stage.turn(2)
    session = await stage.session(made)
    assert (session.state, session.charged_uusdc) == (State.LIVE, 0)
    assert await stage.marketplace.settlements(made.id) == 0
    await stage.turn(3, stage.server())  # another server goes on
    assert (await stage.cases.get(made.id, consumer)).status is Status.READY
    assert (await stage.session(made)).charged_uusdc == PRICE


async def test_servers_that_deliver_at_once_charge_once(stage: Stage) -> None:
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    made = await stage.live(consumer, supplier)
    stage.shown = picture(at(1.7))
    stage.now = at(2)
    pending, session = await stage.cases.get(made.id, consumer), await stage.session(made)
    servers = [stage.server() for _ in range(4)]
    delivered = await asyncio.gather(*(one._delivered(pending, session) for one in servers))
    assert sorted(delivered) == [False, False, False, True]
    assert await stage.marketplace.settlements(made.id) == 1


async def test_it_comes_to_an_end_at_its_deadline(stage: Stage) -> None:
    market = stage.marketplace
    consumer = await market.consumer()
    nobody = await stage.cases.create(consumer, ASKED, NOON)
    await stage.turn(0.1)
    await stage.turn(29.9)
    assert (await stage.cases.get(nobody.id, consumer)).status is Status.PENDING
    supplier = await market.supplier()
    await stage.turn(31)
    assert (await stage.cases.get(nobody.id, consumer)).reason is Reason.NO_OPERATOR
    silent = await stage.cases.create(consumer, ASKED, NOON)
    await stage.turn(1)
    assert (await stage.session(silent)).operator_workspace_id == supplier
    await stage.turn(31)
    assert (await stage.cases.get(silent.id, consumer)).reason is Reason.NO_VIDEO
    dark = await stage.live(consumer, supplier)
    stage.shown = None
    await market.sessions.sweep(at(20))
    await stage.turn(21)
    assert (await stage.cases.get(dark.id, consumer)).reason is Reason.NO_PICTURE
    for one in (nobody, silent, dark):
        session = await stage.session(one)
        assert session.ended_at is not None and session.charged_uusdc == 0
        with pytest.raises(FrameNotAvailable):
            await stage.cases.frame(one.id, consumer, at(40))
    assert (await market.look(supplier)).availability == "ONLINE"


async def test_a_frame_after_the_deadline_is_not_sold(stage: Stage) -> None:
    """As after a restart: the session is LIVE still, and the camera shows the place."""
    market = stage.marketplace
    consumer, supplier = await market.consumer(), await market.supplier()
    made = await stage.live(consumer, supplier)
    stage.shown = picture(at(39))
    await stage.turn(40)
    found = await stage.cases.get(made.id, consumer)
    assert (found.status, found.reason) == (Status.FAILED, Reason.NO_PICTURE)
    assert (await stage.session(made)).charged_uusdc == 0


async def test_a_request_that_is_refused_leaves_nothing(stage: Stage) -> None:
    consumer = await stage.marketplace.consumer()
    stage.marketplace.pools.balance = PRICE - 1
    with pytest.raises(InsufficientCredit):
        await stage.cases.create(consumer, ASKED, NOON)
    for table in ("observation", "session"):
        assert await stage.marketplace.value(f"select count(*) from {table}") == 0
    stage.marketplace.pools.balance = PRICE
    await stage.cases.create(consumer, ASKED, NOON)
    with pytest.raises(InsufficientCredit):  # the first one's price is spoken for
        await stage.cases.create(consumer, ASKED, NOON)


async def test_one_id_is_one_observation(stage: Stage) -> None:
    consumer, again = await stage.marketplace.consumer(), new_id()
    calls = (stage.cases.create(consumer, ASKED, NOON, observation_id=again) for _ in range(8))
    assert {one.id for one in await asyncio.gather(*calls)} == {again}
    assert await stage.marketplace.value("select count(*) from session") == 1
    with pytest.raises(NotAuthorized):
        await stage.cases.create(await stage.marketplace.consumer(), ASKED, NOON, observation_id=again)
    dear = replace(ASKED, max_price_uusdc=PRICE - 1)
    refused = [await stage.cases.create(consumer, dear, NOON, observation_id=UUID(int=7)) for _ in "12"]
    assert refused[0] == refused[1] and refused[0].reason is Reason.PRICE_ABOVE_MAX


async def test_a_picture_that_is_too_large_is_made_smaller(stage: Stage) -> None:
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    stage.cases = stage.server(frame_bytes=20_000)
    made = await stage.live(consumer, supplier)
    stage.shown = picture(at(1.7), noise=True)
    assert len(stage.shown.jpeg) > 100_000
    await stage.turn(2)
    found = await stage.cases.frame(made.id, consumer, at(3))
    assert len(found.jpeg) <= 20_000 and found.width < 640
    with Image.open(io.BytesIO(found.jpeg)) as image:
        assert image.size == (found.width, found.height)


async def test_frames_go_when_their_time_is_over_and_when_there_are_too_many(stage: Stage) -> None:
    market, consumer = stage.marketplace, await stage.marketplace.consumer()
    frame = Frame(bytes(1000), 10, 10, NOON)
    made = []
    async with market.database.begin() as tx:
        for number in range(6):
            one = domain.observe(new_id(), consumer, ASKED, RATE, UNIT_S, at(number))
            await stage.store.add(tx, replace(one, asked_for=False))
            await stage.store.keep(tx, one.id, frame, at(100 + number))
            done = domain.ready(one, NOON, None, Kept(1000, 10, 10, at(100 + number)), at(10))
            assert await stage.store.finish(tx, done)
            assert not await stage.store.finish(tx, done), "once"
            made.append(one.id)
    with pytest.raises(FrameNotAvailable, match="observation:expired"):
        await stage.cases.frame(made[1], consumer, at(101))  # past its time, though nobody has purged yet
    assert await stage.cases.purge(at(101)) == 2
    assert await stage.server(store_bytes=2500).purge(at(101)) == 2, "the oldest of four times 1000 bytes"
    left = await market.rows("select observation_id from observation_frame")
    assert {row["observation_id"] for row in left} == set(made[4:])
    gone, kept = [await stage.cases.get(one, consumer) for one in (made[0], made[5])]
    assert gone.status is Status.READY and gone.kept is None and kept.kept is not None


async def test_what_is_over_for_long_is_forgotten(stage: Stage) -> None:
    """Except its session, with the receipt; and what nobody was asked for goes after a day."""
    market, consumer = stage.marketplace, await stage.marketplace.consumer()
    dear = replace(ASKED, max_price_uusdc=PRICE - 1)
    refused = await stage.cases.create(consumer, dear, NOON)
    made = await stage.live(consumer, await market.supplier())
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    pending = await stage.cases.create(consumer, ASKED, NOON)

    async def left(now: datetime) -> set[UUID]:
        while await stage.cases.purge(now):
            pass
        return {row["id"] for row in await market.rows("select id from observation")}

    day = timedelta(days=1)
    assert await left(NOON + day - timedelta(seconds=1)) == {refused.id, made.id, pending.id}
    assert await left(NOON + day) == {made.id, pending.id}
    assert await left(at(1) + 30 * day) == {made.id, pending.id}
    assert await left(at(2) + 30 * day) == {pending.id}
    with pytest.raises(NotFound):
        await stage.cases.get(made.id, consumer)
    with pytest.raises(Conflict):  # its key is sent again: nothing is bought twice, nor paid and not shown
        await stage.cases.create(consumer, ASKED, NOON, observation_id=made.id)
    with pytest.raises(Conflict):  # also where it is too dear by now
        await stage.cases.create(consumer, dear, NOON, observation_id=made.id)
    assert await market.value("select count(*) from observation where id = $1", made.id) == 0
    assert (await stage.session(made)).charged_uusdc == PRICE
    assert await market.settlements(made.id) == 1


async def test_an_observation_outlives_its_record_while_its_frame_is_kept(stage: Stage) -> None:
    consumer = await stage.marketplace.consumer()
    stage.cases = stage.server(kept=timedelta(days=60))
    made = await stage.live(consumer, await stage.marketplace.supplier())
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    assert await stage.cases.purge(NOON + timedelta(days=59)) == 0
    assert (await stage.cases.get(made.id, consumer)).kept is not None
    assert await stage.cases.purge(NOON + timedelta(days=61)) == 2, "frame and observation"


async def test_a_black_picture_is_not_sold(stage: Stage) -> None:
    """A lens cap is taken off after a while; and where it is not, nothing is paid."""
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    made = await stage.live(consumer, supplier)
    stage.shown = picture(at(1.7), luma=4)
    await stage.turn(2)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING
    stage.shown = picture(at(2.7), luma=30)  # a street by night
    await stage.turn(3)
    assert (await stage.cases.get(made.id, consumer)).status is Status.READY
    other = await stage.live(consumer, supplier)
    stage.shown = picture(at(1.7), luma=0)
    for seconds in (2, 5, 9, 31):
        await stage.turn(seconds)
    found = await stage.cases.get(other.id, consumer)
    assert (found.status, found.reason) == (Status.FAILED, Reason.NO_PICTURE)
    assert (await stage.session(other)).charged_uusdc == 0


@pytest.mark.parametrize("fault", list(Fault))
async def test_what_the_edge_calls_faulty_is_not_sold(stage: Stage, fault: Fault) -> None:
    """While it lasts, and what was captured until it ended."""
    market = stage.marketplace
    consumer = await market.consumer()
    made = await stage.live(consumer, await market.supplier())

    async def tell(kind: MediaEventKind, seconds: float) -> None:
        live_input = (await stage.session(made)).live_input
        assert live_input is not None
        await market.sessions.on_media(MediaEvent(kind, live_input.uid, at(seconds), fault), at(seconds))

    await tell(MediaEventKind.FAULT_BEGAN, 1.5)
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING
    await tell(MediaEventKind.FAULT_ENDED, 2.5)
    await stage.turn(3)
    assert (await stage.cases.get(made.id, consumer)).status is Status.PENDING, "captured before"
    stage.shown = picture(at(3.2))
    await stage.turn(3.5)
    assert (await stage.cases.get(made.id, consumer)).status is Status.READY


async def test_who_is_due_is_claimed_once(stage: Stage) -> None:
    consumer = await stage.marketplace.consumer()
    made = [await stage.cases.create(consumer, ASKED, at(number)) for number in range(3)]
    later = at(10)

    async def claim(now: datetime, limit: int = 10) -> list[UUID]:
        async with stage.marketplace.database.begin() as tx:
            return [one.id for one in await stage.store.claim(tx, now, later, limit)]

    assert await claim(at(1), 1) == [made[0].id], "longest due first"
    both = await asyncio.gather(claim(at(5)), claim(at(5)))
    assert sorted(both, key=len) == [[], [made[1].id, made[2].id]]
    assert await claim(at(9)) == []
    async with stage.marketplace.database.begin() as tx:
        await stage.store.postpone(tx, made[0].id, at(60))
    assert set(await claim(at(11))) == {made[1].id, made[2].id}


async def test_a_window_that_opens_meanwhile_keeps_the_unit_back(stage: Stage) -> None:
    consumer, supplier = await stage.marketplace.consumer(), await stage.marketplace.supplier()
    made = await stage.live(consumer, supplier)

    async def keep(_: Tx, __: Session) -> None:
        raise AssertionError("nothing to keep")

    await stage.marketplace.telemetry.heartbeat(supplier, Sample(Point(51.8, 4.3), 5, 1, at(1.2)), made.id)
    with pytest.raises(InvalidState, match="session:deliver:LOST"):
        await stage.marketplace.sessions.deliver(made.id, keep, at(2))
