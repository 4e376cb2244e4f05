"""The port that every media edge implements: embedded, MediaMTX, Cloudflare Stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from luxxon_core.media.domain import Frame, LiveInput, MediaEvent


class Edge(Protocol):
    """Takes one publisher per live input by WHIP and serves its viewers by WHEP."""

    @property
    def name(self) -> str:
        """Key under which live inputs remember their edge."""
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

    def serving(self, before: datetime) -> frozenset[str]:
        """The uids of the live inputs that are served here, and were before a moment."""
        ...

    def announce(self) -> None:
        """Tell again, as CONNECTED events, which live inputs have media now."""
        ...

    def events(self) -> AsyncIterator[MediaEvent]:
        """What happens to the live inputs, in order, for one reader; ends when the edge is closed."""
        ...
