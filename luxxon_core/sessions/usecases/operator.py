"""What an operator does: accept, start, give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from luxxon_core.kernel.errors import (
    InvalidInput,
    InvalidState,
    NotAuthorized,
    OutsideCoverage,
    VideoError,
)
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Control, Session
from luxxon_core.sessions.usecases.steps import Steps, live_input_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Assignments(Steps):
    """The operator's side of a session."""

    async def accept(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Take a request whose point lies in the workspace's circle."""
        workspace = await self._workspace(workspace_id)
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if not workspace.is_supplier:
                raise NotAuthorized("session:notSupplier")
            if workspace.coverage is None or not workspace.coverage.contains(before.requested):
                raise OutsideCoverage("session:outsideCoverage")
            after = domain.assign(before, workspace_id, now)
            await self._store(tx, before, after, now)
        return after

    async def open_requests(
        self, workspace_id: UUID, now: datetime, *, cursor: UUID | None = None, limit: int
    ) -> list[Session]:
        """Requests that the workspace could accept, longest waiting first, following session ``cursor``.

        Raises:
            NotAuthorized: ``session:notSupplier``.
            InvalidInput: ``session:cursor``: there is no such session.
        """
        workspace = await self._workspace(workspace_id)
        if not workspace.is_supplier:
            raise NotAuthorized("session:notSupplier")
        async with self.uow.read() as tx:
            after = None if cursor is None else await self.sessions.get(tx, cursor)
            if cursor is not None and after is None:
                raise InvalidInput("session:cursor")
            if workspace.coverage is None:
                return []
            return await self.sessions.open_in(tx, workspace.coverage, now, limit, after=after)

    async def start(
        self,
        session_id: UUID,
        workspace_id: UUID,
        now: datetime,
        *,
        controls: tuple[Control, ...] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> Session:
        """Mint the live input once; the state stays ASSIGNED until the first frame. Idempotent.

        When the server whose edge held it is gone, another is minted here: the publisher goes on with the
        answer's URL, viewers with that of the viewer token. What the device allows and does is kept with the
        session, until it says otherwise.

        Raises:
            VideoError: the edge refused; the session is as it was.
        """
        minted: LiveInput | None = None
        lost: LiveInput | None = None
        try:
            async with self.uow.begin() as tx:
                session = await self._operated(tx, session_id, workspace_id, domain.check_start)
                session = await self._described(tx, session, controls, policy, now)
                if session.live_input is not None:
                    since = await self._lost_since(tx, session.live_input, now, domain.EDGE_SILENT)
                    if since is None:
                        return session
                    lost = session.live_input
                    # here, too: once the live input is ours, no sweep finds the session abandoned
                    await self._media_lost(tx, session_id, since)
                    await self.sessions.mark_deleted(tx, session.live_input.uid, now)
                minted = await self.edge.create()
                await self.sessions.add_live_input(tx, session_id, minted, now)
                await self.workspaces.occupy(tx, workspace_id)
                started = await self._found(tx, session_id)
        except BaseException:
            if minted is not None:
                await self.edge.delete(minted)
            raise
        if lost is not None:
            await self._forget(lost)
        return started

    async def _described(
        self,
        tx: Tx,
        session: Session,
        controls: tuple[Control, ...] | None,
        policy: Mapping[str, Any] | None,
        now: datetime,
    ) -> Session:
        """The session with what its device says now, stored where that is new."""
        after = replace(
            session,
            controls=session.controls if controls is None else controls,
            policy=session.policy if policy is None else dict(policy),
        )
        if after != session:
            await self.sessions.describe(tx, session, controls, policy, now)
        return after

    async def _forget(self, lost: LiveInput) -> None:
        """An edge that is nobody's process may still hold it, and charge for it."""
        try:
            await self.edge.delete(lost)
        except VideoError as error:
            log.warning("lost live input not deleted", uid=lost.uid, code=error.code)

    async def cancel_all(self, workspace_id: UUID, now: datetime) -> list[UUID]:
        """Give back every ASSIGNED session of the operator; LIVE ones go on. Ids oldest first."""
        async with self.uow.read() as tx:
            candidates = await self.sessions.assigned_to(tx, workspace_id)
        cancelled = []
        for session_id in candidates:
            try:
                await self.give_back(session_id, workspace_id, now)
            except InvalidState:
                continue
            cancelled.append(session_id)
        return cancelled

    async def give_back(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Cancel one ASSIGNED session as its operator.

        Raises:
            InvalidState: ``session:cancel:<STATE>``.
        """
        async with self.uow.begin() as tx:
            before = await self._operated(tx, session_id, workspace_id, lambda _: None)
            after = domain.cancel(before, now, operator=True)
            await self._store(tx, before, after, now)
        return await self._tear_down(after, now)

    async def produced(self, session_id: UUID, workspace_id: UUID) -> LiveInput:
        """The live input, for its operator."""
        async with self.uow.read() as tx:
            session = await self._found(tx, session_id, lock=False)
        if session.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:viewDenied")
        return live_input_of(session, "producerToken")
