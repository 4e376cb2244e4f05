"""An event loop in a thread of its own: what plugins do there, and how long it takes, holds up no key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
END_SECONDS = 8.0


class Aside:
    """Runs coroutines elsewhere and waits for them here. The thread starts with the first of them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The other loop; started by this."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="cameras", daemon=True)
            self._thread.start()
        return self._loop

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives or raises, run there; cancelling this cancels that."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def close(self) -> None:
        """Cancel what runs there and end the thread; one that a plugin holds is left behind. Idempotent."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, END_SECONDS)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=END_SECONDS / 2))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class Home:
    """The way back: the console's loop, for what runs aside."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """As :meth:`Aside.run`, in the other direction."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def tell(self, told: Callable[..., object], *what: object) -> None:
        """Call something here soon; nothing where the console is gone."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(told, *what)
