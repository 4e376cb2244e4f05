"""Repositories that write the log of events as they change what the events tell of.

Here and not in the use cases, so that no way of changing a session, a window or a settlement can leave out
the event: each is in the same transaction as the row, and tells of exactly what was stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection
from luxxon_core.adapters.postgres.events import PgJournal, encoded
from luxxon_core.adapters.postgres.faults import PgPictureFaults
from luxxon_core.adapters.postgres.sessions import PgSessions
from luxxon_core.adapters.postgres.settlement import PgSettlementStore, Told
from luxxon_core.adapters.postgres.telemetry import PgBeacons, PgHeartbeats, PgWindows
from luxxon_core.events.domain import Fix, Kind, Payment, changed_at
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Fault, LiveInput, PictureFault
from luxxon_core.sessions.domain import Control, Session, State
from luxxon_core.settlement.domain import Settlement, SettlementState, Wait
from luxxon_core.telemetry.domain import Beacon, Reason, Sample, Window


class TellingSessions(PgSessions):
    """Tells that a session was created, changed its state or was given a live input."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def add(self, tx: Tx, session: Session) -> bool:
        return await super().add(self._telling(tx, session), session)

    async def swap(self, tx: Tx, before: State, session: Session) -> bool:
        return await super().swap(self._telling(tx, session), before, session)

    async def add_live_input(self, tx: Tx, session_id: UUID, live_input: LiveInput, now: datetime) -> bool:
        if not await super().add_live_input(tx, session_id, live_input, now):
            return False
        session = await self.get(tx, session_id)
        assert session is not None
        await self._journal.add(tx, Kind.SESSION_STATE, session_id, session, now)
        return True

    async def describe(
        self,
        tx: Tx,
        session: Session,
        controls: tuple[Control, ...] | None,
        policy: Mapping[str, Any] | None,
        now: datetime,
    ) -> None:
        await super().describe(tx, session, controls, policy, now)
        if session.live_input is not None:  # else the live input that it is given now tells of it
            after = await self.get(tx, session.id)
            assert after is not None
            await self._journal.add(tx, Kind.SESSION_STATE, session.id, after, now)

    def _telling(self, tx: Tx, session: Session) -> Tx:
        return _WithEvent(self._journal, tx, session)


class _WithEvent:
    """A transaction for the one statement that changes a session: it inserts the event as well, for a round
    trip of its own would make creating and dispatching a fifth slower."""

    __slots__ = ("_journal", "_session", "_tx")

    def __init__(self, journal: PgJournal, tx: Tx, session: Session) -> None:
        self._journal = journal
        self._tx = tx
        self._session = session

    async def fetchval(self, statement: str, *arguments: object) -> object:
        """What the statement returns: the id of the session, None if nothing was changed."""
        session = self._session
        changed: object = await connection(self._tx).fetchval(
            _with_event(statement, len(arguments)),
            *arguments,
            session.consumer_workspace_id,
            session.operator_workspace_id,
            encoded(session),
            changed_at(session),
        )
        if changed is not None:
            self._journal.wrote(self._tx)
        return changed


@cache
def _with_event(statement: str, given: int) -> str:
    consumer, operator, data, at = (f"${given + number}" for number in (1, 2, 3, 4))
    return f"""
        with changed as (
            {statement}
        ), told as (
            insert into event (kind, session_id, consumer_workspace_id, operator_workspace_id, data, at)
            select '{Kind.SESSION_STATE}', id, {consumer}, {operator}, {data}::jsonb, {at} from changed
        )
        select id from changed
    """  # noqa: S608 - of statements of ours and numbers of parameters


