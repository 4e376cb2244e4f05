"""The session's state machine as pure functions: whatever is tried in whatever order, it stays lawful."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from marketplace import FEE_BPS, GRAND_PLACE, NOON
from oracle import count_milliseconds, spans

from luxxon_core.kernel.errors import InvalidState
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import OPEN, TERMINAL, Session, State, Terms
from luxxon_core.telemetry.domain import Reason, Window

CONSUMER, OPERATOR = UUID(int=1), UUID(int=2)

LAWFUL = {
    (State.REQUESTED, State.ASSIGNED),
    (State.REQUESTED, State.CANCELLED),
    (State.REQUESTED, State.EXPIRED),
    (State.ASSIGNED, State.LIVE),
    (State.ASSIGNED, State.CANCELLED),
    (State.ASSIGNED, State.EXPIRED),
    (State.LIVE, State.ENDED),
    (State.LIVE, State.EXPIRED),
}
"""The arrows of api-contract §7."""

ALLOWED = {
    "accept": {State.REQUESTED},
    "dispatch": {State.REQUESTED},
    "start": {State.ASSIGNED, State.LIVE},
    "live": {State.ASSIGNED},
    "end": {State.LIVE},
    "cancel": {State.REQUESTED, State.ASSIGNED},
    "cancelAll": {State.ASSIGNED},
}


class SessionMachine(RuleBasedStateMachine):
    @initialize(
        rate=st.integers(1, 10**6),
        max_s=st.integers(1, 90),
        wait_s=st.integers(5, 60),
        begin=st.sampled_from([0, 1, 2, 2, 2]),
    )
    def create(self, rate: int, max_s: int, wait_s: int, begin: int) -> None:
        """Begin anywhere on the way to LIVE: chance alone seldom gets there."""
        self.now = NOON
        self.terms = Terms(rate, max_s, wait_s, FEE_BPS, 500.0)
        self.session = Session(UUID(int=9), CONSUMER, GRAND_PLACE, self.terms, NOON)
        self.history = [self.session]
        self.windows: list[Window] = []
        for step in (self.accept, self.first_frame)[:begin]:
            step()

    def attempt(self, operation: str, step: Callable[[], Session], allowed: set[State]) -> None:
        """The step is taken in an allowed state; in any other it is refused by name and changes nothing."""
        before = self.session
        if before.state in allowed:
            self.session = step()
            assert (before.state, self.session.state) in LAWFUL
            self.history.append(self.session)
            return
        with pytest.raises(InvalidState) as refused:
            step()
        assert refused.value.detail == f"session:{operation}:{before.state}"
        assert self.session == before

    @rule(milliseconds=st.one_of(st.integers(0, 5_000), st.integers(0, 90).map(lambda s: s * 1000)))
    def time_passes(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    @rule()
    def accept(self) -> None:
        self.attempt("accept", lambda: domain.assign(self.session, OPERATOR, self.now), ALLOWED["accept"])

    @rule()
    def dispatch(self) -> None:
        self.attempt(
            "dispatch",
            lambda: domain.assign(self.session, OPERATOR, self.now, operation="dispatch"),
            ALLOWED["dispatch"],
        )

    @rule()
    def start(self) -> None:
        if self.session.state in ALLOWED["start"]:
            domain.check_start(self.session)
            return
        with pytest.raises(InvalidState, match=f"session:start:{self.session.state}"):
            domain.check_start(self.session)

    @rule()
    def first_frame(self) -> None:
        self.attempt("live", lambda: domain.go_live(self.session, self.now), ALLOWED["live"])

    @rule()
    def end(self) -> None:
        self.attempt("end", lambda: domain.end(self.session, self.now, self.windows), ALLOWED["end"])

    @rule()
    def cancel(self) -> None:
        self.attempt("cancel", lambda: domain.cancel(self.session, self.now), ALLOWED["cancel"])

    @rule()
    def give_back(self) -> None:
        self.attempt(
            "cancel", lambda: domain.cancel(self.session, self.now, operator=True), ALLOWED["cancelAll"]
        )

    @rule()
    def sweep(self) -> None:
        """As the worker does it: by what the clock says; too early is refused like a wrong state."""
        before = self.session
        if before.state is State.LIVE:
            assert before.started_at is not None
            deadline = before.started_at + timedelta(seconds=self.terms.max_duration_s)
            step: Callable[[], Session] = lambda: domain.expire_live(before, self.now, self.windows)  # noqa: E731
        else:
            deadline = before.created_at + timedelta(seconds=self.terms.wait_timeout_s)
            step = lambda: domain.expire_waiting(before, self.now)  # noqa: E731
        if before.state in OPEN and self.now > deadline:
            self.attempt("expire", step, {before.state})
            return
        with pytest.raises(InvalidState, match="session:expire:"):
            step()

    @precondition(lambda self: self.session.state is State.LIVE)
    @rule(reason=st.sampled_from(Reason), late_ms=st.integers(0, 40_000))
    def window_opens(self, reason: Reason, late_ms: int) -> None:
        """At most one of a reason is open; the loss may be noticed late, but never lies before the start."""
        if any(w.reason is reason and w.closed_at is None for w in self.windows):
            return
        assert self.session.started_at is not None
        opened_at = max(self.now - timedelta(milliseconds=late_ms), self.session.started_at)
        self.windows.append(Window(reason, opened_at))

    @precondition(lambda self: self.session.state is State.LIVE)
    @rule(reason=st.sampled_from(Reason))
    def window_closes(self, reason: Reason) -> None:
        self.windows = [
            replace(w, closed_at=self.now) if w.reason is reason and w.closed_at is None else w
            for w in self.windows
        ]

    @invariant()
    def terms_never_change(self) -> None:
        first, last = self.history[0], self.session
        assert (last.terms, last.created_at, last.requested) == (
            first.terms,
            first.created_at,
            first.requested,
        )

    @invariant()
    def terminal_is_final(self) -> None:
        assert all(one.state not in TERMINAL for one in self.history[:-1])

    @invariant()
    def the_meter_starts_with_the_first_frame_alone(self) -> None:
        states = [one.state for one in self.history]
        assert (self.session.started_at is not None) == (State.LIVE in states)
        if self.session.started_at is not None:
            assert self.session.started_at == next(
                one.started_at for one in self.history if one.state is State.LIVE
            )
            assert self.session.assigned_at is not None
            assert self.session.assigned_at <= self.session.started_at

    @invariant()
    def an_end_is_there_when_it_is_over_and_is_capped(self) -> None:
        session = self.session
        assert (session.ended_at is not None) == (session.state in TERMINAL)
        if session.ended_at is None:
            return
        assert session.created_at <= session.ended_at <= self.now
        if session.started_at is not None:
            limit = session.started_at + timedelta(seconds=self.terms.max_duration_s)
            assert session.started_at <= session.ended_at <= limit

    @invariant()
    def only_a_metered_session_charges_and_it_charges_exactly(self) -> None:
        session = self.session
        if not session.metered:
            assert (session.clean_seconds, session.charged_uusdc) == (0, 0)
            return
        assert session.started_at is not None
        assert session.ended_at is not None
        expected = count_milliseconds(
            session.started_at,
            session.ended_at,
            spans(self.windows),
            self.terms.max_duration_s,
            self.terms.rate_uusdc,
        )
        assert (session.clean_seconds, session.charged_uusdc) == expected[2:]
        assert 0 <= session.charged_uusdc <= self.terms.hold_uusdc

    @invariant()
    def an_operator_is_there_from_assignment_on(self) -> None:
        assigned = any(one.state is State.ASSIGNED for one in self.history)
        assert (self.session.operator_workspace_id is not None) == assigned
        assert (self.session.assigned_at is not None) == assigned

    @invariant()
    def nothing_reaches_the_reserved_state(self) -> None:
        assert self.session.state is not State.PAUSED


SessionMachine.TestCase.settings = settings(deadline=None, max_examples=250, stateful_step_count=40)
TestSessionMachine = SessionMachine.TestCase


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(None, 300), (-1, 5), (0, 5), (4.9, 5), (5, 5), (12.7, 12), (3600, 3600), (1e300, 3600)],
)
def test_a_wait_is_clamped(asked: float | None, kept: int) -> None:
    assert domain.clamp_wait(asked) == kept


@pytest.mark.parametrize("seconds", [1, 86_400])
def test_a_duration_within_a_day_is_kept(seconds: int) -> None:
    assert domain.check_duration(seconds) == seconds


@pytest.mark.parametrize("seconds", [0, -5, 86_401, 10**30])
def test_a_senseless_duration_is_refused(seconds: int) -> None:
    with pytest.raises(domain.InvalidInput) as refused:
        domain.check_duration(seconds)
    assert refused.value.detail == "session:maxDurationSeconds"


@pytest.mark.parametrize("late_ms", [0, 1])
def test_a_deadline_itself_is_still_in_time(late_ms: int) -> None:
    """``createdAt + waitTimeoutSeconds < now``: strictly (api-contract §7)."""
    session = Session(UUID(int=9), CONSUMER, GRAND_PLACE, Terms(1, 60, 5, FEE_BPS, 500.0), NOON)
    live = replace(session, state=State.LIVE, operator_workspace_id=OPERATOR, started_at=NOON)

    def swept(one: Session, now: datetime) -> State:
        try:
            step = domain.expire_live(one, now, []) if one.started_at else domain.expire_waiting(one, now)
        except InvalidState:
            return one.state
        return step.state

    late = timedelta(milliseconds=late_ms)
    assert swept(session, NOON + timedelta(seconds=5) + late) is (
        State.EXPIRED if late_ms else State.REQUESTED
    )
    assert swept(live, NOON + timedelta(seconds=60) + late) is (State.EXPIRED if late_ms else State.LIVE)
