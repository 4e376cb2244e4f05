"""Heartbeats, beacons and notifications in, disconnect windows out."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from luxxon_core.access.ports import Wallets
from luxxon_core.kernel.errors import (
    Conflict,
    ExternalError,
    InvalidInput,
    InvalidState,
    MissingToken,
    NotAuthorized,
    SessionNotFound,
    WorkspaceNotFound,
)
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.telemetry.domain import (
    MAX_SKEW,
    STALE_AFTER,
    Beacon,
    InputEvent,
    LiveSession,
    Reason,
    Sample,
    Stage,
    outside_geofence,
)
from luxxon_core.telemetry.ports import Beacons, Heartbeats, Notifications, Windows
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces

log = structlog.get_logger(__name__)

MAX_AHEAD = timedelta(minutes=5)
"""A notification from later than this would keep out those that follow it."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Records heartbeats; opens and closes windows by what they say and when they stop."""

    uow: UnitOfWork
    windows: Windows
    heartbeats: Heartbeats
    workspaces: Workspaces
    new_id: NewId

    async def heartbeat(self, workspace_id: UUID, sample: Sample, session_id: UUID | None) -> Workspace:
        """Record a sample and let it close or open windows of the workspace's LIVE session.

        Raises:
            NotAuthorized: ``session:notSupplier``.
            Conflict: ``heartbeat:sequence``.
        """
        async with self.uow.begin() as tx:
            workspace = await self.workspaces.get(tx, workspace_id)
            if workspace is None:
                raise WorkspaceNotFound
            if not workspace.is_supplier:
                raise NotAuthorized("session:notSupplier")
            # session before workspace, as everywhere, and so that an end does not bill what changes here
            sessions = await self.heartbeats.live_sessions(tx, workspace_id)
            if not await self.heartbeats.record(tx, workspace_id, sample):
                raise Conflict("heartbeat:sequence")
            for live in sessions:
                await self.windows.close(tx, live.id, Reason.STALE_TELEMETRY, sample.at)
                if session_id in (None, live.id):
                    await self._fence(tx, live, sample)
            after = await self.workspaces.get(tx, workspace_id)
        assert after is not None
        return after

    async def _fence(self, tx: Tx, live: LiveSession, sample: Sample) -> None:
        outside = outside_geofence(sample, live)
        if outside:
            await self.windows.open(tx, self.new_id(), live.id, Reason.OUTSIDE_GEOFENCE, sample.at)
        elif outside is False:
            await self.windows.close(tx, live.id, Reason.OUTSIDE_GEOFENCE, sample.at)

    async def sweep_stale(self, now: datetime) -> int:
        """Open STALE_TELEMETRY where heartbeats stopped; the window begins when the last one went stale."""
        opened, before = 0, now - STALE_AFTER
        async with self.uow.read() as tx:
            suspects = await self.heartbeats.stale(tx, before)
        for session_id, _ in suspects:
            async with self.uow.begin() as tx:
                last = await self.heartbeats.still_stale(tx, session_id, before)
                if last is not None:
                    at = last + STALE_AFTER
                    opened += await self.windows.open(
                        tx, self.new_id(), session_id, Reason.STALE_TELEMETRY, at
                    )
        return opened


@dataclass(frozen=True, slots=True)
class BeaconLog:
    """Takes the telemetry samples of running sessions.

    Attributes:
        required: refuse what the operator's wallet has not signed; otherwise it is only noted.
    """

    uow: UnitOfWork
    beacons: Beacons
    windows: Windows
    wallets: Wallets
    required: bool = False

    async def accept(self, workspace_id: UUID, beacon: Beacon, now: datetime) -> None:
        """Append a sample of a session that the workspace operates; it proves that the operator is there.

        Raises:
            SessionNotFound.
            NotAuthorized: ``session:notOperator``.
            InvalidState: ``session:telemetry:<STATE>``; it has no live input, or has ended.
            Conflict: ``telemetry:capturedAt``; off by more than 30 s, or not later than the last one.
            InvalidInput: ``telemetry:signature``, where one of the operator's wallet is required.
        """
        async with self.uow.read() as tx:
            stage = await self._running(tx, workspace_id, beacon)
        if abs(beacon.captured_at - now) > MAX_SKEW:
            raise Conflict("telemetry:capturedAt")
        assert stage.operator_wallet is not None
        signed = await self._signed(stage.operator_wallet, beacon)
        if self.required and not signed:
            raise InvalidInput("telemetry:signature")
        async with self.uow.begin() as tx:
            await self._running(tx, workspace_id, beacon, lock=True)
            newest = await self.beacons.newest(tx, beacon.session_id)
            if newest is not None and beacon.captured_at <= newest:
                raise Conflict("telemetry:capturedAt")
            await self.beacons.add(tx, beacon, signed, now)
            await self.windows.close(tx, beacon.session_id, Reason.STALE_TELEMETRY, now)

    async def _running(self, tx: Tx, workspace_id: UUID, beacon: Beacon, *, lock: bool = False) -> Stage:
        stage = await self.beacons.stage(tx, beacon.session_id, lock=lock)
        if stage is None:
            raise SessionNotFound
        if stage.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:notOperator")
        if stage.state != "LIVE" and not (stage.state == "ASSIGNED" and stage.started):
            raise InvalidState(f"session:telemetry:{stage.state}")
        return stage

    async def _signed(self, wallet: str, beacon: Beacon) -> bool:
        try:
            return await self.wallets.verify(wallet, beacon.text(), beacon.signature)
        except ExternalError as error:  # the contract of a smart wallet cannot be asked
            if self.required:
                raise
            log.warning("signature not checked", session_id=str(beacon.session_id), code=error.code)
            return False


@dataclass(frozen=True, slots=True)
class VideoEvents:
    """Takes what an outside edge notifies us of.

    Attributes:
        path_token, header_token: both must come with a notification; None takes none at all.
    """

    uow: UnitOfWork
    windows: Windows
    notifications: Notifications
    new_id: NewId
    path_token: str | None = field(default=None, repr=False)
    header_token: str | None = field(default=None, repr=False)

    def check(self, path_token: str, header_token: str) -> None:
        """Compare both secrets, in a time that tells nothing of them.

        Raises:
            MissingToken: one is wrong, or the deployment has none.
        """
        fits = [_same(path_token, self.path_token), _same(header_token, self.header_token)]
        if not all(fits):
            raise MissingToken

    async def notify(self, uid: str, kind: str, happened: datetime, now: datetime) -> None:
        """Open or close NETWORK_ERROR of a LIVE session. Unknown live inputs and kinds, and what is not newer
        than the newest known, change nothing.

        Raises:
            InvalidInput: ``video:updated_at``, far in the future.
        """
        if happened > now + MAX_AHEAD:
            raise InvalidInput("video:updated_at")
        if kind not in list(InputEvent):
            return
        async with self.uow.begin() as tx:
            session_id = await self.notifications.session_of(tx, uid)
            if session_id is None or not await self.notifications.advance(tx, uid, happened):
                return
            at = min(happened.replace(microsecond=happened.microsecond // 1000 * 1000), now)
            if kind == InputEvent.CONNECTED:
                await self.windows.close(tx, session_id, Reason.NETWORK_ERROR, at)
            else:
                await self.windows.open(tx, self.new_id(), session_id, Reason.NETWORK_ERROR, at)


def _same(given: str, wanted: str | None) -> bool:
    sent, expected = given.encode("utf-8", "surrogateescape"), (wanted or "").encode()
    return hmac.compare_digest(sent, expected) and bool(wanted)
