"""Observations and their frames in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Frame
from luxxon_core.observations.domain import (
    Asked,
    Kept,
    Observation,
    Position,
    PositionSource,
    Reason,
    Status,
    located,
)

SQL = statements("observations")


class PgObservations:
    """Implements :class:`~luxxon_core.observations.ports.Store`."""

    async def add(self, tx: Tx, observation: Observation) -> bool:
        asked = observation.asked
        added = await connection(tx).fetchval(
            SQL["add"],
            observation.id,
            observation.consumer_workspace_id,
            asked.point.lat,
            asked.point.lng,
            asked.max_price_uusdc,
            asked.max_width,
            observation.rate_uusdc,
            observation.unit_s,
            observation.created_at,
            observation.deadline,
            observation.id if observation.asked_for else None,
            observation.status,
            observation.reason,
            observation.finished_at,
        )
        return added is not None

    async def get(self, tx: Tx, observation_id: UUID) -> Observation | None:
        row = await connection(tx).fetchrow(SQL["get"], observation_id)
        return None if row is None else _observation(row)

    async def finished(self, tx: Tx, ids: Collection[UUID]) -> list[UUID]:
        return [row["id"] for row in await connection(tx).fetch(SQL["finished"], list(ids))]

    async def claim(self, tx: Tx, now: datetime, again: datetime, limit: int) -> list[Observation]:
        rows = await connection(tx).fetch(SQL["claim"], now, again, limit)
        return [_observation(row) for row in sorted(rows, key=lambda row: row["due"])]

    async def renew(self, tx: Tx, observation_ids: Iterable[UUID], now: datetime, again: datetime) -> None:
        await connection(tx).execute(SQL["renew"], list(observation_ids), now, again)

    async def postpone(self, tx: Tx, observation_id: UUID, again: datetime) -> None:
        await connection(tx).execute(SQL["postpone"], observation_id, again)

    async def finish(self, tx: Tx, observation: Observation) -> bool:
        position = observation.position
        finished = await connection(tx).fetchval(
            SQL["finish"],
            observation.id,
            observation.status,
            observation.reason,
            observation.finished_at,
            observation.captured_at,
            position and position.point.lat,
            position and position.point.lng,
            position and position.accuracy_m,
            position and position.source,
            position and position.at,
        )
        return finished is not None

    async def keep(self, tx: Tx, observation_id: UUID, frame: Frame, expires_at: datetime) -> None:
        await connection(tx).execute(
            SQL["keep"],
            observation_id,
            frame.jpeg,
            len(frame.jpeg),
            frame.width,
            frame.height,
            frame.digest,
            expires_at,
        )

    async def frame(self, tx: Tx, observation_id: UUID, now: datetime) -> Frame | None:
        row = await connection(tx).fetchrow(SQL["frame"], observation_id, now)
        if row is None:
            return None
        return Frame(row["jpeg"], row["width"], row["height"], row["captured_at"], row["digest"])

    async def purge(self, tx: Tx, now: datetime, most_bytes: int, limit: int) -> int:
        held = connection(tx)
        expired = int(await held.fetchval(SQL["purge"], now, limit))
        return expired + int(await held.fetchval(SQL["trim"], most_bytes, limit))

    async def purge_records(
        self, tx: Tx, asked_before: datetime, refused_before: datetime, limit: int
    ) -> int:
        held = connection(tx)
        asked = int(await held.fetchval(SQL["purge_asked"], asked_before, limit))
        return asked + int(await held.fetchval(SQL["purge_refused"], refused_before, limit))

    async def position(self, tx: Tx, operator_workspace_id: UUID, at: datetime) -> Position | None:
        row = await connection(tx).fetchrow(SQL["position"], operator_workspace_id)
        if row is None:
            return None
        coverage, said = None, None
        if row["coverage_lat"] is not None and row["coverage_radius_m"] is not None:
            coverage = Circle(Point(row["coverage_lat"], row["coverage_lng"]), row["coverage_radius_m"])
        if row["last_lat"] is not None and row["last_seen_at"] is not None:
            point = Point(row["last_lat"], row["last_lng"])
            said = point, float(row["last_accuracy_m"] or 0.0), row["last_seen_at"]
        return located(coverage, said, at)


def _observation(row: Mapping[str, Any]) -> Observation:
    wait: timedelta = row["deadline"] - row["created_at"]
    return Observation(
        id=row["id"],
        consumer_workspace_id=row["consumer_workspace_id"],
        asked=Asked(
            Point(row["lat"], row["lng"]),
            round(wait.total_seconds()),
            row["max_price_uusdc"],
            row["max_width"],
        ),
        rate_uusdc=row["rate_uusdc"],
        unit_s=row["unit_s"],
        created_at=row["created_at"],
        asked_for=row["session_id"] is not None,
        status=Status(row["status"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        finished_at=row["finished_at"],
        captured_at=row["captured_at"],
        position=_position(row),
        kept=None
        if row["bytes"] is None
        else Kept(row["bytes"], row["width"], row["height"], row["expires_at"]),
    )


def _position(row: Mapping[str, Any]) -> Position | None:
    if row["position_source"] is None:
        return None
    return Position(
        Point(row["position_lat"], row["position_lng"]),
        row["position_accuracy_m"],
        PositionSource(row["position_source"]),
        row["position_at"],
    )
