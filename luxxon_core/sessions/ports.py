"""What sessions need from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Session, State


class Sessions(Protocol):
    """Sessions and their live inputs."""

    async def add(self, tx: Tx, session: Session) -> None: ...

    async def get(self, tx: Tx, session_id: UUID, *, lock: bool = False) -> Session | None:
        """The session; ``lock`` holds its row until the transaction ends, after waiting for others."""
        ...

    async def swap(self, tx: Tx, before: State, session: Session) -> bool:
        """Compare and swap: write the session if its stored state is still ``before``."""
        ...

    async def of_workspace(self, tx: Tx, workspace_id: UUID, limit: int) -> list[Session]:
        """Sessions with the workspace on either side, newest first."""
        ...

    async def assigned_to(self, tx: Tx, workspace_id: UUID) -> list[UUID]:
        """ASSIGNED sessions of an operator, oldest first."""
        ...

    async def waited_out(self, tx: Tx, now: datetime) -> list[UUID]:
        """Sessions not LIVE whose wait is over."""
        ...

    async def run_out(self, tx: Tx, now: datetime) -> list[UUID]:
        """LIVE sessions past their maximum duration."""
        ...

    async def add_live_input(self, tx: Tx, session_id: UUID, live_input: LiveInput, now: datetime) -> bool:
        """Store the live input of a session; False when it has one already."""
        ...

    async def live_input_of(self, tx: Tx, uid: str) -> UUID | None:
        """The session that a live input belongs to."""
        ...

    async def live_inputs(self, tx: Tx) -> list[LiveInput]:
        """Those of open sessions: what an edge must serve."""
        ...

    async def torn_down(self, tx: Tx) -> list[LiveInput]:
        """Live inputs of finished sessions that the edge has not been told of."""
        ...

    async def mark_deleted(self, tx: Tx, uid: str, now: datetime) -> None: ...

    async def committed(self, tx: Tx, wallet_address: str) -> int:
        """µUSDC of a wallet's pool that are spoken for: holds of its open sessions and charges not yet paid.

        Nobody else can ask for this wallet until the transaction ends.
        """
        ...

    async def stamp_alive(self, tx: Tx, edge: str, now: datetime) -> None:
        """Note that the edge is being served."""
        ...

    async def alive_at(self, tx: Tx, edge: str) -> datetime | None:
        """When the edge was last known to be served."""
        ...


class Settlements(Protocol):
    """Queues the payment of a metered session; implemented by the settlement slice."""

    async def queue(
        self, tx: Tx, session: Session, consumer_wallet: str, operator_wallet: str, now: datetime
    ) -> None:
        """Write the payload in the caller's transaction, the one that finalises the session."""
        ...


class Pools(Protocol):
    """Reads prepaid balances on the chain; implemented by the wallet slice."""

    async def pool_of(self, wallet_address: str) -> int:
        """µUSDC in the wallet's pool now.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...
