"""The whole way to live video of a place, as one call."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from luxxon_core.client.sessions import TERMINAL, Sessions
from luxxon_core.client.transport import Id
from luxxon_core.kernel.errors import InvalidState, LuxxonError, Unavailable
from luxxon_core.sessions.schemas import Session, ViewerToken


class LiveOutcome(StrEnum):
    """How a request for live video went."""

    LIVE = "LIVE"
    NOT_DISPATCHED = "NOT_DISPATCHED"
    """No operator was free. The session stays REQUESTED, unless it was to be cancelled."""
    TIMEOUT = "TIMEOUT"
    """Not LIVE in time. The session goes on, unless it was to be cancelled: wait on, or cancel it."""
    OVER = "OVER"
    """It expired, was cancelled or ended before it could be watched."""


@dataclass(frozen=True, slots=True)
class LiveViewResult:
    """What came of a request.

    Attributes:
        session: as it was last seen.
        viewer: where to watch; None unless LIVE.
        refusal: why no operator was assigned; None unless NOT_DISPATCHED.
    """

    outcome: LiveOutcome
    session: Session
    viewer: ViewerToken | None = None
    refusal: Unavailable | None = None


async def request_live_view(
    sessions: Sessions,
    *,
    lat: float,
    lng: float,
    max_duration_seconds: int,
    wait_timeout_seconds: int | None,
    quote_id: Id | None,
    workspace_id: Id | None,
    timeout: float,
    cancel: bool,
) -> LiveViewResult:
    """As :meth:`luxxon_core.client.Luxxon.request_live_view`."""
    session = await sessions.create(
        lat=lat,
        lng=lng,
        max_duration_seconds=max_duration_seconds,
        wait_timeout_seconds=wait_timeout_seconds,
        quote_id=quote_id,
        workspace_id=workspace_id,
    )
    try:
        result = await _dispatched(sessions, session, timeout)
    except BaseException:
        if cancel:  # nobody would end what nobody knows of
            with suppress(LuxxonError):
                await _cancelled(sessions, session.id)
        raise
    if not cancel or result.outcome in (LiveOutcome.LIVE, LiveOutcome.OVER):
        return result
    after = await _cancelled(sessions, session.id)
    if after.state == "LIVE":  # meanwhile
        return await _watched(sessions, after)
    return replace(result, session=after)


async def _dispatched(sessions: Sessions, session: Session, timeout: float) -> LiveViewResult:
    try:
        await sessions.dispatch(session.id)
    except Unavailable as refusal:
        return LiveViewResult(LiveOutcome.NOT_DISPATCHED, session, refusal=refusal)
    return await _watched(sessions, await sessions.wait_for(session.id, "LIVE", timeout=timeout))


async def _watched(sessions: Sessions, session: Session) -> LiveViewResult:
    if session.state == "LIVE":
        try:
            return LiveViewResult(LiveOutcome.LIVE, session, await sessions.viewer_token(session.id))
        except InvalidState:  # it has ended since
            session = await sessions.get(session.id)
    return LiveViewResult(LiveOutcome.OVER if session.state in TERMINAL else LiveOutcome.TIMEOUT, session)


async def _cancelled(sessions: Sessions, session_id: str) -> Session:
    """The session, cancelled where it was not too late for that."""
    try:
        return await sessions.cancel(session_id)
    except InvalidState:
        return await sessions.get(session_id)
