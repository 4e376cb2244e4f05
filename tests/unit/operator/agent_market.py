"""The marketplace as an operator's agent sees it, with sessions that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from luxxon_core.client import ConnectionFailed
from luxxon_core.events.schemas import Ready, SessionMeter, SessionState
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import Conflict, InvalidState, LuxxonError
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.media.domain import LiveInput
from luxxon_core.operator.agent import Location, OperatorAgent

Until = Callable[..., Awaitable[None]]
ME, OTHER = "workspace-me", "workspace-other"
BRUSSELS = Location(50.846, 4.352, 5.0)


@dataclass(frozen=True)
class Session:
    id: str
    state: str = "ASSIGNED"
    operator_workspace_id: str | None = ME
    requested_lat: float | None = 50.846
    requested_lng: float | None = 4.352
    max_duration_seconds: int = 600
    rate_per_second_micro_usdc: str = "1000"


@dataclass(frozen=True)
class Started:
    whip_url: str


@dataclass(frozen=True)
class Told:
    data: object


@dataclass
class Marketplace:
    """The API as the agent sees it: the server's rules for heartbeats, and sessions that the test moves."""

    stored: dict[str, Session] = field(default_factory=dict)
    inputs: dict[str, LiveInput] = field(default_factory=dict)
    availability: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    last_sequence: int = 0
    down: bool = False
    refusal: LuxxonError | None = None
    started: list[str] = field(default_factory=list)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: int = 0
    listeners: list[asyncio.Queue[Told | None]] = field(default_factory=list)

    @property
    def sessions(self) -> Marketplace:
        return self

    @property
    def workspaces(self) -> Marketplace:
        return self

    def assign(self, session: Session, live_input: LiveInput | None = None) -> None:
        self.stored = {session.id: session} | self.stored  # newest first, as the server lists them
        if live_input is not None:
            self.inputs[session.id] = live_input
        self._tell(session)

    def move(self, session_id: str, state: str) -> None:
        self.stored[session_id] = replace(self.stored[session_id], state=state)
        self._tell(self.stored[session_id])

    def _tell(self, session: Session) -> None:
        at = Timestamp.of(utc_now())
        state = SessionState(session.id, at, session)  # type: ignore[arg-type]
        for listener in self.listeners:
            listener.put_nowait(Told(SessionMeter(session.id, at, 1, "1000", 1000, 0)))
            listener.put_nowait(Told(state))

    def cut(self) -> None:
        """Break every stream; the SDK comes back by itself."""
        for listener in self.listeners:
            listener.put_nowait(None)

    async def events(self, *, reconnect: bool) -> AsyncGenerator[Told, None]:
        while True:
            self._answering()
            queue: asyncio.Queue[Told | None] = asyncio.Queue()
            self.listeners.append(queue)
            try:
                yield Told(Ready(Timestamp.of(utc_now())))
                while (told := await queue.get()) is not None:
                    self._answering()
                    yield told
            finally:
                self.listeners.remove(queue)

    def _answering(self) -> None:
        if self.down:
            raise ConnectionFailed("ConnectError")
        if self.refusal is not None:
            raise self.refusal

    async def list(self, workspace_id: str, /, *, state: Iterable[str], side: str) -> list[Session]:
        self._answering()
        self.listed += 1
        return [*self.stored.values()]

    async def start(self, session_id: str, /, **said: Any) -> Started:
        self._answering()
        self.started.append(session_id)
        self.said[session_id] = said
        if self.stored[session_id].state not in ("ASSIGNED", "LIVE"):
            raise InvalidState("session:start:CANCELLED")
        return Started(self.inputs[session_id].whip_url)

    async def update(self, workspace_id: str, /, *, availability_state: str, **coverage: Any) -> None:
        self._answering()
        self.availability.append((availability_state, coverage))

    async def set_availability(self, workspace_id: str, availability_state: str, /) -> None:
        self._answering()
        self.availability.append((availability_state, {}))

    async def heartbeat(self, workspace_id: str, /, **sample: Any) -> None:
        self._answering()
        if sample["sequence"] <= self.last_sequence:
            raise Conflict("workspace:sequence")
        self.last_sequence = sample["sequence"]
        self.beats.append(sample)


Run = Callable[..., Awaitable[OperatorAgent]]
