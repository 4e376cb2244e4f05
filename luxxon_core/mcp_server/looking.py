"""The tools that open a session or look at one for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from msgspec import UNSET

from luxxon_core.client import Luxxon, Retry
from luxxon_core.client.sessions import Picture
from luxxon_core.kernel.errors import FrameNotAvailable, InvalidState, LuxxonError
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.mcp_server.answers import Answer, NotLive, Unobserved, failure
from luxxon_core.mcp_server.calls import OVER, Left, let_go
from luxxon_core.mcp_server.progress import Progress
from luxxon_core.mcp_server.schemas import (
    LiveView,
    NotDispatched,
    Observe,
    Observed,
    RequestLiveView,
    Seen,
    WaitForLive,
    Watch,
    Watched,
)
from luxxon_core.sessions.schemas import Session

PICTURE_SECONDS = 15.0
"""How long a LIVE session may take to its first picture."""
LOOK_AGAIN = 0.25
OBSERVATION_SECONDS = 30
"""What an observation may cost at most: it ends with its first picture."""
PROMPT, ENDING_SECONDS = Retry(seconds=3.0), 5.0
"""How long a picture that is there waits for the end of its session; that goes on being tried after it."""
MOST_MISSES = 5
"""Looks in a row without a new picture, after which to watch on is the caller's decision."""
MOST_BYTES = 6 << 20
"""Of all pictures in one answer."""


async def request_live_view(api: Luxxon, asked: RequestLiveView, progress: Progress) -> Answer:
    session = await _created(
        api, asked.lat, asked.lng, asked.max_duration_seconds, asked.wait_timeout_seconds, asked.quote_id
    )
    try:
        try:
            session = await api.sessions.dispatch(session.id)
        except LuxxonError as error:
            return _not_dispatched(session, error)
        answer = await _live(api, session.id, asked.timeout_ms, progress, session.operator_workspace_id)
    except asyncio.CancelledError:
        raise Left(session.id) from None
    return Answer(answer, opened=session.id)


async def wait_for_live(api: Luxxon, asked: WaitForLive, progress: Progress) -> Answer:
    return Answer(await _live(api, str(asked.session_id), asked.timeout_ms, progress, UNSET))


async def observe(api: Luxxon, asked: Observe, progress: Progress) -> Answer:
    wait = asked.wait_timeout_seconds
    total = wait + PICTURE_SECONDS
    session = await _created(api, asked.lat, asked.lng, OBSERVATION_SECONDS, wait, None)
    picture: Picture | None = None
    cause: LuxxonError = FrameNotAvailable()
    try:
        try:
            async with progress.ticking(total, "waiting for a camera"):
                await api.sessions.dispatch(session.id)
                session = await api.sessions.wait_for(session.id, "LIVE", timeout=wait)
                if session.state != "LIVE":
                    raise NotLive(f"session:state:{session.state}")
            async with progress.ticking(total, "waiting for a picture"):
                picture = await _first(api, session.id, asked.max_width)
        except LuxxonError as error:
            cause = error
        ended = await _ended(api, session.id)
    except asyncio.CancelledError:
        raise Left(session.id) from None
    session, owed = ended or session, None if ended else session.id
    if picture is None:
        return replace(failure(Unobserved(session, cause)), owed=owed)
    hint = f'The session is over. get_receipt("{session.id}") has the bill, get_settlement its payment.'
    if owed is not None:
        hint = _being_ended(session)
    body = Observed(
        session_id=session.id,
        state=session.state,
        lat=asked.lat,
        lng=asked.lng,
        captured_at=Timestamp.of(picture.captured_at),
        clean_seconds=session.clean_seconds,
        charged_micro_usdc=session.charged_micro_usdc,
        settlement_tx_hash=session.settlement_tx_hash,
        hint=hint,
    )
    return Answer(body, [picture], owed=owed)


async def watch(api: Luxxon, asked: Watch, progress: Progress) -> Answer:
    session_id = str(asked.session_id)
    owed = None
    try:
        try:
            pictures, stopped, session = await _pictures(api, session_id, asked, progress)
        except LuxxonError as error:
            if not asked.end_when_done or isinstance(
                error, InvalidState
            ):  # nothing runs that is not LIVE yet
                raise
            ended = await _ended(api, session_id)
            if ended is not None:
                return failure(Unobserved(ended, error))
            return replace(failure(error), owed=session_id)
        if asked.end_when_done and stopped != "OVER":
            ended = await _ended(api, session_id)
            session, owed = ended or session, None if ended else session_id
        else:
            with suppress(LuxxonError):  # the pictures are there, and are paid
                session = await api.sessions.get(session_id)
    except asyncio.CancelledError:
        raise Left(session_id) from None
    if session.state in OVER:
        hint = f'The session is over. get_receipt("{session_id}") has the bill.'
    elif owed is not None:
        hint = _being_ended(session)
    else:
        hint = f'The meter runs. Call watch again, or end_session("{session_id}") when you have seen enough.'
    seen = [Seen(Timestamp.of(one.captured_at), len(one)) for one in pictures]
    body = Watched(session_id, session.state, len(seen), seen, stopped, hint)  # type: ignore[arg-type]
    return Answer(body, pictures, owed=owed)


async def _created(
    api: Luxxon, lat: float, lng: float, seconds: int, wait: int | None, quote_id: object
) -> Session:
    """A session.

    Raises:
        Left: this was cancelled, and the session has been made all the same; LuxxonError.
    """
    making = asyncio.create_task(
        api.sessions.create(
            lat=lat,
            lng=lng,
            max_duration_seconds=seconds,
            wait_timeout_seconds=wait,
            quote_id=None if quote_id is None else str(quote_id),
        ),
        name="mcp-create",
    )
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        with suppress(LuxxonError):  # then there is none
            raise Left((await making).id) from None
        raise


