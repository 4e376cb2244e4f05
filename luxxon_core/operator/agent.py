"""The operator's side of a session: be online, send heartbeats, take assignments, publish, let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import structlog

from luxxon_core.events.schemas import Ready, SessionState
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.marketplace import OPEN_STATES, Desk, MarketplaceApi, SessionLike
from luxxon_core.source import FixType, GeoPose, PoseSource, Source

if TYPE_CHECKING:
    import httpx

    from luxxon_core.operator.publisher import PublishEnd, Publisher, PublishStatus

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5.0
"""Cadence of heartbeats; the marketplace calls a workspace stale after 25 s (api-contract §11.3)."""
BACKOFF = (0.5, 5.0)
RENEW = (2.0, 10.0)
"""Seconds without a publication after which the marketplace is asked where to publish; they double."""
MAX_SKEW = 86_400_000
"""Milliseconds that a heartbeat's sequence may run ahead of the clock."""
T = TypeVar("T")
PASSING = frozenset({408, 409, 425, 429})
"""Refusals of a call as it stands that time may cure; every other 4xx stays what it is."""


@dataclass(frozen=True, slots=True)
class Location:
    """WGS84 degrees, and metres within which they hold."""

    lat: float
    lng: float
    accuracy_meters: float = 10.0


class AgentState(StrEnum):
    STARTING = "STARTING"
    WAITING = "WAITING"
    """Online, without an assignment."""
    PUBLISHING = "PUBLISHING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class AgentStatus:
    state: AgentState
    session_id: str | None
    session_state: str | None
    publish: PublishStatus
    location: Location
    heartbeats: int
    sessions_served: int
    last_error: str | None


