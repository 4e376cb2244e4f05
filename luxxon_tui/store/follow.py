"""Fills the store: everything is read once, then the workspace's event stream tells.

A connection that breaks is opened again after 1, 2, 4, 8 and then every 15 seconds, and resumed after the
last event. Where that is too old (``reset``) everything is read anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from luxxon_core.access.schemas import ApiKeyMe, WalletMe
from luxxon_core.events.schemas import (
    End,
    Ready,
    Reset,
    SessionMeter,
    SessionState,
    SettlementState,
    TelemetrySample,
)
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError, NotAuthorized
from luxxon_tui.store.apply import billed, session_view, told, words
from luxxon_tui.store.state import Happening, Readiness, Store, Who
from luxxon_tui.views import PHASES, Failure, Offline, Online, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon, StreamEvent
    from luxxon_core.sessions.schemas import Session

T = TypeVar("T")

SILENCE = 20.0
"""Seconds without a sign of life after which the server counts as lost; it sends one every 15 s."""
PULSE = 15.0
"""Seconds between two measurements of the latency. Deposits are told by no event, so each reads the pool."""
LAST_RETRY = 15.0
TOO_MANY = 429
UNKNOWN, FORBIDDEN = 401, 403
PAGE = 100
"""Sessions read at the start, and by each :meth:`Follower.older`."""


def backoff(attempt: int) -> float:
    """Seconds before the ``attempt``-th retry: 1, 2, 4, 8, then 15."""
    return min(LAST_RETRY, 2.0 ** (attempt - 1))


class Follower:
    """Keeps a store true to a server. ``renew`` signs in again.

    ``run`` is one task, owned by who made the follower. The other methods read more for a screen; they raise
    nothing for a server that is lost, which the stream notices too.
    """

    def __init__(
        self, api: Luxxon, store: Store, clock: Clock, renew: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._api = api.with_retry(False)  # who looks on is told at once that the server is lost
        self._store = store
        self._clock = clock
        self._latencies: deque[int] = deque(maxlen=5)
        self._wake = asyncio.Event()
        self._position: str | None = None
        self._known = False
        """Whether all has been read, and the stream has told of everything since."""
        self._renew = renew
        self._oldest: str | None = None
        """The last session of the last page that was read."""
        self._settlements: Counter[str] = Counter()
        """How often a session's settlement was told of."""
        self._billing: dict[str, asyncio.Task[bool]] = {}
        self._bill_again: set[str] = set()
        """Sessions that have changed while they were being billed."""

    # -- what the console asks for

    def retry(self) -> None:
        """While offline or refused: try again now."""
        self._wake.set()

    def part(self) -> None:
        """Leave the store to another follower: answers that are still on their way go nowhere."""
        self._store = Store()

    async def bill(self, session_id: str) -> bool:
        """Read a session with its receipt; ``store.missing`` says why there is none. False: asking again may
        help."""
        try:
            async with self._timed():
                found = await self._api.sessions.get(session_id)
            before = self._store.sessions.value.get(str(found.id))
            view = session_view(found, self._mine, before)
            self._store.put(view)
            await self._receipt(view)
        except LuxxonError as error:
            if not _final(error):
                return False
            failure = failed(error, "session")
            self._store.missing.set({**self._store.missing.value, session_id: failure})
        return True

    async def bill_all(self, session_ids: Iterable[str]) -> None:
        """Read the receipts of sessions, one after the other."""
        for session_id in session_ids:
            await self.bill(session_id)

    async def older(self) -> None:
        """Read the next page of sessions before the oldest that is known.

        Raises:
            LuxxonError: the server refused, or is lost.
        """
        self._take_page(await self._api.sessions.list(cursor=self._oldest, limit=PAGE))

    async def refresh_wallet(self) -> None:
        """Read the pool.

        Raises:
            LuxxonError: the server is lost.
        """
        async with self._timed():
            self._store.wallet.set(await self._allowed(self._api.wallet.get()))

    async def refresh_workspace(self) -> None:
        """Read who acts, and the workspace in full.

        Raises:
            LuxxonError: the server refused, or is lost.
        """
        who = who_of(await self._api.me.get())
        self._store.who.set(who)
        if who.workspace_id is not None:
            self._store.workspace.set(await self._allowed(self._api.workspaces.get(who.workspace_id)))

    # -- the stream

    async def run(self) -> None:
        """Follow until cancelled."""
        store, attempt = self._store, 0
        refused: LuxxonError | None = None
        store.readiness.set(Readiness.LOADING)
        try:
            while True:
                refusal: LuxxonError | None = None
                try:
                    if refused is not None:
                        await self._refused(refused)
                    async with aclosing(self._connected()) as events:
                        async for _ in events:
                            attempt = 0
                except LuxxonError as error:
                    refusal = error if _final(error) else None
                refused = refusal
                attempt = 0 if refused else attempt + 1
                if refused is None:
                    await self._pause(attempt)
        finally:
            self._bill_again.clear()
            for task in tuple(self._billing.values()):
                task.cancel()
            await asyncio.gather(*self._billing.values(), return_exceptions=True)

    async def _refused(self, error: LuxxonError) -> None:
        """Say so, and wait until it is to be tried again; a sign-in that has expired is renewed then."""
        store = self._store
        store.failure.set(failed(error, "console"))
        store.link.set(Online())
        store.readiness.set(Readiness.FAILED)
        self._wake.clear()
        await self._wake.wait()
        store.readiness.set(Readiness.LOADING)
        store.failure.set(None)
        if self._renew is not None and error.status == UNKNOWN:
            await self._renew()

    async def _pause(self, attempt: int) -> None:
        now, link = self._clock(), self._store.link.value
        pause = backoff(attempt)
        since = link.since if isinstance(link, Offline) else now
        self._wake.clear()
        self._store.link.set(Offline(since, attempt, now + timedelta(seconds=pause)))
        try:
            await asyncio.wait_for(self._wake.wait(), pause)
        except TimeoutError:
            return

    async def _connected(self) -> AsyncGenerator[None, None]:
        """Take what one connection tells; yields after each event.

        Raises:
            LuxxonError: it broke, or was refused.
        """
        stream = self._api.events(last_event_id=self._position, reconnect=False, silence=SILENCE)
        pulse = asyncio.create_task(self._pulse(), name="pulse")
        try:
            async with stream:
                async for event in stream:
                    await self._take(event)
                    self._position = stream.last_event_id
                    yield
                    if pulse.done():
                        pulse.result()
        finally:
            pulse.cancel()
            await asyncio.gather(pulse, return_exceptions=True)

    async def _pulse(self) -> None:
        """Measure the latency, now and then; a failure is the stream's to tell."""
        while True:
            await asyncio.sleep(PULSE)
            if self._known:
                try:
                    await self.refresh_wallet()
                except LuxxonError:
                    continue

    async def _take(self, event: StreamEvent) -> None:
        store, data = self._store, event.data
        if isinstance(data, Reset):
            self._known = False
        elif isinstance(data, Ready):
            await self._read()
        elif not isinstance(data, End):
            if isinstance(data, SessionState):
                self._state(data)
            elif (view := store.sessions.value.get(data.session_id)) is not None:
                store.put(told(view, data, self._explorer))
            if isinstance(data, SettlementState):
                self._settlements[data.session_id] += 1
                await self.refresh_wallet()
            if not isinstance(data, SessionMeter | TelemetrySample):
                store.note(Happening(data.at, event.name, data.session_id, words(data)))
            if self._known:
                store.as_of.set(self._clock())

    def _state(self, data: SessionState) -> None:
        before = self._store.sessions.value.get(data.session_id)
        view = session_view(data.session, self._mine, before)
        if view.state == "ASSIGNED" and view.assigned_at is None:
            view = replace(view, assigned_at=data.at)
        self._store.put(view)
        over = PHASES.get(view.state) is Phase.OVER and view.started_at is not None
        if self._known and (over or PHASES.get(view.state) is Phase.LIVE):
            self._bill_soon(view.id)  # exact times, and the split of what it cost

    def _bill_soon(self, session_id: str) -> None:
        if session_id in self._billing:  # what is on its way may be from before
            self._bill_again.add(session_id)
            return
        task = asyncio.create_task(self.bill(session_id), name="bill")
        self._billing[session_id] = task
        task.add_done_callback(lambda _: self._has_billed(session_id))

    def _has_billed(self, session_id: str) -> None:
        self._billing.pop(session_id, None)
        if session_id in self._bill_again:
            self._bill_again.discard(session_id)
            self._bill_soon(session_id)

    # -- reading

    async def _read(self) -> None:
        """Everything; after a resumed stream only what no event tells."""
        store = self._store
        if self._known:
            await self.refresh_wallet()
        else:
            store.config.set(await self._api.config.get())
            await self.refresh_workspace()
            await self.refresh_wallet()
            self._take_page(await self._api.sessions.list(limit=PAGE))
            self._known = True
            for view in store.open:
                self._bill_soon(view.id)
            if (wanted := store.watched.value) is not None:
                self._bill_soon(wanted)
        store.as_of.set(self._clock())
        store.failure.set(None)
        self._online()
        store.readiness.set(Readiness.READY)

    def _take_page(self, page: list[Session]) -> None:
        known = self._store.sessions.value
        self._store.put(*(session_view(each, self._mine, known.get(str(each.id))) for each in page))
        self._oldest = page[-1].id if page else self._oldest
        self._store.complete.set(len(page) < PAGE)

    async def _receipt(self, view: SessionView) -> None:
        """The bill so far, and none from before what was told meanwhile; a session that never went live may
        have none."""
        settlements = -1
        while settlements != self._settlements[view.id]:
            settlements = self._settlements[view.id]
            try:
                receipt = await self._api.sessions.receipt(view.id)
            except LuxxonError as error:
                if not _final(error) or view.started_at is not None:
                    raise
                return
        now = self._store.sessions.value.get(view.id, view)
        self._store.put(billed(now, receipt, self._explorer))

    async def _allowed(self, call: Awaitable[T]) -> T | None:
        """What a call answers; None where this key may not make it."""
        try:
            return await call
        except LuxxonError as error:
            if error.status == FORBIDDEN or isinstance(error, NotAuthorized):
                return None
            raise

    @asynccontextmanager
    async def _timed(self) -> AsyncIterator[None]:
        """Measure a call."""
        begun = perf_counter()
        yield
        self._latencies.append(round((perf_counter() - begun) * 1000))
        if self._known and not isinstance(self._store.link.value, Offline):
            self._online()

    def _online(self) -> None:
        self._store.link.set(Online(round(median(self._latencies)) if self._latencies else None))

    @property
    def _mine(self) -> str | None:
        who = self._store.who.value
        return who.workspace_id if who else None

    @property
    def _explorer(self) -> str:
        config = self._store.config.value
        return config.explorer_url if config else ""


