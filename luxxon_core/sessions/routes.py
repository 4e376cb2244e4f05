"""Endpoints of sessions (api-contract §6.7)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from luxxon_core.http.operation import Access, Binary, Call, Media, Operation
from luxxon_core.http.principal import Permission, Scope, budgeted
from luxxon_core.kernel.errors import (
    Conflict,
    ExternalError,
    FrameNotAvailable,
    InsufficientCredit,
    InvalidInput,
    InvalidState,
    NotAuthorized,
    OutsideCoverage,
    QuoteExpired,
    QuoteNotFound,
    SessionNotFound,
    VideoError,
    WorkspaceMismatch,
    WorkspaceNotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.media.schemas import CAPTURED_AT, CONTENT_TYPE, SIZE, picture_headers, unchanged
from luxxon_core.sessions.schemas import (
    AcceptRequest,
    CreateRequest,
    FrameQuery,
    ListQuery,
    OpenQuery,
    OpenRequest,
    ProducerToken,
    Session,
    SessionCancelAllResult,
    SessionStarted,
    StartRequest,
    ViewerToken,
)
from luxxon_core.sessions.usecases import SessionCases

READ, CREATE, OPERATE = (Scope.SESSIONS_READ,), (Scope.SESSIONS_CREATE,), (Scope.SESSIONS_OPERATE,)
ONE = "/sessions/{session_id}"
PICTURE = Media(
    CONTENT_TYPE,
    "The latest picture. `ETag` is of its bytes: with it as `If-None-Match` the answer is 304 until there is"
    f" another picture. `Age` is in whole seconds since the picture was captured, `{CAPTURED_AT}` (RFC 3339)"
    f" and `Last-Modified` say when that was, and `{SIZE}` is `<width>x<height>`.",
    revalidates=True,
)


NOT_CREATED = (
    InsufficientCredit("session:insufficientCredit"),
    InsufficientCredit("session:holds"),
    NotAuthorized("session:notConsumer"),
    NotAuthorized("apiKey:area"),
    NotAuthorized("apiKey:sessionCap:60"),
    NotAuthorized("apiKey:dailyCap:60"),
    Conflict("session:id"),
    WorkspaceNotFound,
    ExternalError,
)
"""Why no session is created, whatever for."""


def session_id(call: Call[object, object]) -> UUID:
    return call.id("session_id", SessionNotFound)


def operations(cases: SessionCases) -> list[Operation]:
    return [*_consumer(cases), *_operator(cases), *_either(cases)]


def _consumer(cases: SessionCases) -> list[Operation]:
    async def create(call: Call[CreateRequest]) -> Session:
        body = call.body
        session = await cases.create(
            call.acting,
            Point(body.lat, body.lng),
            body.max_duration_seconds,
            body.wait_timeout_seconds,
            call.now,
            quote_id=body.quote_id,
            session_id=call.idempotent_id,
            key=budgeted(call.principal),
        )
        return Session.of(session, call.acting, call.token)

    async def cancel(call: Call[None]) -> Session:
        return Session.of(await cases.cancel(session_id(call), call.acting, call.now), call.acting)

    return [
        Operation(
            method="POST",
            path="/sessions",
            handler=create,
            access=Access.WORKSPACE,
            out=Session,
            tag="Sessions",
            summary="Request live video of a place",
            body=CreateRequest,
            subject="session",
            scopes=CREATE,
            permission=Permission.OPERATE,
            errors=(
                InvalidInput("quote:point"),
                QuoteNotFound("quote:id"),
                QuoteExpired("quote:expired"),
                QuoteExpired("quote:consumed"),
                *NOT_CREATED,
            ),
        ),
        Operation(
            method="DELETE",
            path=ONE,
            handler=cancel,
            access=Access.WORKSPACE,
            out=Session,
            tag="Sessions",
            summary="Cancel a request that is not LIVE yet",
            scopes=CREATE,
            permission=Permission.OPERATE,
            errors=(
                SessionNotFound,
                NotAuthorized("session:notConsumer"),
                InvalidState("session:cancel:LIVE"),
            ),
        ),
    ]


def _operator(cases: SessionCases) -> list[Operation]:
    async def accept(call: Call[AcceptRequest]) -> Session:
        return Session.of(await cases.accept(session_id(call), call.acting, call.now), call.acting)

    async def open_requests(call: Call[None, OpenQuery]) -> list[OpenRequest]:
        asked = call.query
        found = await cases.open_requests(call.acting, call.now, cursor=asked.cursor, limit=asked.limit)
        return [OpenRequest.of(one) for one in found]

    async def start(call: Call[StartRequest]) -> SessionStarted:
        said = call.body
        started = await cases.start(
            session_id(call),
            call.acting,
            call.now,
            controls=said.allowed(),
            policy=said.checked_policy(),
        )
        return SessionStarted.of(started, call.acting)

    async def cancel_all(call: Call[None]) -> SessionCancelAllResult:
        cancelled = await cases.cancel_all(call.acting, call.now)
        return SessionCancelAllResult(len(cancelled), [str(one) for one in cancelled])

    async def producer_token(call: Call[None]) -> ProducerToken:
        return ProducerToken.of(await cases.produced(session_id(call), call.acting))

    access = Access.WORKSPACE
    return [
        Operation(
            method="GET",
            path="/sessions/open",
            handler=open_requests,
            access=access,
            out=list[OpenRequest],
            tag="Sessions",
            summary="List requests inside the own coverage, longest waiting first",
            query=OpenQuery,
            subject="session",
            scopes=OPERATE,
            errors=(
                InvalidInput("session:cursor"),
                NotAuthorized("session:notSupplier"),
                WorkspaceNotFound,
            ),
        ),
        Operation(
            method="POST",
            path=ONE + "/accept",
            handler=accept,
            access=access,
            out=Session,
            tag="Sessions",
            summary="Take a request inside the own coverage",
            body=AcceptRequest,
            subject="session",
            scopes=OPERATE,
            permission=Permission.OPERATE,
            workspace_fields=("workspaceId", "operatorWorkspaceId"),
            errors=(
                SessionNotFound,
                WorkspaceNotFound,
                NotAuthorized("session:notSupplier"),
                WorkspaceMismatch("session:workspaceMismatch"),
                OutsideCoverage("session:outsideCoverage"),
                InvalidState("session:accept:ASSIGNED"),
            ),
        ),
        Operation(
            method="POST",
            path=ONE + "/start",
            handler=start,
            access=access,
            out=SessionStarted,
            tag="Sessions",
            summary="Get the publish and playback URLs",
            body=StartRequest,
            subject="session",
            scopes=OPERATE,
            permission=Permission.OPERATE,
            errors=(
                SessionNotFound,
                InvalidInput("session:policy"),
                NotAuthorized("session:notOperator"),
                InvalidState("session:start:REQUESTED"),
                VideoError,
            ),
        ),
        Operation(
            method="POST",
            path="/sessions/cancel-all-assignments",
            handler=cancel_all,
            access=access,
            out=SessionCancelAllResult,
            tag="Sessions",
            summary="Give back every assignment that is not LIVE",
            scopes=OPERATE,
            permission=Permission.OPERATE,
        ),
        Operation(
            method="GET",
            path=ONE + "/producer-token",
            handler=producer_token,
            access=access,
            out=ProducerToken,
            tag="Sessions",
            summary="The publish URL, for the operator",
            scopes=OPERATE,
            permission=Permission.OPERATE,
            errors=(
                SessionNotFound,
                NotAuthorized("session:viewDenied"),
                InvalidState("session:producerToken:ENDED"),
            ),
        ),
    ]


def _either(cases: SessionCases) -> list[Operation]:
    async def list_all(call: Call[None, ListQuery]) -> list[Session]:
        asked = call.query
        found = await cases.list_of(
            call.acting, states=asked.states(), side=asked.side, cursor=asked.cursor, limit=asked.limit
        )
        return [Session.of(one, call.acting) for one in found]

    async def get(call: Call[None]) -> Session:
        return Session.of(await cases.get(session_id(call), call.acting), call.acting)

    async def end(call: Call[None]) -> Session:
        return Session.of(await cases.end(session_id(call), call.acting, call.now), call.acting)

    async def viewer_token(call: Call[None]) -> ViewerToken:
        return ViewerToken.of(await cases.viewed(session_id(call), call.acting))

    async def frame(call: Call[None, FrameQuery]) -> Binary:
        found = await cases.frame(session_id(call), call.acting, call.now, call.query.max_width)
        headers = picture_headers(found, call.now)
        if unchanged(found, call.headers.get("If-None-Match")):
            return Binary(b"", CONTENT_TYPE, headers, status=304)
        return Binary(found.jpeg, CONTENT_TYPE, headers)

    access, missing = Access.WORKSPACE, (SessionNotFound, NotAuthorized("session:viewDenied"))
    return [
        Operation(
            method="GET",
            path="/sessions",
            handler=list_all,
            access=access,
            out=list[Session],
            tag="Sessions",
            summary="List sessions on either side, newest first",
            query=ListQuery,
            subject="session",
            scopes=READ,
            errors=(InvalidInput("session:cursor"),),
        ),
        Operation(
            method="GET",
            path=ONE,
            handler=get,
            access=access,
            out=Session,
            tag="Sessions",
            summary="Read a session",
            scopes=READ,
            errors=(*missing,),
        ),
        Operation(
            method="POST",
            path=ONE + "/end",
            handler=end,
            access=access,
            out=Session,
            tag="Sessions",
            summary="End a LIVE session and bill it",
            scopes=OPERATE + CREATE,
            permission=Permission.OPERATE,
            errors=(
                *missing,
                InvalidState("session:end:EXPIRED"),
            ),
        ),
        Operation(
            method="GET",
            path=ONE + "/viewer-token",
            handler=viewer_token,
            access=access,
            out=ViewerToken,
            tag="Sessions",
            summary="The playback URL",
            scopes=READ,
            errors=(
                *missing,
                InvalidState("session:viewerToken:ASSIGNED"),
            ),
        ),
        Operation(
            method="GET",
            path=ONE + "/frame",
            handler=frame,
            access=access,
            out=Annotated[Binary, PICTURE],
            tag="Sessions",
            summary="The latest picture as JPEG",
            query=FrameQuery,
            subject="frame",
            scopes=READ,
            errors=(*missing, FrameNotAvailable, VideoError),
        ),
    ]
