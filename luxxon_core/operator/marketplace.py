"""What an operator needs of the marketplace, and what it has been told of its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from luxxon_core.controls.schemas import PtzResult

OPEN_STATES = ("ASSIGNED", "LIVE")


class SessionLike(Protocol):
    """What the agent reads of a session (api-contract §5.1)."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def operator_workspace_id(self) -> str | None: ...
    @property
    def requested_lat(self) -> float | None: ...
    @property
    def requested_lng(self) -> float | None: ...
    @property
    def max_duration_seconds(self) -> int: ...
    @property
    def rate_per_second_micro_usdc(self) -> str: ...


class StartedLike(Protocol):
    @property
    def whip_url(self) -> str: ...


class SessionsApi(Protocol):
    async def list(
        self, workspace_id: str, /, *, state: Iterable[str], side: str
    ) -> Sequence[SessionLike]: ...
    async def start(self, session_id: str, /) -> StartedLike: ...
    async def ptz_result(self, session_id: str, command_id: str, result: PtzResult, /) -> object: ...
    async def telemetry(
        self,
        session_id: str,
        /,
        *,
        captured_at: str,
        lat: float,
        lng: float,
        accuracy_meters: float,
        source: str,
        signature: str,
    ) -> object: ...


class WorkspacesApi(Protocol):
    async def update(
        self,
        workspace_id: str,
        /,
        *,
        availability_state: str | None,
        coverage_lat: float,
        coverage_lng: float,
        coverage_radius_meters: float,
        device_kind: str | None,
    ) -> object: ...

    async def set_availability(self, workspace_id: str, availability_state: str, /) -> object: ...

    async def heartbeat(
        self,
        workspace_id: str,
        /,
        *,
        lat: float,
        lng: float,
        accuracy_meters: float,
        sequence: int,
        session_id: str | None,
    ) -> object: ...


class EventLike(Protocol):
    @property
    def data(self) -> object:
        """One of :mod:`luxxon_core.events.schemas`."""


class EventsLike(Protocol):
    def __aiter__(self) -> AsyncIterator[EventLike]: ...
    async def aclose(self) -> None: ...


class MarketplaceApi(Protocol):
    """The part of :class:`luxxon_core.client.Luxxon` that an operator needs. It raises LuxxonError."""

    @property
    def sessions(self) -> SessionsApi: ...
    @property
    def workspaces(self) -> WorkspacesApi: ...
    def events(self, *, reconnect: bool) -> EventsLike:
        """What happens to the sessions of the workspace; Ready whenever a connection has been made. One that
        breaks raises, unless it is to ``reconnect``."""


class Desk:
    """The open sessions of a workspace as far as it has been told, the longest known first."""

    def __init__(self, workspace_id: str) -> None:
        self._workspace_id = workspace_id
        self._open: dict[str, SessionLike] = {}
        self._stir = asyncio.Event()

    def listed(self, sessions: Sequence[SessionLike]) -> None:
        """These, newest first, are all there are."""
        self._open.clear()
        for session in reversed(sessions):
            self._take(session)
        self.stir()

    def told(self, session: SessionLike) -> None:
        """A session has changed."""
        self._take(session)
        self.stir()

    def first(self, without: set[str], *, live: bool = False) -> SessionLike | None:
        """The longest known; of those alone that are ``live`` already, where that is wanted."""
        return next(
            (
                session
                for id_, session in self._open.items()
                if id_ not in without and (session.state == "LIVE" or not live)
            ),
            None,
        )

    def get(self, session_id: str) -> SessionLike | None:
        """The session, while it is open."""
        return self._open.get(session_id)

    async def news(self) -> None:
        """Wait until something has been told, or :meth:`stir`."""
        await self._stir.wait()

    def stir(self) -> None:
        """Have those who wait look again."""
        before, self._stir = self._stir, asyncio.Event()
        before.set()

    def _take(self, session: SessionLike) -> None:
        if session.operator_workspace_id == self._workspace_id and session.state in OPEN_STATES:
            self._open[session.id] = session
        else:
            self._open.pop(session.id, None)
