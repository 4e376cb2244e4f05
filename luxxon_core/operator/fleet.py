"""All cameras of an operator in one process: each in a task of its own, none disturbed by another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.camera import Camera, CameraState
from luxxon_core.operator.systemd import Notifier

log = structlog.get_logger(__name__)


@dataclass
class Fleet:
    """Runs cameras until it is asked to stop, or the marketplace has refused every one of them."""

    cameras: Sequence[Camera]
    notifier: Notifier = field(default_factory=Notifier)

    async def run(self, stop: asyncio.Event) -> bool:
        """Whether it was asked to stop. All cameras are OFFLINE then, and nothing is published any more."""
        running = [asyncio.create_task(self._one(camera), name=camera.name) for camera in self.cameras]
        living = asyncio.create_task(self.notifier.live(self._summary), name="watchdog")
        settled = asyncio.create_task(self._announce(), name="ready")
        asked = asyncio.create_task(stop.wait(), name="stop")
        over = asyncio.gather(*running)
        try:
            await asyncio.wait((asked, over), return_when=asyncio.FIRST_COMPLETED)
            stopped = asked.done()
            log.info("operate.stopping" if stopped else "operate.nothing_left")
            self.notifier.tell(STOPPING=1)
        finally:
            for task in (*running, living, settled, asked):
                task.cancel()
            await asyncio.gather(*running, living, settled, asked, over, return_exceptions=True)
        return stopped

    async def _one(self, camera: Camera) -> None:
        """To its end: one that is given up leaves the others running."""
        try:
            await camera.run()
        except LuxxonError as error:
            log.error("camera.given_up", camera=camera.name, code=error.code, reason=str(error))

    async def _announce(self) -> None:
        await asyncio.gather(*(camera.settled.wait() for camera in self.cameras))
        log.info("operate.ready", cameras=self._summary())
        self.notifier.tell(READY=1, STATUS=self._summary())

    def _summary(self) -> str:
        offered = sum(camera.state is CameraState.OFFERED for camera in self.cameras)
        serving = sum(bool(one.agent and one.agent.status.session_id) for one in self.cameras)
        return f"{offered} of {len(self.cameras)} cameras online, {serving} in session"
