"""Where the Live screen's figures come from: one async iterator of frozen views.

The server tells what happens; it is asked only where what it told calls for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from luxxon_core.events.schemas import (
    End,
    Ready,
    SessionMeter,
    SessionState,
    SettlementState,
    WindowClosed,
    WindowOpened,
)
from luxxon_core.kernel.clock import Clock, milliseconds
from luxxon_core.kernel.errors import LuxxonError, SessionNotFound
from luxxon_core.kernel.geo import Point
from luxxon_tui.views import PHASES, Failure, LiveView, Loss, Offline, Online, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_core.client import EventData, EventStream, Luxxon
    from luxxon_core.links.schemas import Link
    from luxxon_core.sessions.schemas import Session
    from luxxon_core.settlement.schemas import Receipt

NEARLY_MS = 100
"""A meter read this shortly before a full second is shown when that has come: where readings fall on both
sides of it by turns, a counter would skip."""
SILENCE = 20.0
"""Seconds without a sign of life after which the server counts as lost; it sends one every 15 s."""
LAST_RETRY = 15.0
TOO_MANY = 429


class SessionFeed(Protocol):
    """One session as the server tells it."""

    def views(self) -> AsyncIterator[LiveView]:
        """A view at once, then one for every change; ends when nothing will change any more."""

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


class EmptyFeed:
    """No session and no server to ask."""

    async def views(self) -> AsyncIterator[LiveView]:
        yield LiveView(Phase.EMPTY)

    async def end(self) -> None:
        """There is nothing to end."""

    async def link(self) -> Link:
        """There is nothing to watch."""
        raise SessionNotFound

    def retry(self) -> None:
        """There is nothing to retry."""


class EventFeed:
    """Follows a session by its event stream; without a session, the pool by that of the workspace.

    Losing the server keeps the last figures and tries again after 1, 2, 4, 8 and then every 15 seconds.
    """

    def __init__(self, api: Luxxon, session_id: UUID | None, clock: Clock) -> None:
        self._api = api.with_retry(False)  # who looks on is told at once that the server is lost
        self._id = session_id
        self._clock = clock
        self._view = LiveView(Phase.LOADING)
        self._explorer = ""
        self._latencies: deque[int] = deque(maxlen=5)
        self._wake = asyncio.Event()
        self._known = False
        """Whether all has been read since this connection began."""

    def retry(self) -> None:
        self._wake.set()

    async def end(self) -> None:
        if self._id is not None:
            await self._api.sessions.end(self._id)

    async def link(self) -> Link:
        if self._id is None:
            raise SessionNotFound
        return await self._api.sessions.link(self._id)

    async def views(self) -> AsyncGenerator[LiveView, None]:
        attempt = 0
        yield self._view
        while True:
            try:
                async with aclosing(self._connected()) as views:
                    async for self._view in views:
                        attempt = 0
                        yield self._view
                return
            except LuxxonError as error:
                if error.status < 500 and error.status != TOO_MANY:
                    yield replace(self._view, phase=Phase.FAILED, link=Online(), failure=_failure(error))
                    return
            attempt += 1
            pause = backoff(attempt)
            self._wake.clear()
            self._view = self._cut_off(attempt, pause)
            yield self._view
            await self._sleep(pause)

    async def _connected(self) -> AsyncGenerator[LiveView, None]:
        """Views while one connection holds; ends when nothing will change any more.

        Raises:
            ConnectionFailed: it broke.
        """
        self._known = False
        async with self._stream() as stream:
            async for event in stream:
                view = await self._after(event.data)
                if view is not None:
                    yield view
                    if view.session is not None and view.session.settled:
                        return

    def _stream(self) -> EventStream:
        if self._id is None:
            return self._api.events(reconnect=False, silence=SILENCE)
        return self._api.sessions.events(self._id, reconnect=False, silence=SILENCE)

    async def _after(self, told: EventData) -> LiveView | None:
        """The view after an event, if that changes it."""
        match told:
            case Ready():
                self._known = True
                return await self._read()
            case SessionMeter():
                return await self._metered(told)
            case SessionState() | SettlementState() | End() if self._known:
                return await self._read()
            case WindowOpened() | WindowClosed() if self._known and self._id is not None:
                return await self._read()
            case _:
                return None

    async def _metered(self, told: SessionMeter) -> LiveView | None:
        session = self._view.session
        if session is None or self._view.phase is not Phase.LIVE:
            return None
        ahead = -told.elapsed_milliseconds % 1000
        if ahead > NEARLY_MS:
            ahead = 0
        await asyncio.sleep(ahead / 1000)
        elapsed, lost = told.elapsed_milliseconds + ahead, told.lost_milliseconds
        lost += ahead if session.lost_now else 0
        clean = max(told.clean_seconds, min((elapsed - lost) // 1000, session.max_seconds))
        charged = int(told.charged_micro_usdc) + (clean - told.clean_seconds) * session.rate_micro
        metered = replace(
            session, elapsed_ms=elapsed, lost_ms=lost, clean_seconds=clean, charged_micro=charged
        )
        return replace(self._view, session=metered, as_of=self._clock())

    def _cut_off(self, attempt: int, pause: float) -> LiveView:
        now, link = self._clock(), self._view.link
        since = link.since if isinstance(link, Offline) else now
        return replace(self._view, link=Offline(since, attempt, now + timedelta(seconds=pause)))

    async def _sleep(self, seconds: float) -> None:
        """Wait, or until ``retry``."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _read(self) -> LiveView:
        """Everything as it is now."""
        if self._view.as_of is None:
            await self._read_once()
        session = None
        if self._id is not None:
            asked = perf_counter()
            found = await self._api.sessions.get(self._id)
            self._latencies.append(round((perf_counter() - asked) * 1000))
            session = session_view(found, await self._receipt(found), self._explorer)
        asked = perf_counter()
        wallet = await self._api.wallet.get()
        if session is None:
            self._latencies.append(round((perf_counter() - asked) * 1000))
        return replace(
            self._view,
            phase=PHASES.get(session.state, Phase.LIVE) if session else Phase.EMPTY,
            link=Online(round(median(self._latencies))),
            session=session,
            as_of=self._clock(),
            pool_micro=int(wallet.tracked_balance),
        )

    async def _read_once(self) -> None:
        """What does not change while the console is open."""
        config = await self._api.config.get()
        self._explorer = config.explorer_url
        who = await self._api.me.get()
        workspace = getattr(who, "workspace", None)
        self._view = replace(
            self._view, chain_name=config.chain_name, workspace=workspace.name if workspace else None
        )

    async def _receipt(self, session: Session) -> Receipt | None:
        """The bill so far; a session that never went live may have none."""
        assert self._id is not None
        try:
            return await self._api.sessions.receipt(self._id)
        except LuxxonError as error:
            if error.status >= 500 or session.started_at is not None:
                raise
            return None


