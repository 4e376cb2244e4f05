"""Sessions and their live inputs in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.adapters.postgres.gathered import Gathered
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Control, Session, Side, Sight, State, Terms

SQL = statements("sessions")
STATES = {state.value: state for state in State}


class PgSessions:
    async def add(self, tx: Tx, session: Session) -> bool:
        terms = session.terms
        added = await connection(tx).fetchval(
            SQL["add"],
            session.id,
            session.consumer_workspace_id,
            session.requested.lat,
            session.requested.lng,
            terms.geofence_radius_m,
            terms.max_duration_s,
            terms.wait_timeout_s,
            terms.rate_uusdc,
            terms.hold_uusdc,
            terms.platform_fee_bps,
            session.created_at,
            session.budget_key_id,
            terms.unit,
        )
        return added is not None

    async def get(self, tx: Tx, session_id: UUID, *, lock: bool = False) -> Session | None:
        held = connection(tx)
        if lock:
            # a statement of its own: the next one then sees the live input that the previous holder stored
            await held.execute(SQL["lock"], session_id)
        row = await held.fetchrow(SQL["get"], [session_id])
        return _session(row) if row is not None else None

    async def swap(self, tx: Tx, before: State, session: Session) -> bool:
        swapped = await connection(tx).fetchval(
            SQL["swap"],
            session.id,
            before,
            session.state,
            session.operator_workspace_id,
            session.dispatched,
            session.assigned_at,
            session.started_at,
            session.ended_at,
            session.clean_seconds,
            session.charged_uusdc,
        )
        return swapped is not None

    async def describe(
        self,
        tx: Tx,
        session: Session,
        controls: tuple[Control, ...] | None,
        policy: Mapping[str, Any] | None,
        now: datetime,
    ) -> None:
        encoded = None if policy is None else msgspec.json.encode(policy).decode()
        await connection(tx).execute(SQL["describe"], session.id, controls, encoded)

    async def of_workspace(
        self,
        tx: Tx,
        workspace_id: UUID,
        limit: int,
        *,
        states: Collection[State] | None = None,
        side: Side | None = None,
        after: Session | None = None,
    ) -> list[Session]:
        rows = await connection(tx).fetch(
            SQL["of_workspace"],
            workspace_id,
            limit,
            side,
            None if states is None else list(states),
            after and after.created_at,
            after and after.id,
        )
        return [_session(row) for row in rows]

    async def open_in(
        self, tx: Tx, area: Circle, now: datetime, limit: int, *, after: Session | None = None
    ) -> list[Session]:
        rows = await connection(tx).fetch(
            SQL["open_in"],
            area.center.lat,
            area.center.lng,
            area.radius_m,
            now,
            limit,
            after and after.created_at,
            after and after.id,
        )
        return [_session(row) for row in rows]

    async def assigned_to(self, tx: Tx, workspace_id: UUID) -> list[UUID]:
        return [row["id"] for row in await connection(tx).fetch(SQL["assigned_to"], workspace_id)]

    async def waited_out(self, tx: Tx, now: datetime) -> list[UUID]:
        return [row["id"] for row in await connection(tx).fetch(SQL["waited_out"], now)]

    async def run_out(self, tx: Tx, now: datetime) -> list[UUID]:
        return [row["id"] for row in await connection(tx).fetch(SQL["run_out"], now)]

    async def add_live_input(self, tx: Tx, session_id: UUID, live_input: LiveInput, now: datetime) -> bool:
        added = await connection(tx).fetchval(
            SQL["add_live_input"],
            live_input.uid,
            session_id,
            live_input.edge,
            live_input.whip_url,
            live_input.whep_url,
            now,
        )
        return added is not None

    async def live_input_of(self, tx: Tx, uid: str) -> UUID | None:
        found: UUID | None = await connection(tx).fetchval(SQL["live_input_of"], uid)
        return found

    async def live_inputs(self, tx: Tx, edge: str) -> list[LiveInput]:
        return [_live_input(row) for row in await connection(tx).fetch(SQL["live_inputs"], edge)]

    async def torn_down(self, tx: Tx, edge: str, silent: datetime) -> list[LiveInput]:
        return [_live_input(row) for row in await connection(tx).fetch(SQL["torn_down"], edge, silent)]

    async def not_deleted(self, tx: Tx, uids: Collection[str]) -> frozenset[str]:
        rows = await connection(tx).fetch(SQL["not_deleted"], list(uids))
        return frozenset(row["uid"] for row in rows)

    async def abandoned(self, tx: Tx, silent: datetime) -> list[UUID]:
        return [row["id"] for row in await connection(tx).fetch(SQL["abandoned"], silent)]

    async def mark_deleted(self, tx: Tx, uid: str, now: datetime) -> None:
        await connection(tx).execute(SQL["mark_deleted"], uid, now)

    async def committed(self, tx: Tx, wallet_address: str, block_number: int) -> int:
        held = connection(tx)
        # a statement of its own: the next one then sees what the previous holder of the lock committed
        await held.execute(SQL["lock_wallet"], wallet_address)
        return int(await held.fetchval(SQL["committed"], wallet_address, block_number))

    async def stamp_alive(self, tx: Tx, edge: str, now: datetime) -> datetime | None:
        former: datetime | None = await connection(tx).fetchval(SQL["stamp_alive"], edge, now)
        return former

    async def retire_edge(self, tx: Tx, edge: str) -> None:
        await connection(tx).execute(SQL["retire_edge"], edge)

    async def alive_at(self, tx: Tx, edge: str) -> datetime | None:
        at: datetime | None = await connection(tx).fetchval(SQL["alive_at"], edge)
        return at


class PgCurrent:
    """Implements ``sessions.ports.Current``: what many requests ask for at once is one statement."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow
        self._gathered = Gathered(self._fetch)
        self._sights = Gathered(self._fetch_sights, lanes=1)  # no lock holds it up, and fewer go further

    async def get(self, session_id: UUID) -> Session | None:
        return await self._gathered.get(session_id)

    async def _fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Session]:
        async with self._uow.read() as tx:
            rows = await connection(tx).fetch(SQL["get"], ids)
        return {row["id"]: _session(row) for row in rows}

    async def sight(self, session_id: UUID) -> Sight | None:
        return await self._sights.get(session_id)

    async def _fetch_sights(self, ids: Sequence[UUID]) -> Mapping[UUID, Sight]:
        async with self._uow.read() as tx:
            rows = await connection(tx).fetch(SQL["sights"], ids)
        return {
            session_id: Sight(STATES[state], consumer, operator, LiveInput(*live) if live[0] else None, unit)
            for session_id, state, consumer, operator, unit, *live in rows
        }


