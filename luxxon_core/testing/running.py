"""What the checks of the conformance suite have in common. Needs neither pytest nor a plugin of it."""

from __future__ import annotations

import asyncio
import functools
import unittest
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, NoReturn, TypeVar

from pydantic import BaseModel

from luxxon_core.source import Source, SourceType

T = TypeVar("T")
TEST_SECONDS = 60.0


class DoesNotApply(unittest.SkipTest):
    """The source has not what a check is about; pytest shows it as skipped."""


def does_not_apply(reason: str) -> NoReturn:
    raise DoesNotApply(reason)


def in_loop(test: Callable[[Any], Awaitable[None]]) -> Callable[[Any], None]:
    """Run an async check in a loop of its own, so that no plugin of pytest is needed."""

    @functools.wraps(test)
    def run(self: Any) -> None:
        asyncio.run(_in_time(test(self)))

    return run


async def _in_time(test: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(TEST_SECONDS) as limit:
            await test
    except TimeoutError:
        if limit.expired():
            raise AssertionError(f"not done after {TEST_SECONDS:g} s") from None
        raise


async def take(items: AsyncGenerator[T, None], count: int) -> list[T]:
    """The first ``count`` items; the generator is closed afterwards."""
    taken: list[T] = []
    async with aclosing(items):
        async for item in items:
            taken.append(item)
            if len(taken) == count:
                break
    return taken


class Suite:
    """What a suite is about; see :class:`luxxon_core.testing.SourceConformance`."""

    source_type: ClassVar[SourceType[Any]]
    config: ClassVar[BaseModel]
    bad_configs: ClassVar[Sequence[BaseModel]] = ()
    may_move: ClassVar[bool] = True
    pose_seconds: ClassVar[float] = 15.0

    async def _open(self) -> Source:
        opened: Source = await self.source_type.open(self.config)
        return opened
