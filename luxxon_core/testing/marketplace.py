"""A marketplace in memory for agents: the part of the SDK that an operator calls, moved by the test.

It keeps the server's rules that an agent can feel: sequences of heartbeats rise, only assigned and live
sessions are started, telemetry belongs to live ones, every event stream begins with ``ready``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from luxxon_core.controls.schemas import Order, PtzCommand, PtzResult, PtzResultTaken
from luxxon_core.events.schemas import Ready, SessionMeter, SessionState
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import (
    Conflict,
    InvalidState,
    LuxxonError,
    NotFound,
    SessionNotFound,
    WorkspaceMismatch,
)
from luxxon_core.kernel.ids import new_id
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.sessions.schemas import Session, SessionStarted

if TYPE_CHECKING:
    from luxxon_core.operator.marketplace import MarketplaceApi

OPEN = ("ASSIGNED", "LIVE")
COMMAND_SECONDS = 2.0
MAX_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class FakeEvent:
    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A call that an agent made.

    Attributes:
        name: resource and method of the SDK, as ``workspaces.heartbeat``.
        arguments: by name, ids included.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass
class FakeMarketplace:
    """Stands for ``luxxon_core.client.Luxxon`` with the key of one operator's workspace.

    A test moves it by :meth:`assign`, :meth:`move`, :meth:`command`, :meth:`cut` and the attributes, and
    reads what the agent did in ``calls``, or by name in :meth:`called`.

    Attributes:
        failure: raised by every call, and by streams, while set: ``ConnectionFailed`` for a server that is
            away, ``RevokedApiKey`` for a key that is good no more.
        calls: all of them, in order, those that failed included.
        stored: the sessions, newest first.
    """

    workspace_id: str = field(default_factory=lambda: str(new_id()))
    clock: Clock = utc_now
    failure: LuxxonError | None = None
    calls: list[FakeCall] = field(default_factory=list)
    stored: dict[str, Session] = field(default_factory=dict)
    availability_state: str = "OFFLINE"
    _urls: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    _sequence: int = -1
    _started: set[str] = field(default_factory=set, repr=False)
    _measured: dict[str, datetime] = field(default_factory=dict, repr=False)
    _listeners: list[asyncio.Queue[FakeEvent | None]] = field(default_factory=list, repr=False)
    _commands: dict[str, asyncio.Future[PtzResult]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.sessions, self.workspaces = _Sessions(self), _Workspaces(self)

    # -- for the test ---------------------------------------------------------------------------------------

    def assign(
        self,
        whip_url: str = "http://127.0.0.1:1/whip/none",
        whep_url: str = "http://127.0.0.1:1/whep/none",
        **fields: Any,
    ) -> Session:
        """Give the operator a session, to be published at ``whip_url``; ``fields`` are others of it."""
        session = self.session(**fields)
        self._urls[session.id] = whip_url, whep_url
        self.stored = {session.id: session} | self.stored
        self.tell("session.state", SessionState(session.id, self._now(), session))
        return session

    def session(self, **fields: Any) -> Session:
        """A session of this operator as the wire has it, ASSIGNED where ``fields`` say nothing else."""
        known: dict[str, Any] = {
            "id": str(new_id()),
            "consumer_workspace_id": str(new_id()),
            "operator_workspace_id": self.workspace_id,
            "state": "ASSIGNED",
            "max_duration_seconds": 60,
            "wait_timeout_seconds": 300,
            "rate_per_second_micro_usdc": "1000",
            "hold_micro_usdc": "60000",
            "started_at": None,
            "ended_at": None,
            "clean_seconds": 0,
            "charged_micro_usdc": "0",
            "settlement_tx_hash": None,
            "video_backend_ref": None,
            "created_at": self._now(),
            "requested_lat": 50.8466,
            "requested_lng": 4.3528,
        }
        return Session(**(known | fields))

    def move(self, session_id: str, state: str, **fields: Any) -> Session:
        """Change the state of a session, as the server does when media comes or somebody ends it."""
        moments: dict[str, Any] = {
            "LIVE": {"started_at": self._now()},
            "ENDED": {"ended_at": self._now()},
        }.get(state, {})
        session = replace(self.stored[session_id], state=state, **(moments | fields))
        self.stored[session_id] = session
        self.tell("session.state", SessionState(session_id, self._now(), session))
        return session

    def meter(self, session_id: str, seconds: int) -> None:
        """Tell how far the meter of a LIVE session is, as the server does every second."""
        rate = int(self.stored[session_id].rate_per_second_micro_usdc)
        tick = SessionMeter(session_id, self._now(), seconds, str(rate * seconds), seconds * 1000, 0)
        self.tell("session.meter", tick)

    async def command(self, session_id: str, order: Order, seconds: float = COMMAND_SECONDS) -> PtzResult:
        """Send a command to the agent's camera and wait for what became of it.

        Raises:
            TimeoutError: the agent has not answered.
        """
        now, command_id = self.clock(), str(new_id())
        expires = Timestamp.of(now + timedelta(seconds=seconds))
        answer = self._commands[command_id] = asyncio.get_running_loop().create_future()
        self.tell("ptz.command", PtzCommand(session_id, command_id, Timestamp.of(now), expires, order))
        try:
            return await asyncio.wait_for(answer, seconds)
        finally:
            self._commands.pop(command_id, None)

    def tell(self, name: str, data: Any) -> None:
        """Send an event to everybody who listens."""
        for listener in self._listeners:
            listener.put_nowait(FakeEvent(name, data))

    def cut(self) -> None:
        """Break every event stream."""
        for listener in self._listeners:
            listener.put_nowait(None)

    def called(self, name: str) -> list[Mapping[str, Any]]:
        """The arguments of each call of that name, as ``workspaces.heartbeat``."""
        return [call.arguments for call in self.calls if call.name == name]

    @property
    def listeners(self) -> int:
        """How many event streams are open."""
        return len(self._listeners)

    # -- what the agent calls -------------------------------------------------------------------------------

    async def events(self, *, reconnect: bool = True, **options: Any) -> AsyncGenerator[FakeEvent, None]:
        """As ``Luxxon.events``: ``ready`` whenever a connection is made, then what happens."""
        while True:
            self._heard("events", reconnect=reconnect)
            queue: asyncio.Queue[FakeEvent | None] = asyncio.Queue()
            self._listeners.append(queue)
            try:
                yield FakeEvent("ready", Ready(self._now()))
                while (event := await queue.get()) is not None:
                    if self.failure is not None:
                        raise self.failure
                    yield event
            finally:
                self._listeners.remove(queue)
            if not reconnect:
                raise _lost()

    def _heard(self, name: str, **arguments: Any) -> None:
        self.calls.append(FakeCall(name, arguments))
        if self.failure is not None:
            raise self.failure

    def _now(self) -> Timestamp:
        return Timestamp.of(self.clock())

    def _known(self, session_id: object) -> Session:
        session = self.stored.get(str(session_id))
        if session is None:
            raise SessionNotFound
        return session


class _Sessions:
    def __init__(self, market: FakeMarketplace) -> None:
        self._market = market

    async def list(
        self, workspace_id: object = None, *, state: Iterable[str] | None = None, side: str | None = None
    ) -> list[Session]:
        states = None if state is None else [state] if isinstance(state, str) else list(state)
        self._market._heard("sessions.list", workspace_id=workspace_id, state=states, side=side)
        return [one for one in self._market.stored.values() if states is None or one.state in states]

    async def start(
        self,
        session_id: object,
        controls: Iterable[str] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> SessionStarted:
        said = None if controls is None else [*controls]
        self._market._heard("sessions.start", session_id=str(session_id), controls=said, policy=policy)
        session = self._market._known(session_id)
        if session.state not in OPEN:
            raise InvalidState(f"session:start:{session.state}")
        told: dict[str, Any] = {} if said is None else {"controls": said}
        told |= {} if policy is None else {"policy": dict(policy)}
        if told:
            session = self._market.stored[session.id] = replace(session, **told)
        self._market._started.add(session.id)
        return SessionStarted(session, "fake", *self._market._urls[session.id])

    async def telemetry(self, session_id: object, *, captured_at: datetime | str, **sample: Any) -> None:
        at = datetime.fromisoformat(captured_at) if isinstance(captured_at, str) else captured_at
        market, arguments = self._market, {"session_id": str(session_id), "captured_at": captured_at}
        market._heard("sessions.telemetry", **arguments, **sample)
        session = market._known(session_id)
        if session.state != "LIVE" and not (session.state == "ASSIGNED" and session.id in market._started):
            raise InvalidState(f"session:telemetry:{session.state}")
        newest = market._measured.get(session.id)
        if abs(at - market.clock()) > MAX_SKEW or (newest is not None and at <= newest):
            raise Conflict("telemetry:capturedAt")
        market._measured[session.id] = at

    async def ptz_result(self, session_id: object, command_id: object, result: PtzResult) -> PtzResultTaken:
        arguments = {"session_id": str(session_id), "command_id": str(command_id), "result": result}
        self._market._heard("sessions.ptz_result", **arguments)
        answer = self._market._commands.get(str(command_id))
        if answer is None or answer.done():
            raise NotFound("ptz:command")
        answer.set_result(result)
        return PtzResultTaken()


class _Workspaces:
    def __init__(self, market: FakeMarketplace) -> None:
        self._market = market

    async def update(
        self, workspace_id: object, *, availability_state: str | None = None, **coverage: Any
    ) -> None:
        self._heard("update", workspace_id, availability_state=availability_state, **coverage)
        if availability_state is not None:
            self._market.availability_state = availability_state

    async def set_availability(self, workspace_id: object, availability_state: str) -> None:
        self._heard("set_availability", workspace_id, availability_state=availability_state)
        self._market.availability_state = availability_state

    async def heartbeat(self, workspace_id: object, **sample: Any) -> None:
        self._heard("heartbeat", workspace_id, **sample)
        if sample["sequence"] <= self._market._sequence:
            raise Conflict("heartbeat:sequence")
        self._market._sequence = sample["sequence"]

    def _heard(self, name: str, workspace_id: object, **arguments: Any) -> None:
        self._market._heard(f"workspaces.{name}", workspace_id=str(workspace_id), **arguments)
        if str(workspace_id) != self._market.workspace_id:
            raise WorkspaceMismatch


def _lost() -> LuxxonError:
    from luxxon_core.client.errors import ConnectionFailed

    return ConnectionFailed("stream ended")


if TYPE_CHECKING:

    def _is_an_api(market: FakeMarketplace) -> MarketplaceApi:
        return market
