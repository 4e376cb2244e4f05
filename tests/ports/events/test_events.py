"""The log of events on PostgreSQL: what is written, and who hears of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from event_writing import names, settle, write
from marketplace import GRAND_PLACE
from newsroom import Heard, Newsroom

from luxxon_core.adapters.postgres.telling import TellingBeacons
from luxxon_core.events.domain import Kind, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Fault, MediaEvent, MediaEventKind, PictureFault
from luxxon_core.sessions.domain import Session
from luxxon_core.settlement.domain import SettlementState
from luxxon_core.telemetry.domain import Beacon, Sample, Window


async def test_a_session_is_told_from_the_request_to_the_payment(room: Newsroom) -> None:
    market = room.market
    consumer, supplier = await market.consumer(), await market.supplier()
    wanting = await Heard(room.streams.of_workspace(consumer, None)).ready()
    working = await Heard(room.streams.of_workspace(supplier, None)).ready()
    now = utc_now()
    session = await market.requested(consumer, now=now)
    watched = await Heard(room.streams.of_session(session.id, None)).ready()
    await market.dispatch(session.id, consumer, now)
    session = await market.sessions.start(session.id, supplier, now)
    assert session.live_input is not None
    for kind, seconds in (
        (MediaEventKind.CONNECTED, 1),
        (MediaEventKind.FIRST_FRAME, 2),
        (MediaEventKind.DISCONNECTED, 5),
        (MediaEventKind.CONNECTED, 7),
        (MediaEventKind.DISCONNECTED, 8),
    ):
        then = now + timedelta(seconds=seconds)
        await room.media(MediaEvent(kind, session.live_input.uid, then), then)
    sample = Sample(GRAND_PLACE, 5, 1, now + timedelta(seconds=9))
    await market.telemetry.heartbeat(supplier, sample, None)
    await market.sessions.end(session.id, consumer, now + timedelta(seconds=60))
    await settle(room, session.id, SettlementState.SUBMITTED)
    await settle(room, session.id, SettlementState.SUBMITTED)  # a poll that found nothing new
    await settle(room, session.id, SettlementState.CONFIRMED)

    expected = [
        "session.state:ASSIGNED",
        "session.state:ASSIGNED",
        "video.connected",
        "session.state:LIVE",
        "window.opened:NETWORK_ERROR",
        "video.disconnected",
        "window.closed:NETWORK_ERROR",
        "video.connected",
        "window.opened:NETWORK_ERROR",
        "video.disconnected",
        "telemetry.sample",
        "session.state:ENDED",
        "window.closed:NETWORK_ERROR",
        "settlement.state:PENDING",
        "settlement.state:SUBMITTED",
        "settlement.state:CONFIRMED",
    ]
    await watched.end()
    assert watched.kinds == ["session.state:REQUESTED", "ready", *expected, "end"]
    for heard, before in ((wanting, ["session.state:REQUESTED"]), (working, [])):
        await heard.until(lambda one: one.kinds[-1] == expected[-1])
        assert heard.kinds == ["ready", *before, *expected]
        assert [event.position for event in heard.events] == sorted(
            {event.position for event in heard.events if event.position}
        )
        await heard.leave()
    ended = next(e.facts for e in working.events if isinstance(e.facts, Session) and e.facts.metered)
    assert ended.clean_seconds == 60 - 2 - 2 - 52


async def test_faults_of_the_picture_are_told_and_cost_nothing(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    market = room.market
    session = await market.sessions.get(session_id, consumer)
    assert session.live_input is not None and session.started_at is not None
    watched = await Heard(room.streams.of_session(session_id, None)).ready()

    async def tell(kind: MediaEventKind, fault: Fault | None, seconds: int) -> None:
        assert session.live_input is not None and session.started_at is not None
        then = session.started_at + timedelta(seconds=seconds)
        await room.media(MediaEvent(kind, session.live_input.uid, then, fault), then)

    await tell(MediaEventKind.FAULT_BEGAN, Fault.BLACK, 10)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.BLACK, 11)  # said again, as after a lapse
    latecomer = await Heard(room.streams.of_session(session_id, None)).ready()
    assert "quality.degraded" in latecomer.kinds[: latecomer.kinds.index("ready")], (
        "it is told how things stand"
    )
    await latecomer.leave()
    await tell(MediaEventKind.FAULT_ENDED, Fault.BLACK, 20)
    await tell(MediaEventKind.FAULT_ENDED, Fault.BLACK, 21)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.FROZEN, 22)
    await tell(MediaEventKind.DISCONNECTED, None, 30)
    await tell(MediaEventKind.CONNECTED, None, 33)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.UNDECODED, 40)
    ended = await market.sessions.end(session_id, consumer, session.started_at + timedelta(seconds=50))
    assert ended.clean_seconds == 50 - 3, "only the time without media is not charged"

    await watched.until(lambda heard: "session.state:ENDED" in heard.kinds)
    await watched.until(lambda heard: heard.kinds.count("quality.restored") == 3)
    told = [
        (
            event.kind.value.removeprefix("quality."),
            event.facts.fault.value,
            (event.facts.opened_at - session.started_at).total_seconds(),
            event.facts.closed_at and (event.facts.closed_at - session.started_at).total_seconds(),
            (event.at - session.started_at).total_seconds(),
        )
        for event in watched.events
        if isinstance(event.facts, PictureFault)
    ]
    assert told == [
        ("degraded", "BLACK", 10, None, 10),
        ("restored", "BLACK", 10, 20, 20),
        ("degraded", "FROZEN", 22, None, 22),
        ("restored", "FROZEN", 22, 30, 30),
        ("degraded", "UNDECODED", 40, None, 40),
        ("restored", "UNDECODED", 40, 50, 50),
    ]
    await watched.leave()


async def test_what_is_kept_holds_no_url_and_no_raw_transaction(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    await room.market.sessions.end(session_id, consumer, utc_now() + timedelta(seconds=9))
    await settle(room, session_id, SettlementState.SUBMITTED)
    kept = " ".join(row["data"] for row in await room.market.rows("select data::text from event"))
    assert '"LIVE"' in kept
    assert "SUBMITTED" in kept
    for secret in ("http", "raw", "nonce", "signer"):
        assert secret not in kept


async def test_urls_come_with_a_session_that_is_live_when_it_is_told(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    heard = Heard(room.streams.of_workspace(consumer, 0))
    await heard.until(lambda one: "session.state:LIVE" in one.kinds)
    assert [event for event in heard.events if event.live_input is not None]
    await heard.leave()
    await room.market.sessions.end(session_id, consumer, utc_now())
    heard = Heard(room.streams.of_workspace(consumer, 0))
    await heard.until(lambda one: "session.state:ENDED" in one.kinds)
    assert "session.state:LIVE" in heard.kinds
    assert [event for event in heard.events if event.live_input is not None] == []
    await heard.leave()


async def test_a_window_that_begins_before_an_older_one_is_told_as_what_it_is(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    market, began = room.market, utc_now()
    session = await market.sessions.get(session_id, consumer)
    for kind, seconds in (
        (MediaEventKind.DISCONNECTED, 5),
        (MediaEventKind.CONNECTED, 8),
        (MediaEventKind.DISCONNECTED, 3),  # the edge learns late since when nothing came
        (MediaEventKind.CONNECTED, 9),
    ):
        await market.media(kind, session, began, happened=began + timedelta(seconds=seconds))
    heard = Heard(room.streams.of_session(session_id, 0))
    await heard.until(lambda heard: sum(isinstance(one.facts, Window) for one in heard.events) == 4)
    await heard.leave()

    def second(moment: datetime | None) -> int | None:
        return None if moment is None else (moment - began).seconds

    told = [
        (one.kind, second(one.facts.opened_at), second(one.facts.closed_at))
        for one in heard.events
        if isinstance(one.facts, Window)
    ]
    assert told == [
        (Kind.WINDOW_OPENED, 5, None),
        (Kind.WINDOW_CLOSED, 5, 8),
        (Kind.WINDOW_OPENED, 3, None),
        (Kind.WINDOW_CLOSED, 3, 9),
    ]


async def test_what_is_rolled_back_is_not_told(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    with pytest.raises(RuntimeError):
        async with room.uow.begin() as tx:
            await room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video("never"), utc_now())
            raise RuntimeError
    await write(room, session_id, "after")
    await heard.until(names)
    assert names(heard) == ["after"]
    await heard.leave()


async def test_one_sample_a_second_is_told(room: Newsroom) -> None:
    session_id, _, supplier = await room.live()
    begin = utc_now().replace(microsecond=0) + timedelta(seconds=1)
    for number in range(35):
        sample = Sample(GRAND_PLACE, 5, number, begin + timedelta(milliseconds=100 * number))
        await room.market.telemetry.heartbeat(supplier, sample, None)
    for tenths in (34, 35, 45):  # of the same operator, but signed, and for this session only
        moment = begin + timedelta(milliseconds=100 * tenths)
        beacon = Beacon(session_id, "", moment, GRAND_PLACE, 5, "gps", "0x")
        async with room.uow.begin() as tx:
            await TellingBeacons(room.journal).add(tx, beacon, True, moment)
    await write(room, session_id, "last")
    heard = Heard(room.streams.of_session(session_id, 0))
    await heard.until(names)
    samples = [event.at for event in heard.events if event.kind is Kind.TELEMETRY_SAMPLE]
    seconds = [*map(float, range(4)), 4.5]
    assert samples == [begin + timedelta(seconds=second) for second in seconds]
    await heard.leave()


async def test_a_workspace_hears_of_its_own_sessions_only(room: Newsroom) -> None:
    session_id, _, supplier = await room.live()
    stranger = await room.market.consumer()
    foreign = await Heard(room.streams.of_workspace(stranger, 0)).ready()
    served = await Heard(room.streams.of_workspace(supplier, 0)).ready()
    await write(room, session_id, "x")
    await served.until(names)
    await room.market.requested(stranger)
    await foreign.until(lambda heard: heard.events)
    assert foreign.kinds == ["ready", "session.state:REQUESTED"]
    assert next(kind for kind in served.kinds if kind != "ready") == "session.state:ASSIGNED"
    for heard in (foreign, served):
        await heard.leave()
