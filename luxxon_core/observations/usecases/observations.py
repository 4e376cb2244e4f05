"""Ask for one frame, wait for it, and fetch it.

The row is the job. Whoever runs :meth:`Observations.run` takes an observation from wherever it stands to its
end: that its client has left, or the server that took it is dead, makes no difference to it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from luxxon_core.dispatch.usecases import Dispatch
from luxxon_core.events.usecases import Feed
from luxxon_core.http.principal import ApiKeyPrincipal
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import (
    Conflict,
    DatabaseError,
    FrameNotAvailable,
    InvalidState,
    LuxxonError,
    NotAuthorized,
    NotFound,
    Unavailable,
    VideoError,
)
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Frame
from luxxon_core.observations import domain
from luxxon_core.observations.domain import Asked, Kept, Observation
from luxxon_core.observations.ports import Lightmeter, Store
from luxxon_core.observations.usecases.places import Places
from luxxon_core.observations.usecases.waiting import Waiters
from luxxon_core.sessions.domain import TERMINAL, Session, State
from luxxon_core.sessions.usecases import SessionCases

log = structlog.get_logger(__name__)

LOOK = timedelta(seconds=0.2)
"""How often an observation is looked at that waits for its operator's video or a picture of it."""
DISPATCH_AGAIN = timedelta(seconds=1)
"""How often it is dispatched where nobody is free."""
IDLE_SECONDS = 1.0
"""How often it is looked whether another server has left an observation behind."""
HOT_SECONDS = 2.0
AT_ONCE = 256
"""Observations that are under way in this process, those that wait for a place at their edge included."""
FRAME_SECONDS = 3.0
"""How long an edge elsewhere may take to give out a frame."""
PURGE_ROWS = 500
REFUSED = timedelta(days=1)
"""How long an observation is kept that nobody was asked for: as long as its Idempotency-Key counts."""
SMALLER_TIMES = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """The deployment's terms.

    Attributes:
        unit_s: what is sold: the price is the rate at the place for so many seconds.
        kept: how long a frame can be fetched.
        frame_bytes: of one frame at most; a larger one is made smaller.
        store_bytes: of all frames together.
        recorded: how long an observation can be read after it has finished.
    """

    unit_s: int
    kept: timedelta
    frame_bytes: int
    store_bytes: int
    recorded: timedelta


