"""Endpoints of the event streams: everything of a workspace, everything of one session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import msgspec

from luxxon_core.events.domain import News, parse_position
from luxxon_core.events.schemas import EVENTS, Named
from luxxon_core.events.usecases import Streams
from luxxon_core.http.operation import Access, Call, EventStream, Media, Operation, ServerEvent
from luxxon_core.kernel.errors import InvalidInput, NotAuthorized, SessionNotFound
from luxxon_core.sessions.routes import ONE, READ
from luxxon_core.sessions.usecases import SessionCases

LAST_EVENT_ID = "Last-Event-ID"
Stream = Annotated[
    EventStream,
    Media(
        "text/event-stream",
        "Server-sent events (WHATWG HTML §9.2). A stream resumes after the event whose id comes as"
        " `Last-Event-ID`, or as `lastEventId` where a client cannot set headers: nothing in between is lost"
        " or told twice. Without either, the stream of a session begins with how it stands.",
        EVENTS,
    ),
]


POSITION = msgspec.Meta(extra_json_schema={"pattern": "^[0-9]{0,18}$"}, description="an event's id")


class Resume(msgspec.Struct, frozen=True, rename="camel"):
    """Where a stream goes on, for a client that cannot set ``Last-Event-ID``; the header wins."""

    last_event_id: Annotated[str, POSITION] | None = None


def operations(streams: Streams, sessions: SessionCases) -> list[Operation]:
    async def of_workspace(call: Call[None, Resume]) -> EventStream:
        return EventStream(_seen_by(call.acting, streams.of_workspace(call.acting, _after(call))))

    async def of_session(call: Call[None, Resume]) -> EventStream:
        after = _after(call)
        session = await sessions.get(call.id("session_id", SessionNotFound), call.acting)
        return EventStream(_seen_by(call.acting, streams.of_session(session.id, after)))

    return [
        Operation(
            method="GET",
            path="/events",
            handler=of_workspace,
            access=Access.WORKSPACE,
            out=Stream,
            tag="Events",
            summary="Follow every session of the workspace",
            query=Resume,
            subject="events",
            scopes=READ,
            errors=(InvalidInput("events:lastEventId"),),
        ),
        Operation(
            method="GET",
            path=ONE + "/events",
            handler=of_session,
            access=Access.WORKSPACE,
            out=Stream,
            tag="Events",
            summary="Follow a session until it is over and paid",
            query=Resume,
            subject="events",
            scopes=READ,
            errors=(InvalidInput("events:lastEventId"), SessionNotFound, NotAuthorized("session:viewDenied")),
        ),
    ]


def _after(call: Call[None, Resume]) -> int | None:
    """Both are looked at: what is malformed is refused also where the other one wins."""
    given = [text for text in (call.headers.get(LAST_EVENT_ID), call.query.last_event_id) if text]
    return next(iter([parse_position(text) for text in given]), None)


async def _seen_by(viewer: UUID, news: AsyncIterator[News]) -> AsyncIterator[ServerEvent]:
    assert isinstance(news, AsyncGenerator)
    async with aclosing(news):
        async for one in news:
            named = Named.of(one, viewer)
            yield ServerEvent(named.name, named.data, named.id)
