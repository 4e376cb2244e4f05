"""Events of the log become deliveries, each once, whoever dies in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.webhooks.domain import Cause, Planned
from luxxon_core.webhooks.ports import Deliveries, Due, Queue, Writer

BATCH = 500


@dataclass(frozen=True, slots=True)
class FanOut:
    """Any number of servers may: one at a time does, and what a step made commits with the mark it moved."""

    uow: UnitOfWork
    queue: Queue
    deliveries: Deliveries
    writer: Writer
    new_id: NewId

    async def step(self, now: datetime) -> int:
        """Make deliveries of the next events; returns how many positions of the log were passed."""
        async with self.uow.begin() as tx:
            found = await self.queue.fan_out(tx, BATCH)
            if found is None:
                return 0
            due, passed = found
            await self.deliveries.queue(tx, self._planned(due), now)
        return passed

    def _planned(self, due: Sequence[Due]) -> list[Planned]:
        planned = []
        for one in due:
            event, bodies = one.event, {}
            for webhook_id, workspace_id in one.webhooks:
                if workspace_id not in bodies:
                    bodies[workspace_id] = self.writer.event(event, workspace_id)
                planned.append(
                    Planned(
                        self.new_id(),
                        webhook_id,
                        event.session_id,
                        Cause.EVENT,
                        event.kind,
                        event.position,
                        bodies[workspace_id],
                    )
                )
        return planned
