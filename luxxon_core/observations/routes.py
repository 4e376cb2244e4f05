"""Endpoints of observations."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from luxxon_core.http.operation import Access, Answer, Binary, Call, Media, Operation
from luxxon_core.http.prefer import APPLIED, PREFER, preferred_wait
from luxxon_core.http.principal import Permission, budgeted
from luxxon_core.kernel.errors import FrameNotAvailable, InvalidInput, NotAuthorized, NotFound
from luxxon_core.media.schemas import CAPTURED_AT, CONTENT_TYPE, SIZE, picture_headers, unchanged
from luxxon_core.observations.domain import Observation as DomainObservation
from luxxon_core.observations.schemas import Observation, ObservationRequest
from luxxon_core.observations.usecases import Observations
from luxxon_core.sessions.routes import CREATE, NOT_CREATED, READ
from luxxon_core.settlement.usecases import Receipts

ONE = "/observations/{observation_id}"
MOST_WAIT_S = 60
"""A request waits so long at most: proxies and clients give up on longer ones."""
PICTURE = Media(
    CONTENT_TYPE,
    "The frame, until it is kept no longer. `ETag` is of its bytes;"
    f" `{CAPTURED_AT}` (RFC 3339) says when it was captured, and `{SIZE}` is `<width>x<height>`.",
    revalidates=True,
)


def observation_id(call: Call[object, object]) -> UUID:
    return call.id("observation_id", NotFound)


def operations(observations: Observations, receipts: Receipts, public_url: str) -> list[Operation]:
    base = f"{public_url}/api/v1/observations"

    async def shown(one: DomainObservation, viewer: UUID) -> Observation:
        now = observations.clock()
        bill = await receipts.receipt_of(one.id, viewer, now) if one.asked_for else None
        return Observation.of(one, f"{base}/{one.id}", bill, now)

    async def create(call: Call[ObservationRequest]) -> Answer:
        made = await observations.create(
            call.acting,
            call.body.asked(),
            call.now,
            observation_id=call.idempotent_id,
            key=budgeted(call.principal),
        )
        wished = preferred_wait(call.headers.get(PREFER))
        seconds = MOST_WAIT_S if wished is None else min(wished, MOST_WAIT_S)
        one = await observations.wait(made, seconds)
        headers = {"Location": f"{base}/{one.id}"}
        if wished is not None:
            headers[APPLIED] = f"wait={seconds}" if wished else "respond-async"
        return Answer(await shown(one, call.acting), status=201 if one.finished else 202, headers=headers)

    async def get(call: Call[None]) -> Answer:
        found = await observations.get(observation_id(call), call.acting)
        wished = preferred_wait(call.headers.get(PREFER))
        if not wished:
            return Answer(await shown(found, call.acting))
        seconds = min(wished, MOST_WAIT_S)
        one = await observations.wait(found, seconds)
        return Answer(await shown(one, call.acting), headers={APPLIED: f"wait={seconds}"})

    async def frame(call: Call[None]) -> Binary:
        found = await observations.frame(observation_id(call), call.acting, call.now)
        headers = picture_headers(found, call.now)
        if unchanged(found, call.headers.get("If-None-Match")):
            return Binary(b"", CONTENT_TYPE, headers, status=304)
        return Binary(found.jpeg, CONTENT_TYPE, headers)

    missing = (NotFound("observation:id"), NotAuthorized("observation:viewDenied"))
    return [
        Operation(
            method="POST",
            path="/observations",
            handler=create,
            access=Access.WORKSPACE,
            out=Observation,
            tag="Observations",
            summary="Buy one frame of a place",
            body=ObservationRequest,
            subject="observation",
            scopes=CREATE,
            permission=Permission.OPERATE,
            waits=True,
            creates=True,
            errors=(InvalidInput("observation:maxPriceMicroUsdc"), *NOT_CREATED),
        ),
        Operation(
            method="GET",
            path=ONE,
            handler=get,
            access=Access.WORKSPACE,
            out=Observation,
            tag="Observations",
            summary="How an observation stands, with its receipt",
            scopes=READ,
            waits=True,
            errors=missing,
        ),
        Operation(
            method="GET",
            path=ONE + "/frame",
            handler=frame,
            access=Access.WORKSPACE,
            out=Annotated[Binary, PICTURE],
            tag="Observations",
            summary="The frame as JPEG, also after the session has ended",
            scopes=READ,
            errors=(*missing, NotAuthorized("session:viewDenied"), FrameNotAvailable("observation:expired")),
        ),
    ]