def _live_input(row: Mapping[str, Any]) -> LiveInput:
    return LiveInput(row["uid"], row["edge"], row["whip_url"], row["whep_url"])


def _session(row: Mapping[str, Any]) -> Session:
    return Session(
        id=row["id"],
        consumer_workspace_id=row["consumer_workspace_id"],
        requested=Point(row["requested_lat"], row["requested_lng"]),
        terms=Terms(
            rate_uusdc=row["rate_uusdc"],
            max_duration_s=row["max_duration_s"],
            wait_timeout_s=row["wait_timeout_s"],
            platform_fee_bps=row["platform_fee_bps"],
            geofence_radius_m=row["geofence_radius_m"],
            unit=row["unit"],
        ),
        created_at=row["created_at"],
        state=State(row["state"]),
        operator_workspace_id=row["operator_workspace_id"],
        dispatched=row["dispatched"],
        assigned_at=row["assigned_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        clean_seconds=row["clean_seconds"],
        charged_uusdc=row["charged_uusdc"],
        live_input=_live_input(row) if row["uid"] is not None else None,
        settlement_tx_hash=row["tx_hash"],
        controls=None if row["controls"] is None else tuple(map(Control, row["controls"])),
        policy=None if row["policy"] is None else msgspec.json.decode(row["policy"]),
        budget_key_id=row["budget_key_id"],
    )
