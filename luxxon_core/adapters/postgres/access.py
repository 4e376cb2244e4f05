"""Challenges, keys and members in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from luxxon_core.access.domain import GRACE, ApiKey, Challenge, Member, Purpose
from luxxon_core.access.ports import Membership
from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.http.principal import Area, Budget, MemberRole
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.uow import Tx

SQL = statements("access")


class PgChallenges:
    async def add(self, tx: Tx, challenge: Challenge) -> None:
        await connection(tx).execute(
            SQL["add_challenge"],
            challenge.nonce,
            challenge.wallet_address,
            challenge.purpose,
            challenge.message,
            challenge.expires_at,
        )

    async def use(
        self, tx: Tx, nonce: str, wallet_address: str, purpose: Purpose, now: datetime
    ) -> Challenge | None:
        row = await connection(tx).fetchrow(SQL["use_challenge"], nonce, wallet_address, purpose, now)
        if row is None:
            return None
        return Challenge(
            row["nonce"], row["wallet_address"], Purpose(row["purpose"]), row["message"], row["expires_at"]
        )

    async def restore(self, tx: Tx, nonce: str) -> None:
        await connection(tx).execute(SQL["restore_challenge"], nonce)

    async def purge(self, tx: Tx, before: datetime) -> int:
        return int(await connection(tx).fetchval(SQL["purge_challenges"], before))


class PgApiKeys:
    async def add(self, tx: Tx, key: ApiKey) -> None:
        budget = key.budget or Budget()
        await connection(tx).execute(
            SQL["add_key"],
            key.id,
            key.workspace_id,
            key.hash,
            key.prefix,
            key.label,
            key.environment,
            list(key.scopes),
            key.created_at,
            key.created_by_wallet,
            budget.daily_cap_uusdc,
            budget.session_cap_uusdc,
            _stored_areas(budget.areas),
        )

    async def by_hash(self, tx: Tx, digest: bytes) -> ApiKey | None:
        row = await connection(tx).fetchrow(SQL["key_by_hash"], digest)
        return _key(row) if row is not None else None

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[ApiKey]:
        return [_key(row) for row in await connection(tx).fetch(SQL["keys_of_workspace"], workspace_id)]

    async def revoke(self, tx: Tx, workspace_id: UUID, key_id: UUID, now: datetime) -> ApiKey | None:
        row = await connection(tx).fetchrow(SQL["revoke_key"], workspace_id, key_id, now, now + GRACE)
        return _key(row) if row is not None else None

    async def touch(self, tx: Tx, key_id: UUID, now: datetime) -> None:
        await connection(tx).execute(SQL["touch_key"], key_id, now)

    async def spent(
        self, tx: Tx, key_ids: Collection[UUID], since: datetime, until: datetime
    ) -> Mapping[UUID, int]:
        rows = await connection(tx).fetch(SQL["spent"], list(key_ids), since, until)
        return {row["budget_key_id"]: row["uusdc"] for row in rows}

    async def spent_alone(self, tx: Tx, key_id: UUID, since: datetime, until: datetime) -> int:
        # a statement of its own: the next one then sees what the previous holder of the lock committed
        await connection(tx).execute(SQL["lock_key"], key_id)
        return (await self.spent(tx, [key_id], since, until)).get(key_id, 0)


class PgMembers:
    async def add(
        self, tx: Tx, workspace_id: UUID, wallet_address: str, role: MemberRole, now: datetime
    ) -> None:
        await connection(tx).execute(SQL["add_member"], workspace_id, wallet_address, role.name, now)

    async def put(
        self, tx: Tx, workspace_id: UUID, wallet_address: str, role: MemberRole, now: datetime
    ) -> Member:
        row = await connection(tx).fetchrow(SQL["put_member"], workspace_id, wallet_address, role.name, now)
        assert row is not None
        return _member(row)

    async def remove(self, tx: Tx, workspace_id: UUID, wallet_address: str) -> Member | None:
        row = await connection(tx).fetchrow(SQL["remove_member"], workspace_id, wallet_address)
        return _member(row) if row is not None else None

    async def owners(self, tx: Tx, workspace_id: UUID) -> list[str]:
        await connection(tx).execute(SQL["lock_members"], workspace_id)
        rows = await connection(tx).fetch(SQL["owners"], workspace_id)
        return [row["wallet_address"] for row in rows]

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[Member]:
        return [_member(row) for row in await connection(tx).fetch(SQL["members"], workspace_id)]

    async def role(self, tx: Tx, wallet_address: str, workspace_id: UUID) -> MemberRole | None:
        name = await connection(tx).fetchval(SQL["member_role"], wallet_address, workspace_id)
        return MemberRole[name] if name is not None else None

    async def of_wallet(self, tx: Tx, wallet_address: str) -> list[Membership]:
        rows = await connection(tx).fetch(SQL["memberships"], wallet_address)
        return [Membership(row["id"], row["slug"], row["name"], MemberRole[row["role"]]) for row in rows]

    async def workspace_name(self, tx: Tx, workspace_id: UUID) -> tuple[str, str] | None:
        row = await connection(tx).fetchrow(SQL["workspace_name"], workspace_id)
        return (row["slug"], row["name"]) if row is not None else None


def _member(row: Mapping[str, Any]) -> Member:
    return Member(row["wallet_address"], MemberRole[row["role"]], row["created_at"])


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        id=row["id"],
        workspace_id=row["workspace_id"],
        hash=row["hash"],
        prefix=row["prefix"],
        label=row["label"],
        environment=row["environment"],
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        created_by_wallet=row["created_by_wallet"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        grace_period_end=row["grace_period_end"],
        budget=_budget(row),
    )


def _budget(row: Mapping[str, Any]) -> Budget | None:
    daily, one, areas = row["daily_cap_uusdc"], row["session_cap_uusdc"], row["areas"]
    if daily is None and one is None and areas is None:
        return None
    return Budget(daily, one, _areas(areas) if areas is not None else ())


def _areas(stored: str) -> tuple[Area, ...]:
    return tuple(
        Area(Circle(Point(one["lat"], one["lng"]), one["radiusM"]), one.get("name"))
        for one in msgspec.json.decode(stored)
    )


def _stored_areas(areas: Collection[Area]) -> str | None:
    """JSON of the circles; None for none, which is anywhere."""
    if not areas:
        return None
    stored = []
    for area in areas:
        center = area.circle.center
        one: dict[str, object] = {"lat": center.lat, "lng": center.lng, "radiusM": area.circle.radius_m}
        stored.append(one if area.name is None else one | {"name": area.name})
    return msgspec.json.encode(stored).decode()
