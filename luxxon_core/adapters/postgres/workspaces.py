"""Workspaces and the claim of a supplier in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from random import random
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.workspaces.domain import Availability, DeviceKind, Role, Workspace

SQL = statements("workspaces")
FORGETTING = 1 / 32
"""Share of the claims that rid the index of what claims left in it."""
WAITS = 8
"""How often a dispatch waits for a supplier that others hold, and sees another one take it."""


class PgWorkspaces:
    async def add(self, tx: Tx, workspace: Workspace) -> bool:
        inserted = await connection(tx).fetchval(
            SQL["add"],
            workspace.id,
            workspace.slug,
            workspace.name,
            workspace.wallet_address,
            sorted(workspace.roles),
            workspace.created_at,
            workspace.created_by_wallet,
        )
        return inserted is not None

    async def get(self, tx: Tx, workspace_id: UUID, *, lock: bool = False) -> Workspace | None:
        row = await connection(tx).fetchrow(SQL["lock" if lock else "get"], workspace_id)
        return _workspace(row) if row is not None else None

    async def wallet(self, tx: Tx, workspace_id: UUID) -> str:
        return str(await connection(tx).fetchval(SQL["wallet"], workspace_id))

    async def of_wallet(self, tx: Tx, wallet_address: str) -> list[tuple[Workspace, str]]:
        rows = await connection(tx).fetch(SQL["of_wallet"], wallet_address)
        return [(_workspace(row), row["member_role"]) for row in rows]

    async def save(self, tx: Tx, workspace: Workspace) -> None:
        await connection(tx).execute(
            SQL["save"],
            workspace.id,
            workspace.name,
            workspace.availability,
            workspace.wished_availability,
            workspace.coverage_lat,
            workspace.coverage_lng,
            workspace.coverage_radius_m,
            workspace.device_kind,
            workspace.idle_since,
            workspace.last_seen_at,
        )

    async def occupy(self, tx: Tx, workspace_id: UUID) -> None:
        await connection(tx).execute(SQL["occupy"], workspace_id)

    async def release(self, tx: Tx, workspace_id: UUID, now: datetime) -> None:
        # The lock first: two sessions of one operator that end at once would otherwise each see the
        # other still open in its snapshot, and the operator would stay BUSY for ever.
        await connection(tx).fetchrow(SQL["lock"], workspace_id)
        await connection(tx).execute(SQL["release"], workspace_id, now)

    async def covering(self, tx: Tx) -> list[Workspace]:
        return [_workspace(row) for row in await connection(tx).fetch(SQL["covering"])]


class PgSuppliers:
    async def claim(self, tx: Tx, point: Point, *, wait: bool = False) -> UUID | None:
        if not wait:
            return await self._claim(tx, point)
        opened = connection(tx)
        for _ in range(WAITS):
            savepoint = opened.transaction()  # its locks must be gone before anyone claims
            await savepoint.start()
            given_back = await opened.fetchval(SQL["await_given_back"], point.lat, point.lng)
            await savepoint.rollback()
            if given_back is None:
                return None
            claimed = await self._claim(tx, point)
            if claimed is not None:
                return claimed
        return None

    async def _claim(self, tx: Tx, point: Point) -> UUID | None:
        claimed: UUID | None = await connection(tx).fetchval(SQL["claim"], point.lat, point.lng)
        # by chance, not by count: a count would fall on the same places again and again
        if claimed is not None and random() < FORGETTING:  # noqa: S311
            await connection(tx).fetchval(SQL["forget_taken"], point.lat, point.lng, claimed)
        return claimed

    async def covered(self, tx: Tx, point: Point) -> bool:
        return bool(await connection(tx).fetchval(SQL["covered"], point.lat, point.lng))


def _workspace(row: Mapping[str, Any]) -> Workspace:
    wished, kind = row["wished_availability"], row["device_kind"]
    return Workspace(
        id=row["id"],
        slug=row["slug"],
        name=row["name"],
        wallet_address=row["wallet_address"],
        roles=frozenset(Role(role) for role in row["roles"]),
        created_at=row["created_at"],
        created_by_wallet=row["created_by_wallet"],
        availability=Availability(row["availability"]),
        wished_availability=Availability(wished) if wished else None,
        coverage_lat=row["coverage_lat"],
        coverage_lng=row["coverage_lng"],
        coverage_radius_m=row["coverage_radius_m"],
        device_kind=DeviceKind(kind) if kind else None,
        idle_since=row["idle_since"],
        last_seen_at=row["last_seen_at"],
        deleted_at=row["deleted_at"],
    )
