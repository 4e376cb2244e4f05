"""Where the Live screen's figures come from: one async iterator of frozen views.

Polling lives here and nowhere else; an event stream can take its place behind :class:`SessionFeed`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from luxxon_core.kernel.clock import Clock, milliseconds
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Point
from luxxon_tui.views import PHASES, Failure, LiveView, Loss, Offline, Online, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.sessions.schemas import Session
    from luxxon_core.settlement.schemas import Receipt

INTERVAL = 1.0
SETTLING = 2.0
"""Seconds between two readings of a session that is over and not yet settled."""
PAST_SECOND = 0.15
"""How far after a full second of the session a reading should fall, so that a counter does not skip."""
WALLET_EVERY = 10
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

    def retry(self) -> None:
        """While offline: try again now."""


class EmptyFeed:
    """No session and no server to ask."""

    async def views(self) -> AsyncIterator[LiveView]:
        yield LiveView(Phase.EMPTY)

    async def end(self) -> None:
        """There is nothing to end."""

    def retry(self) -> None:
        """There is nothing to retry."""


class PollingFeed:
    """Reads session, receipt and wallet once a second.

    Losing the server keeps the last figures and tries again after 1, 2, 4, 8 and then every 15 seconds.
    """

    def __init__(self, api: Luxxon, session_id: UUID | None, clock: Clock) -> None:
        self._api = api
        self._id = session_id
        self._clock = clock
        self._view = LiveView(Phase.LOADING)
        self._explorer = ""
        self._latencies: deque[int] = deque(maxlen=5)
        self._wake = asyncio.Event()
        self._readings = 0

    def retry(self) -> None:
        self._wake.set()

    async def end(self) -> None:
        if self._id is not None:
            await self._api.sessions.end(self._id)
            self._wake.set()

    async def views(self) -> AsyncIterator[LiveView]:
        attempt = 0
        yield self._view
        while True:
            try:
                await self._read()
                attempt = 0
                pause = self._pause()
            except LuxxonError as error:
                if error.status < 500 and error.status != TOO_MANY:
                    yield replace(self._view, phase=Phase.FAILED, link=Online(), failure=_failure(error))
                    return
                attempt, pause = attempt + 1, backoff(attempt + 1)
            if attempt:
                self._view = self._cut_off(attempt, pause)
            yield self._view
            if not attempt and self._done:
                return
            await self._sleep(pause)

    @property
    def _done(self) -> bool:
        session = self._view.session
        return session is not None and session.settled

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
        finally:
            self._wake.clear()

    def _pause(self) -> float:
        session = self._view.session
        if session is None:
            return float(WALLET_EVERY)
        if PHASES.get(session.state) is Phase.OVER:
            return SETTLING
        if session.state != "LIVE":
            return INTERVAL
        return INTERVAL - session.elapsed_ms % 1000 / 1000 + PAST_SECOND

    async def _read(self) -> None:
        first = self._readings == 0
        if first:
            await self._read_once()
        session = None
        if self._id is not None:
            asked = perf_counter()
            found = await self._api.sessions.get(self._id)
            self._latencies.append(round((perf_counter() - asked) * 1000))
            session = session_view(found, await self._receipt(found), self._explorer)
        if first or self._readings % WALLET_EVERY == 0 or self._changed_state(session):
            asked = perf_counter()
            wallet = await self._api.wallet.get()
            self._view = replace(self._view, pool_micro=int(wallet.tracked_balance))
            if session is None:
                self._latencies.append(round((perf_counter() - asked) * 1000))
        self._readings += 1
        phase = PHASES.get(session.state, Phase.LIVE) if session else Phase.EMPTY
        link = Online(round(median(self._latencies)) if self._latencies else None)
        self._view = replace(self._view, phase=phase, link=link, session=session, as_of=self._clock())

    def _changed_state(self, session: SessionView | None) -> bool:
        before = self._view.session
        return bool(
            before and session and (before.state, before.settlement) != (session.state, session.settlement)
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
