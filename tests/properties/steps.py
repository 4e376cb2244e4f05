"""Single steps, each taken by the use cases and by the model alike."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from marketplace import NOON, Marketplace
from model import Known, Model, Refusal, Tenant

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.kernel.errors import (
    InvalidState,
    NoCoverage,
    NotAuthorized,
    OutsideCoverage,
)
from luxxon_core.telemetry.domain import Reason

T = TypeVar("T")


class Steps:
    """Does to the marketplace and to the model what its name says, and compares what can be compared."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner, self.market, self.model, self.now = runner, Marketplace(database), Model(), NOON

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def attempt(self, work: Coroutine[Any, Any, T], refusal: Refusal | None) -> T | None:
        """Run it; where the model refuses, it must be refused with the same class and detail."""
        if refusal is None:
            return self.run(work)
        with pytest.raises(refusal[0]) as caught:
            self.run(work)
        assert (type(caught.value), getattr(caught.value, "detail", None)) == refusal
        return None

    def tick(self) -> datetime:
        """No two things happen at once here; races have tests of their own."""
        self.now += timedelta(milliseconds=873)
        return self.now

    def session(self, pick: int, likely: str | None = None) -> Known:
        """Any session; for an even ``pick`` one in the ``likely`` state, if there is any."""
        fitting = [session for session in self.model.sessions if session.state == likely]
        among = fitting if fitting and pick % 2 == 0 else self.model.sessions
        return among[pick // 2 % len(among)]

    def tenant(self, pick: int) -> Tenant:
        return self.model.tenants[pick % len(self.model.tenants)]

    def torn_down(self, session: Known) -> None:
        if session.uid is not None and not self.market.edge.unreachable:
            session.torn_down = True

    def dispatch(self, pick: int, stranger: bool) -> None:
        session, now = self.session(pick, "REQUESTED"), self.tick()
        candidates = self.model.candidates(session.point)
        refusal: Refusal | None = None
        if stranger:
            refusal = (NotAuthorized, "session:notConsumer")
        elif session.state != "REQUESTED":
            refusal = (InvalidState, f"session:dispatch:{session.state}")
        elif not candidates:
            refusal = (NoCoverage, "session:dispatch")
        by = uuid4() if stranger else session.consumer.id
        self.attempt(self.market.dispatch(session.id, by, now), refusal)
        if refusal is None:
            session.state, session.operator, session.dispatched = "ASSIGNED", candidates[0], True
            candidates[0].availability = "BUSY"

    def accept(self, pick: int, by: int) -> None:
        session, tenant, now = self.session(pick, "REQUESTED"), self.tenant(by), self.tick()
        refusal: Refusal | None = None
        if not tenant.supplies:
            refusal = (NotAuthorized, "session:notSupplier")
        elif not tenant.covers(session.point):
            refusal = (OutsideCoverage, "session:outsideCoverage")
        elif session.state != "REQUESTED":
            refusal = (InvalidState, f"session:accept:{session.state}")
        self.attempt(self.market.sessions.accept(session.id, tenant.id, now), refusal)
        if refusal is None:
            session.state, session.operator = "ASSIGNED", tenant

    def edge_fails_or_comes_back(self) -> None:
        self.market.edge.unreachable = not self.market.edge.unreachable

    def sweep_torn_down(self) -> None:
        left = [s for s in self.model.sessions if s.uid is not None and not s.torn_down and not s.open]
        told = self.run(self.market.sessions.sweep_torn_down(self.tick()))
        assert told == (0 if self.market.edge.unreachable else len(left))
        for session in left:
            self.torn_down(session)

    def restart(self) -> None:
        """A new process: the edge has forgotten everything and is given back what it must serve."""
        self.market.edge.served.clear()
        now = self.tick()
        served = [s for s in self.model.sessions if s.uid is not None and s.state in ("ASSIGNED", "LIVE")]
        assert self.run(self.market.sessions.restore(now)) == len(served)
        assert set(self.market.edge.served) == {session.uid for session in served}
        for session in served:
            session.lose(Reason.NETWORK_ERROR, now)

    def sweep_stale(self) -> None:
        """Only who sent a heartbeat in this session can go stale, 25 s after the last one."""
        now, opened = self.tick(), 0
        for session in self.model.sessions:
            operator = session.operator
            if session.state != "LIVE" or operator is None or operator.sequence < 0:
                continue
            seen = operator.last_seen
            assert seen is not None
            assert session.started_at is not None
            stale_at = seen + timedelta(seconds=25)
            if session.started_at <= seen and stale_at < now and not session.losing(Reason.STALE_TELEMETRY):
                session.lose(Reason.STALE_TELEMETRY, stale_at)
                opened += 1
        assert self.run(self.market.telemetry.sweep_stale(now)) == opened

    def end(self, pick: int, side: str) -> None:
        session, now = self.session(pick, "LIVE"), self.tick()
        by = session.consumer if side == "consumer" else session.operator
        refusal: Refusal | None = None
        if side == "stranger" or by is None:
            refusal = (NotAuthorized, "session:viewDenied")
        elif session.state != "LIVE":
            refusal = (InvalidState, f"session:end:{session.state}")
        caller = uuid4() if side == "stranger" or by is None else by.id
        self.attempt(self.market.sessions.end(session.id, caller, now), refusal)
        if refusal is None:
            self.model.finish(session, "ENDED", now)
            self.torn_down(session)

    def cancel(self, pick: int) -> None:
        session, now = self.session(pick), self.tick()
        allowed = session.state in ("REQUESTED", "ASSIGNED")
        refusal = None if allowed else (InvalidState, f"session:cancel:{session.state}")
        self.attempt(self.market.sessions.cancel(session.id, session.consumer.id, now), refusal)
        if refusal is None:
            self.model.finish(session, "CANCELLED", now)
            self.torn_down(session)

    def cancel_all_assignments(self, pick: int) -> None:
        tenant, now = self.tenant(pick), self.tick()
        mine = [s for s in self.model.sessions if s.operator is tenant and s.state == "ASSIGNED"]
        cancelled = self.run(self.market.sessions.cancel_all(tenant.id, now))
        assert cancelled == [session.id for session in mine]
        for session in mine:
            self.model.finish(session, "CANCELLED", now)
            self.torn_down(session)

    def sweep(self) -> None:
        now = self.tick()
        late = [
            session
            for session in self.model.sessions
            if (session.state in ("REQUESTED", "ASSIGNED") and session.waited_out_at < now)
            or (session.state == "LIVE" and session.run_out_at < now)
        ]
        assert self.run(self.market.sessions.sweep(now)) == len(late)
        for session in late:
            self.model.finish(session, "EXPIRED", now)
            self.torn_down(session)
