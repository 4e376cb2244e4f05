"""Work that is cancelled before it has begun is nobody's forgotten coroutine."""

from __future__ import annotations

import gc
import warnings

from frames import console, filled
from scenes import until

from luxxon_tui.screens.pane import ScreenPane


async def test_a_call_that_is_replaced_at_once_leaves_nothing_behind() -> None:
    app = console(filled(), "sessions")
    done: list[int] = []

    async def work(number: int) -> None:
        done.append(number)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        async with app.run_test() as pilot:
            await until(lambda: app.loaded)
            pane = app.screen
            assert isinstance(pane, ScreenPane)
            pane.call(work(1), "the first")
            pane.call(work(2), "the second")
            app.run_worker(work(3), group="own")
            app.run_worker(work(4), group="own", exclusive=True)
            await until(lambda: {2, 4} <= set(done))
            await pilot.pause()
            gc.collect()
    assert sorted(done) == [2, 4]
    assert [str(each.message) for each in told if "never awaited" in str(each.message)] == []
