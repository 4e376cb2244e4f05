"""Event streams: typed events, and coming back where a connection breaks without losing or repeating any."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import msgspec
import structlog

from luxxon_core.client.errors import ConnectionFailed, InvalidResponse, RateLimited
from luxxon_core.client.retrying import UNDONE, status_of
from luxxon_core.client.sse import EventParser, ServerSentEvent
from luxxon_core.client.transport import Transport
from luxxon_core.controls.schemas import PtzCommand
from luxxon_core.events.schemas import (
    EVENTS,
    End,
    QualityDegraded,
    QualityRestored,
    Ready,
    Reset,
    SessionMeter,
    SessionState,
    SettlementState,
    TelemetrySample,
    VideoState,
    WindowClosed,
    WindowOpened,
)
from luxxon_core.kernel.errors import LuxxonError, MethodNotAllowed, NotFound
from luxxon_core.kernel.wire import convert

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

EventData = (
    SessionState
    | SessionMeter
    | WindowOpened
    | WindowClosed
    | SettlementState
    | TelemetrySample
    | VideoState
    | QualityDegraded
    | QualityRestored
    | PtzCommand
    | Ready
    | Reset
    | End
)

SILENCE_SECONDS = 45.0
"""A server that is there sends at least a comment every 15 s."""
FIRST_PAUSE, SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 0.1, 30.0
"""Seconds before a connection is opened again; the server's ``retry`` replaces the first; they double."""
LAST_EVENT_ID = "Last-Event-ID"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a stream.

    Attributes:
        name: as on the wire: ``session.state``, ``session.meter``, ``window.opened``, ``window.closed``,
            ``settlement.state``, ``telemetry.sample``, ``video.connected``, ``video.disconnected``,
            ``quality.degraded``, ``quality.restored``; ``ptz.command`` to the operator's device;
            ``ready`` after each connection, when everything before has been told; ``reset`` when something
            may have been missed; ``end`` when nothing more will happen to a session.
        data: what happened; its class follows from the name.
        id: what a stream can be resumed after; None for an event that cannot.
    """

    name: str
    data: EventData
    id: str | None


class EventStream:
    """What happens, as it happens: ``async for event in stream``.

    Connections that break, or on which nothing has come for long, are opened again after the last event: none
    is lost and none is told twice, except that ``ready`` tells of each connection. Ends after ``end``, which
    only sessions have. Leave it with ``async with`` or :meth:`aclose`. For one task at a time.
    """

    def __init__(
        self, transport: Transport, path: str, *, last_event_id: str | None, reconnect: bool, silence: float
    ) -> None:
        self._place = _Place(last_event_id)
        self._events = _follow(transport, path, self._place, reconnect=reconnect, silence=silence)

    @property
    def last_event_id(self) -> str | None:
        """What a later stream can resume after."""
        return self._place.last_event_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        """The next event.

        Raises:
            LuxxonError: the server refused for good, or, where it is not to reconnect, at all.
            InvalidResponse: what came is no event stream of ours.
            ConnectionFailed: the connection broke and it is not to reconnect.
        """
        return await self._events.__anext__()

    async def aclose(self) -> None:
        """Leave the stream. Idempotent."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def has_no_streams(error: LuxxonError) -> bool:
    """Whether a refusal says that the server knows no such endpoint, as the published ones do."""
    if isinstance(error, InvalidResponse):
        return error.http_status in (404, 405, 501)
    return isinstance(error, MethodNotAllowed) or type(error) is NotFound


@dataclass(slots=True)
class _Place:
    """Where a stream has come to."""

    last_event_id: str | None
    retry: float = FIRST_PAUSE
    failures: int = 0

    def pause(self, error: LuxxonError) -> float:
        """Seconds to wait after an error, not the same for everybody who lost the same server."""
        asked = error.retry_after if isinstance(error, RateLimited) else None
        longest = min(max(self.retry, SHORTEST_PAUSE) * 2.0**self.failures, LONGEST_PAUSE)
        self.failures = min(self.failures + 1, 10)
        return (asked or 0.0) + longest * random.uniform(0.5, 1.0)  # noqa: S311


async def _follow(
    transport: Transport, path: str, place: _Place, *, reconnect: bool, silence: float
) -> AsyncGenerator[StreamEvent, None]:
    while True:
        try:
            async with aclosing(_connected(transport, path, place, silence)) as events:
                async for event in events:
                    place.failures = 0
                    yield event
                    if isinstance(event.data, End):
                        return
            failure: LuxxonError = ConnectionFailed(message="the server ended the stream early")
        except LuxxonError as error:
            if not _passing(error):
                raise
            failure = error
        if not reconnect:
            raise failure
        pause = place.pause(failure)
        log.info("event stream lost", reason=failure.message, pause=round(pause, 1))
        await asyncio.sleep(pause)


def _passing(error: LuxxonError) -> bool:
    """Whether coming back later may help."""
    if isinstance(error, ConnectionFailed):
        return True
    status = status_of(error)
    return status is not None and (status >= 500 or status in UNDONE)


async def _connected(
    transport: Transport, path: str, place: _Place, silence: float
) -> AsyncGenerator[StreamEvent, None]:
    """The events of one connection.

    Until one comes that can be resumed after, those that cannot are held back: how things stand is told anew
    by the next connection.
    """
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if place.last_event_id:
        headers[LAST_EVENT_ID] = place.last_event_id
    held: list[StreamEvent] | None = []
    async with transport.stream(path, headers, silence) as response:
        _check(response)
        parser = EventParser()
        async for chunk in response.aiter_bytes():
            for sent in parser.feed(chunk):
                event = _typed(sent)
                told = [] if event is None else [event]
                if held is not None:
                    told = held = held + told
                    if sent.id is None and sent.name != "end":
                        continue
                    held = None
                for one in told:
                    place.last_event_id = one.id or place.last_event_id
                    yield one
                place.last_event_id = sent.id or place.last_event_id
            if parser.retry_ms is not None:
                place.retry = parser.retry_ms / 1000


def _check(response: httpx.Response) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status_code != 200 or kind != "text/event-stream":
        raise InvalidResponse(
            message=f"HTTP {response.status_code} with {kind or 'nothing'}, no event stream"
        )


def _typed(sent: ServerSentEvent) -> StreamEvent | None:
    """The event; None for one that this version does not know."""
    kind = EVENTS.get(sent.name)
    if kind is None:
        return None
    try:
        data = convert(msgspec.json.decode(sent.data), kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidResponse(message=f"event {sent.name}: {error}") from error
    return StreamEvent(sent.name, cast("EventData", data), sent.id)
