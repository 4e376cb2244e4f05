"""What controls need from outside: a way from this server to the one that the device listens to, and back."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from luxxon_core.controls.domain import Command, Result


class Channel(Protocol):
    """Reaches every server of the deployment at once, keeps nothing, and promises nothing."""

    async def command(self, command: Command) -> None:
        """Let the device hear of it, wherever it listens.

        Raises:
            DatabaseError: it has not been sent.
        """
        ...

    async def result(self, session_id: UUID, command_id: UUID, result: Result) -> None:
        """Let the server that waits for it hear of it; raises as :meth:`command`."""
        ...
