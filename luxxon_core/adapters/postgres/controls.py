"""Commands to devices and their answers between servers, by NOTIFY: nothing of them is ever stored.

PostgreSQL hands a notification to whoever listens at that moment, and a server that is not connected misses
it. Its caller is then told that the device did not answer, as for a camera it should be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.controls.domain import Command, Result
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import UnitOfWork

log = structlog.get_logger(__name__)

SQL = statements("controls")
CHANNEL = "luxxon_control"
PART = 7000
"""Characters of one notification; PostgreSQL takes less than 8000 bytes."""
LOOK_SECONDS = 5.0
"""How often the connection is asked whether it is still one."""
ANSWER_SECONDS = 5.0


class _Message(msgspec.Struct, omit_defaults=True):
    """Exactly one of the two; a result is of the command ``id`` and the session."""

    id: UUID
    session_id: UUID
    command: Command | None = None
    result: Result | None = None


class PgControlChannel:
    """Implements :class:`~luxxon_core.controls.ports.Channel`, and hears what every server sends, this one
    included, on a connection outside the pool.

    Args:
        commands, results: what to do with what is heard; a result by session and command.
    """

    def __init__(
        self,
        dsn: str,
        uow: UnitOfWork,
        commands: Callable[[Command], None],
        results: Callable[[UUID, UUID, Result], None],
    ) -> None:
        self._dsn = dsn
        self._uow = uow
        self._commands = commands
        self._results = results
        self._parts: list[str] = []
        self.listening = asyncio.Event()

    async def command(self, command: Command) -> None:
        await self._send(_Message(command.id, command.session_id, command=command))

    async def result(self, session_id: UUID, command_id: UUID, result: Result) -> None:
        await self._send(_Message(command_id, session_id, result=result))

    async def _send(self, message: _Message) -> None:
        text = json.dumps(msgspec.to_builtins(message), separators=(",", ":"))  # in ASCII: to be cut anywhere
        pieces = [text[at : at + PART] for at in range(0, len(text), PART)]
        parts = [
            f"{message.id.hex}:{number}:{len(pieces)}:{piece}" for number, piece in enumerate(pieces, start=1)
        ]
        async with self._uow.read() as tx:
            await connection(tx).execute(SQL["send"], parts)

    async def turn(self, _: datetime) -> None:
        """Listen until the connection breaks: to be called again and again.

        Raises:
            DatabaseError: it broke, or there is none.
        """
        import asyncpg

        failures = OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError
        held: asyncpg.Connection[Any] | None = None
        broken = asyncio.Event()
        try:
            held = await asyncpg.connect(
                self._dsn,
                timeout=ANSWER_SECONDS,
                command_timeout=ANSWER_SECONDS,
                server_settings={"application_name": "luxxon controls"},
            )
            held.add_termination_listener(lambda _: broken.set())
            await held.add_listener(CHANNEL, self._notified)
            self.listening.set()
            while not broken.is_set():
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await broken.wait()
                except TimeoutError:
                    await held.execute("select")
        except failures as error:
            raise DatabaseError("controls:line") from error
        finally:
            self.listening.clear()
            self._parts.clear()
            if held is not None:
                held.terminate()
        raise DatabaseError("controls:line")

    def _notified(self, *notification: object) -> None:
        head, number, count, piece = str(notification[-1]).split(":", 3)
        # The parts of one message follow one another: each was sent in one transaction.
        if number == "1":
            self._parts = [head]
        if self._parts[:1] != [head] or len(self._parts) != int(number):
            self._parts = []
            return
        self._parts.append(piece)
        if number == count:
            text, self._parts = "".join(self._parts[1:]), []
            self._heard(text)

    def _heard(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=_Message)
        except msgspec.DecodeError as error:  # of another version of the server
            log.warning("control message not understood", reason=str(error))
            return
        if message.command is not None:
            self._commands(message.command)
        elif message.result is not None:
            self._results(message.session_id, message.id, message.result)
