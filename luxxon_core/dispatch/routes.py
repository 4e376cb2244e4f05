"""The dispatch endpoint (api-contract §6.7, §10)."""

from __future__ import annotations

from luxxon_core.dispatch.usecases import Dispatch
from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import MemberRole
from luxxon_core.kernel.errors import InvalidState, NoCoverage, SessionNotFound, Unavailable
from luxxon_core.sessions.routes import CREATE, ONE, session_id
from luxxon_core.sessions.schemas import Session


def operations(dispatch: Dispatch) -> list[Operation]:
    async def post(call: Call[None]) -> Session:
        return Session.of(await dispatch(session_id(call), call.acting, call.now), call.acting)

    return [
        Operation(
            "POST",
            ONE + "/dispatch",
            post,
            Access.WORKSPACE,
            Session,
            scopes=CREATE,
            role=MemberRole.ADMIN,
            errors=(SessionNotFound, InvalidState, NoCoverage, Unavailable),
        )
    ]
