"""One session after another: start it, publish where that is wanted, and let go when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.calls import BACKOFF, Trouble, broken
from luxxon_core.operator.marketplace import Desk, SessionLike, StartedLike

if TYPE_CHECKING:
    from luxxon_core.operator.beacons import Beacons
    from luxxon_core.operator.publisher import PublishEnd, Publisher
    from luxxon_core.operator.remote import RemoteControl

log = structlog.get_logger(__name__)

RENEW = (2.0, 10.0)
"""Seconds without a publication after which the marketplace is asked where to publish; they double."""

Start = Callable[[str], Awaitable[StartedLike]]


@dataclass
class Serving:
    """Publishes for one session at a time.

    Attributes:
        start: asks for the URL to publish at; asked again it may be another one.
        beacons: None where nobody can sign.
        remote: moves the camera meanwhile.
        changed: is told of the session in hand whenever it is news, and of None when it is let go.
    """

    start: Start
    desk: Desk
    publisher: Publisher
    beacons: Beacons | None
    remote: RemoteControl
    trouble: Trouble
    changed: Callable[[SessionLike | None], None]
    served: int = 0

    async def serve(self, session: SessionLike, patience: float) -> bool:
        """Start a session and publish; whether it is over.

        Publishing may end before: the source came to its end, or the edge does not know the stream (yet, or
        any more). The session is then given ``patience`` seconds to be over.
        """
        started = await self.start(session.id)
        self.changed(session)
        log.info("agent.publishing", session=session.id)
        over = asyncio.create_task(self._until_over(session.id), name="session-watch")
        beside = [
            asyncio.create_task(self._beside("telemetry", self._signal, session.id), name="telemetry"),
            asyncio.create_task(self._beside("remote", self.remote.serve, session.id), name="remote-control"),
        ]
        try:
            end = await self._publish_where_it_is_wanted(session.id, started.whip_url, over)
            if end is not None:
                await asyncio.wait((over,), timeout=patience)
            if not over.done():
                self.trouble.note("agent.publish_ended", f"publishing ended before the session ({end})")
                return False
            over.result()
        finally:
            for task in (over, *beside):
                task.cancel()
            await asyncio.gather(over, *beside, return_exceptions=True)
        self.served += 1
        log.info("agent.session_over", session=session.id)
        return True

    async def _beside(self, label: str, work: Callable[[str], Awaitable[None]], session_id: str) -> None:
        """Do what is done beside the publication, which goes on without it: its failure is told at once."""
        try:
            await work(session_id)
        except LuxxonError as error:
            self.trouble.failed(f"agent.{label}_ended", error)
        except Exception as error:  # noqa: BLE001 - nobody awaits it before the session's end; told by its type
            self.trouble.failed(f"agent.{label}_ended", broken(label, f"the {label} task failed", error))

    async def _signal(self, session_id: str) -> None:
        if self.beacons is not None:
            await self.beacons.send(session_id)

    async def _publish_where_it_is_wanted(
        self, session_id: str, url: str, over: asyncio.Task[None]
    ) -> PublishEnd | None:
        """Publish until that ends by itself, or ``over`` is done: None. Moves to another edge when the
        marketplace names one."""
        while True:
            publishing = asyncio.create_task(self.publisher.publish(url), name="publish")
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
        delay = RENEW[0]
        while True:
            await asyncio.sleep(delay)
            if self.publisher.connected:
                delay = RENEW[0]
                continue
            try:
                started = await self.start(session_id)
                if started.whip_url != url:
                    return started.whip_url
            except LuxxonError as error:
                if error.status == 401:
                    raise
                self.trouble.failed("agent.renewal_failed", error)
            delay = min(delay * 2, RENEW[1])

    async def _until_over(self, session_id: str) -> None:
        while (session := self.desk.get(session_id)) is not None:
            self.changed(session)
            await self.desk.news()


class Patience:
    """Seconds before the next attempt at a session, doubling until one succeeds."""

    def __init__(self) -> None:
        self.seconds = BACKOFF[0]

    def lost(self) -> None:
        self.seconds = min(self.seconds * 2, BACKOFF[1])

    def regained(self) -> None:
        self.seconds = BACKOFF[0]
