"""What a stream tells of, in words of the domain and on the wire."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest

from luxxon_core.controls.domain import Command
from luxxon_core.events import domain
from luxxon_core.events.domain import (
    FACTS,
    End,
    Event,
    Fix,
    Kind,
    News,
    Payment,
    Ready,
    Reset,
    Standing,
    Video,
    over,
    parse_position,
    reading,
    told,
    without_urls,
)
from luxxon_core.events.schemas import EVENTS, Named
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import convert, encode
from luxxon_core.media.domain import Fault, LiveInput, PictureFault
from luxxon_core.sessions.domain import Session, State, Terms
from luxxon_core.telemetry.domain import Reason, Window

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
CONSUMER, OPERATOR, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
INPUT = LiveInput("ab" * 16, "edge", "https://edge/whip/secret", "https://edge/whep/secret")
LIVE = Session(
    SESSION,
    CONSUMER,
    Point(50.85, 4.35),
    Terms(1000, 600, 300, 1500, 500.0),
    NOON,
    state=State.LIVE,
    operator_workspace_id=OPERATOR,
    assigned_at=NOON + timedelta(seconds=1),
    started_at=NOON + timedelta(seconds=2),
    live_input=INPUT,
)
ENDED = replace(LIVE, state=State.ENDED, ended_at=NOON + timedelta(seconds=62), clean_seconds=60)
PAID = Payment("CONFIRMED", 60, 51_000, 9_000, "0xab", NOON)
WINDOW = Window(Reason.NETWORK_ERROR, NOON, NOON + timedelta(seconds=4))
DARK = PictureFault(Fault.BLACK, NOON, NOON + timedelta(seconds=4))
FACTS_OF = {
    Kind.SESSION_STATE: without_urls(LIVE),
    Kind.WINDOW_OPENED: replace(WINDOW, closed_at=None),
    Kind.WINDOW_CLOSED: WINDOW,
    Kind.SETTLEMENT_STATE: PAID,
    Kind.TELEMETRY_SAMPLE: Fix(1.5, 2.5, 3, None),
    Kind.VIDEO_CONNECTED: Video(INPUT.uid),
    Kind.VIDEO_DISCONNECTED: Video(INPUT.uid),
    Kind.QUALITY_DEGRADED: replace(DARK, closed_at=None),
    Kind.QUALITY_RESTORED: DARK,
}


def event(kind: Kind, facts: domain.Facts, live_input: LiveInput | None = None) -> Event:
    return Event(7, 9, kind, SESSION, CONSUMER, OPERATOR, NOON, facts, live_input)


EXAMPLES: list[News] = [
    *(event(kind, facts) for kind, facts in FACTS_OF.items()),
    reading(LIVE, [WINDOW], NOON + timedelta(seconds=10)),
    Ready(5, NOON),
    Command(SESSION, SESSION, OPERATOR, {"command": "stop"}, NOON, NOON + timedelta(seconds=2)),
    Reset(NOON),
    End(SESSION, NOON),
]


@pytest.mark.parametrize("news", EXAMPLES, ids=lambda one: getattr(one, "kind", type(one).__name__))
def test_each_event_is_what_its_name_says(news: News) -> None:
    named = Named.of(news, CONSUMER)
    data: dict[str, Any] = json.loads(encode(named.data))
    assert convert(data, EVENTS[named.name]) == named.data
    assert data["at"].endswith("Z")
    if not isinstance(news, Ready | Reset):
        assert data["sessionId"] == str(SESSION)
    resumable = isinstance(news, Event | Ready)
    assert named.id == (None if not resumable else str(news.position))


def test_every_event_has_a_name_and_a_type() -> None:
    assert set(FACTS_OF) == set(FACTS) == set(Kind)
    assert {type(news) for news in EXAMPLES} == set(get_args(News))
    assert {Named.of(news, CONSUMER).name for news in EXAMPLES} == set(EVENTS)


@pytest.mark.parametrize(
    ("facts", "live_input", "viewer", "urls"),
    [
        (LIVE, INPUT, CONSUMER, {"whepUrl": INPUT.whep_url}),
        (LIVE, INPUT, OPERATOR, {"whepUrl": INPUT.whep_url, "whipUrl": INPUT.whip_url}),
        (LIVE, None, OPERATOR, {}),
        (replace(LIVE, state=State.ASSIGNED), INPUT, OPERATOR, {}),
        (ENDED, INPUT, OPERATOR, {}),
    ],
)
def test_urls_are_for_those_who_may_use_them(
    facts: Session, live_input: LiveInput | None, viewer: UUID, urls: dict[str, str]
) -> None:
    named = Named.of(event(Kind.SESSION_STATE, without_urls(facts), live_input), viewer)
    session = json.loads(encode(named.data))["session"]
    assert {name: session[name] for name in ("whepUrl", "whipUrl") if name in session} == urls
    assert session["videoBackendRef"] == INPUT.uid


@pytest.mark.parametrize("text", ["", "-1", "1.0", " 1", "1e3", "٣", "1" * 19, "1\n"])
def test_an_id_is_a_position(text: str) -> None:
    assert parse_position("0") == 0
    assert parse_position("9" * 18) == 10**18 - 1
    with pytest.raises(InvalidInput, match="events:lastEventId"):
        parse_position(text)


@pytest.mark.parametrize(
    ("session", "payment", "expected"),
    [
        (LIVE, None, False),
        (ENDED, None, False),
        (ENDED, replace(PAID, state="SUBMITTED"), False),
        (ENDED, PAID, True),
        (replace(LIVE, state=State.CANCELLED, started_at=None, ended_at=NOON), None, True),
        (replace(LIVE, state=State.EXPIRED, ended_at=NOON), None, False),
    ],
)
def test_a_session_is_over_when_it_is_paid_or_owes_nothing(
    session: Session, payment: Payment | None, *, expected: bool
) -> None:
    assert over(session, payment) is expected


def test_how_things_stand_is_told_without_places_in_the_log() -> None:
    begun = replace(WINDOW, closed_at=None)
    events = told(Standing(LIVE, [WINDOW, begun], None, 12, frozenset()))
    assert [(one.kind, one.facts) for one in events] == [
        (Kind.SESSION_STATE, without_urls(LIVE)),
        (Kind.WINDOW_OPENED, begun),
    ]
    assert [one.position for one in events] == [None, None]
    assert events[0].live_input == INPUT
    events = told(Standing(ENDED, [WINDOW], PAID, 12, frozenset()))
    assert [one.kind for one in events] == [Kind.SESSION_STATE, Kind.SETTLEMENT_STATE]
    assert events[0].live_input is None
