"""One camera offered to the marketplace from the console: the agent, its assignments, who accepts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import structlog

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.rules import Rules
from luxxon_tui.operate.aside import Aside, Home
from luxxon_tui.operate.bridge import Bridge
from luxxon_tui.operate.link import CameraLink, reason_of

if TYPE_CHECKING:
    from luxxon_core.operator.agent import AgentStatus, OperatorAgent
    from luxxon_core.operator.config import PrivacyTable
    from luxxon_core.operator.marketplace import MarketplaceApi, SessionLike
    from luxxon_core.operator.presence import Location
    from luxxon_core.source import MediaProfile
    from luxxon_tui.views import SessionView

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 1.0
LONGEST_GRAPH = 120
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How a camera is offered.

    Attributes:
        location: None where the camera tells it.
        rules: what is accepted by itself; hours hold in any case.
        controls: what others may move.
    """

    location: Location | None
    radius_m: float
    rules: Rules = field(default_factory=Rules)
    device_kind: str | None = None
    controls: Collection[str] = ()
    microphone: bool = False
    privacy: PrivacyTable | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """An assignment that waits for a yes or a no."""

    session_id: str
    point: Point | None
    max_seconds: int
    rate_micro: int
    came_at: datetime
    outside: str | None = None
    """Why the rule would not have taken it."""


