"""What the webhooks need from outside: where they are kept, a queue that servers share, and a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.events.domain import Event
from luxxon_core.kernel.uow import Tx
from luxxon_core.webhooks.domain import Answer, Attempt, Delivery, Job, Planned, State, Verdict, Webhook


class Webhooks(Protocol):
    """The webhooks of all workspaces."""

    async def add(self, tx: Tx, webhook: Webhook, most: int) -> Webhook | None:
        """Store it, told of what is published from now on; None where the workspace has ``most`` of them."""
        ...

    async def get(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook | None: ...

    async def lock(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> Webhook | None:
        """As :meth:`get`; nobody else changes it until the transaction ends."""
        ...

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[Webhook]:
        """Oldest first."""
        ...

    async def save(self, tx: Tx, webhook: Webhook) -> None:
        """Store what its owner may change, its secrets, and whether and why it is disabled."""
        ...

    async def renew(self, tx: Tx, webhook_id: UUID) -> None:
        """Have it told of what is published from now on alone."""
        ...

    async def remove(self, tx: Tx, workspace_id: UUID, webhook_id: UUID) -> bool:
        """Remove it with its deliveries; False where there is none."""
        ...


class Deliveries(Protocol):
    """The log of deliveries, and what is added to it by hand."""

    async def page(
        self, tx: Tx, webhook_id: UUID, state: State | None, cursor: UUID | None, limit: int
    ) -> list[Delivery]:
        """Newest first, following the delivery ``cursor``; bodies are left out."""
        ...

    async def get(self, tx: Tx, webhook_id: UUID, delivery_id: UUID) -> Delivery | None: ...

    async def missed(self, tx: Tx, webhook: Webhook, since: datetime, after: int, limit: int) -> list[Event]:
        """Events since then that the webhook asks for and has neither got nor is about to get, in order, with
        positions above ``after``."""
        ...

    async def queue(self, tx: Tx, planned: Sequence[Planned], now: datetime) -> None:
        """Store deliveries, to be sent in this order, and wake who sends them."""
        ...

    async def cancel(self, tx: Tx, webhook_id: UUID, now: datetime) -> int:
        """Give up all that is pending for a webhook; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """An event, and who is to be told: pairs of a webhook and its workspace."""

    event: Event
    webhooks: Sequence[tuple[UUID, UUID]]


@dataclass(frozen=True, slots=True)
class Finding:
    """How an attempt went, to be stored."""

    job: Job
    attempt: Attempt
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Settled:
    """What follows from answers that are stored: webhooks that were disabled for them, and the next
    deliveries of lanes that are kept, to be attempted by who settled."""

    disabled: Sequence[UUID] = ()
    following: Sequence[Job] = field(default=(), repr=False)


class Queue(Protocol):
    """What is to be sent, shared by all servers: each lane is leased by one at a time."""

    async def fan_out(self, tx: Tx, limit: int) -> tuple[list[Due], int] | None:
        """The events of the log that nobody has made deliveries of, and how many positions of the log, up to
        ``limit``, that passes; None where there are none, or another server is at it. It is nobody else's
        turn until the transaction ends, which moves the mark."""
        ...

    async def claim(
        self, tx: Tx, now: datetime, until: datetime, lease: UUID, busy: Mapping[UUID, int], limit: int
    ) -> list[Job]:
        """The first delivery of each of up to ``limit`` lanes that are due and leased by nobody; fewer where
        a webhook has many under way, or a workspace.

        Args:
            until: when another server may take them.
            busy: how many deliveries of a webhook are under way here.
        """
        ...

    async def settle(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> Settled:
        """Store how attempts went and give their lanes back, or go on with them.

        A success counts also where the lease was lost in the meantime. What is settled a second time changes
        nothing, and nothing that follows from it is lost.
        """
        ...

    async def release(self, tx: Tx, jobs: Sequence[Job], now: datetime) -> None:
        """Give lanes back whose deliveries were not attempted to the end."""
        ...

    async def sweep(self, tx: Tx, before: datetime, now: datetime, limit: int) -> int:
        """Forget what was finished ``before`` then, give up what is pending for disabled webhooks, and forget
        former secrets that sign no longer; returns how many deliveries that were."""
        ...


class Bell(Protocol):
    """Rings when there may be something to make deliveries of or to send."""

    async def wait(self, seconds: float) -> None:
        """Return when it has rung, at the latest after so many seconds.

        Raises:
            DatabaseError: the connection is gone; the next call makes a new one.
        """
        ...


class Sender(Protocol):
    """The way out: one HTTP POST a call, to public addresses alone."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What the receiver answers, within the sender's time; redirects are not followed.

        It raises nothing: whatever goes wrong is the answer's fault.
        """
        ...


class Sealer(Protocol):
    """Keeps secrets from whoever reads the database."""

    def seal(self, secret: bytes, webhook_id: UUID) -> bytes: ...

    def open(self, sealed: bytes, webhook_id: UUID) -> bytes | None:
        """None where it was sealed by a key that is no longer known."""
        ...


class Writer(Protocol):
    """Turns an event into the body of a delivery."""

    def event(self, event: Event, viewer: UUID) -> str:
        """JSON of the event as the workspace ``viewer`` may see it."""
        ...

    def test(self, delivery_id: UUID, webhook_id: UUID, now: datetime) -> str:
        """JSON of a test."""
        ...