class Observations:
    """One method for each thing that can happen to an observation."""

    def __init__(
        self,
        store: Store,
        light: Lightmeter,
        sessions: SessionCases,
        dispatch: Dispatch,
        feed: Feed,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._uow, self._store, self._light = sessions.uow, store, light
        self._sessions, self._dispatch = sessions, dispatch
        self.clock, self._policy = clock, policy
        self._asked, self._hot_until = asyncio.Event(), 0.0
        self._under_way: set[UUID] = set()
        self._places, self._waiters = Places(), Waiters(feed, self._read)

    # -- what a consumer asks -----------------------------------------------------------------------

    async def create(
        self,
        workspace_id: UUID,
        asked: Asked,
        now: datetime,
        *,
        observation_id: UUID | None = None,
        key: ApiKeyPrincipal | None = None,
    ) -> Observation:
        """Ask for a frame: PENDING, or FAILED at once where it costs more than it may.

        Args:
            observation_id: one that a former call of the workspace used answers with the observation made
                then.
            key: as of :meth:`~luxxon_core.sessions.usecases.SessionCases.create`.

        Raises:
            LuxxonError: what :meth:`~luxxon_core.sessions.usecases.SessionCases.create` raises; then there is
                no observation. Conflict, ``session:id``: the one made then is kept no longer.
        """
        if observation_id is not None and (made := await self._read(observation_id)) is not None:
            return _own(made, workspace_id)
        observation_id = observation_id or self._sessions.new_id()
        quote = await self._sessions.pricing.quote(workspace_id, asked.point, self._policy.unit_s, now)
        new = domain.observe(
            observation_id, workspace_id, asked, quote.price.rate_uusdc, self._policy.unit_s, now
        )
        if new.finished and await self._sessions.current.get(observation_id) is not None:
            pass  # it was asked for then, at another price
        elif new.finished:
            async with self._uow.begin() as tx:
                await self._store.add(tx, new)
        else:

            async def keep(tx: Tx, _: Session) -> None:
                await self._store.add(tx, new)

            await self._sessions.create(
                workspace_id,
                asked.point,
                new.unit_s,
                asked.max_wait_s,
                now,
                quote_id=quote.id,
                session_id=observation_id,
                key=key,
                unit=keep,
            )
            self._asked.set()
        made = await self._read(observation_id)
        if made is None:
            raise Conflict("session:id", "Its observation is kept no longer")
        return _own(made, workspace_id)

    async def get(self, observation_id: UUID, workspace_id: UUID) -> Observation:
        """The observation, for the workspace that asked for it.

        Raises:
            NotFound: ``observation:id``; NotAuthorized: ``observation:viewDenied``.
        """
        found = await self._read(observation_id)
        if found is None:
            raise NotFound("observation:id", "Observation not found")
        return _own(found, workspace_id)

    async def wait(self, observation: Observation, seconds: float) -> Observation:
        """The observation once it is finished, or as it stands after ``seconds`` or when the server stops."""
        return await self._waiters.wait(observation, seconds)

    async def frame(self, observation_id: UUID, workspace_id: UUID, now: datetime) -> Frame:
        """The frame, for either side of the session.

        Raises:
            NotFound; NotAuthorized; FrameNotAvailable: not yet, never, or kept no longer.
        """
        observation = await self._read(observation_id)
        if observation is None:
            raise NotFound("observation:id", "Observation not found")
        if observation.consumer_workspace_id != workspace_id:
            if not observation.asked_for:
                raise NotAuthorized("observation:viewDenied")
            await self._sessions.get(observation_id, workspace_id)
        async with self._uow.read() as tx:
            frame = await self._store.frame(tx, observation_id, now)
        if frame is None:
            expired = observation.status is domain.Status.READY
            raise FrameNotAvailable(f"observation:{'expired' if expired else observation.status}")
        return frame

    async def stop(self, _: object = None) -> None:
        """The server stops: nobody waits any longer, and each is told how things stand."""
        self._waiters.close()

    # -- what happens by itself ---------------------------------------------------------------------

    async def run(self, _: datetime) -> None:
        """Take every observation that is due a step further, again and again until cancelled.

        Raises:
            DatabaseError: it could not be read which are due; what was under way is due again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._rest(bool(await self.begin(group, self.clock())))
        except ExceptionGroup as failed:  # the steps take care of their own
            if failed.split(DatabaseError)[1] is not None:
                raise
            raise DatabaseError("observations:due") from failed

    async def begin(self, group: asyncio.TaskGroup, now: datetime) -> int:
        """Take every observation that is due a step further, each in a task of the group; how many."""
        free, until = AT_ONCE - len(self._under_way), now + LOOK
        async with self._uow.begin() as tx:
            if self._under_way:
                await self._store.renew(tx, self._under_way, now, until)
            due = await self._store.claim(tx, now, until, free) if free > 0 else []
        begun = [one for one in due if one.id not in self._under_way]
        for one in begun:
            self._under_way.add(one.id)
            task = group.create_task(self._advance(one), name="observation")
            task.add_done_callback(partial(self._over, one.id))
        return len(begun)

    def _over(self, observation_id: UUID, _: object) -> None:
        self._under_way.discard(observation_id)

    async def hear(self, _: datetime) -> int:
        """Look for what waiters were not told of: a server may die between its commit and the log."""
        awaited = self._waiters.awaited
        if not awaited:
            return 0
        async with self._uow.read() as tx:
            finished = await self._store.finished(tx, awaited)
        self._waiters.tell(finished)
        return 0

    async def purge(self, now: datetime) -> int:
        """Delete frames that are kept no longer, and observations that are; how many."""
        async with self._uow.begin() as tx:
            frames = await self._store.purge(tx, now, self._policy.store_bytes, PURGE_ROWS)
        refused = now - min(REFUSED, self._policy.recorded)
        async with self._uow.begin() as tx:
            return frames + await self._store.purge_records(
                tx, now - self._policy.recorded, refused, PURGE_ROWS
            )

    async def _rest(self, busy: bool) -> None:
        """Until somebody asks here, or it is time to look again whether something is due."""
        loop = asyncio.get_running_loop()
        if busy:
            self._hot_until = loop.time() + HOT_SECONDS
        seconds = LOOK.total_seconds() / 4 if loop.time() < self._hot_until else IDLE_SECONDS
        with suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), seconds)
        self._asked.clear()

    async def _advance(self, observation: Observation) -> None:
        try:
            session = await self._sessions.current.get(observation.id)
            assert session is not None
            edge = None if session.live_input is None else session.live_input.edge
            left = (observation.deadline - self.clock()).total_seconds()
            async with self._places.taken(edge, max(left, 0.0)) as place:
                now = self.clock()
                if place or now >= observation.deadline:
                    await self._step(observation, session, now)
        except LuxxonError as error:  # it is due again: one must not keep the others waiting
            log.warning(
                "observation not advanced",
                observation_id=str(observation.id),
                code=error.code,
                detail=error.detail,
            )
        except Exception as error:  # as well, and it is due again, too
            log.error("observation not advanced", observation_id=str(observation.id), exc_info=error)

    async def _step(self, observation: Observation, session: Session, now: datetime) -> None:
        if session.state in TERMINAL:
            await self._fail(observation, session, now)
        elif now >= observation.deadline:
            await self._fail(observation, await self._sessions.let_go(session.id, now), now)
        elif session.state is State.LIVE:
            await self._delivered(observation, session)
        elif session.state is State.REQUESTED:
            await self._give(observation, session, now)

    async def _give(self, observation: Observation, session: Session, now: datetime) -> None:
        """To whoever covers the place and is free; operators may also take it by themselves."""
        try:
            await self._dispatch(session.id, session.consumer_workspace_id, now)
        except Unavailable:
            again = min(now + DISPATCH_AGAIN, observation.deadline)
            async with self._uow.begin() as tx:
                await self._store.postpone(tx, observation.id, again)
        except InvalidState:
            return  # somebody has just taken it

    async def _delivered(self, observation: Observation, session: Session) -> bool:
        """Whether there was a frame, which is stored now and charged."""
        frame = await self._frame(session)
        if frame is None:
            return False
        windows = await self._sessions.windows_of(session.id)
        async with self._uow.read() as tx:
            faults = await self._sessions.faults.of_session(tx, session.id)
        if not domain.sellable(frame, session, windows, faults):
            return False
        frame = await self._fitting(frame, observation.asked.max_width)
        if frame is None:
            return False
        now = self.clock()
        if now >= observation.deadline:  # a late look, or a frame that took long
            return False

        async def keep(tx: Tx, after: Session) -> None:
            assert after.operator_workspace_id is not None
            position = await self._store.position(tx, after.operator_workspace_id, frame.captured_at)
            kept = Kept(len(frame.jpeg), frame.width, frame.height, now + self._policy.kept)
            done = domain.ready(observation, frame.captured_at, position, kept, now)
            if not await self._store.finish(tx, done):
                raise InvalidState("observation:finished")  # and nothing of all this has happened
            await self._store.keep(tx, done.id, frame, kept.expires_at)

        try:
            await self._sessions.deliver(session.id, keep, now)
        except InvalidState:
            return False  # it is over, or a window has just opened: the next look tells
        self._waiters.tell([observation.id])
        return True

    async def _frame(self, session: Session) -> Frame | None:
        assert session.live_input is not None or session.state is State.LIVE
        if session.live_input is None:
            return None
        try:
            async with asyncio.timeout(FRAME_SECONDS):
                return await self._sessions.edge.frame(session.live_input)
        except (TimeoutError, VideoError) as error:
            log.info("no frame from the edge", session_id=str(session.id), cause=type(error).__name__)
            return None

    async def _fitting(self, frame: Frame, max_width: int | None) -> Frame | None:
        """The frame within its width and the deployment's size; None for one that is black or cannot be
        read."""
        try:
            if (await self._light.measured(frame)).black:
                return None
            if max_width is not None:
                frame = await self._sessions.scaler.scaled(frame, max_width)
            for _ in range(SMALLER_TIMES):
                width = domain.narrower(frame, self._policy.frame_bytes)
                if width is None:
                    break
                frame = await self._sessions.scaler.scaled(frame, width)
        except VideoError:
            return None
        return frame

    async def _fail(self, observation: Observation, session: Session, now: datetime) -> None:
        async with self._uow.begin() as tx:
            await self._store.finish(
                tx, domain.fail(observation, domain.why(session, observation.deadline), now)
            )
        self._waiters.tell([observation.id])

    async def _read(self, observation_id: UUID) -> Observation | None:
        async with self._uow.read() as tx:
            return await self._store.get(tx, observation_id)


def _own(observation: Observation, workspace_id: UUID) -> Observation:
    if observation.consumer_workspace_id != workspace_id:
        raise NotAuthorized("observation:viewDenied")
    return observation