class Operation:
    """Offers ``link``'s camera while :meth:`run` runs; opened anew when it fails, as ``luxxon operate`` does.

    Args:
        by_rule: whether what the rules allow is accepted by itself, asked each time.
        told: called after anything has changed, with True when an offer has come.
        lost: called with the reason when the camera has failed, unless it has not been back since.
    """

    def __init__(
        self,
        api: MarketplaceApi,
        link: CameraLink,
        workspace_id: str,
        terms: Terms,
        aside: Aside,
        *,
        clock: Clock,
        by_rule: Callable[[], bool],
        told: Callable[[bool], None],
        lost: Callable[[str], None],
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self.link, self.terms = link, terms
        self._aside, self._home = aside, Home()
        self._bridge = Bridge(self._home, api, self._heard)
        self.workspace_id, self._clock, self._sign = workspace_id, clock, sign
        self._by_rule, self._told, self._tell_lost = by_rule, told, lost
        self.status: AgentStatus | None = None
        self.online = False
        self.stopping = False
        self.lost = ""
        """Why the camera is offline until it opens again; empty while it is offered, or on its way."""
        self.offer: Offer | None = None
        self.sessions: Mapping[str, SessionView] = {}
        """Those of the camera's workspace, as its own stream tells them."""
        self.rates: tuple[float, ...] = ()
        """Bits a second while publishing, one a second, the newest last."""
        self._answer: asyncio.Future[bool] | None = None
        self._agent: OperatorAgent | None = None
        self._task: asyncio.Task[None] | None = None
        self._watched = True
        """Whether the camera's picture was asked for when it failed."""

    # -- from here

    async def run(self) -> None:
        """Be online until cancelled; then offline. Between, it is offline while the camera fails.

        Raises:
            LuxxonError: the marketplace refuses for good.
        """
        from luxxon_core.operator.camera import Attempts
        from luxxon_core.source import SourceError

        attempts = Attempts()
        try:
            while True:
                started = monotonic()
                try:
                    await self._offer()
                except Exception as error:
                    if isinstance(error, LuxxonError) and not isinstance(error, SourceError):
                        raise
                    pause = attempts.pause(error, monotonic() - started if self.online else 0.0)
                    await self._give_up(error)
                await asyncio.sleep(pause)
        finally:
            self.stopping, self.online = True, False
            self.answer(False)
            await self._aside.run(self._stop())

    async def _offer(self) -> NoReturn:
        """Open the camera unless it is open, and offer it until it fails."""
        if not await self.link.open(watch=self._watched):
            assert self.link.fault is not None, "it was not opened"
            raise self.link.fault
        await self._aside.run(self._begin())
        while True:
            status, self.online = await self._aside.run(self._sample())
            self.status = status
            if self.online:
                self.lost = ""
            publishing = status.session_id is not None
            newest = (*self.rates, status.publish.bits_per_second)[-LONGEST_GRAPH:]
            self.rates = newest if publishing else ()
            self._told(False)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _give_up(self, error: Exception) -> None:
        """Close a camera that has failed; a plugin's own fault is logged as ``luxxon operate`` does."""
        from luxxon_core.operator.camera import where_failed

        reason, before = reason_of(error), self.lost
        self.lost, self.online, self.status, self.rates = reason, False, None, ()
        if self.link.is_open:
            self._watched = self.link.watched
        await self._aside.run(self._stop())
        await self.link.close()
        if reason != before:
            name, ours = self.link.found.name, isinstance(error, LuxxonError)
            log.error(
                "camera.not_ready" if ours else "camera.crashed",
                camera=name,
                reason=reason if ours else where_failed(error),
            )
            self._tell_lost(reason)
        self._told(False)

    def answer(self, accepted: bool) -> None:
        """Take the offer, or leave it alone."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(accepted)

    async def cover(self, radius_m: float) -> None:
        """Cover so many metres from now on.

        Raises:
            LuxxonError: the marketplace refuses, or is lost.
        """
        self.terms = replace(self.terms, radius_m=radius_m)
        if self._agent is not None:
            await self._aside.run(self._agent.cover(radius_m))

    async def switch(self, profile: MediaProfile) -> None:
        """Publish another profile of the camera; one that fails over it is opened anew in its time."""
        try:
            await self._aside.run(self._switch(profile))
        except Exception as error:  # noqa: BLE001 - a plugin's
            log.error("camera.crashed", camera=self.link.found.name, error=type(error).__name__)

    def _heard(self, data: object) -> None:
        """The stream has told something of a session."""
        from luxxon_core.events.schemas import SessionMeter, SessionState
        from luxxon_tui.store.apply import session_view, told

        if isinstance(data, SessionState):
            before = self.sessions.get(data.session_id)
            view = session_view(data.session, self.workspace_id, before)
            self.sessions = {**self.sessions, view.id: view}
            self._withdraw(view)
        elif isinstance(data, SessionMeter) and (known := self.sessions.get(data.session_id)):
            self.sessions = {**self.sessions, known.id: told(known, data, "")}
        else:
            return
        self._told(False)

    def follow(self, sessions: Mapping[str, SessionView]) -> None:
        """Withdraw an offer whose session is not ours to take any more."""
        if self.offer is not None and (view := sessions.get(self.offer.session_id)) is not None:
            self._withdraw(view)

    def _withdraw(self, view: SessionView) -> None:
        offer = self.offer
        if offer is not None and offer.session_id == view.id and view.state not in ("REQUESTED", "ASSIGNED"):
            self.answer(False)

    async def _asked(self, session: SessionLike) -> bool:
        refusal = self.terms.rules.refusal(session, self._where(), self._clock())
        if refusal is None and self._by_rule():
            return True
        lat, lng = session.requested_lat, session.requested_lng
        point = None if lat is None or lng is None else Point(lat, lng)
        rate = int(session.rate_per_second_micro_usdc)
        self.offer = Offer(
            session.id, point, session.max_duration_seconds, rate, self._clock(), refusal or None
        )
        self._answer = asyncio.get_running_loop().create_future()
        self._told(True)
        try:
            return await self._answer
        finally:
            self.offer = self._answer = None
            self._told(False)

    def _where(self) -> Point | None:
        status = self.status
        location = (status.location if status is not None else None) or self.terms.location
        return None if location is None else location.point

    # -- aside

    async def _begin(self) -> None:
        from luxxon_core.operator import camera
        from luxxon_core.operator.agent import OperatorAgent

        terms, source = self.terms, self.link.source
        agent = self._agent = OperatorAgent(
            self._bridge,
            source,
            self.workspace_id,
            terms.location,
            coverage_radius_meters=terms.radius_m,
            device_kind=terms.device_kind,
            approve=self._approve,
            clock=self._clock,
            follow=terms.location is None,
            rules=Rules(hours=terms.rules.hours),
            sign=self._sign,
            privacy=None if terms.privacy is None else terms.privacy.privacy(source),
            microphone=terms.microphone,
            controls=terms.controls,
            profile=self.link.profile,
            source_patience=camera.SOURCE_PATIENCE,
        )
        self._task = asyncio.create_task(agent.run(), name="agent")

    async def _switch(self, profile: MediaProfile) -> None:
        if self._agent is not None:
            self._agent.switch(profile)

    async def _approve(self, session: SessionLike) -> bool:
        return await self._home.run(self._asked(session))

    async def _sample(self) -> tuple[AgentStatus, bool]:
        assert self._agent is not None and self._task is not None, "begun"
        if self._task.done():
            self._task.result()
        return self._agent.status, self._agent.online.is_set()

    async def _stop(self) -> None:
        task, self._task, self._agent = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_SECONDS)
