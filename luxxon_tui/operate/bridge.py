"""The marketplace for an agent that runs aside: the console's own client, called on the console's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.operate.aside import Home

if TYPE_CHECKING:
    from luxxon_core.operator.marketplace import EventLike, MarketplaceApi


class Calls:
    """A resource of the client; each of its methods, called aside, runs at home."""

    def __init__(self, home: Home, resource: object) -> None:
        self._home, self._resource = home, resource

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._resource, name)

        async def call(*given: Any, **named: Any) -> Any:
            return await self._home.run(method(*given, **named))

        return call


class Events:
    """An event stream that is read at home and told aside."""

    def __init__(self, home: Home, opened: Callable[[], Any], heard: Callable[[Any], None]) -> None:
        self._home, self._opened, self._heard = home, opened, heard
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[tuple[EventLike | None, LuxxonError | None]] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> EventLike:
        if self._reading is None:
            self._reading = await self._home.run(self._begin())
        event, error = await self._told.get()
        if error is not None:
            raise error
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        if self._reading is not None:
            await self._home.run(self._end(self._reading))

    async def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._read(), name="operator-events")

    async def _end(self, reading: asyncio.Task[None]) -> None:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async with aclosing(self._opened()) as events:
                async for event in events:
                    self._heard(event.data)
                    self._tell(event, None)
        except LuxxonError as error:
            self._tell(None, error)
        else:
            self._tell(None, None)

    def _tell(self, event: EventLike | None, error: LuxxonError | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told.put_nowait, (event, error))


class Bridge:
    """Stands for the client; see :class:`luxxon_core.operator.marketplace.MarketplaceApi`.

    Args:
        heard: is called at home with what each event tells.
    """

    def __init__(self, home: Home, api: MarketplaceApi, heard: Callable[[Any], None]) -> None:
        self._home, self._api, self._heard = home, api, heard
        self.sessions: Any = Calls(home, api.sessions)
        self.workspaces: Any = Calls(home, api.workspaces)

    def events(self, *, reconnect: bool) -> Events:
        return Events(self._home, lambda: self._api.events(reconnect=reconnect), self._heard)
