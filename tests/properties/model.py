"""What the marketplace should be after any history, kept in plain Python beside the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from oracle import count_milliseconds, great_circle_m

from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.telemetry.domain import Reason

Refusal = tuple[type[Exception], str | None]


@dataclass
class Tenant:
    id: UUID
    circle: Circle | None
    availability: str = "OFFLINE"
    wished: str | None = None
    idle_since: datetime | None = None
    last_seen: datetime | None = None
    sequence: int = -1

    @property
    def supplies(self) -> bool:
        return self.circle is not None

    def covers(self, point: Point) -> bool:
        return self.circle is not None and great_circle_m(self.circle.center, point) <= self.circle.radius_m


@dataclass
class Loss:
    reason: Reason
    opened_at: datetime
    closed_at: datetime | None = None


@dataclass
class Known:
    """A session as the model knows it."""

    id: UUID
    consumer: Tenant
    point: Point
    created_at: datetime
    max_s: int
    wait_s: int
    rate: int
    state: str = "REQUESTED"
    operator: Tenant | None = None
    dispatched: bool = False
    uid: str | None = None
    torn_down: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    losses: list[Loss] = field(default_factory=list)
    clean: int = 0
    charged: int = 0

    @property
    def open(self) -> bool:
        return self.state in ("REQUESTED", "ASSIGNED", "LIVE")

    @property
    def metered(self) -> bool:
        return not self.open and self.started_at is not None

    @property
    def committed(self) -> int:
        """What is spoken for: the hold while open, then the charge, as nobody pays here."""
        return self.rate * self.max_s if self.open else self.charged

    @property
    def holds_operator(self) -> bool:
        started = self.uid is not None and not self.torn_down
        return self.state == "LIVE" or (self.state == "ASSIGNED" and (self.dispatched or started))

    @property
    def waited_out_at(self) -> datetime:
        return self.created_at + timedelta(seconds=self.wait_s)

    @property
    def run_out_at(self) -> datetime:
        assert self.started_at is not None
        return self.started_at + timedelta(seconds=self.max_s)

    def lose(self, reason: Reason, at: datetime) -> None:
        if self.state == "LIVE" and not self.losing(reason):
            assert self.started_at is not None
            self.losses.append(Loss(reason, max(at, self.started_at)))

    def regain(self, reason: Reason, at: datetime) -> None:
        if (loss := self.losing(reason)) is not None:
            loss.closed_at = max(at, loss.opened_at)

    def losing(self, reason: Reason) -> Loss | None:
        return next((loss for loss in self.losses if loss.reason is reason and loss.closed_at is None), None)


@dataclass
class Model:
    tenants: list[Tenant] = field(default_factory=list)
    sessions: list[Known] = field(default_factory=list)

    def candidates(self, point: Point) -> list[Tenant]:
        """ONLINE suppliers that cover the point, longest idle first."""
        found = [t for t in self.tenants if t.availability == "ONLINE" and t.covers(point)]
        return sorted(found, key=lambda t: (t.idle_since is not None, t.idle_since, t.id))

    def occupy(self, tenant: Tenant) -> None:
        if tenant.availability == "OFFLINE":
            tenant.wished = "OFFLINE"
        tenant.availability = "BUSY"

    def release(self, tenant: Tenant, now: datetime) -> None:
        held = any(one.operator is tenant and one.holds_operator for one in self.sessions)
        if tenant.availability != "BUSY" or held:
            return
        tenant.availability, tenant.wished = tenant.wished or "ONLINE", None
        tenant.idle_since = now if tenant.availability == "ONLINE" else None

    def finish(self, session: Known, state: str, now: datetime) -> None:
        if session.state == "LIVE":
            assert session.started_at is not None
            session.ended_at = min(now, session.run_out_at)
            spans = [(loss.opened_at, loss.closed_at) for loss in session.losses]
            reading = count_milliseconds(
                session.started_at, session.ended_at, spans, session.max_s, session.rate
            )
            session.clean, session.charged = reading.clean_seconds, reading.charged_uusdc
            for reason in Reason:
                session.regain(reason, session.ended_at)
        else:
            session.ended_at = now
        session.state = state
        if session.operator is not None:
            self.release(session.operator, now)
