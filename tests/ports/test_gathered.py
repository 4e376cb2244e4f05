"""Reads that are gathered: everybody gets their own, as committed when they asked, in few statements."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence

import pytest

from luxxon_core.adapters.postgres.gathered import MOST_AT_ONCE, Gathered
from luxxon_core.kernel.errors import DatabaseError


class Shelf:
    """What is stored, and how it was asked for; each reading waits to be let go on."""

    def __init__(self, **stored: int) -> None:
        self.stored = stored
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def fetch(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(keys))
        found = {key: self.stored[key] for key in keys if key in self.stored}
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return found


async def begun(gathered: Gathered[str, int], *keys: str) -> list[asyncio.Task[int | None]]:
    tasks = [asyncio.create_task(gathered.get(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_others_are_served_is_served_by_one_more_statement() -> None:
    shelf = Shelf(a=1, b=2, c=3)
    gathered = Gathered(shelf.fetch, lanes=1)
    first = await begun(gathered, "a")
    others = await begun(gathered, "b", "c", "b", "nothing")
    shelf.gate.set()
    assert await asyncio.gather(*first, *others) == [1, 2, 3, 2, None]
    assert shelf.asked == [["a"], ["b", "c", "nothing"]]


async def test_what_was_stored_before_a_call_is_seen_by_it() -> None:
    shelf = Shelf(a=1)
    gathered = Gathered(shelf.fetch, lanes=1)
    early = await begun(gathered, "a")
    shelf.stored["a"] = 2
    late = await begun(gathered, "a")
    shelf.gate.set()
    assert await asyncio.gather(*early, *late) == [1, 2]


async def test_a_failure_reaches_everybody_it_concerns_and_nobody_else() -> None:
    shelf = Shelf(a=1)
    shelf.failure = DatabaseError("database:failed")
    gathered = Gathered(shelf.fetch, lanes=1)
    shelf.gate.set()
    for answer in await asyncio.gather(gathered.get("a"), gathered.get("b"), return_exceptions=True):
        assert isinstance(answer, DatabaseError)
    shelf.failure = None
    assert await gathered.get("a") == 1


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    shelf = Shelf(a=1)
    gathered = Gathered(shelf.fetch, lanes=1)
    first, leaving, staying = await begun(gathered, "a", "a", "a")
    leaving.cancel()
    shelf.gate.set()
    assert (await first, await staying) == (1, 1)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await gathered.get("a") == 1


async def test_what_nobody_waits_for_any_more_is_not_read() -> None:
    shelf = Shelf(a=1, b=2, c=3)
    gathered = Gathered(shelf.fetch, lanes=1)
    first, gone, staying = await begun(gathered, "a", "b", "c")
    gone.cancel()
    shelf.gate.set()
    assert (await first, await staying) == (1, 3)
    assert shelf.asked == [["a"], ["c"]]


def test_the_end_of_the_loop_leaves_no_statement_behind(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()

    async def cut_short() -> None:
        await begun(Gathered(shelf.fetch, lanes=1), "a", "b", "c")

    asyncio.run(cut_short())
    gc.collect()
    assert shelf.asked == [["a"]]
    assert "destroyed" not in caplog.text


async def test_a_dead_connection_holds_up_nobody_who_comes_later() -> None:
    dead, shelf = asyncio.Event(), Shelf(b=2, c=3)
    shelf.gate.set()

    async def fetch(keys: Sequence[str]) -> Mapping[str, int]:
        if "a" in keys:
            await dead.wait()
        return await shelf.fetch(keys)

    gathered = Gathered(fetch, lanes=1, held_up_s=0.05)
    stuck, early = await begun(gathered, "a", "b")
    assert not early.done()
    await asyncio.sleep(0.06)
    assert await asyncio.wait_for(gathered.get("c"), 5) == 3
    assert await early == 2
    dead.set()
    assert await stuck is None
    assert await gathered.get("b") == 2


async def test_a_statement_holds_so_many_keys_and_no_more() -> None:
    shelf = Shelf()
    gathered = Gathered(shelf.fetch, lanes=1)
    tasks = await begun(gathered, *(str(number) for number in range(2 * MOST_AT_ONCE)))
    shelf.gate.set()
    assert await asyncio.gather(*tasks) == [None] * (2 * MOST_AT_ONCE)
    assert [len(keys) for keys in shelf.asked] == [1, MOST_AT_ONCE, MOST_AT_ONCE - 1]
