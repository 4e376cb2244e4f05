"""The operator's side of a session: be online, send heartbeats, take assignments, publish, let go."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from luxxon_core.events.schemas import Ready, SessionState
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.beacons import Beacons, Sign
from luxxon_core.operator.calls import BACKOFF, Trouble, broken, for_good
from luxxon_core.operator.marketplace import OPEN_STATES, Desk, MarketplaceApi, SessionLike, StartedLike
from luxxon_core.operator.presence import HEARTBEAT_SECONDS, Location, Presence
from luxxon_core.operator.ptz import Controls, offered
from luxxon_core.operator.remote import RemoteControl
from luxxon_core.operator.rules import Rules
from luxxon_core.operator.serving import Patience, Serving
from luxxon_core.source import Health, HealthState, MediaProfile, PoseSource, Source, SourceError

if TYPE_CHECKING:
    import httpx

    from luxxon_core.controls.schemas import PtzResult
    from luxxon_core.operator.masks import Privacy
    from luxxon_core.operator.publisher import PublishEnd, Publisher, PublishStatus

__all__ = ["AgentState", "AgentStatus", "Location", "OperatorAgent"]

log = structlog.get_logger(__name__)

SOURCE_SECONDS = 1.0
"""How often a camera that nobody watches is asked how it is."""


class AgentState(StrEnum):
    STARTING = "STARTING"
    """On the way to being online, without a session."""
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
    location: Location | None
    heartbeats: int
    beacons: int
    """Signed telemetry samples that the marketplace has taken."""
    sessions_served: int
    last_error: str | None


@dataclass
class OperatorAgent:
    """Offers one open source to the marketplace. The source is the caller's to open and close.

    Attributes:
        location: where the camera is; None to go online only once the source, a PoseSource, tells it.
        coverage_radius_meters: of the circle around the location; None leaves the circle as it is.
        follow: whether a source that is a PoseSource moves location and circle.
        rules: which assignments are taken.
        approve: is asked last, and may turn an assignment down. One that is not taken is left alone until
            it expires or is cancelled.
        sign: of the workspace's wallet, for telemetry; without it none is sent.
        privacy: what is masked in the picture.
        microphone: publish the sound, too, of a source that has any.
        controls: what both sides of a session may do with the camera, of ``ptz``, ``zoom``, ``gimbal``.
        profile: what is published, of the source's; its first when not given.
        source_patience: seconds of a failing source after which :meth:`run` raises SourceLost, so that
            somebody opens it anew; None for ever.
    """

    api: MarketplaceApi
    source: Source
    workspace_id: str
    location: Location | None
    coverage_radius_meters: float | None = 500.0
    device_kind: str | None = None
    approve: Callable[[SessionLike], Awaitable[bool]] | None = None
    http: httpx.AsyncClient | None = None
    clock: Clock = utc_now
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    follow: bool = True
    rules: Rules = field(default_factory=Rules)
    sign: Sign | None = field(default=None, repr=False)
    privacy: Privacy | None = None
    microphone: bool = False
    controls: Collection[str] = ()
    profile: MediaProfile | None = None
    source_patience: float | None = None
    online: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    """Set once the workspace is ONLINE, or waits for its hours."""
    _presence: Presence = field(init=False, repr=False)
    _publisher: Publisher = field(init=False, repr=False)
    _remote: RemoteControl = field(init=False, repr=False)
    _serving: Serving = field(init=False, repr=False)
    _desk: Desk = field(init=False, repr=False)
    _state: AgentState = field(default=AgentState.STARTING, init=False)
    _session: SessionLike | None = field(default=None, init=False, repr=False)
    _declined: set[str] = field(default_factory=set, init=False, repr=False)
    _trouble: Trouble = field(default_factory=Trouble, init=False, repr=False)

    def __post_init__(self) -> None:
        from luxxon_core.operator.publisher import Publisher

        self._publisher = Publisher(
            self.source,
            profile=self.profile,
            http=self.http,
            privacy=self.privacy,
            microphone=self.microphone,
            patience=self.source_patience,
        )
        self._desk = Desk(self.workspace_id)
        presence = self._presence = Presence(
            workspaces=self.api.workspaces,
            workspace_id=self.workspace_id,
            location=self.location,
            coverage_radius_meters=self.coverage_radius_meters,
            device_kind=self.device_kind,
            rules=self.rules,
            clock=self.clock,
            trouble=self._trouble,
            heartbeat_seconds=self.heartbeat_seconds,
        )
        beacons = self.sign and Beacons(
            self.api.sessions, self.sign, lambda: presence.fix, self.clock, self._trouble
        )
        moving = None if self.privacy is None else self.privacy.moving
        controls = Controls(self.source, self.controls, moving)
        if self.privacy is not None:
            self.privacy.driven = lambda: controls.driving
        self._remote = RemoteControl(controls, self._answer)
        self._serving = Serving(
            self._start,
            self._desk,
            self._publisher,
            beacons or None,
            self._remote,
            self._trouble,
            self._in_hand,
        )

    @property
    def status(self) -> AgentStatus:
        publish, beacons = self._publisher.status, self._serving.beacons
        return AgentStatus(
            state=self._state,
            session_id=self._session.id if self._session else None,
            session_state=self._session.state if self._session else None,
            publish=publish,
            location=self._presence.location,
            heartbeats=self._presence.heartbeats,
            beacons=beacons.sent if beacons else 0,
            sessions_served=self._serving.served,
            last_error=publish.last_error if self._session and publish.last_error else self._trouble.last,
        )

    async def run(self) -> None:
        """Go online and serve one assignment after another until cancelled; then go offline.

        A session that is LIVE already is published at once, even if the camera does not know its place yet.

        Raises:
            LuxxonError: the API refuses for good (any 4xx but 408, 409, 425 and 429): the credential, the
                workspace, the coverage.
            SourceLost, SourceAuthError, SourceConfigError: of a source that is waited for no longer. Nothing
                else ends it.
        """
        following = (
            asyncio.create_task(self._presence.follow(self.source), name="poses")
            if self.follow and isinstance(self.source, PoseSource)
            else None
        )
        try:
            await self._serve_all()
        finally:
            self._state = AgentState.STOPPED
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await self._presence.go_offline()

    async def cover(self, radius_meters: float) -> None:
        """Cover so many metres from now on; a session in hand goes on as it was agreed.

        Raises:
            LuxxonError: the marketplace refuses, or is away.
        """
        await self._presence.cover(radius_meters)

    def switch(self, profile: MediaProfile) -> None:
        """Publish another profile of the source, from its next key frame on where the codec stays."""
        self._publisher.switch(profile)

    async def publish(self, whip_url: str) -> PublishEnd:
        """Publish at a WHIP URL with reconnects; see :meth:`Publisher.publish`."""
        return await self._publisher.publish(whip_url)

    async def assignments(self) -> AsyncGenerator[SessionLike, None]:
        """Open sessions of this workspace, oldest first; one that is still open then comes again. Before the
        workspace is online, those alone that are LIVE."""
        while True:
            session = self._desk.first(without=self._declined, live=not self.online.is_set())
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
                # A broken connection is ours to make again, for what moves then has to be stopped at once.
                async with aclosing(self.api.events(reconnect=False)) as events:
                    async for event in events:
                        delay = BACKOFF[0]
                        self._remote.told(event.data)
                        if isinstance(event.data, SessionState):
                            self._desk.told(event.data.session)
                        elif isinstance(event.data, Ready):
                            self._desk.listed(await self._trouble.insisting(self._open_sessions))
            except LuxxonError as error:
                if for_good(error):
                    raise
                self._trouble.failed("agent.events_failed", error)
                self._publisher.doubt()
            finally:
                self._remote.lost()
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # not with all who lost it  # noqa: S311
            delay = min(delay * 2, BACKOFF[1])

    async def _open_sessions(self) -> Sequence[SessionLike]:
        return await self.api.sessions.list(self.workspace_id, state=OPEN_STATES, side="operator")

    async def _start(self, session_id: str) -> StartedLike:
        return await self.api.sessions.start(session_id, **self._terms())

    async def _answer(self, session_id: str, command_id: str, result: PtzResult) -> None:
        await self.api.sessions.ptz_result(session_id, command_id, result)

    def _terms(self) -> Mapping[str, object]:
        """What is told of the camera at the start of a session."""
        policy = {} if self.privacy is None else {"policy": self.privacy.policy()}
        if not offered(self.source):
            return policy
        return {**policy, "controls": sorted(self._remote.controls.allowed)}

    async def _be_present(self) -> None:
        """Go online, and send heartbeats from then on."""
        await self._presence.go_online()
        self.online.set()
        self._in_hand(self._session)
        self._desk.stir()
        await self._presence.beat()

    async def _serve_all(self) -> None:
        beside = [
            asyncio.create_task(self._be_present(), name="heartbeats"),
            asyncio.create_task(self._listen(), name="events"),
            asyncio.create_task(self._serve_assignments(), name="assignments"),
        ]
        if self.source_patience is not None:
            beside.append(asyncio.create_task(self._mind_the_source(self.source_patience), name="source"))
        if self.follow and isinstance(self.source, PoseSource):
            beside.append(asyncio.create_task(self._presence.keep_covering(), name="coverage"))
        try:
            done, _ = await asyncio.wait(beside, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _mind_the_source(self, patience: float) -> None:
        """While nobody asks for pictures: a camera that is dead is not on offer. In a session the publisher
        minds it.

        Raises:
            SourceLost: it has said for the whole patience that it has failed.
        """
        from luxxon_core.operator.feed import SourceLost

        failing_since: float | None = None
        while True:
            await asyncio.sleep(min(SOURCE_SECONDS, patience / 4))
            now, health = time.monotonic(), self._health()
            if self._session is not None or health.state is not HealthState.FAILED:
                failing_since = None
            elif failing_since is None:
                failing_since = now
                log.warning("agent.source_failed", reason=health.last_error)
            elif now - failing_since >= patience:
                raise SourceLost("source:lost", health.last_error)

    def _health(self) -> Health:
        try:
            return self.source.health()
        except Exception as error:  # noqa: BLE001 - a plugin's: who cannot say how it is counts as failing
            return Health(HealthState.FAILED, last_error=f"its plugin failed ({type(error).__name__})")

    async def _serve_assignments(self) -> None:
        patience = Patience()
        async with aclosing(self.assignments()) as assignments:
            async for session in assignments:
                try:
                    if not await self._approved(session):
                        self._declined.add(session.id)
                    elif await self._serving.serve(session, patience.seconds):
                        patience.regained()
                    else:
                        patience.lost()
                except LuxxonError as error:
                    if error.status == 401 or self._is_for_others(error):
                        raise
                    # Cancelled meanwhile, of which we shall be told, or the edge or the source failed.
                    self._trouble.failed("agent.session_failed", error)
                    await asyncio.sleep(patience.seconds)
                    patience.lost()
                finally:
                    self._in_hand(None)

    def _is_for_others(self, error: LuxxonError) -> bool:
        """Whether a source's failure is to be seen to by who opened it."""
        return self.source_patience is not None and isinstance(error, SourceError)

    async def _approved(self, session: SessionLike) -> bool:
        if session.state == "LIVE":
            return True  # taken before a restart: people are watching
        location = self._presence.location
        reason = self.rules.refusal(session, None if location is None else location.point, self.clock())
        if reason is not None:
            log.info("agent.declined", session=session.id, reason=reason)
            return False
        try:
            return self.approve is None or await self.approve(session)
        except Exception as error:  # noqa: BLE001 - the caller's; the session stays open and is asked about again
            raise broken("approve", "the approval failed", error) from None

    def _in_hand(self, session: SessionLike | None) -> None:
        self._session = session
        without = AgentState.WAITING if self.online.is_set() else AgentState.STARTING
        self._state = without if session is None else AgentState.PUBLISHING
        self._presence.serving = None if session is None else (session.id, session.state)
