"""Following the demo's session: what has been told of it, and waiting until it has come so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from luxxon_core.client import Luxxon
from luxxon_core.events.schemas import SessionState, SettlementState
from luxxon_core.kernel.errors import LuxxonError

WAITING = frozenset({"REQUESTED", "ASSIGNED"})


class Following:
    """What is known of a session."""

    def __init__(self) -> None:
        self.state = "REQUESTED"
        self.settlement = "NOT_READY"
        self._changed = asyncio.Condition()
        self._failure: LuxxonError | None = None

    @property
    def waits(self) -> bool:
        """Neither LIVE nor over."""
        return self.state in WAITING

    async def until(self, true: Callable[[Following], bool], seconds: float) -> None:
        """Wait until something is true.

        Raises:
            TimeoutError: it was not, in time.
            LuxxonError: the session can be followed no longer.
        """
        async with asyncio.timeout(seconds), self._changed:
            while not true(self):
                if self._failure is not None:
                    raise self._failure
                await self._changed.wait()

    async def _listen(self, api: Luxxon, session_id: str) -> None:
        try:
            async with api.sessions.events(session_id) as stream:
                async for event in stream:
                    if isinstance(event.data, SessionState):
                        await self._note(state=event.data.session.state)
                    elif isinstance(event.data, SettlementState):
                        await self._note(settlement=event.data.state)
        except LuxxonError as error:
            self._failure = error
            await self._note()

    async def _note(self, *, state: str | None = None, settlement: str | None = None) -> None:
        async with self._changed:
            self.state = state or self.state
            self.settlement = settlement or self.settlement
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def followed(api: Luxxon, session_id: str) -> AsyncIterator[Following]:
    """Follow a session while the block runs."""
    following = Following()
    task = asyncio.create_task(following._listen(api, session_id), name="follow")
    try:
        yield following
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
