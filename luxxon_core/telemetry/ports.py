"""What telemetry needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.telemetry.domain import Beacon, LiveSession, Reason, Sample, Stage, Window


class Windows(Protocol):
    """Disconnect windows: at most one open for each session and reason."""

    async def open(self, tx: Tx, window_id: UUID, session_id: UUID, reason: Reason, at: datetime) -> bool:
        """Open a window on a LIVE session, not before its start; False when one of that reason is open."""
        ...

    async def close(self, tx: Tx, session_id: UUID, reason: Reason, at: datetime) -> bool:
        """Close the open window of that reason, not before it opened; False when none is open."""
        ...

    async def of_session(self, tx: Tx, session_id: UUID) -> list[Window]:
        """All windows, oldest first."""
        ...

    async def close_all(self, tx: Tx, session_id: UUID, at: datetime) -> None:
        """Close what is open, when the session ends."""
        ...


class Heartbeats(Protocol):
    """The last sample of each workspace, and who fell silent."""

    async def record(self, tx: Tx, workspace_id: UUID, sample: Sample) -> bool:
        """Store the sample; False when its sequence is not above the last one."""
        ...

    async def live_sessions(self, tx: Tx, workspace_id: UUID) -> list[LiveSession]:
        """The LIVE sessions that the workspace operates; none can end before the transaction does."""
        ...

    async def stale(self, tx: Tx, before: datetime) -> list[tuple[UUID, datetime]]:
        """LIVE sessions whose operator sent heartbeats or beacons during the session, the last one before
        ``before``, with no STALE_TELEMETRY window open: id and time of that last sign of life."""
        ...

    async def still_stale(self, tx: Tx, session_id: UUID, before: datetime) -> datetime | None:
        """The same for one session, after waiting for heartbeats under way and keeping new ones out until
        the transaction ends; None when one has come."""
        ...


class Beacons(Protocol):
    """The log of telemetry samples of each session."""

    async def stage(self, tx: Tx, session_id: UUID, *, lock: bool = False) -> Stage | None:
        """The session; ``lock`` keeps other beacons and every transition out until the transaction ends."""
        ...

    async def newest(self, tx: Tx, session_id: UUID) -> datetime | None:
        """When the session's newest sample was captured."""
        ...

    async def add(self, tx: Tx, beacon: Beacon, signed: bool, now: datetime) -> None:
        """Append; ``signed``: its signature is the operator's wallet's."""
        ...


class Notifications(Protocol):
    """What outside edges have told of live inputs."""

    async def session_of(self, tx: Tx, uid: str) -> UUID | None:
        """The session of a live input that is not deleted, locked until the transaction ends."""
        ...

    async def advance(self, tx: Tx, uid: str, happened: datetime) -> bool:
        """Note the newest notification; False when one as new has been noted, or the input is deleted."""
        ...
