"""Signed telemetry: once a second and more, where the camera of a running session is (api-contract §16.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from luxxon_core.kernel.clock import Clock, iso
from luxxon_core.kernel.errors import LuxxonError, NotFound
from luxxon_core.operator.calls import Trouble
from luxxon_core.operator.marketplace import SessionsApi
from luxxon_core.operator.presence import Fix
from luxxon_core.telemetry.schemas import Position, TelemetryRequest

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 0.8
"""A little less than the second of the contract, so that no second is without a sample."""
CALL_SECONDS = 5.0
"""A sample that is not delivered by then is worth no more."""
MEASURED, WRITTEN = "gps", "fixed"
"""What ``source`` says: a receiver's, or a place from the configuration."""

Sign = Callable[[str], str]
"""The EIP-191 signature of a text by the wallet of the workspace, 0x hex."""


@dataclass
class Beacons:
    """Sends the samples of one session at a time.

    Attributes:
        sent: how many the marketplace has taken.
    """

    sessions: SessionsApi
    sign: Sign
    fix: Callable[[], Fix | None]
    clock: Clock
    trouble: Trouble
    sent: int = 0
    _last: datetime | None = field(default=None, init=False)

    async def send(self, session_id: str) -> None:
        """One sample after another until cancelled, or the session is over.

        Raises:
            NotAuthenticated: the credential is refused.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self._sample(session_id)
            except TimeoutError:
                self.trouble.note("agent.telemetry_failed", "the marketplace does not answer")
            except NotFound as error:
                self.trouble.failed("agent.telemetry_failed", error)
                return
            except LuxxonError as error:
                if error.status == 401:
                    raise
                # Over meanwhile, of which we shall be told; or the clock is off; or nobody answers.
                self.trouble.failed("agent.telemetry_failed", error)
            due = max(due + PERIOD_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _sample(self, session_id: str) -> None:
        fix = self.fix()
        if fix is None:
            return
        at = fix.captured_at or self.clock()
        if self._last is not None and at - self._last < timedelta(milliseconds=1):
            return  # the receiver has measured nothing since
        self._last = at
        location = fix.location
        sample = TelemetryRequest(
            captured_at=iso(at),
            point=Position(location.lat, location.lng),
            accuracy_meters=location.accuracy_meters,
            source=WRITTEN if fix.captured_at is None else MEASURED,
            signature="",
        )
        signature = await asyncio.to_thread(self.sign, sample.beacon(UUID(session_id)).text())
        async with asyncio.timeout(CALL_SECONDS):
            await self.sessions.telemetry(
                session_id,
                captured_at=sample.captured_at,
                lat=location.lat,
                lng=location.lng,
                accuracy_meters=location.accuracy_meters,
                source=sample.source,
                signature=signature,
            )
        self.sent += 1
