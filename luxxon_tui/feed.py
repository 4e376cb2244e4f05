"""Where the Live screen's figures come from: one async iterator of frozen views."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Protocol

from luxxon_core.kernel.errors import SessionNotFound
from luxxon_tui.store import Readiness, Store
from luxxon_tui.views import PHASES, LiveView, Phase

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.links.schemas import Link
    from luxxon_tui.store.follow import Follower

WATCHED = ("readiness", "failure", "link", "as_of", "who", "config", "wallet", "sessions", "missing")


class SessionFeed(Protocol):
    """One session as the server tells it."""

    def views(self) -> AsyncIterator[LiveView]:
        """A view at once, then one for every change."""

    async def end(self) -> None:
        """End the session.

        Raises:
            LuxxonError: the server refused, or cannot be reached.
        """

    async def link(self) -> Link:
        """Make a link to watch the session with.

        Raises:
            LuxxonError: the server refused, or cannot be reached.
        """

    def retry(self) -> None:
        """While offline: try again now."""


class Connection(Protocol):
    """What there is of a server now; both None while there is none."""

    @property
    def api(self) -> Luxxon | None: ...

    @property
    def follower(self) -> Follower | None: ...


class StoreFeed:
    """A session of the store, or none.

    Args:
        session_id: None shows that there is nothing to watch.
        link: whose server it is of, then and later.
    """

    def __init__(self, store: Store, session_id: str | None, link: Connection) -> None:
        self._store, self._id, self._link = store, session_id, link

    async def views(self) -> AsyncGenerator[LiveView, None]:
        changed = asyncio.Event()
        unwatch = self._store.watch(WATCHED, changed.set)
        asked = False
        try:
            while True:
                changed.clear()
                yield live_view(self._store, self._id)
                if not asked and self._unread():
                    assert self._link.follower is not None and self._id is not None
                    asked = await self._link.follower.bill(self._id)
                await changed.wait()
        finally:
            unwatch()

    def _unread(self) -> bool:
        """Whether the session is still to be asked for: it was chosen after everything was read."""
        ready = self._store.readiness.value is Readiness.READY
        if self._link.follower is None or self._id is None or not ready:
            return False
        known = self._store.sessions.value.get(self._id)
        return known is None or not known.billed

    async def end(self) -> None:
        if self._link.api is not None and self._id is not None:
            await self._link.api.sessions.end(self._id)

    async def link(self) -> Link:
        if self._link.api is None or self._id is None:
            raise SessionNotFound
        return await self._link.api.sessions.link(self._id)

    def retry(self) -> None:
        if self._link.follower is not None:
            self._link.follower.retry()


def live_view(store: Store, session_id: str | None) -> LiveView:
    """What the store knows of a session, for the Live screen."""
    session = store.sessions.value.get(session_id) if session_id else None
    failure = store.failure.value or (store.missing.value.get(session_id) if session_id else None)
    if failure is not None and session is None:
        phase = Phase.FAILED
    elif session is not None:
        failure, phase = None, PHASES.get(session.state, Phase.LIVE)
    elif session_id is None and store.readiness.value in (Readiness.READY, Readiness.IDLE):
        phase = Phase.EMPTY
    else:
        phase = Phase.LOADING
    who, config = store.who.value, store.config.value
    return LiveView(
        phase,
        store.link.value,
        session,
        store.as_of.value,
        store.pool_micro,
        who.workspace_name if who else None,
        config.chain_name if config else None,
        failure,
    )
