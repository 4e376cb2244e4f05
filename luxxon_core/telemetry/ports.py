"""What telemetry needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.telemetry.domain import LiveSession, Reason, Sample, Window


class Windows(Protocol):
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
    async def record(self, tx: Tx, workspace_id: UUID, sample: Sample) -> bool:
        """Store the sample; False when its sequence is not above the last one."""
        ...

    async def live_session(self, tx: Tx, workspace_id: UUID, session_id: UUID | None) -> LiveSession | None:
        """The LIVE session that the workspace operates (the named one, else any)."""
        ...

    async def stale(self, tx: Tx, before: datetime) -> list[tuple[UUID, datetime]]:
        """LIVE sessions whose operator sent heartbeats during the session, the last one before ``before``,
        with no STALE_TELEMETRY window open: id and time of that last heartbeat."""
        ...