def backoff(attempt: int) -> float:
    """Seconds before the ``attempt``-th retry: 1, 2, 4, 8, then 15."""
    return min(LAST_RETRY, 2.0 ** (attempt - 1))


def session_view(session: Session, receipt: Receipt | None, explorer_url: str) -> SessionView:
    """A session and its bill from their wire types."""
    lat, lng = session.requested_lat, session.requested_lng
    url = session.whep_url if isinstance(session.whep_url, str) else None
    view = SessionView(
        id=str(session.id),
        state=str(session.state),
        created_at=session.created_at,
        max_seconds=session.max_duration_seconds,
        wait_seconds=session.wait_timeout_seconds,
        rate_micro=int(session.rate_per_second_micro_usdc),
        hold_micro=int(session.hold_micro_usdc),
        requested=Point(lat, lng) if lat is not None and lng is not None else None,
        started_at=session.started_at,
        ended_at=session.ended_at,
        clean_seconds=session.clean_seconds,
        charged_micro=int(session.charged_micro_usdc),
        stream_url=url,
    )
    if receipt is None:
        return view
    start = receipt.started_at
    losses = (
        ()
        if start is None
        else tuple(
            Loss(
                str(window.reason),
                max(0, milliseconds(window.opened_at - start)),
                None if window.closed_at is None else max(0, milliseconds(window.closed_at - start)),
            )
            for window in sorted(receipt.windows, key=lambda each: each.opened_at)
        )
    )
    settlement = receipt.settlement
    tx_hash = settlement.tx_hash or session.settlement_tx_hash
    return replace(
        view,
        state=str(receipt.state),
        assigned_at=receipt.assigned_at,
        started_at=receipt.started_at,
        ended_at=receipt.ended_at,
        elapsed_ms=receipt.elapsed_milliseconds,
        lost_ms=receipt.lost_milliseconds,
        clean_seconds=receipt.clean_seconds,
        charged_micro=int(receipt.charged_micro_usdc),
        losses=losses,
        to_micro=int(receipt.to_amount_micro_usdc),
        fee_micro=int(receipt.fee_amount_micro_usdc),
        settlement=str(settlement.state),
        tx_hash=tx_hash,
        tx_url=f"{explorer_url.rstrip('/')}/tx/{tx_hash}" if explorer_url and tx_hash else None,
    )


REMEDIES = {
    401: "check the API key",
    403: "this key may not see the session",
    404: "check the session's id",
}


def _failure(error: LuxxonError) -> Failure:
    remedy = REMEDIES.get(error.status, "open the console again")
    return Failure(error.message, error.detail or error.code, remedy)