def who_of(me: WalletMe | ApiKeyMe) -> Who:
    """Who is calling, from the wire."""
    if isinstance(me, ApiKeyMe):
        own = me.workspace
        return Who(
            workspace_id=me.workspace_id,
            workspace_name=own.name if own else None,
            workspace_slug=own.slug if own else None,
            scopes=tuple(me.scopes),
        )
    active = next((one for one in me.workspaces if one.id == me.active_workspace_id), None)
    return Who(
        workspace_id=me.active_workspace_id,
        workspace_name=active.name if active else None,
        workspace_slug=active.slug if active else None,
        role=me.active_role,
        wallet=me.wallet_address,
        memberships=tuple((one.id, one.name, one.role) for one in me.workspaces),
    )


def _final(error: LuxxonError) -> bool:
    """Whether asking again will be answered the same."""
    return error.status < 500 and error.status != TOO_MANY


REMEDIES = {
    ("console", 401): "check the API key, or sign in again",
    ("console", 403): "this key may not read sessions",
    ("console", 404): "check the server's address",
    ("session", 403): "this key may not see the session",
    ("session", 404): "check the session's id",
}


BY_NAME = {
    "wallet:locked": "r asks for the passphrase again",
    "NO_WORKSPACE": "make one, or have an owner add this wallet",
}
"""By detail, else by code."""


def failed(error: LuxxonError, what: str) -> Failure:
    """A refusal as what happened and what can be done."""
    by_status = REMEDIES.get((what, error.status), "r tries again")
    remedy = BY_NAME.get(error.detail or error.code, by_status)
    return Failure(error.message, error.detail or error.code, remedy)
