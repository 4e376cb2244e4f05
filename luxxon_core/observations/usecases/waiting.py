"""Requests that wait for observations to finish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from uuid import UUID

from luxxon_core.events.domain import Event
from luxxon_core.events.usecases import Feed, Follower
from luxxon_core.observations.domain import Observation
from luxxon_core.sessions.domain import TERMINAL, Session

LOOK_SECONDS = 0.2
"""Pause between looks at an observation whose session is over: whoever ended it is about to say why."""


class Waiters:
    """Whoever waits sleeps until there is something to read.

    The one that finishes an observation in this process wakes them by :meth:`tell`. What another server does
    they hear by the log: an observation finishes with its session, or next after it.
    """

    def __init__(self, feed: Feed, read: Callable[[UUID], Awaitable[Observation | None]]) -> None:
        """Args:
        read: the observation as it is stored now.
        """
        self._feed, self._read = feed, read
        self._followers: dict[UUID, set[Follower]] = {}
        self._closed = False

    @property
    def awaited(self) -> frozenset[UUID]:
        """The observations that are waited for in this process."""
        return frozenset(self._followers)

    async def wait(self, observation: Observation, seconds: float) -> Observation:
        """The observation once it is finished, or as it stands after ``seconds`` or :meth:`close`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not (observation.finished or self._closed) and loop.time() < until:
            ended = await self._heard(observation.id, until)
            observation = await self._read(observation.id) or observation
            while ended and not (observation.finished or self._closed) and loop.time() < until:
                await asyncio.sleep(min(LOOK_SECONDS, until - loop.time()))
                observation = await self._read(observation.id) or observation
        return observation

    def tell(self, ids: Iterable[UUID]) -> None:
        """Wake who waits for these: they are finished."""
        for observation_id in ids:
            for follower in self._followers.get(observation_id, ()):
                follower.let_go()

    def close(self) -> None:
        """Wake everybody; nobody waits any longer."""
        self._closed = True
        self.tell(self._followers)

    async def _heard(self, observation_id: UUID, until: float) -> bool:
        """Wait until there is something to read; whether the session has ended, by what the log tells."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(until):  # at a server's start, the feed may not have begun
                    follower = await stack.enter_async_context(self._feed.followed(session_id=observation_id))
                stack.callback(self._enter(observation_id, follower))
                # what is committed from now on is told; what was before, read
                found = await self._read(observation_id)
                if self._closed or (found is not None and found.finished):
                    return False
                async with asyncio.timeout_at(until):
                    return await _ended(follower)
        except TimeoutError:
            return False

    def _enter(self, observation_id: UUID, follower: Follower) -> Callable[[], None]:
        followers = self._followers.setdefault(observation_id, set())
        followers.add(follower)

        def leave() -> None:
            followers.discard(follower)
            if not followers:
                self._followers.pop(observation_id, None)

        return leave


async def _ended(follower: Follower) -> bool:
    """Whether the session has ended, once it has; False when the follower is let go before."""
    while (news := await follower.next()) is not None:
        if isinstance(news, Event) and isinstance(news.facts, Session) and news.facts.state in TERMINAL:
            return True
    return False
