"""Webhooks, deliveries, and what follows from an attempt to deliver.

A delivery is PENDING until it SUCCEEDED or FAILED and is not attempted any more; only the success of an
attempt that was under way when it was given up still counts. Deliveries of one lane, which is a session, are
attempted one by one in their order: a later one waits until the earlier one is no longer PENDING.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from uuid import UUID

from luxxon_core.events.domain import Kind
from luxxon_core.kernel.errors import InvalidInput

MOST_WEBHOOKS = 16
"""Of a workspace."""
GIVE_UP = timedelta(hours=24)
"""A delivery is attempted for so long, and at least once."""
TRIED = timedelta(hours=1)
"""A receiver counts as failing for so long after an attempt at most: then nobody knows. The longest pause."""
TEST_KIND = "webhook.test"
USUAL_KINDS = tuple(kind for kind in Kind if kind is not Kind.TELEMETRY_SAMPLE)
"""What is told where nothing else is asked for: a sample a second of every session is a stream's business."""
_SECONDS = re.compile(r"[0-9]{1,9}")


class State(StrEnum):
    """How far a delivery has come."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Cause(StrEnum):
    """Why something is delivered."""

    EVENT = "EVENT"
    REPLAY = "REPLAY"
    TEST = "TEST"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a workspace wants to be told what.

    Attributes:
        secret, former_secret: sealed; the former one signs beside the other until ``former_until``.
        after_position: of the log; what was before the webhook is not told.
        failing_since: None where the newest answer was one of success, or there was none yet.
        held_until: the receiver asked to be left alone so long.
    """

    id: UUID
    workspace_id: UUID
    url: str
    description: str
    kinds: tuple[str, ...]
    secret: bytes = field(repr=False)
    created_at: datetime
    after_position: int = 0
    former_secret: bytes | None = field(default=None, repr=False)
    former_until: datetime | None = None
    failing_since: datetime | None = None
    succeeded_at: datetime | None = None
    held_until: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: of HTTP; None where nothing was answered.
        fault: why it is no success; None where it is one.
        duration_ms: from the first byte sent until the head of the answer, or until it was given up.
        retry_after: when the receiver asked to be tried again.
    """

    status: int | None
    fault: str | None
    duration_ms: int
    retry_after: datetime | None = None

    @property
    def good(self) -> bool:
        return self.fault is None


OUTCOMES = ("2xx", "3xx", "4xx", "5xx", "none")


def outcome(answer: Answer) -> str:
    """One of :data:`OUTCOMES`: the class of the status that was answered; ``none`` where nothing was, or
    what is no final answer (RFC 9110 §15)."""
    found = f"{(answer.status or 0) // 100}xx"
    return found if found in OUTCOMES else "none"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as it is kept in the delivery's log."""

    at: datetime
    status: int | None
    fault: str | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A delivery to be stored: ``position`` is that of the event in the log."""

    id: UUID
    webhook_id: UUID
    lane: UUID
    cause: Cause
    kind: str
    position: int | None
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is sent to a webhook; ``id`` is its ``webhook-id`` and ``body`` the same in every attempt."""

    id: UUID
    webhook_id: UUID
    lane: UUID
    cause: Cause
    kind: str
    position: int | None
    body: str = field(repr=False)
    state: State
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a webhook's receiver when a delivery is attempted.

    Attributes:
        failed_at: when an attempt failed last.
        untried: of the time from ``failing_since`` until then, that in which nothing was attempted.
    """

    failing_since: datetime | None = None
    failed_at: datetime | None = None
    untried: timedelta = timedelta()

    def failing_for(self, now: datetime) -> timedelta:
        """How long it has failed, without the time in which it had no chance to do better."""
        if self.failing_since is None:
            return timedelta()
        idle = now - (self.failed_at or self.failing_since) - TRIED
        return now - self.failing_since - self.untried - max(idle, timedelta())


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery that is ours to attempt, until the lease ends.

    Attributes:
        number: of the row.
        keep_until: how long the lane's later deliveries may follow at once.
        tried: how many attempts there were before.
    """

    number: int
    lease: UUID
    keep_until: datetime
    delivery_id: UUID
    webhook_id: UUID
    lane: UUID
    cause: Cause
    body: str = field(repr=False)
    created_at: datetime
    tried: int
    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    former_secret: bytes | None = field(repr=False)
    health: Health


