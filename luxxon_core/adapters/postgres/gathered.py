"""Reads of many requests in one statement: those that come while another is under way go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeAlias, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_Waiting: TypeAlias = Mapping[K, Sequence[asyncio.Future[V | None]]]

MOST_AT_ONCE = 200
"""Keys in one statement."""
HELD_UP_SECONDS = 1.0
"""After which a statement is taken for one whose connection is dead, which can last a quarter of an hour."""


class Gathered(Generic[K, V]):
    """Reads by key for many callers at once.

    Who comes alone is served at once. Of those who come meanwhile one statement serves all: a connection and
    a round trip for each would cost more than the reading. A statement begins after the calls that it serves,
    so everybody sees what was committed before they asked.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        lanes: int = 2,
        held_up_s: float = HELD_UP_SECONDS,
    ) -> None:
        """Args:
        fetch: reads what there is of some keys; what it raises, all of its callers get.
        lanes: statements under way at once, so that a slow one does not hold up everybody.
        held_up_s: one that takes longer has no lane any more: who comes then begins another.
        """
        self._fetch = fetch
        self._lanes = lanes
        self._held_up_s = held_up_s
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._running: dict[asyncio.Task[None], float] = {}

    async def get(self, key: K) -> V | None:
        """What is stored under ``key``, read after this call; None when nothing is."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        if len(self._running) < self._lanes or self._free(loop.time()):
            self._start()
        return await answer

    def _free(self, now: float) -> bool:
        """Whether there is a lane beside those who are held up."""
        return sum(now - begun < self._held_up_s for begun in self._running.values()) < self._lanes

    def _start(self) -> None:
        for key in [key for key, answers in self._waiting.items() if not _open(answers)]:
            del self._waiting[key]  # at the end of the loop, too: nobody would cancel another task
        keys = list(self._waiting)[:MOST_AT_ONCE]
        if not keys:
            return
        taken = {key: self._waiting.pop(key) for key in keys}
        # a context of its own: its log lines are not one request's
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._serve(taken), name="gathered read", context=Context())
        self._running[task] = loop.time()

    async def _serve(self, taken: _Waiting[K, V]) -> None:
        """Fails only when it is cancelled: the callers get what happens, one exception for all of them."""
        try:
            found = await self._fetch(list(taken))
        except asyncio.CancelledError:
            for answer in _open(*taken.values()):
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed on to everybody who waits
            for answer in _open(*taken.values()):
                answer.set_exception(error)
        else:
            for key, answers in taken.items():
                for answer in _open(answers):
                    answer.set_result(found.get(key))
        finally:
            task = asyncio.current_task()
            assert task is not None
            del self._running[task]
            if self._waiting:
                self._start()


def _open(*given: Sequence[asyncio.Future[V | None]]) -> list[asyncio.Future[V | None]]:
    """Of those who have not left."""
    return [answer for answers in given for answer in answers if not answer.done()]