async def _ended(api: Luxxon, session_id: str) -> Session | None:
    """The session once it is over; None when that takes longer than an answer should wait for it."""
    try:
        async with asyncio.timeout(ENDING_SECONDS):
            return await let_go(api, session_id, PROMPT)
    except (LuxxonError, TimeoutError):
        return None


def _being_ended(session: Session) -> str:
    """Of a session that was LIVE when it was last heard of: its bill is made up when it ends."""
    return (
        f"The session could not be ended yet, and goes on being ended: until then "
        f"{session.rate_per_second_micro_usdc} µUSDC a second, {session.hold_micro_usdc} at most. "
        f'get_receipt("{session.id}") has the bill when it is over; end_session("{session.id}") ends it, too.'
    )


def _not_dispatched(session: Session, error: LuxxonError) -> Answer:
    body = NotDispatched(
        session_id=session.id,
        state=session.state,
        error=error.code,
        message=error.message,
        detail=error.detail or UNSET,
        hint=f'No operator was assigned. Call cancel_session("{session.id}") to give the request up.',
    )
    return Answer(body, failed=True, opened=session.id)


async def _live(
    api: Luxxon, session_id: str, timeout_ms: int, progress: Progress, operator: object
) -> LiveView:
    """The session once it is LIVE, or why it is not: that is an answer, with the id to go on with."""
    seconds = timeout_ms / 1000
    try:
        async with progress.ticking(seconds, "waiting for the operator's video"):
            session = await api.sessions.wait_for(session_id, "LIVE", timeout=seconds)
        if session.state == "LIVE":
            viewer = await api.sessions.viewer_token(session_id)
            return LiveView(
                session_id=session.id,
                state=session.state,
                operator_workspace_id=session.operator_workspace_id,
                whep_url=viewer.whep_url,
                started_at=session.started_at,
                hint="LIVE, and the meter runs. Call get_frame to look, end_session to stop paying.",
            )
        state = session.state
        outcome, message = "TIMEOUT", f"not LIVE after {seconds:g} s"
        if state in OVER:
            outcome, message = "INVALID_STATE", f"the session is {state}"
    except LuxxonError as error:
        if operator is UNSET and error.status < 500:  # the id itself was refused
            raise
        state, outcome, message = "UNKNOWN", error.code, error.message
        with suppress(LuxxonError):
            state = (await api.sessions.get(session_id)).state
    if state in OVER:
        hint = "The session is over and nothing is to be done. Call request_live_view to ask again."
    else:
        hint = (
            f'Not LIVE yet. Call wait_for_live("{session_id}") to wait on, '
            f'or cancel_session("{session_id}") to give up.'
        )
    return LiveView(
        session_id=session_id,
        state=state,
        operator_workspace_id=operator,  # type: ignore[arg-type]
        wait_outcome=outcome,
        wait_message=message,
        hint=hint,
    )


async def _first(api: Luxxon, session_id: str, max_width: int | None) -> Picture:
    """The first picture of a LIVE session.

    Raises:
        FrameNotAvailable: none came, or the session is over.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PICTURE_SECONDS
    while True:
        try:
            return await api.sessions.frame(session_id, max_width=max_width)
        except FrameNotAvailable:
            if loop.time() >= deadline or (await api.sessions.get(session_id)).state in OVER:
                raise
            await asyncio.sleep(LOOK_AGAIN)


async def _pictures(
    api: Luxxon, session_id: str, asked: Watch, progress: Progress
) -> tuple[list[Picture], str, Session]:
    """New pictures of a LIVE session, why there are no more of them, and the session as last heard of.

    Raises:
        InvalidState: the session is not LIVE yet.
        LuxxonError: nothing could be asked for, and there is no picture yet.
    """
    session = await api.sessions.get(session_id)
    if session.state in ("REQUESTED", "ASSIGNED"):
        raise InvalidState(f"session:watch:{session.state}", "not LIVE: call wait_for_live first")
    pictures: list[Picture] = []
    misses = 0
    try:
        while session.state not in OVER:
            try:
                picture = await _next(api, session_id, asked, pictures[-1] if pictures else None)
            except (FrameNotAvailable, InvalidState):
                picture = None
            misses = 0 if picture is not None else misses + 1
            if misses == MOST_MISSES:
                return pictures, "STALLED", session
            if picture is not None:
                if pictures and sum(map(len, pictures)) + len(picture) > MOST_BYTES:
                    return pictures, "SIZE", session
                pictures.append(picture)
                await progress.tell(len(pictures), asked.max_frames, f"{len(picture)} bytes")
                if len(pictures) == asked.max_frames:
                    return pictures, "FRAMES", session
            session = await api.sessions.wait_for(session_id, "ENDED", timeout=asked.every_seconds)
    except LuxxonError:
        if not pictures:
            raise
        return pictures, "STALLED", session  # those that are there are paid
    return pictures, "OVER", session


async def _next(api: Luxxon, session_id: str, asked: Watch, last: Picture | None) -> Picture | None:
    if last is None:
        return await _first(api, session_id, asked.max_width)
    if last.etag is None:
        return await api.sessions.frame(session_id, max_width=asked.max_width)
    return await api.sessions.frame(session_id, etag=last.etag, max_width=asked.max_width)
