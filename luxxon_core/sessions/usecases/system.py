"""What happens by itself: first frames, lost media, sweeps, restarts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from luxxon_core.kernel.errors import (
    InvalidState,
    LuxxonError,
    VideoError,
)
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import State
from luxxon_core.sessions.usecases.steps import Steps
from luxxon_core.telemetry.domain import Reason

log = structlog.get_logger(__name__)

MINTING = timedelta(minutes=1)
"""Longer than any transaction that mints a live input."""


@dataclass(frozen=True, slots=True)
class Lifecycle(Steps):
    """What no person asks for."""

    async def on_media(self, event: MediaEvent, now: datetime) -> None:
        """First frame: LIVE. Media lost or back while LIVE: a NETWORK_ERROR window opens or closes. What is
        wrong with the picture while LIVE is recorded, and is no concern of the meter."""
        async with self.uow.begin() as tx:
            session_id = await self.sessions.live_input_of(tx, event.uid)
            if session_id is None:
                return
            before = await self._found(tx, session_id)  # locked: no end bills windows that change under it
            if before.live_input is None or before.live_input.uid != event.uid:
                return  # it moved to another edge while we waited
            if event.kind is MediaEventKind.DISCONNECTED:
                await self._media_lost(tx, session_id, event.at)
                return
            if event.kind is MediaEventKind.FAULT_BEGAN:
                if event.fault is not None:
                    await self.faults.open(tx, self.new_id(), session_id, event.fault, event.at)
                return
            if event.kind is MediaEventKind.FAULT_ENDED:
                await self.faults.close(tx, session_id, event.fault, event.at)
                return
            if event.kind is MediaEventKind.FIRST_FRAME and before.state is State.ASSIGNED:
                await self._store(tx, before, domain.go_live(before, now), now)
            await self.windows.close(tx, session_id, Reason.NETWORK_ERROR, event.at)

    async def sweep(self, now: datetime) -> int:
        """Expire what waited too long and what ran its full length; returns how many."""
        async with self.uow.read() as tx:
            waited, run = await self.sessions.waited_out(tx, now), await self.sessions.run_out(tx, now)
        swept = 0
        for session_id in (*waited, *run):
            try:
                async with self.uow.begin() as tx:
                    before = await self._found(tx, session_id)
                    if before.state is State.LIVE:
                        after = domain.expire_live(before, now, await self._billable(tx, before, now))
                    else:
                        after = domain.expire_waiting(before, now)
                    await self._store(tx, before, after, now)
            except InvalidState:
                continue  # another process or a person was first
            except LuxxonError as error:
                log.error("session not swept", session_id=str(session_id), code=error.code, cause=str(error))
                continue  # it must not keep the others waiting
            await self._tear_down(after, now)
            swept += 1
        return swept

    async def stamp_alive(self, now: datetime) -> None:
        """Note every second that the edges are being served: after a crash, what came later is not charged.

        After a lapse, in which others took this edge for gone, it says again which live inputs have media.
        """
        async with self.uow.begin() as tx:
            formers = [await self.sessions.stamp_alive(tx, edge, now) for edge in sorted(self.edge.names)]
        if any(former is not None and former < now - domain.EDGE_SILENT for former in formers):
            self.edge.announce()

    async def restore(self, now: datetime) -> int:
        """After a restart: let each edge serve its live inputs of open sessions again.

        A LIVE one had no media from the edge's last sign of life on and has none until its publisher is back:
        its NETWORK_ERROR window opens there.
        """
        async with self.uow.begin() as tx:
            inputs = []
            for edge in self.edge.names:
                alive_at = await self.sessions.alive_at(tx, edge) or now
                inputs += await self._without_media(tx, edge, alive_at)
        for live_input in inputs:
            try:
                await self.edge.restore(live_input)
            except VideoError as error:
                # its URLs are of another address: the wait or the meter's end is near
                log.warning("live input not restored", uid=live_input.uid, code=error.code)
        return len(inputs)

    async def retire(self, now: datetime) -> int:
        """Before the edge is closed: its LIVE sessions have no media from now on, and the other servers need
        not wait until it has been silent for long. Returns how many live inputs it leaves."""
        async with self.uow.begin() as tx:
            inputs = []
            for edge in sorted(self.edge.names):
                inputs += await self._without_media(tx, edge, now)
                await self.sessions.retire_edge(tx, edge)
        return len(inputs)

    async def _without_media(self, tx: Tx, edge: str, since: datetime) -> list[LiveInput]:
        ours = []
        for live_input in await self.sessions.live_inputs(tx, edge):
            session_id = await self.sessions.live_input_of(tx, live_input.uid)
            session = None if session_id is None else await self._found(tx, session_id)
            if session is None or session.live_input != live_input:
                continue  # it moved to another edge meanwhile
            await self._media_lost(tx, session.id, since)
            ours.append(live_input)
        return ours

    async def sweep_abandoned(self, now: datetime) -> int:
        """LIVE sessions whose edge is gone, with the server that died: their NETWORK_ERROR windows open at
        its last sign of life; returns how many did now."""
        async with self.uow.read() as tx:
            found = await self.sessions.abandoned(tx, now - domain.EDGE_SILENT)
        opened = 0
        for session_id in found:
            async with self.uow.begin() as tx:
                # locked and looked at again: its edge may be back, or another one have its stream
                session = await self._found(tx, session_id)
                opened += await self._note_lost(tx, session, now, domain.EDGE_SILENT)
        return opened

    async def sweep_torn_down(self, now: datetime) -> int:
        """Tell the edge of what is over and was not torn down here: sessions that another server ended, live
        inputs that moved to another edge meanwhile, calls that failed. Returns how many it did now."""
        async with self.uow.read() as tx:
            inputs = {
                live_input: None  # those of silent edges are found under each name of ours
                for edge in sorted(self.edge.names)
                for live_input in await self.sessions.torn_down(tx, edge, now - domain.EDGE_SILENT)
            }
        swept = 0
        for live_input in inputs:
            swept += await self._delete(live_input, now)
        return swept + await self._prune(now)

    async def _prune(self, now: datetime) -> int:
        """Stop serving what was deleted behind our back. Live inputs just minted are left: their session's
        transaction may not have committed yet."""
        serving = self.edge.serving(now - MINTING)
        if not serving:
            return 0
        async with self.uow.read() as tx:
            gone = serving.keys() - await self.sessions.not_deleted(tx, serving)
        for uid in gone:
            await self.edge.delete(LiveInput(uid, serving[uid], "", ""))
        return len(gone)
