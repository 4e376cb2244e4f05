"""What sessions need from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from luxxon_core.kernel.geo import Circle
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Control, Session, Side, Sight, State
from luxxon_core.wallet.ports import PoolBalance


class Current(Protocol):
    """Sessions for those who only look."""

    async def get(self, session_id: UUID) -> Session | None:
        """The session as it was committed last, read after this call."""
        ...

    async def sight(self, session_id: UUID) -> Sight | None:
        """As much of it as a picture takes, read likewise: pictures are asked for most of all."""
        ...


class Sessions(Protocol):
    """Sessions and their live inputs."""

    async def add(self, tx: Tx, session: Session) -> bool:
        """Insert; False when there is one of this id."""
        ...

    async def get(self, tx: Tx, session_id: UUID, *, lock: bool = False) -> Session | None:
        """The session; ``lock`` holds its row until the transaction ends, after waiting for others."""
        ...

    async def swap(self, tx: Tx, before: State, session: Session) -> bool:
        """Compare and swap: write the session if its stored state is still ``before``."""
        ...

    async def describe(
        self,
        tx: Tx,
        session: Session,
        controls: tuple[Control, ...] | None,
        policy: Mapping[str, Any] | None,
        now: datetime,
    ) -> None:
        """Store what the operator's device allows and does; what is None stays as it was."""
        ...

    async def of_workspace(
        self,
        tx: Tx,
        workspace_id: UUID,
        limit: int,
        *,
        states: Collection[State] | None = None,
        side: Side | None = None,
        after: Session | None = None,
    ) -> list[Session]:
        """Sessions with the workspace on either side, newest first: those after ``after``, in one of
        ``states``, on ``side``, where these are given."""
        ...

    async def open_in(
        self, tx: Tx, area: Circle, now: datetime, limit: int, *, after: Session | None = None
    ) -> list[Session]:
        """REQUESTED sessions whose point lies in the circle and whose wait is not over, oldest first."""
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

    async def live_inputs(self, tx: Tx, edge: str) -> list[LiveInput]:
        """Those of open sessions: what the edge must serve."""
        ...

    async def torn_down(self, tx: Tx, edge: str, silent: datetime) -> list[LiveInput]:
        """Live inputs of finished sessions that the edge has not been told of, and those of edges that were
        last served before ``silent``: nobody can tell them."""
        ...

    async def not_deleted(self, tx: Tx, uids: Collection[str]) -> frozenset[str]:
        """Which of these live inputs are to be served still."""
        ...

    async def abandoned(self, tx: Tx, silent: datetime) -> list[UUID]:
        """LIVE sessions whose edge was last served before ``silent``, or is not known to have been, and that
        have no NETWORK_ERROR window open."""
        ...

    async def mark_deleted(self, tx: Tx, uid: str, now: datetime) -> None: ...

    async def committed(self, tx: Tx, wallet_address: str, block_number: int) -> int:
        """µUSDC of a wallet's pool, as it was after a block, that are spoken for: holds of its open sessions
        and charges that were not paid by then.

        Nobody else can ask for this wallet until the transaction ends.
        """
        ...

    async def stamp_alive(self, tx: Tx, edge: str, now: datetime) -> datetime | None:
        """Note that the edge is being served; returns when that was noted before."""
        ...

    async def retire_edge(self, tx: Tx, edge: str) -> None:
        """Note that the edge is served no longer."""
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

    async def pool_of(self, wallet_address: str, *, fresh: bool = False) -> PoolBalance:
        """The wallet's pool as of a block: one that was read a moment ago will do unless ``fresh``.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...
