"""The dispatch endpoint (api-contract §6.7, §10)."""

from __future__ import annotations

from luxxon_core.dispatch.usecases import Dispatch
from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Permission
from luxxon_core.kernel.errors import InvalidState, NoCoverage, NotAuthorized, SessionNotFound, Unavailable
from luxxon_core.sessions.routes import CREATE, ONE, session_id
from luxxon_core.sessions.schemas import Session


def operations(dispatch: Dispatch) -> list[Operation]:
    async def post(call: Call[None]) -> Session:
        return Session.of(await dispatch(session_id(call), call.acting, call.now), call.acting)

    return [
        Operation(
            method="POST",
            path=ONE + "/dispatch",
            handler=post,
            access=Access.WORKSPACE,
            out=Session,
            tag="Sessions",
            summary="Assign the longest-idle operator that covers the point",
            scopes=CREATE,
            permission=Permission.OPERATE,
            errors=(
                SessionNotFound,
                NotAuthorized("session:notConsumer"),
                InvalidState("session:dispatch:ASSIGNED"),
                NoCoverage("session:dispatch"),
                Unavailable("session:dispatch"),
            ),
        )
    ]
