"""Runs tool calls so that one which is cancelled ends what it has begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import structlog

from luxxon_core.client import Luxxon, Retry
from luxxon_core.kernel.errors import InvalidState, LuxxonError, NotReady
from luxxon_core.mcp_server.answers import Answer, failure, retryable
from luxxon_core.sessions.schemas import Session

PATIENT = Retry(seconds=8.0)
"""For what must not fail only because a call did: a meter runs until then."""
OVER = frozenset({"ENDED", "EXPIRED", "CANCELLED"})
OWED_SECONDS = 60.0
"""How long it is tried to end a session that a call has left: by then its maximum duration has done it."""
AGAIN_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def let_go(api: Luxxon, session_id: str, patience: Retry = PATIENT) -> Session:
    """End or cancel a session, whichever it takes; the session as it is then.

    Raises:
        LuxxonError: it could not be asked for.
    """
    sessions = api.with_retry(patience).sessions
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


class Calls:
    """Each call is a task of its own: whoever cancels it waits until it has cleaned up, and a cancellation
    reaches it once, so that cleaning up can wait for the server. What a call could not end goes on being
    ended after it has answered."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def ending(self) -> int:
        """How many sessions are being ended that calls have left."""
        return len(self._endings)

    async def run(
        self, api: Luxxon, call: Callable[[], Coroutine[Any, Any, Answer]], gone: asyncio.Event | None = None
    ) -> Answer:
        """The call's answer; when this is cancelled or ``gone`` is set, the call is cancelled, and a session
        that it has opened is let go even if its answer was ready."""
        task = asyncio.create_task(call(), name="mcp-call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
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
            return failure(NotReady("mcp:stopping", "the server stops; what the call had begun is ended"))
        return self._taken(api, task.result())

    async def close(self, seconds: float) -> None:
        """Cancel every call and wait for what each has to clean up and for what is being ended, so long at
        most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        if self._endings:
            await asyncio.wait(self._endings, timeout=max(until - loop.time(), 0))
        for ending in self._endings:
            ending.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)

    async def _undone(self, api: Luxxon, task: asyncio.Task[Answer]) -> None:
        task.cancel()
        await asyncio.wait((task,))
        if task.cancelled() or task.exception() is not None:
            return
        if (opened := self._taken(api, task.result()).opened) is not None:
            with suppress(LuxxonError):  # nobody is left to be told; the session's own limits hold
                await let_go(api, opened)

    def _taken(self, api: Luxxon, answer: Answer) -> Answer:
        """The answer; what it owes is ours from now on."""
        if answer.owed is not None:
            ending = asyncio.create_task(_ended(api, answer.owed), name="mcp-ending")
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
        return answer


async def _ended(api: Luxxon, session_id: str) -> None:
    """Try until the session is over, ending it is refused, or its own limits must have ended it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + OWED_SECONDS
    while True:
        try:
            await let_go(api, session_id)
        except LuxxonError as error:
            if not retryable(error) or loop.time() >= until:
                log.warning("session not ended", session_id=session_id, code=error.code)
                return
        else:
            return
        await asyncio.sleep(AGAIN_SECONDS)