class TellingWindows(PgWindows):
    """Tells that a disconnect window opened or closed, with the times that were stored."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def _opened(
        self, tx: Tx, window_id: UUID, session_id: UUID, reason: Reason, at: datetime
    ) -> Window | None:
        opened = await super()._opened(tx, window_id, session_id, reason, at)
        if opened is not None:
            await self._journal.add(tx, Kind.WINDOW_OPENED, session_id, opened, opened.opened_at)
        return opened

    async def _closed(self, tx: Tx, session_id: UUID, reason: Reason, at: datetime) -> Window | None:
        closed = await super()._closed(tx, session_id, reason, at)
        if closed is not None:
            await self._journal.add(tx, Kind.WINDOW_CLOSED, session_id, closed, closed.closed_at)
        return closed

    async def _all_closed(self, tx: Tx, session_id: UUID, at: datetime) -> list[Window]:
        closed = await super()._all_closed(tx, session_id, at)
        for window in sorted(closed, key=lambda window: window.opened_at):
            await self._journal.add(tx, Kind.WINDOW_CLOSED, session_id, window, window.closed_at)
        return closed


class TellingPictureFaults(PgPictureFaults):
    """Tells that the picture has become bad, or good again."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def _opened(
        self, tx: Tx, fault_id: UUID, session_id: UUID, fault: Fault, at: datetime
    ) -> PictureFault | None:
        opened = await super()._opened(tx, fault_id, session_id, fault, at)
        if opened is not None:
            await self._journal.add(tx, Kind.QUALITY_DEGRADED, session_id, opened, opened.opened_at)
        return opened

    async def _closed(
        self, tx: Tx, session_id: UUID, fault: Fault | None, at: datetime
    ) -> list[PictureFault]:
        closed = await super()._closed(tx, session_id, fault, at)
        for one in closed:
            await self._journal.add(tx, Kind.QUALITY_RESTORED, session_id, one, one.closed_at)
        return closed


class TellingHeartbeats(PgHeartbeats):
    """Tells where the operator of a LIVE session is."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def record(self, tx: Tx, workspace_id: UUID, sample: Sample) -> bool:
        if not await super().record(tx, workspace_id, sample):
            return False
        fix = Fix(sample.point.lat, sample.point.lng, sample.accuracy_m, sample.speed_mps)
        await self._journal.add_samples(tx, workspace_id, fix, sample.at)
        return True


class TellingBeacons(PgBeacons):
    """Tells where a device says that it is."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def add(self, tx: Tx, beacon: Beacon, signed: bool, now: datetime) -> None:
        await super().add(tx, beacon, signed, now)
        fix = Fix(beacon.point.lat, beacon.point.lng, beacon.accuracy_m)
        await self._journal.add(tx, Kind.TELEMETRY_SAMPLE, beacon.session_id, fix, beacon.captured_at)


class TellingSettlementStore(PgSettlementStore):
    """Tells that a settlement was queued, submitted, confirmed, parked or has to be sent again."""

    def __init__(self, journal: PgJournal) -> None:
        self._journal = journal

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        if not await super().add(tx, settlement):
            return False
        await self._tell(tx, [settlement])
        return True

    async def save(self, tx: Tx, settlements: Sequence[Settlement]) -> None:
        before = await self._saved(tx, settlements)
        await self._tell(
            tx, [one for one in settlements if before.get(one.payload.session_id) != _as_told(one)]
        )

    async def _tell(self, tx: Tx, settlements: Sequence[Settlement]) -> None:
        told = [(one.payload.session_id, _payment(one), _moved_at(one)) for one in settlements]
        await self._journal.add_all(tx, Kind.SETTLEMENT_STATE, told)


def _payment(settlement: Settlement) -> Payment:
    payload = settlement.payload
    return Payment(
        settlement.state,
        payload.chargeable_seconds,
        payload.to_amount_uusdc,
        payload.fee_amount_uusdc,
        settlement.tx_hash,
        settlement.confirmed_at,
        parked=settlement.waits_for is Wait.OPERATOR,
    )


def _moved_at(settlement: Settlement) -> datetime | None:
    """None is the time of the writing."""
    queued = settlement.state is SettlementState.PENDING and settlement.attempts == 0
    return settlement.confirmed_at or settlement.submitted_at or (settlement.created_at if queued else None)


def _as_told(settlement: Settlement) -> Told:
    return settlement.state, settlement.tx_hash, settlement.waits_for is Wait.OPERATOR
