"""What observations need from outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Frame
from luxxon_core.observations.domain import Light, Observation, Position


class Store(Protocol):
    """Observations and the frames that are kept of them."""

    async def add(self, tx: Tx, observation: Observation) -> bool:
        """Insert, due at once; False when there is one of this id."""
        ...

    async def get(self, tx: Tx, observation_id: UUID) -> Observation | None:
        """The observation, with what is kept of its frame now."""
        ...

    async def finished(self, tx: Tx, ids: Collection[UUID]) -> list[UUID]:
        """Those of the observations that are READY or FAILED."""
        ...

    async def claim(self, tx: Tx, now: datetime, again: datetime, limit: int) -> list[Observation]:
        """PENDING ones that are due, which nobody else gets before ``again``, longest due first."""
        ...

    async def renew(self, tx: Tx, observation_ids: Iterable[UUID], now: datetime, again: datetime) -> None:
        """Nobody else gets those of them that are PENDING and due before ``again``."""
        ...

    async def postpone(self, tx: Tx, observation_id: UUID, again: datetime) -> None:
        """Nothing will change before ``again``."""
        ...

    async def finish(self, tx: Tx, observation: Observation) -> bool:
        """Compare and swap: store one that is READY or FAILED; False when it was not PENDING any more."""
        ...

    async def keep(self, tx: Tx, observation_id: UUID, frame: Frame, expires_at: datetime) -> None:
        """Store the frame of an observation."""
        ...

    async def frame(self, tx: Tx, observation_id: UUID, now: datetime) -> Frame | None:
        """The frame, while it is kept."""
        ...

    async def purge(self, tx: Tx, now: datetime, most_bytes: int, limit: int) -> int:
        """Delete frames whose time is over, and then those that expire next until the others have no more
        than ``most_bytes``; at most ``limit`` of each. Returns how many."""
        ...

    async def purge_records(
        self, tx: Tx, asked_before: datetime, refused_before: datetime, limit: int
    ) -> int:
        """Delete observations that finished at these moments or before and have no frame any more: those that
        had a session, and those that never had one; at most ``limit`` of each. Returns how many."""
        ...

    async def position(self, tx: Tx, operator_workspace_id: UUID, at: datetime) -> Position | None:
        """Where an operator's camera was, as far as it has been told."""
        ...


class Lightmeter(Protocol):
    """Says how light a picture is."""

    async def measured(self, frame: Frame) -> Light:
        """The light of a frame.

        Raises:
            VideoError: its JPEG cannot be read.
        """
        ...
