"""One camera offered to the marketplace from the console: the agent, its assignments, who accepts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.rules import Rules
from luxxon_tui.operate.aside import Aside, Home
from luxxon_tui.operate.bridge import Bridge

if TYPE_CHECKING:
    from luxxon_core.operator.agent import AgentStatus, OperatorAgent
    from luxxon_core.operator.config import PrivacyTable
    from luxxon_core.operator.marketplace import MarketplaceApi, SessionLike
    from luxxon_core.operator.presence import Location
    from luxxon_core.source import MediaProfile
    from luxxon_tui.operate.link import CameraLink
    from luxxon_tui.views import SessionView

SAMPLE_SECONDS = 1.0
LONGEST_GRAPH = 120
STOP_SECONDS = 10.0
SOURCE_PATIENCE = 10.0
"""Seconds for which a camera says that it has failed, while nobody watches, until it is taken offline."""


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
    """Offers ``link``'s camera, which is open, while :meth:`run` runs.

    Args:
        by_rule: whether what the rules allow is accepted by itself, asked each time.
        told: called after anything has changed, with True when an offer has come.
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
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self.link, self.terms = link, terms
        self._aside, self._home = aside, Home()
        self._bridge = Bridge(self._home, api, self._heard)
        self.workspace_id, self._clock, self._sign = workspace_id, clock, sign
        self._by_rule, self._told = by_rule, told
        self.status: AgentStatus | None = None
        self.online = False
        self.stopping = False
        self.offer: Offer | None = None
        self.sessions: Mapping[str, SessionView] = {}
        """Those of the camera's workspace, as its own stream tells them."""
        self.rates: tuple[float, ...] = ()
        """Bits a second while publishing, one a second, the newest last."""
        self._answer: asyncio.Future[bool] | None = None
        self._agent: OperatorAgent | None = None
        self._task: asyncio.Task[None] | None = None
        self._failing_since: float | None = None

    # -- from here

    async def run(self) -> None:
        """Be online until cancelled; then offline.

        Raises:
            LuxxonError: the marketplace or the camera refuses for good.
        """
        try:
            await self._aside.run(self._begin())
            while True:
                status, self.online = await self._aside.run(self._sample())
                self.status = status
                publishing = status.session_id is not None
                newest = (*self.rates, status.publish.bits_per_second)[-LONGEST_GRAPH:]
                self.rates = newest if publishing else ()
                self._told(False)
                await asyncio.sleep(SAMPLE_SECONDS)
        finally:
            self.stopping, self.online = True, False
            self.answer(False)
            await self._aside.run(self._stop())

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
        """Publish another profile of the camera."""
        await self._aside.run(self._switch(profile))

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
        status = self._agent.status
        self._mind_the_source(in_session=status.session_id is not None)
        return status, self._agent.online.is_set()

    def _mind_the_source(self, *, in_session: bool) -> None:
        """Here and not by the agent's ``source_patience``: that would give up a session in flight too, and
        nobody opens the camera anew for the console.

        Raises:
            SourceLost: nobody watches, and the camera has said all the while that it has failed.
        """
        from luxxon_core.operator.feed import SourceLost
        from luxxon_core.source import HealthState

        now, health = monotonic(), self.link.source.health()
        if in_session or health.state is not HealthState.FAILED:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= SOURCE_PATIENCE:
            raise SourceLost("source:lost", health.last_error)

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_SECONDS)
