"""The use cases on the real database against a model, through any history: dispatch, accept, start, media,
heartbeats, outages, restarts, sweeps and ends in any order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from marketplace import FEE_BPS, GEOFENCE_M, GRAND_PLACE, RATE
from model import Known, Refusal, Tenant
from oracle import destination, great_circle_m
from steps import Steps

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.kernel.errors import (
    Conflict,
    InsufficientCredit,
    InvalidState,
    NotAuthorized,
    VideoError,
)
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.money import split
from luxxon_core.media.domain import Fault, MediaEvent, MediaEventKind
from luxxon_core.telemetry.domain import Reason, Sample
from luxxon_core.workspaces.domain import Patch, Role

T = TypeVar("T")
AIRPORT = destination(GRAND_PLACE, 60, 12_000)
ELSEWHERE = Point(-33.86, 151.21)
NEAR, FAR = destination(GRAND_PLACE, 10, 480), destination(GRAND_PLACE, 10, 520)
MAX_SESSIONS = 8
FAULTS = (MediaEventKind.FAULT_BEGAN, MediaEventKind.FAULT_ENDED)
some = st.integers(0, 15)


class MarketplaceMachine(Steps, RuleBasedStateMachine):
    # -- the stage --------------------------------------------------------------------------------

    @initialize(
        first=st.lists(
            st.tuples(st.integers(0, 1), st.none() | some, st.integers(5, 60)), min_size=1, max_size=3
        )
    )
    def open_the_market(self, first: list[tuple[int, int | None, int]]) -> None:
        both = (Role.CONSUMER, Role.SUPPLIER)
        for roles, circle in (
            ((Role.CONSUMER,), None),
            (both, Circle(GRAND_PLACE, 1000)),
            ((Role.SUPPLIER,), Circle(GRAND_PLACE, 50_000)),
            ((Role.SUPPLIER,), Circle(AIRPORT, 800)),
        ):
            made = self.run(self.market.workspace(*roles, coverage=circle))
            self.model.tenants.append(Tenant(made.id, circle))
            if circle is not None:
                self.set_availability(len(self.model.tenants) - 1, "ONLINE")
        for pick, by, max_s in first:
            self.come_some_way(pick, by, max_s, 3)

    @rule(milliseconds=st.one_of(st.integers(0, 4_000), st.integers(0, 40).map(lambda s: s * 1000)))
    def time_passes(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    @rule(pick=some, wish=st.sampled_from(["ONLINE", "ONLINE", "OFFLINE"]))
    def set_availability(self, pick: int, wish: str) -> None:
        tenant, now = self.tenant(pick), self.tick()
        refusal = None if tenant.supplies else (NotAuthorized, "session:notSupplier")
        patch = Patch(availability=wish)
        self.attempt(self.market.tenants.update(tenant.id, patch, now), refusal)
        if refusal is not None:
            return
        if tenant.availability == "BUSY":
            tenant.wished = wish
            return
        if wish == "OFFLINE":
            tenant.idle_since = None
        else:
            tenant.idle_since = tenant.idle_since if tenant.availability == "ONLINE" else now
            tenant.last_seen = now
        tenant.availability = wish

    # -- requests ---------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.sessions) < MAX_SESSIONS)
    @rule(
        pick=st.sampled_from([0, 0, 1, 1, 2]),
        point=st.sampled_from([GRAND_PLACE, GRAND_PLACE, AIRPORT, ELSEWHERE]),
        max_s=st.integers(1, 60),
        wait_s=st.integers(5, 90),
        spare=st.sampled_from([0, 0, 10**9, -1]),
    )
    def create(self, pick: int, point: Point, max_s: int, wait_s: int, spare: int) -> None:
        tenant, now = self.tenant(pick), self.tick()
        committed = sum(one.committed for one in self.model.sessions if one.consumer is tenant)
        self.market.pools.balance = committed + RATE * max_s + spare
        self.run(self.market.pools.pool_of(str(tenant.id), fresh=True))  # a block later: it may have shrunk
        refusal: Refusal | None = None
        if pick == 2:
            refusal = (NotAuthorized, "session:notConsumer")
        elif spare < 0:
            refusal = (InsufficientCredit, "session:holds" if committed else "session:insufficientCredit")
        made = self.attempt(self.market.sessions.create(tenant.id, point, max_s, wait_s, now), refusal)
        if made is not None:
            self.model.sessions.append(Known(made.id, tenant, point, now, max_s, wait_s, RATE))

    @precondition(lambda self: self.model.sessions)
    @rule(pick=some, by=st.none() | some, stranger=st.sampled_from([False, False, False, True]))
    def assign(self, pick: int, by: int | None, stranger: bool) -> None:
        if by is None:
            self.dispatch(pick, stranger)
        else:
            self.accept(pick, by)

    @precondition(lambda self: len(self.model.sessions) < MAX_SESSIONS)
    @rule(
        pick=st.integers(0, 1),
        by=st.none() | some,
        max_s=st.integers(1, 60),
        steps=st.sampled_from([1, 2, 3, 3, 3]),
    )
    def come_some_way(self, pick: int, by: int | None, max_s: int, steps: int) -> None:
        """Request, assign, start, first frame: the way to LIVE that chance alone seldom finds."""
        self.create(pick, GRAND_PLACE, max_s, 60, 0)
        latest = len(self.model.sessions) - 1
        if by is None:
            self.dispatch(2 * latest + 1, False)
        else:
            self.accept(2 * latest + 1, by)
        if steps > 1:
            self.start(2 * latest + 1, None)
        if steps > 2 and self.model.sessions[latest].uid is not None:
            started = [session for session in self.model.sessions if session.uid is not None]
            self.media(started.index(self.model.sessions[latest]), MediaEventKind.FIRST_FRAME, 0)

    # -- media ------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.sessions)
    @rule(pick=some, by=st.none() | some)
    def start(self, pick: int, by: int | None) -> None:
        """By its operator, or by anyone."""
        session, now = self.session(pick, "ASSIGNED"), self.tick()
        tenant = self.tenant(by) if by is not None else session.operator or self.tenant(pick)
        refusal: Refusal | None = None
        if session.operator is not None and session.operator is not tenant:
            refusal = (NotAuthorized, "session:notOperator")
        elif session.state not in ("ASSIGNED", "LIVE"):
            refusal = (InvalidState, f"session:start:{session.state}")
        elif session.uid is None and self.market.edge.unreachable:
            refusal = (VideoError, "edge:unreachable")
        started = self.attempt(self.market.sessions.start(session.id, tenant.id, now), refusal)
        if started is None:
            return
        assert started.live_input is not None
        assert started.state == session.state
        if session.uid is None:
            session.uid = started.live_input.uid
            self.model.occupy(tenant)
        assert started.live_input.uid == session.uid

    @precondition(lambda self: any(session.uid for session in self.model.sessions))
    @rule(
        pick=some,
        kind=st.sampled_from([MediaEventKind.FIRST_FRAME, *MediaEventKind]),
        late_ms=st.integers(0, 8_000),
    )
    def media(self, pick: int, kind: MediaEventKind, late_ms: int) -> None:
        """An event of the edge, perhaps of a live input that is gone."""
        started = [session for session in self.model.sessions if session.uid is not None]
        session, now = started[pick % len(started)], self.tick()
        assert session.uid is not None
        happened = now - timedelta(milliseconds=late_ms)
        fault = Fault.FROZEN if kind in FAULTS else None
        self.run(self.market.sessions.on_media(MediaEvent(kind, session.uid, happened, fault), now))
        if session.torn_down:
            return
        if kind is MediaEventKind.DISCONNECTED:
            session.lose(Reason.NETWORK_ERROR, happened)
            return
        if kind in FAULTS:
            return  # what is wrong with the picture is no concern of the meter
        if kind is MediaEventKind.FIRST_FRAME and session.state == "ASSIGNED":
            session.state, session.started_at = "LIVE", now
        session.regain(Reason.NETWORK_ERROR, happened)

    def publisher_is_lost(self, pick: int) -> None:
        live = [session for session in self.model.sessions if session.state == "LIVE"]
        if live:
            started = [session for session in self.model.sessions if session.uid is not None]
            self.media(started.index(live[pick % len(live)]), MediaEventKind.DISCONNECTED, pick * 300)

    @precondition(lambda self: self.model.sessions)
    @rule(what=st.sampled_from(["outage", "outage", "restart", "lost", "lost"]), pick=some)
    def trouble(self, what: str, pick: int) -> None:
        if what == "outage":
            self.edge_fails_or_comes_back()
        elif what == "restart":
            self.restart()
        else:
            self.publisher_is_lost(pick)

    # -- telemetry --------------------------------------------------------------------------------

    @rule(
        pick=some,
        point=st.sampled_from([GRAND_PLACE, NEAR, FAR, AIRPORT]),
        accuracy=st.sampled_from([5.0, 100.0, 100.5]),
        step=st.sampled_from([1, 1, 7, 0, -3]),
        named=st.none() | some,
    )
    def heartbeat(self, pick: int, point: Point, accuracy: float, step: int, named: int | None) -> None:
        tenant, now = self.tenant(pick), self.tick()
        sequence = max(tenant.sequence, 0) + step
        live = [s for s in self.model.sessions if s.operator is tenant and s.state == "LIVE"]
        session_id: UUID | None = None
        if named is not None and self.model.sessions:
            session_id = self.session(named).id
        refusal: Refusal | None = None
        if not tenant.supplies:
            refusal = (NotAuthorized, "session:notSupplier")
        elif sequence <= tenant.sequence:
            refusal = (Conflict, "heartbeat:sequence")
        sample = Sample(point, accuracy, sequence, now)
        self.attempt(self.market.telemetry.heartbeat(tenant.id, sample, session_id), refusal)
        if refusal is not None:
            return
        tenant.sequence, tenant.last_seen = sequence, now
        for session in live:  # the operator's device is alive for all of them
            session.regain(Reason.STALE_TELEMETRY, now)
            if accuracy <= 100 and session_id in (None, session.id):
                outside = great_circle_m(session.point, point) > GEOFENCE_M
                (session.lose if outside else session.regain)(Reason.OUTSIDE_GEOFENCE, now)

    # -- ends -------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.sessions)
    @rule(which=st.sampled_from(["deadlines", "deadlines", "stale", "torn down"]))
    def job_runs(self, which: str) -> None:
        jobs = {"deadlines": self.sweep, "stale": self.sweep_stale, "torn down": self.sweep_torn_down}
        jobs[which]()

    @precondition(lambda self: self.model.sessions)
    @rule(
        pick=some,
        how=st.sampled_from(["end", "end", "cancel", "cancel all"]),
        side=st.sampled_from(["consumer", "operator", "stranger"]),
    )
    def somebody_stops(self, pick: int, how: str, side: str) -> None:
        if how == "end":
            self.end(pick, side)
        elif how == "cancel":
            self.cancel(pick)
        else:
            self.cancel_all_assignments(pick)

    # -- what holds after every step --------------------------------------------------------------

    @invariant()
    def sessions_are_as_the_model_says(self) -> None:
        rows = self.run(self.market.rows("select * from session order by created_at"))
        assert [
            (
                row["id"],
                row["state"],
                row["operator_workspace_id"],
                row["dispatched"],
                row["started_at"],
                row["ended_at"],
                row["clean_seconds"],
                row["charged_uusdc"],
            )
            for row in rows
        ] == [
            (
                session.id,
                session.state,
                session.operator and session.operator.id,
                session.dispatched,
                session.started_at,
                session.ended_at,
                session.clean,
                session.charged,
            )
            for session in self.model.sessions
        ]

    @invariant()
    def suppliers_are_as_the_model_says(self) -> None:
        rows = self.run(
            self.market.rows("select id, availability, wished_availability, idle_since from workspace")
        )
        assert {tuple(row) for row in rows} == {
            (tenant.id, tenant.availability, tenant.wished, tenant.idle_since)
            for tenant in self.model.tenants
        }

    @invariant()
    def a_supplier_is_busy_exactly_while_held(self) -> None:
        for tenant in self.model.tenants:
            held = any(one.operator is tenant and one.holds_operator for one in self.model.sessions)
            assert (tenant.availability == "BUSY") == held

    @invariant()
    def windows_are_as_the_model_says(self) -> None:
        rows = self.run(
            self.market.rows("select session_id, reason, opened_at, closed_at from disconnect_window")
        )
        assert sorted(map(str, map(tuple, rows))) == sorted(
            str((session.id, loss.reason.value, loss.opened_at, loss.closed_at))
            for session in self.model.sessions
            for loss in session.losses
        )
        over = {session.id for session in self.model.sessions if not session.open}
        assert not [row for row in rows if row["closed_at"] is None and row["session_id"] in over]

    @invariant()
    def exactly_the_metered_sessions_are_settled_once(self) -> None:
        rows = self.run(self.market.rows("select * from settlement"))
        assert sorted(
            (row["session_id"], row["chargeable_seconds"], row["to_amount_uusdc"], row["fee_amount_uusdc"])
            for row in rows
        ) == sorted(
            (session.id, session.clean, *split(session.charged, FEE_BPS))
            for session in self.model.sessions
            if session.metered
        )
        assert all((row["state"] == "CONFIRMED") == (row["chargeable_seconds"] == 0) for row in rows)

    @invariant()
    def the_edge_serves_what_is_open(self) -> None:
        served = set(self.market.edge.served)
        open_uids = {s.uid for s in self.model.sessions if s.uid is not None and s.open}
        gone = {s.uid for s in self.model.sessions if s.torn_down}
        assert open_uids <= served
        assert not served & gone


def test_any_history_leaves_the_database_as_the_model_says(dsn: str) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(Database.connect(dsn, min_size=1, max_size=3))
        tables = "settlement, live_input, disconnect_window, session, workspace"

        def machine() -> MarketplaceMachine:
            made = MarketplaceMachine(runner, database)
            made.run(made.market.rows(f"truncate {tables} cascade"))
            return made

        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    deadline=None,
                    max_examples=35,
                    stateful_step_count=60,
                    suppress_health_check=list(HealthCheck),
                    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
                ),
            )
        finally:
            runner.run(database.close())
