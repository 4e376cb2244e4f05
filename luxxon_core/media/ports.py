"""The port that every media edge implements: embedded, MediaMTX, Cloudflare Stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Fault, Frame, LiveInput, MediaEvent, PictureFault


class Edge(Protocol):
    """Takes one publisher per live input by WHIP and serves its viewers by WHEP."""

    @property
    def name(self) -> str:
        """Under which live inputs remember their edge, the same after a restart: ``kind`` or ``kind-id``."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The name, or those of every edge that this one consists of."""
        ...

    async def create(self) -> LiveInput:
        """Mint a live input with URLs of at least 128 bits of secrecy.

        Raises:
            VideoError: the edge refused or could not be reached.
        """
        ...

    async def restore(self, live_input: LiveInput) -> None:
        """Serve a stored live input again after a restart; a no-op for one that is being served."""
        ...

    async def delete(self, live_input: LiveInput) -> None:
        """End a live input: publisher and viewers are disconnected, its URLs answer 404. Idempotent.

        Raises:
            VideoError: the edge could not be reached; safe to call again.
        """
        ...

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """The latest frame, or None before the first and when the last is older than 5 s.

        A live input of another edge of the deployment is asked for there.
        """
        ...

    def serving(self, before: datetime) -> Mapping[str, str]:
        """The live inputs that are served here, and were before a moment: edge name by uid."""
        ...

    def announce(self) -> None:
        """Tell again, as CONNECTED events, which live inputs have media now."""
        ...

    def events(self) -> AsyncIterator[MediaEvent]:
        """What happens to the live inputs, in order, for one reader; ends when the edge is closed."""
        ...


class PictureFaults(Protocol):
    """Stretches with a faulty picture: at most one open for each session and fault."""

    async def open(self, tx: Tx, fault_id: UUID, session_id: UUID, fault: Fault, at: datetime) -> None:
        """Open one on a LIVE session, not before its start; nothing when one of that sort is open."""
        ...

    async def close(self, tx: Tx, session_id: UUID, fault: Fault | None, at: datetime) -> None:
        """Close the open one of that sort, None: all of them, not before they opened."""
        ...

    async def of_session(self, tx: Tx, session_id: UUID) -> list[PictureFault]:
        """All of them, oldest first."""
        ...


class Scaler(Protocol):
    """Makes pictures smaller."""

    async def scaled(self, frame: Frame, max_width: int) -> Frame:
        """The frame with at most ``max_width`` columns and the same shape; itself where it has no more.

        Raises:
            VideoError: its JPEG cannot be read.
        """
        ...


class Pictures(Protocol):
    """Watches live inputs of edges that give no pictures themselves, as a viewer (api-contract §15.4)."""

    def watch(self, live_input: LiveInput) -> None:
        """Watch it from now on; called again, look at once whether there is something to see."""
        ...

    async def forget(self, uid: str) -> None:
        """Watch it no longer, and tell nothing more of it. Idempotent."""
        ...

    def attached(self, uid: str) -> bool:
        """Whether a viewer's session is connected, so that silence is the publisher's."""
        ...

    def frame(self, live_input: LiveInput) -> Frame | None:
        """As :meth:`Edge.frame`. What is not watched is from now on, silently, while it is asked for."""
        ...

    def announce(self) -> None:
        """As :meth:`Edge.announce`."""
        ...

    def events(self) -> AsyncIterator[MediaEvent]:
        """As :meth:`Edge.events`, for one reader."""
        ...
