"""Runs tool calls so that one which is cancelled ends what it has begun."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import structlog

from luxxon_core.client import Luxxon, Retry
from luxxon_core.client.errors import RateLimited
from luxxon_core.client.retrying import insist
from luxxon_core.kernel.errors import InvalidState, LuxxonError, NotReady
from luxxon_core.mcp_server.answers import Answer, failure, retryable
from luxxon_core.sessions.schemas import Session

PATIENT = Retry(attempts=20, seconds=8.0)
"""For what must not fail only because a call did: a meter runs until then."""
OVER = frozenset({"ENDED", "EXPIRED", "CANCELLED"})
OWED_SECONDS = 60.0
"""How long it is tried to end a session that a call has left; what is left then are its own limits."""
AGAIN_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Left(Exception):
    """A call was cancelled while a session ran that is to end with it.

    It takes the place of the cancellation, so that the call does not end the session itself: to be cancelled
    once more would leave it running.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


async def let_go(api: Luxxon, session_id: str, patience: Retry) -> Session:
    """End or cancel a session, whichever it takes; the session as it is then.

    What fails is done again from its beginning: a cancellation carries no Idempotency-Key, and whether one
    without an answer was executed is what the session says.

    Raises:
        LuxxonError: it was refused, or there was no success for so long as the patience goes.
    """
    sessions = api.with_retry(False).sessions

    async def once() -> Session:
        session = await sessions.get(session_id)
        while session.state not in OVER:
            go = sessions.end if session.state in ("LIVE", "PAUSED") else sessions.cancel
            try:
                return await go(session_id)
            except InvalidState:  # it has just gone LIVE, or is over
                before, session = session.state, await sessions.get(session_id)
                if session.state == before:
                    raise
        return session

    return await insist(patience, once, _pause)


def _pause(error: LuxxonError) -> float | bool:
    """Whether to try again, or the seconds to wait first."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return error.retry_after
    return retryable(error)


class Calls:
    """Each call is a task of its own: whoever cancels it waits until it has cleaned up, and a cancellation
    reaches it once. The sessions that calls leave are ended by tasks of ours, which outlive the calls."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._cancelled: set[asyncio.Task[Answer]] = set()
        self._endings: set[asyncio.Task[bool]] = set()
        self._until = math.inf
        """When nobody waits any longer, by the loop's clock: we are being closed."""

    @property
    def ending(self) -> int:
        """How many sessions are being ended that calls have left."""
        return len(self._endings)

    async def run(
        self, api: Luxxon, call: Callable[[], Coroutine[Any, Any, Answer]], gone: asyncio.Event | None = None
    ) -> Answer:
        """The call's answer; when this is cancelled or ``gone`` is set, the call is cancelled, and a session
        that it has opened is let go even if its answer was ready."""
        task = asyncio.create_task(self._whole(api, call), name="mcp-call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._cancelled.discard)
        leaving = asyncio.create_task((gone or asyncio.Event()).wait(), name="mcp-leaving")
        try:
            await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._undone(api, task)
            raise
        finally:
            leaving.cancel()
        if not task.done() or (leaving.done() and not leaving.cancelled()):
            with anyio.CancelScope(shield=True):
                await self._undone(api, task)
            return Answer("the caller has left", failed=True)
        if task.cancelled():
            return _stopped()
        return task.result()

    async def close(self, seconds: float) -> None:
        """Cancel every call and wait for what each has to clean up and for what is being ended, so long at
        most."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + seconds
        for task in self._tasks:
            self._cancel(task)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        if self._endings:
            await asyncio.wait(self._endings, timeout=max(self._until - loop.time(), 0))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for ending in self._endings:
            ending.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)

    async def _whole(self, api: Luxxon, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The call, and the end of what it leaves when it is cancelled: that answer is heard only where the
        server stops. What its answer owes is ours from now on."""
        try:
            answer = await call()
        except Left as left:
            over = await self._ended(api, left.session_id)
            return _stopped(None if over else left.session_id)
        if answer.owed is not None:
            self._owe(api, answer.owed)
        return answer

    async def _undone(self, api: Luxxon, task: asyncio.Task[Answer]) -> None:
        self._cancel(task)
        await asyncio.wait((task,))
        if task.cancelled() or task.exception() is not None:
            return
        if (opened := task.result().opened) is not None:
            await self._ended(api, opened)

    def _cancel(self, task: asyncio.Task[Answer]) -> None:
        """Unless that has been done: what it does then is not to be interrupted."""
        if not task.done() and task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    async def _ended(self, api: Luxxon, session_id: str) -> bool:
        """End a session that a call leaves; whether it was over before our patience was. It goes on being
        ended in either case, also where this is cancelled."""
        ending = self._owe(api, session_id)
        left = self._until - asyncio.get_running_loop().time()
        await asyncio.wait((ending,), timeout=max(min(PATIENT.seconds, left), 0))
        return ending.done() and not ending.cancelled() and ending.exception() is None and ending.result()

    def _owe(self, api: Luxxon, session_id: str) -> asyncio.Task[bool]:
        ending = asyncio.create_task(_paid_off(api, session_id), name="mcp-ending")
        self._endings.add(ending)
        ending.add_done_callback(self._settled)
        return ending

    def _settled(self, ending: asyncio.Task[bool]) -> None:
        self._endings.discard(ending)
        if not ending.cancelled() and (error := ending.exception()) is not None:
            log.error("session not ended", exc_info=error)


def _stopped(left: str | None = None) -> Answer:
    """What a call is told that ends with the server.

    Args:
        left: a session of the call that could not be ended.
    """
    more = "" if left is None else f"; the session {left} could not be ended: see that it is"
    return failure(NotReady("mcp:stopping", f"the server stops{more}"))


async def _paid_off(api: Luxxon, session_id: str) -> bool:
    """End a session that a call has left; whether it is over. Where it is not, the log has it."""
    try:
        await _insisted(api, session_id)
    except LuxxonError as error:
        log.warning("session not ended", session_id=session_id, code=error.code)
        return False
    except asyncio.CancelledError:
        log.warning("session not ended", session_id=session_id, code="STOPPED")
        raise
    return True


async def _insisted(api: Luxxon, session_id: str) -> None:
    """Try until the session is over.

    Raises:
        LuxxonError: ending it was refused for good, or has been tried for long enough.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + OWED_SECONDS
    while True:
        try:
            await let_go(api, session_id, PATIENT)
        except LuxxonError as error:
            if not retryable(error) or loop.time() >= until:
                raise
        else:
            return
        await asyncio.sleep(AGAIN_SECONDS)
