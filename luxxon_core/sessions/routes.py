"""Endpoints of sessions (api-contract §6.7)."""

from __future__ import annotations

from uuid import UUID

from luxxon_core.http.operation import Access, Binary, Call, Operation
from luxxon_core.http.principal import MemberRole, Scope
from luxxon_core.kernel.errors import (
    FrameNotAvailable,
    InsufficientCredit,
    InvalidInput,
    InvalidState,
    NotAuthorized,
    OutsideCoverage,
    QuoteNotFound,
    SessionNotFound,
    VideoError,
    WorkspaceMismatch,
)
from luxxon_core.sessions.domain import State
from luxxon_core.sessions.schemas import (
    AcceptRequest,
    CreateRequest,
    ProducerToken,
    Session,
    SessionCancelAllResult,
    SessionStarted,
    ViewerToken,
)
from luxxon_core.sessions.usecases import SessionCases, requested_point

READ, CREATE, OPERATE = (Scope.SESSIONS_READ,), (Scope.SESSIONS_CREATE,), (Scope.SESSIONS_OPERATE,)
ONE = "/sessions/{session_id}"


def session_id(call: Call[object]) -> UUID:
    return call.id("session_id", SessionNotFound)


def operations(cases: SessionCases) -> list[Operation]:
    return [*_consumer(cases), *_operator(cases), *_either(cases)]


def _consumer(cases: SessionCases) -> list[Operation]:
    async def create(call: Call[CreateRequest]) -> Session:
        body = call.body
        point = requested_point(body.lat, body.lng)
        if body.quote_id is not None:
            raise QuoteNotFound("quote:id")
        session = await cases.create(
            call.acting, point, body.max_duration_seconds, body.wait_timeout_seconds, call.now
        )
        return Session.of(session, call.acting)

    async def cancel(call: Call[None]) -> Session:
        return Session.of(await cases.cancel(session_id(call), call.acting, call.now), call.acting)

    admin = MemberRole.ADMIN
    return [
        Operation(
            "POST",
            "/sessions",
            create,
            Access.WORKSPACE,
            Session,
            CreateRequest,
            CREATE,
            admin,
            errors=(InvalidInput, InsufficientCredit, NotAuthorized, QuoteNotFound),
        ),
        Operation(
            "DELETE",
            ONE,
            cancel,
            Access.WORKSPACE,
            Session,
            scopes=CREATE,
            role=admin,
            errors=(SessionNotFound, InvalidState),
        ),
    ]


def _operator(cases: SessionCases) -> list[Operation]:
    async def accept(call: Call[AcceptRequest]) -> Session:
        named = call.body.operator_workspace_id
        if named is not None and named.lower() != str(call.acting):
            raise WorkspaceMismatch("session:workspaceMismatch")
        return Session.of(await cases.accept(session_id(call), call.acting, call.now), call.acting)

    async def start(call: Call[None]) -> SessionStarted:
        return SessionStarted.of(await cases.start(session_id(call), call.acting, call.now), call.acting)

    async def cancel_all(call: Call[None]) -> SessionCancelAllResult:
        cancelled = await cases.cancel_all(call.acting, call.now)
        return SessionCancelAllResult(len(cancelled), [str(one) for one in cancelled])

    async def producer_token(call: Call[None]) -> ProducerToken:
        return ProducerToken.of(await cases.produced(session_id(call), call.acting))

    access, admin = Access.WORKSPACE, MemberRole.ADMIN
    return [
        Operation(
            "POST",
            ONE + "/accept",
            accept,
            access,
            Session,
            AcceptRequest,
            OPERATE,
            admin,
            errors=(SessionNotFound, InvalidState, OutsideCoverage),
        ),
        Operation(
            "POST",
            ONE + "/start",
            start,
            access,
            SessionStarted,
            scopes=OPERATE,
            role=admin,
            errors=(SessionNotFound, InvalidState, VideoError),
        ),
        Operation(
            "POST",
            "/sessions/cancel-all-assignments",
            cancel_all,
            access,
            SessionCancelAllResult,
            scopes=OPERATE,
            role=admin,
        ),
        Operation(
            "GET",
            ONE + "/producer-token",
            producer_token,
            access,
            ProducerToken,
            scopes=OPERATE,
            role=admin,
            errors=(SessionNotFound, InvalidState),
        ),
    ]


def _either(cases: SessionCases) -> list[Operation]:
    async def list_all(call: Call[None]) -> list[Session]:
        return [Session.of(one, call.acting) for one in await cases.list_of(call.acting)]

    async def get(call: Call[None]) -> Session:
        return Session.of(await cases.get(session_id(call), call.acting), call.acting)

    async def end(call: Call[None]) -> Session:
        return Session.of(await cases.end(session_id(call), call.acting, call.now), call.acting)

    async def viewer_token(call: Call[None]) -> ViewerToken:
        return ViewerToken.of(await cases.viewed(session_id(call), call.acting))

    async def frame(call: Call[None]) -> Binary:
        session = await cases.get(session_id(call), call.acting)
        found = None
        if session.state is State.LIVE and session.live_input is not None:
            found = await cases.edge.frame(session.live_input)
        if found is None:
            raise FrameNotAvailable
        return Binary(found.jpeg, "image/jpeg", {"Cache-Control": "no-store"})

    access, missing = Access.WORKSPACE, (SessionNotFound,)
    return [
        Operation("GET", "/sessions", list_all, access, list[Session], scopes=READ),
        Operation("GET", ONE, get, access, Session, scopes=READ, errors=missing),
        Operation(
            "POST",
            ONE + "/end",
            end,
            access,
            Session,
            scopes=OPERATE + CREATE,
            role=MemberRole.ADMIN,
            errors=(*missing, InvalidState),
        ),
        Operation(
            "GET",
            ONE + "/viewer-token",
            viewer_token,
            access,
            ViewerToken,
            scopes=READ,
            errors=(*missing, InvalidState),
        ),
        Operation(
            "GET", ONE + "/frame", frame, access, Binary, scopes=READ, errors=(*missing, FrameNotAvailable)
        ),
    ]
