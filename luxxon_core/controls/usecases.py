"""Commands out, results back: the caller's request waits in this process, the device may be at another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from luxxon_core.controls.domain import (
    ANSWER_WITHIN,
    EXPIRES_AFTER,
    Command,
    Executed,
    Result,
    Verb,
    admit,
    refusal,
)
from luxxon_core.controls.ports import Channel
from luxxon_core.http.limits import Window
from luxxon_core.kernel.errors import DeviceTimeout, NotAuthorized, RateLimited, SessionNotFound
from luxxon_core.kernel.ids import NewId
from luxxon_core.sessions.domain import Session
from luxxon_core.sessions.ports import Current


@dataclass(frozen=True, slots=True)
class Controls:
    """Both sides' hands on the camera of a LIVE session.

    Attributes:
        limit: commands of a session; of several processes each grants the whole of it. Stopping is never
            limited.
        seconds: how long a caller waits for the device.
    """

    current: Current
    channel: Channel
    new_id: NewId
    limit: Window
    monotonic: Callable[[], float]
    seconds: float = ANSWER_WITHIN.total_seconds()
    _waiting: dict[tuple[UUID, UUID], asyncio.Future[Result]] = field(default_factory=dict, repr=False)
    """By session and command: no device answers for another session's."""

    async def command(
        self, session_id: UUID, workspace_id: UUID, verb: Verb, order: dict[str, Any], now: datetime
    ) -> Executed:
        """Have the operator's device execute an order, and wait for what comes of it.

        Raises:
            SessionNotFound; NotAuthorized: ``session:viewDenied``, ``session:notOperator``.
            InvalidState: ``ptz:state:<STATE>``; Conflict: ``ptz:notAllowed``, ``ptz:unsupported``.
            RateLimited: ``rate:ptz``.
            DeviceTimeout: ``ptz:timeout``: no answer; ``ptz:expired``: it came too late to the device.
            InvalidInput, ExternalError: the camera refused the arguments, or failed.
        """
        begun = self.monotonic()
        session = await self._seen(session_id, workspace_id)
        operator = admit(session, workspace_id, verb)
        if verb is not Verb.STOP and self.limit.quota and self.limit.hit(str(session_id), begun) < 0:
            raise RateLimited("rate:ptz", "Too many commands for this camera")
        command = Command(self.new_id(), session_id, operator, order, now, now + EXPIRES_AFTER)
        waiting: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[session_id, command.id] = waiting
        try:
            await self.channel.command(command)
            async with asyncio.timeout(self.seconds - (self.monotonic() - begun)):
                result = await waiting
        except TimeoutError:
            raise DeviceTimeout("ptz:timeout", "The operator's device did not answer in time") from None
        finally:
            del self._waiting[session_id, command.id]
        if (error := refusal(result)) is not None:
            raise error
        return Executed(command.id, result, self.monotonic() - begun)

    async def answer(self, session_id: UUID, workspace_id: UUID, command_id: UUID, result: Result) -> None:
        """Take the device's answer to a command; nobody may be waiting for it any more.

        Raises:
            SessionNotFound; NotAuthorized: ``session:viewDenied``, ``session:notOperator``.
        """
        session = await self._seen(session_id, workspace_id)
        if session.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:notOperator")
        await self.channel.result(session_id, command_id, result)

    def heard(self, session_id: UUID, command_id: UUID, result: Result) -> None:
        """A session's device has answered, here or at another server."""
        waiting = self._waiting.get((session_id, command_id))
        if waiting is not None and not waiting.done():
            waiting.set_result(result)

    async def _seen(self, session_id: UUID, workspace_id: UUID) -> Session:
        session = await self.current.get(session_id)
        if session is None:
            raise SessionNotFound
        if workspace_id not in (session.consumer_workspace_id, session.operator_workspace_id):
            raise NotAuthorized("session:viewDenied")
        return session
