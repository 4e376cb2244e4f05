"""Picture faults in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Fault, PictureFault

SQL = statements("faults")


class PgPictureFaults:
    """Implements :class:`~luxxon_core.media.ports.PictureFaults`."""

    async def open(self, tx: Tx, fault_id: UUID, session_id: UUID, fault: Fault, at: datetime) -> None:
        await self._opened(tx, fault_id, session_id, fault, at)

    async def close(self, tx: Tx, session_id: UUID, fault: Fault | None, at: datetime) -> None:
        await self._closed(tx, session_id, fault, at)

    async def of_session(self, tx: Tx, session_id: UUID) -> list[PictureFault]:
        return [_fault(row) for row in await connection(tx).fetch(SQL["faults"], session_id)]

    async def _opened(
        self, tx: Tx, fault_id: UUID, session_id: UUID, fault: Fault, at: datetime
    ) -> PictureFault | None:
        row = await connection(tx).fetchrow(SQL["open_fault"], fault_id, session_id, fault, at)
        return None if row is None else _fault(row)

    async def _closed(
        self, tx: Tx, session_id: UUID, fault: Fault | None, at: datetime
    ) -> list[PictureFault]:
        rows = await connection(tx).fetch(SQL["close_faults"], session_id, fault, at)
        return sorted(map(_fault, rows), key=lambda one: one.opened_at)


def _fault(row: Mapping[str, Any]) -> PictureFault:
    return PictureFault(Fault(row["fault"]), row["opened_at"], row["closed_at"])
