"""What an operator does: accept, start, give back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import (
    InvalidInput,
    InvalidState,
    NotAuthorized,
    OutsideCoverage,
)
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session
from luxxon_core.sessions.usecases.steps import Steps, live_input_of
from luxxon_core.telemetry.domain import Reason


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

    async def start(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Mint the live input once; the state stays ASSIGNED until the first frame. Idempotent.

        When the server whose edge held it is gone, another is minted here: the publisher goes on with the
        answer's URL, viewers with that of the viewer token.

        Raises:
            VideoError: the edge refused; the session is as it was.
        """
        minted: LiveInput | None = None
        try:
            async with self.uow.begin() as tx:
                session = await self._operated(tx, session_id, workspace_id, domain.check_start)
                if session.live_input is not None:
                    since = await self._lost_since(tx, session.live_input, now, domain.EDGE_SILENT)
                    if since is None:
                        return session
                    # here, too: once the live input is ours, no sweep finds the session abandoned
                    await self.windows.open(tx, self.new_id(), session_id, Reason.NETWORK_ERROR, since)
                    await self.sessions.mark_deleted(tx, session.live_input.uid, now)
                minted = await self.edge.create()
                await self.sessions.add_live_input(tx, session_id, minted, now)
                await self.workspaces.occupy(tx, workspace_id)
                return await self._found(tx, session_id)
        except BaseException:
            if minted is not None:
                await self.edge.delete(minted)
            raise

    async def cancel_all(self, workspace_id: UUID, now: datetime) -> list[UUID]:
        """Give back every ASSIGNED session of the operator; LIVE ones go on. Ids oldest first."""
        async with self.uow.read() as tx:
            candidates = await self.sessions.assigned_to(tx, workspace_id)
        cancelled = []
        for session_id in candidates:
            try:
                async with self.uow.begin() as tx:
                    before = await self._operated(tx, session_id, workspace_id, lambda _: None)
                    after = domain.cancel(before, now, operator=True)
                    await self._store(tx, before, after, now)
            except InvalidState:
                continue
            await self._tear_down(after, now)
            cancelled.append(session_id)
        return cancelled

    async def produced(self, session_id: UUID, workspace_id: UUID) -> LiveInput:
        """The live input, for its operator."""
        async with self.uow.read() as tx:
            session = await self._found(tx, session_id, lock=False)
        if session.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:viewDenied")
        return live_input_of(session, "producerToken")
