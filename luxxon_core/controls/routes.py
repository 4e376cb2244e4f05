"""Endpoints of controls: orders of both sides, answers of the operator's device."""

from __future__ import annotations

from luxxon_core.controls.schemas import Order, PtzAnswer, PtzResult, PtzResultTaken, plain, verb_of
from luxxon_core.controls.usecases import Controls
from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Permission
from luxxon_core.kernel.errors import (
    Conflict,
    DeviceTimeout,
    ExternalError,
    InvalidInput,
    InvalidState,
    NotAuthorized,
    NotFound,
    RateLimited,
    SessionNotFound,
)
from luxxon_core.sessions.routes import CREATE, ONE, OPERATE, session_id


def operations(controls: Controls) -> list[Operation]:
    async def ptz(call: Call[Order]) -> PtzAnswer:
        order = call.body
        done = await controls.command(session_id(call), call.acting, verb_of(order), plain(order), call.now)
        return PtzAnswer.of(done)

    async def result(call: Call[PtzResult]) -> PtzResultTaken:
        command_id = call.id("command_id", NotFound)
        await controls.answer(session_id(call), call.acting, command_id, call.body.result())
        return PtzResultTaken()

    missing = (SessionNotFound, NotAuthorized("session:viewDenied"), NotAuthorized("session:notOperator"))
    return [
        Operation(
            method="POST",
            path=ONE + "/ptz",
            handler=ptz,
            access=Access.WORKSPACE,
            out=PtzAnswer,
            tag="Sessions",
            summary="Move the camera of a LIVE session, from either side",
            body=Order,
            subject="ptz",
            scopes=OPERATE + CREATE,
            permission=Permission.OPERATE,
            errors=(
                *missing,
                InvalidState("ptz:state:ENDED"),
                Conflict("ptz:notAllowed"),
                Conflict("ptz:unsupported"),
                InvalidInput("ptz:rejected"),
                RateLimited("rate:ptz"),
                DeviceTimeout("ptz:timeout"),
                ExternalError("ptz:failed"),
            ),
        ),
        Operation(
            method="POST",
            path=ONE + "/ptz/{command_id}/result",
            handler=result,
            access=Access.WORKSPACE,
            out=PtzResultTaken,
            tag="Sessions",
            summary="Answer a command, as the operator's device",
            body=PtzResult,
            subject="ptz",
            scopes=OPERATE,
            permission=Permission.OPERATE,
            errors=(*missing, NotFound),
        ),
    ]