@dataclass
class OperatorAgent:
    """Offers one open source to the marketplace. The source is the caller's to open and close.

    A source that is a PoseSource moves the location; otherwise it stays where it was given. The coverage
    circle is drawn around the location of the start, or left as it is where no radius is given. ``approve``
    may turn an assignment down: it is then left alone until it expires or is cancelled.
    """

    api: MarketplaceApi
    source: Source
    workspace_id: str
    location: Location
    coverage_radius_meters: float | None = 500.0
    device_kind: str | None = None
    approve: Callable[[SessionLike], Awaitable[bool]] | None = None
    http: httpx.AsyncClient | None = None
    clock: Clock = utc_now
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    online: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    """Set once the workspace is ONLINE."""
    _publisher: Publisher = field(init=False, repr=False)
    _desk: Desk = field(init=False, repr=False)
    _state: AgentState = field(default=AgentState.STARTING, init=False)
    _session: SessionLike | None = field(default=None, init=False, repr=False)
    _declined: set[str] = field(default_factory=set, init=False, repr=False)
    _sequence: int = field(default=0, init=False, repr=False)
    _skew: int = field(default=0, init=False, repr=False)
    _heartbeats: int = field(default=0, init=False, repr=False)
    _served: int = field(default=0, init=False, repr=False)
    _last_error: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        from luxxon_core.operator.publisher import Publisher

        self._publisher = Publisher(self.source, http=self.http)
        self._desk = Desk(self.workspace_id)

    @property
    def status(self) -> AgentStatus:
        publish = self._publisher.status
        return AgentStatus(
            state=self._state,
            session_id=self._session.id if self._session else None,
            session_state=self._session.state if self._session else None,
            publish=publish,
            location=self.location,
            heartbeats=self._heartbeats,
            sessions_served=self._served,
            last_error=publish.last_error if self._session and publish.last_error else self._last_error,
        )

    async def run(self) -> None:
        """Go online and serve one assignment after another until cancelled; then go offline.

        Raises:
            LuxxonError: the API refuses for good (any 4xx but 408, 409, 425 and 429): the credential, the
                workspace, the coverage. Nothing else ends it.
        """
        try:
            await self._insisting(self._go_online)
            self._state = AgentState.WAITING
            self.online.set()
            await self._serve_all()
        finally:
            self._state = AgentState.STOPPED
            await self._go_offline()

    async def publish(self, whip_url: str) -> PublishEnd:
        """Publish at a WHIP URL with reconnects; see :meth:`Publisher.publish`."""
        return await self._publisher.publish(whip_url)

    async def assignments(self) -> AsyncGenerator[SessionLike, None]:
        """Open sessions of this workspace, oldest first; one that is still open then comes again."""
        while True:
            session = self._desk.first(without=self._declined)
            if session is not None:
                yield session
            else:
                await self._desk.news()

    async def _listen(self) -> None:
        """Keep the desk up to date: the one place that knows how assignments are learnt of.

        Each new connection begins with a list, of what happened before it.
        """
        delay = BACKOFF[0]
        while True:
            try:
                async with aclosing(self.api.events()) as events:
                    async for event in events:
                        delay = BACKOFF[0]
                        if isinstance(event.data, SessionState):
                            self._desk.told(event.data.session)
                        elif isinstance(event.data, Ready):
                            self._desk.listed(await self._insisting(self._open_sessions))
            except LuxxonError as error:
                if _for_good(error):
                    raise
                self._failed("agent.events_failed", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])

    async def _open_sessions(self) -> Sequence[SessionLike]:
        return await self.api.sessions.list(self.workspace_id, state=OPEN_STATES, side="operator")

    async def _serve_all(self) -> None:
        beating = [
            asyncio.create_task(self._heartbeat_loop(), name="heartbeats"),
            asyncio.create_task(self._listen(), name="events"),
        ]
        if isinstance(self.source, PoseSource):
            beating.append(asyncio.create_task(self._follow(self.source), name="poses"))
        serving = asyncio.create_task(self._serve_assignments(), name="assignments")
        try:
            done, _ = await asyncio.wait((serving, *beating), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (serving, *beating):
                task.cancel()
            await asyncio.gather(serving, *beating, return_exceptions=True)

    async def _serve_assignments(self) -> None:
        delay = BACKOFF[0]
        async with aclosing(self.assignments()) as assignments:
            async for session in assignments:
                try:
                    if not await self._approved(session):
                        self._declined.add(session.id)
                    elif await self._serve(session, delay):
                        delay = BACKOFF[0]
                    else:
                        delay = min(delay * 2, BACKOFF[1])
                except LuxxonError as error:
                    if error.status == 401:
                        raise
                    # Cancelled meanwhile, of which we shall be told, or the edge or the source failed.
                    self._failed("agent.session_failed", error)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, BACKOFF[1])
                finally:
                    self._session, self._state = None, AgentState.WAITING

    async def _approved(self, session: SessionLike) -> bool:
        try:
            return self.approve is None or await self.approve(session)
        except Exception as error:  # noqa: BLE001 - the caller's; the session stays open and is asked about again
            raise _broken("approve", "the approval failed", error) from None

    async def _serve(self, session: SessionLike, patience: float) -> bool:
        """Start a session and publish; whether it is over.

        Publishing may end before: the source came to its end, or the edge does not know the stream (yet, or
        any more). The session is then given ``patience`` seconds to be over.
        """
        started = await self.api.sessions.start(session.id)
        self._session, self._state = session, AgentState.PUBLISHING
        log.info("agent.publishing", session=session.id)
        over = asyncio.create_task(self._until_over(session.id), name="session-watch")
        try:
            end = await self._publish_where_it_is_wanted(session.id, started.whip_url, over)
            if end is not None:
                await asyncio.wait((over,), timeout=patience)
            if not over.done():
                self._note("agent.publish_ended", f"publishing ended before the session ({end})")
                return False
            over.result()
        finally:
            over.cancel()
            await asyncio.gather(over, return_exceptions=True)
        self._served += 1
        log.info("agent.session_over", session=session.id)
        return True

    async def _publish_where_it_is_wanted(
        self, session_id: str, url: str, over: asyncio.Task[None]
    ) -> PublishEnd | None:
        """Publish until that ends by itself, or ``over`` is done: None. Moves to another edge when the
        marketplace names one."""
        while True:
            publishing = asyncio.create_task(self.publish(url), name="publish")
            moving = asyncio.create_task(self._renewed(session_id, url), name="edge-watch")
            try:
                await asyncio.wait((publishing, moving, over), return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Cancelling the publisher makes it delete its WHIP resource.
                publishing.cancel()
                moving.cancel()
                await asyncio.gather(publishing, moving, return_exceptions=True)
            if over.done():
                return None
            if not publishing.cancelled():
                return publishing.result()
            url = moving.result()
            log.info("agent.moved", session=session_id)

    async def _renewed(self, session_id: str, url: str) -> str:
        """Where to publish now that ``url`` is no good: ask while nothing can be published there."""
        from luxxon_core.operator.publisher import PublishState

        delay = RENEW[0]
        while True:
            await asyncio.sleep(delay)
            if self._publisher.status.state is PublishState.PUBLISHING:
                delay = RENEW[0]
                continue
            try:
                started = await self.api.sessions.start(session_id)
                if started.whip_url != url:
                    return started.whip_url
            except LuxxonError as error:
                if error.status == 401:
                    raise
                self._failed("agent.renewal_failed", error)
            delay = min(delay * 2, RENEW[1])

    async def _until_over(self, session_id: str) -> None:
        while (session := self._desk.get(session_id)) is not None:
            self._session = session
            await self._desk.news()

    async def _heartbeat_loop(self) -> None:
        while True:
            try:
                await self._heartbeat()
            except LuxxonError as error:
                if error.status == 401:
                    raise
                if error.code == "CONFLICT":
                    # Another agent, or this one before its clock was set back, used a higher number.
                    self._skew = min(max(60_000, self._skew * 4), MAX_SKEW)
                self._failed("agent.heartbeat_failed", error)
            await asyncio.sleep(self.heartbeat_seconds)

    async def _heartbeat(self) -> None:
        session = self._session
        now_ms = int(self.clock().timestamp() * 1000)
        # Epoch milliseconds rise over restarts, too, with nothing to store.
        self._sequence = max(self._sequence + 1, now_ms + self._skew)
        await self.api.workspaces.heartbeat(
            self.workspace_id,
            lat=self.location.lat,
            lng=self.location.lng,
            accuracy_meters=self.location.accuracy_meters,
            sequence=self._sequence,
            session_id=session.id if session is not None and session.state == "LIVE" else None,
        )
        self._heartbeats += 1

    async def _follow(self, source: PoseSource) -> None:
        delay = BACKOFF[0]
        while True:
            try:
                async with aclosing(source.poses()) as poses:
                    async for pose in poses:
                        delay = BACKOFF[0]
                        self._moved(pose)
            except LuxxonError as error:
                self._failed("agent.pose_failed", error)
            except Exception as error:  # noqa: BLE001 - a plugin's; the last known location stands
                self._failed("agent.pose_failed", _broken("pose", "the camera's position failed", error))
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])

    def _moved(self, pose: GeoPose) -> None:
        if pose.fix_type >= FixType.FIX_2D:
            self.location = Location(pose.latitude, pose.longitude, pose.horizontal_accuracy)

    async def _go_online(self) -> None:
        workspaces = self.api.workspaces
        if self.coverage_radius_meters is None:
            await workspaces.set_availability(self.workspace_id, "ONLINE")
            return
        await workspaces.update(
            self.workspace_id,
            availability_state="ONLINE",
            coverage_lat=self.location.lat,
            coverage_lng=self.location.lng,
            coverage_radius_meters=self.coverage_radius_meters,
            device_kind=self.device_kind,
        )

    async def _go_offline(self) -> None:
        try:
            async with asyncio.timeout(5.0):
                await self.api.workspaces.set_availability(self.workspace_id, "OFFLINE")
        except (LuxxonError, TimeoutError) as error:
            # Nothing more to be done: without heartbeats the workspace goes stale by itself.
            log.warning("agent.offline_failed", reason=str(error))

    async def _insisting(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds; what waiting cannot cure is raised."""
        delay = BACKOFF[0]
        while True:
            try:
                return await call()
            except LuxxonError as error:
                if _for_good(error):
                    raise
                self._failed("agent.api_failed", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])

    def _failed(self, event: str, error: LuxxonError) -> None:
        self._note(event, str(error))

    def _note(self, event: str, reason: str) -> None:
        if reason != self._last_error:  # once, not at every attempt
            log.warning(event, reason=reason)
        self._last_error = reason


def _for_good(error: LuxxonError) -> bool:
    """Whether waiting cannot cure a refusal."""
    return 400 <= error.status < 500 and error.status not in PASSING


def _broken(label: str, what: str, error: Exception) -> LuxxonError:
    """Foreign code's error as one of ours: its type alone, as its text may hold a URL with a password."""
    return LuxxonError(f"agent:{label}", f"{what} ({type(error).__name__})")