@dataclass(frozen=True, slots=True)
class Policy:
    """How long is waited, and for how long is tried.

    Attributes:
        first_retry, longest_retry: back-off doubles from the one to the other.
        disable_after: a receiver that failed for so long is disabled (:meth:`Health.failing_for`).
    """

    first_retry: timedelta = timedelta(seconds=5)
    longest_retry: timedelta = TRIED
    give_up: timedelta = GIVE_UP
    disable_after: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an attempt.

    Attributes:
        next_at: of the next attempt; None where there is none.
        hold_until: before then nothing at all is sent to the webhook.
        disable: why the webhook is disabled.
        counts: whether the attempt says something of the receiver's health.
    """

    state: State
    next_at: datetime | None = None
    hold_until: datetime | None = None
    disable: str | None = None
    counts: bool = True


def checked_kinds(names: Sequence[str] | None) -> tuple[str, ...]:
    """The events a webhook is told of, each once; :data:`USUAL_KINDS` where nothing is asked for.

    Raises:
        InvalidInput: ``webhook:events``: none, or one that does not exist.
    """
    if names is None:
        return tuple(kind.value for kind in USUAL_KINDS)
    known = {kind.value for kind in Kind}
    if not names or not set(names) <= known:
        raise InvalidInput("webhook:events", f"Name one or more of {', '.join(sorted(known))}")
    return tuple(dict.fromkeys(names))


def back_off(policy: Policy, failures: int, chance: float) -> timedelta:
    """The pause after so many failures in a row, from 1 on: doubled each time, and somewhere between half and
    all of that, so that what failed together does not come back together.

    Args:
        chance: evenly from 0 to 1.
    """
    doubled = policy.first_retry * float(2 ** min(max(failures - 1, 0), 30))
    return min(doubled, policy.longest_retry) * (0.5 + chance / 2)


def retry_after(value: str | None, now: datetime) -> datetime | None:
    """What ``Retry-After`` asks for (RFC 9110 §10.2.3): seconds, or a date; None where it says neither."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return now + timedelta(seconds=int(value))
    try:
        found = parsedate_to_datetime(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # digits enough for no year or hour there is
        return None


def judge(job: Job, answer: Answer, now: datetime, policy: Policy, chance: float) -> Verdict:
    """What follows from the answer to an attempt that ended ``now``."""
    test = job.cause is Cause.TEST
    if answer.good:
        return Verdict(State.SUCCEEDED, counts=not test)
    if test:  # who tests wants to see what comes, and not in an hour
        return Verdict(State.FAILED, counts=False)
    if answer.status == 410:
        return Verdict(State.FAILED, disable="the receiver answered 410 Gone")
    disable = _worn_out(job, answer, now, policy)
    last = job.created_at + policy.give_up
    if disable is not None or now >= last:
        return Verdict(State.FAILED, disable=disable)
    next_at = now + back_off(policy, job.tried + 1, chance)
    hold = None
    if answer.retry_after is not None:
        asked = min(answer.retry_after, now + policy.give_up)
        next_at = max(next_at, asked)
        if answer.status in (429, 503) and asked > now:
            hold = asked
    return Verdict(State.PENDING, max(min(next_at, last), now), hold)


def _worn_out(job: Job, answer: Answer, now: datetime, policy: Policy) -> str | None:
    if job.health.failing_since is None or job.health.failing_for(now) < policy.disable_after:
        return None
    hours = round(policy.disable_after.total_seconds() / 3600, 1)
    return f"no delivery succeeded for {hours:g} hours; the last one: {answer.fault}"
