"""What a failing source still gives: packets on one time line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from luxxon_core.operator import feed as feeds
from luxxon_core.operator.feed import Feed, SourceLost
from luxxon_core.source import EncodedPacket, SourceAuthError, SourceConfigError, SourceError, SourceNotReady

Packets = AsyncGenerator[EncodedPacket, None]


def packet(pts: int) -> EncodedPacket:
    return EncodedPacket("h264", pts, True, b"x")


async def some(*numbers: int, then: Exception | None = None) -> Packets:
    for number in numbers:
        yield packet(number)
    if then is not None:
        raise then


class Script:
    """What each opening of the source gives, and what was told of it."""

    def __init__(self, *openings: Packets | Exception, patience: float | None = None) -> None:
        self._openings = list(openings)
        self.told: list[str] = []
        self.feed = Feed(lambda error: self.told.append(str(error)), lambda: self.told.append("ok"), patience)

    def open(self) -> Packets:
        one = self._openings.pop(0) if len(self._openings) > 1 else self._openings[0]
        return some(then=one) if isinstance(one, Exception) else one

    async def stamps(self, count: int) -> list[int]:
        async with aclosing(self.feed.packets(self.open)) as packets:
            return [(await anext(packets)).pts for _ in range(count)]


async def test_packets_pass_as_they_are_while_nothing_fails() -> None:
    assert await Script(some(7, 9, 30)).stamps(3) == [7, 9, 30]


async def test_time_goes_on_where_the_camera_begins_anew() -> None:
    script = Script(some(90_000, 93_000, then=SourceNotReady("x", "gone")), some(0, 3000, 6000))
    before, last, *after = await script.stamps(5)
    assert (before, last) == (90_000, 93_000)
    gap = after[0] - last
    assert 0.1 * 90_000 < gap < 2 * 90_000, "as long as it really took"
    assert [one - after[0] for one in after] == [0, 3000, 6000]
    assert script.told == ["gone (x)", "ok"]


async def test_the_end_of_the_source_is_the_end() -> None:
    assert [one.pts async for one in Script(some(1, 2)).feed.packets(lambda: some(1, 2))] == [1, 2]


async def test_a_camera_that_goes_on_failing_is_given_back() -> None:
    with pytest.raises(SourceLost) as lost:
        await asyncio.wait_for(Script(SourceNotReady("x", "the cable is out"), patience=0.5).stamps(1), 5)
    assert lost.value.message == "the cable is out"


@pytest.mark.parametrize("kind", [SourceAuthError, SourceConfigError])
async def test_a_camera_that_refuses_is_not_asked_again(kind: type[SourceError]) -> None:
    script = Script(kind("x", "no"))
    with pytest.raises(kind):
        await script.stamps(1)
    assert script.told == []


async def test_a_camera_that_changes_while_it_sends_is_asked_again() -> None:
    script = Script(some(1, then=SourceConfigError("source:profile", "not mine any more")), some(5))
    assert len(await script.stamps(2)) == 2


async def test_silence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "STALL_SECONDS", 0.2)

    async def hangs() -> Packets:
        yield packet(1)
        await asyncio.Event().wait()

    script = Script(hangs(), some(2))
    first, second = await asyncio.wait_for(script.stamps(2), 5)
    assert second > first
    assert "no picture" in script.told[0]
