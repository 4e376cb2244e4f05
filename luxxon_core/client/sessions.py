"""Sessions: from the request for a place to the bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from typing import Any, overload

from luxxon_core.client.events import SILENCE_SECONDS, EventStream, has_no_streams
from luxxon_core.client.paging import paged
from luxxon_core.client.retrying import Retry
from luxxon_core.client.transport import Id, Resource, present, segment, text
from luxxon_core.controls.schemas import Order, PtzAnswer, PtzResult, PtzResultTaken
from luxxon_core.events.schemas import SessionState
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.links.schemas import Link
from luxxon_core.media.schemas import CAPTURED_AT
from luxxon_core.sessions.schemas import (
    OpenRequest,
    ProducerToken,
    Session,
    SessionCancelAllResult,
    SessionStarted,
    ViewerToken,
)
from luxxon_core.settlement.schemas import Receipt
from luxxon_core.telemetry.schemas import TelemetryAccepted

OpenRequests = list[OpenRequest]
SessionList = list[Session]
PAGE = 200
TERMINAL = frozenset({"ENDED", "EXPIRED", "CANCELLED"})
COURSE = ("REQUESTED", "ASSIGNED", "LIVE")
"""The states on the way, in the order in which a session passes them."""


class Picture(bytes):
    """A JPEG, and what the server says of it.

    Attributes:
        etag: tells it from other pictures; None from a server that does not say.
        captured_at: when the edge received it; None likewise.
    """

    etag: str | None = None
    captured_at: datetime | None = None

    @classmethod
    def of(cls, jpeg: bytes, headers: Mapping[str, str]) -> Picture:
        made = cls(jpeg)
        made.etag = headers.get("ETag")
        captured = headers.get(CAPTURED_AT)
        made.captured_at = datetime.fromisoformat(captured) if captured else None
        return made


class Sessions(Resource):
    async def create(
        self,
        *,
        lat: float,
        lng: float,
        max_duration_seconds: int,
        wait_timeout_seconds: int | None = None,
        quote_id: Id | None = None,
        workspace_id: Id | None = None,
        idempotency_key: str | None = None,
    ) -> Session:
        """Request live video of a place; :meth:`dispatch` finds an operator for it.

        Args:
            lat, lng: WGS84 degrees.
            max_duration_seconds: caps the meter; rate × this must be in the pool.
            wait_timeout_seconds: 5 to 3600; not LIVE by then, the session expires.
            quote_id: a price that ``pricing.quote`` locked.
            workspace_id: who asks, for a wallet that has picked no workspace.
            idempotency_key: calls with the same one create one session; each call has its own by default.

        Raises:
            InsufficientCredit: the pool is too small; QuoteNotFound, QuoteExpired; NotAuthorized:
                ``session:notConsumer``; ExternalError: the chain cannot be asked.
        """
        fields = {
            "lat": lat,
            "lng": lng,
            "maxDurationSeconds": max_duration_seconds,
            "waitTimeoutSeconds": wait_timeout_seconds,
            "quoteId": text(quote_id),
            "workspaceId": text(workspace_id),
        }
        return await self._transport.call(
            "POST", "/sessions", Session, present(fields), key=idempotency_key or True
        )

    async def list(
        self,
        workspace_id: Id | None = None,
        *,
        state: str | Iterable[str] | None = None,
        side: str | None = None,
        cursor: Id | None = None,
        limit: int | None = None,
    ) -> SessionList:
        """Sessions on either side, newest first, at most 200.

        Args:
            state: one or more of REQUESTED, ASSIGNED, LIVE, ENDED, EXPIRED, CANCELLED.
            side: ``consumer`` or ``operator``.
            cursor: the id of the last session of the page before.
        """
        query = {
            "workspaceId": text(workspace_id),
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "side": side,
            "cursor": text(cursor),
            "limit": limit,
        }
        return await self._transport.call("GET", "/sessions", SessionList, query=query)

    async def iterate(
        self,
        workspace_id: Id | None = None,
        *,
        state: str | Iterable[str] | None = None,
        side: str | None = None,
        page: int = PAGE,
    ) -> AsyncGenerator[Session, None]:
        """All sessions that :meth:`list` would page through, newest first."""
        states = state if state is None or isinstance(state, str) else tuple(state)

        async def read(cursor: str | None) -> SessionList:
            return await self.list(workspace_id, state=states, side=side, cursor=cursor, limit=page)

        async for session in paged(read, page):
            yield session

    async def open(
        self, *, cursor: Id | None = None, limit: int | None = None, workspace_id: Id | None = None
    ) -> OpenRequests:
        """Requests inside the own coverage that :meth:`accept` could take, longest waiting first."""
        query = {"cursor": text(cursor), "limit": limit, "workspaceId": text(workspace_id)}
        return await self._transport.call("GET", "/sessions/open", OpenRequests, query=query)

    async def get(self, session_id: Id) -> Session:
        """A session that the caller is on either side of.

        Raises:
            SessionNotFound; NotAuthorized: ``session:viewDenied``.
        """
        return await self._transport.call("GET", _one(session_id), Session)

    async def dispatch(self, session_id: Id) -> Session:
        """Assign the operator that covers the place and has been idle for longest.

        Raises:
            NoCoverage: nobody ONLINE covers the place; Unavailable: all who do are taken. The session stays
                REQUESTED: dispatch again later, wait for somebody to accept it, or cancel it.
        """
        return await self._transport.call("POST", f"{_one(session_id)}/dispatch", Session)

    async def accept(self, session_id: Id, operator_workspace_id: Id | None = None) -> Session:
        """Take a request as its operator.

        Raises:
            OutsideCoverage; InvalidState: somebody else has it; NotAuthorized: ``session:notSupplier``.
        """
        body = present({"operatorWorkspaceId": text(operator_workspace_id)})
        return await self._transport.call("POST", f"{_one(session_id)}/accept", Session, body)

    async def start(
        self,
        session_id: Id,
        controls: Iterable[str] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> SessionStarted:
        """The URLs to publish to and to watch at, as its operator. Asked again it answers the same, or others
        where the edge that held them is gone.

        Args:
            controls: what both sides may do with the camera: ``ptz``, ``zoom``, ``gimbal``. What is not given
                stays as it was.
            policy: what the device does for people's privacy, JSON of at most 4096 bytes; likewise.

        Raises:
            InvalidState; VideoError: the edge refused.
        """
        said = present({"controls": None if controls is None else list(controls), "policy": policy})
        return await self._transport.call("POST", f"{_one(session_id)}/start", SessionStarted, said or None)

    async def ptz(self, session_id: Id, order: Order | str, **fields: float | str | None) -> PtzAnswer:
        """Have the camera of a LIVE session moved, from either side, and wait for what comes of it.

        ``ptz(id, "continuous_move", pan=0.5, timeout=1)``, or a struct of ``luxxon_core.controls.schemas``.
        It is sent once: a camera must not move because of what was wanted a while ago.

        Raises:
            Conflict: ``ptz:notAllowed``, ``ptz:unsupported``; InvalidState: ``ptz:state:<STATE>``.
            InvalidInput: malformed, or refused by the camera; RateLimited.
            DeviceTimeout: the operator's device has not answered; ExternalError: the camera failed.
        """
        named = {"command": order, **present(fields)} if isinstance(order, str) else to_builtins(order)
        once = self._transport.with_retry(Retry(attempts=1))
        return await once.call("POST", f"{_one(session_id)}/ptz", PtzAnswer, named, key=False)

    async def ptz_result(self, session_id: Id, command_id: Id, result: PtzResult) -> PtzResultTaken:
        """Answer a command, as the operator's device. It is sent once: its caller does not wait for long."""
        path = f"{_one(session_id)}/ptz/{segment(command_id)}/result"
        once = self._transport.with_retry(Retry(attempts=1))
        return await once.call("POST", path, PtzResultTaken, to_builtins(result), key=False)

    async def end(self, session_id: Id) -> Session:
        """End a LIVE session; what it costs is in the answer."""
        return await self._transport.call("POST", f"{_one(session_id)}/end", Session)

    async def cancel(self, session_id: Id) -> Session:
        """Cancel a session that is REQUESTED or ASSIGNED, as its consumer.

        Not repeated when the answer is lost: a second one would say ``session:cancel:CANCELLED``.
        """
        return await self._transport.call("DELETE", _one(session_id), Session)

    async def cancel_all_assignments(self) -> SessionCancelAllResult:
        """Give back every assignment that is not LIVE, as the operator."""
        path = "/sessions/cancel-all-assignments"
        return await self._transport.call("POST", path, SessionCancelAllResult)

    @overload
    async def frame(self, session_id: Id, *, etag: None = None, max_width: int | None = None) -> Picture: ...

    @overload
    async def frame(self, session_id: Id, *, etag: str, max_width: int | None = None) -> Picture | None: ...

    async def frame(
        self, session_id: Id, *, etag: str | None = None, max_width: int | None = None
    ) -> Picture | None:
        """The latest picture, JPEG.

        Args:
            etag: that of a picture which is here already: None is returned while it is the latest.
            max_width: 16 to 4096 pixels; a wider picture is made smaller, a narrower one comes as it is.

        Raises:
            FrameNotAvailable: there is none yet, or no more.
        """
        headers = {"Accept": "image/jpeg"} | ({} if etag is None else {"If-None-Match": etag})
        query = {"maxWidth": max_width}
        answer = await self._transport.send("GET", f"{_one(session_id)}/frame", query=query, headers=headers)
        return None if answer.status_code == 304 else Picture.of(answer.content, answer.headers)

    async def viewer_token(self, session_id: Id) -> ViewerToken:
        """The WHEP URL: whoever has it can watch."""
        return await self._transport.call("GET", f"{_one(session_id)}/viewer-token", ViewerToken)

    async def producer_token(self, session_id: Id) -> ProducerToken:
        """The WHIP URL, for the operator: whoever has it can publish."""
        return await self._transport.call("GET", f"{_one(session_id)}/producer-token", ProducerToken)

    async def link(self, session_id: Id, *, side: str | None = None, workspace_id: Id | None = None) -> Link:
        """A link to the page for phones: whoever opens it watches or publishes, and may end the session.

        Args:
            side: ``consumer`` to watch, ``operator`` to publish; that of the workspace when not given.

        Raises:
            NotAuthorized: the workspace is not on that side; InsufficientScope; InvalidState: it is over.
        """
        body = present({"side": side, "workspaceId": text(workspace_id)})
        return await self._transport.call("POST", f"{_one(session_id)}/link", Link, body)

    async def telemetry(
        self,
        session_id: Id,
        *,
        captured_at: datetime | str,
        lat: float,
        lng: float,
        accuracy_meters: float,
        source: str,
        signature: str,
        sensors: Mapping[str, Any] | None = None,
    ) -> TelemetryAccepted:
        """Send a signed sample of the running session, as its operator (api-contract §16.3).

        It carries no Idempotency-Key: the server takes each ``captured_at`` once.

        Args:
            captured_at: an instant; as text it is sent as it is, and that text is what the signature covers.
            source: what measured, such as ``gnss``.
            signature: by the operator's wallet over ``TelemetryRequest.beacon(id).text()``, 0x hex.
            sensors: readings by their names on the wire.
        """
        captured = captured_at if isinstance(captured_at, str) else iso(captured_at)
        fields = {
            "capturedAt": captured,
            "point": {"lat": lat, "lng": lng},
            "accuracyMeters": accuracy_meters,
            "source": source,
            "signature": signature,
            "sensors": sensors,
        }
        path = f"{_one(session_id)}/telemetry"
        return await self._transport.call("POST", path, TelemetryAccepted, present(fields), key=False)

    async def receipt(self, session_id: Id) -> Receipt:
        """The bill: final when the session is over, the reading so far while it is LIVE."""
        return await self._transport.call("GET", f"{_one(session_id)}/receipt", Receipt)

    def events(
        self,
        session_id: Id,
        *,
        last_event_id: str | None = None,
        reconnect: bool = True,
        silence: float = SILENCE_SECONDS,
    ) -> EventStream:
        """Follow a session until it is over and paid.

        Args:
            last_event_id: resume after this event; without it the stream begins with how the session stands.
            reconnect: False raises what breaks the stream instead of opening it again.
            silence: seconds without a byte after which a connection counts as broken.
        """
        return EventStream(
            self._transport,
            f"{_one(session_id)}/events",
            last_event_id=last_event_id,
            reconnect=reconnect,
            silence=silence,
        )

    async def wait_for(
        self, session_id: Id, state: str, *, timeout: float = 30.0, interval: float = 1.0
    ) -> Session:
        """Wait until the session has come to ``state`` or beyond it, or is over; when ``timeout`` seconds
        have passed it is returned as it is then.

        It is told by the event stream. Only where a server has none it is asked, every ``interval`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                if self._transport.connection.streams:
                    told = await self._told(session_id, state)
                    if told is not None:
                        return told
                while True:
                    session = await self.get(session_id)
                    if reached(session, state):
                        return session
                    await asyncio.sleep(interval)
        except TimeoutError:
            return await self.get(session_id)

    async def _told(self, session_id: Id, state: str) -> Session | None:
        """The session when it has reached ``state``; None where nobody tells."""
        try:
            async with self.events(session_id) as stream:
                async for event in stream:
                    if isinstance(event.data, SessionState) and reached(event.data.session, state):
                        return event.data.session
        except LuxxonError as error:
            if not has_no_streams(error):
                raise
            self._transport.connection.streams = False
        return None


def reached(session: Session, state: str) -> bool:
    """Whether a session is in ``state``, past it, or over."""
    if session.state == state or session.state in TERMINAL:
        return True
    return session.state in COURSE and state in COURSE[: COURSE.index(session.state)]


def _one(session_id: Id) -> str:
    return f"/sessions/{segment(session_id)}"
