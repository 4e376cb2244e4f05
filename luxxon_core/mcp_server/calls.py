"""Runs tool calls so that one which is cancelled ends what it has begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio

from luxxon_core.client import Luxxon, Retry
from luxxon_core.kernel.errors import InvalidState, LuxxonError, NotReady
from luxxon_core.mcp_server.answers import Answer, failure
from luxxon_core.sessions.schemas import Session

PATIENT = Retry(seconds=8.0)
"""For what must not fail only because a call did: a meter runs until then."""
OVER = frozenset({"ENDED", "EXPIRED", "CANCELLED"})


async def let_go(api: Luxxon, session_id: str) -> Session:
    """End or cancel a session, whichever it takes; the session as it is then.

    Raises:
        LuxxonError: it could not be asked for.
    """
    sessions = api.with_retry(PATIENT).sessions
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
    reaches it once, so that cleaning up can wait for the server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Answer]] = set()

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
                await _undone(api, task)
            raise
        finally:
            leaving.cancel()
        if not task.done() or (leaving.done() and not leaving.cancelled()):
            with anyio.CancelScope(shield=True):
                await _undone(api, task)
            return Answer("the caller has left", failed=True)
        if task.cancelled():
            return failure(NotReady("mcp:stopping", "the server stops; what the call had begun is ended"))
        return task.result()

    async def close(self, seconds: float) -> None:
        """Cancel every call and wait for what each has to clean up, so long at most."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


async def _undone(api: Luxxon, task: asyncio.Task[Answer]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if task.cancelled() or task.exception() is not None:
        return
    if (opened := task.result().opened) is not None:
        with suppress(LuxxonError):  # nobody is left to be told; the session's own limits hold
            await let_go(api, opened)
