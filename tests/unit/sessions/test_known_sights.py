"""Pictures are polled: what is known of a LIVE session spares queries, and shows no stranger anything."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from marketplace import GRAND_PLACE, NOON, Marketplace, MemoryEdge, at

from luxxon_core.kernel.errors import FrameNotAvailable, NotAuthorized
from luxxon_core.media.domain import Frame, LiveInput
from luxxon_core.sessions.domain import Session, Sight, State
from luxxon_core.sessions.usecases import SessionCases
from luxxon_core.sessions.usecases.known import KNOWN_FOR, KnownSights

PICTURE = Frame(b"jpeg", 64, 36, NOON)


class Filming(MemoryEdge):
    """Has a picture of every live input that it serves."""

    async def frame(self, live_input: LiveInput) -> Frame | None:
        return PICTURE if live_input.uid in self.served else None


class Counted:
    """Counts what is read of sessions; holds a reading back until it is let on."""

    def __init__(self, cases: SessionCases) -> None:
        self._current = cases.current
        self.reads = 0
        self.read, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def sight(self, session_id: UUID) -> Sight | None:
        self.reads += 1
        found = await self._current.sight(session_id)
        self.read.set()
        await self.go_on.wait()
        return found

    async def get(self, session_id: UUID) -> Session | None:
        return await self._current.get(session_id)


class Scene:
    """A LIVE session that is filmed, seen by one server."""

    def __init__(self, marketplace: Marketplace, cases: SessionCases, counted: Counted) -> None:
        self.marketplace, self.cases, self.counted = marketplace, cases, counted

    async def shoot(self) -> None:
        self.consumer, self.supplier = await self.marketplace.consumer(), await self.marketplace.supplier()
        requested = await self.cases.create(self.consumer, GRAND_PLACE, 600, 300, NOON)
        await self.cases.accept(requested.id, self.supplier, NOON)
        started = await self.cases.start(requested.id, self.supplier, NOON)
        await self.marketplace.first_frame(started, NOON)
        self.id = requested.id

    async def look(self, seconds: float, by: UUID | None = None) -> Frame:
        return await self.cases.frame(self.id, by or self.consumer, at(seconds))


@pytest.fixture
async def scene(marketplace: Marketplace) -> Scene:
    counted = Counted(marketplace.sessions)
    cases = replace(marketplace.sessions, edge=Filming(), current=counted, known=KnownSights())
    marketplace.sessions = cases
    made = Scene(marketplace, cases, counted)
    await made.shoot()
    return made


async def test_a_poll_reads_the_session_once_in_five_seconds(scene: Scene) -> None:
    for second in range(10):
        assert await scene.look(second) == PICTURE
        assert await scene.look(second, scene.supplier) == PICTURE
    assert scene.counted.reads == 10 / KNOWN_FOR.total_seconds()


async def test_a_stranger_sees_nothing_of_what_is_known(scene: Scene) -> None:
    await scene.look(0)
    with pytest.raises(NotAuthorized, match="viewDenied"):
        await scene.look(0, await scene.marketplace.consumer())


@pytest.mark.parametrize("torn_down", [True, False])
async def test_no_picture_after_the_end(scene: Scene, torn_down: bool) -> None:
    await scene.look(0)
    scene.cases.edge.unreachable = not torn_down
    await scene.cases.end(scene.id, scene.consumer, at(1))
    with pytest.raises(FrameNotAvailable):
        await scene.look(1)


async def test_no_picture_after_an_end_that_came_while_the_session_was_read(scene: Scene) -> None:
    scene.cases.edge.unreachable = True
    scene.counted.go_on.clear()
    looking = asyncio.create_task(scene.look(0))
    await scene.counted.read.wait()
    await scene.cases.end(scene.id, scene.consumer, at(1))
    scene.counted.go_on.set()
    await looking  # it was LIVE when this one asked
    with pytest.raises(FrameNotAvailable):
        await scene.look(1)


async def test_an_end_by_another_server_shows_as_soon_as_the_edge_knows(scene: Scene) -> None:
    await scene.look(0)
    other = replace(scene.cases, known=KnownSights())
    await other.end(scene.id, scene.consumer, at(1))
    with pytest.raises(FrameNotAvailable):
        await scene.look(1)


async def test_a_live_input_that_moved_is_found_again(scene: Scene) -> None:
    await scene.look(0)
    before = (await scene.cases.get(scene.id, scene.consumer)).live_input
    assert before is not None
    edge = scene.cases.edge
    edge.served.pop(before.uid)
    moved = await edge.create()
    async with scene.cases.uow.begin() as tx:
        await scene.cases.sessions.mark_deleted(tx, before.uid, at(1))
        await scene.cases.sessions.add_live_input(tx, scene.id, moved, at(1))
    assert await scene.look(1) == PICTURE


def test_only_so_many_are_known() -> None:
    known, sight = KnownSights(most=2), Sight(State.LIVE, UUID(int=8), UUID(int=9), None)
    for number in range(3):
        known.put(UUID(int=number), sight, NOON, known.forgotten)
    assert [known.get(UUID(int=number), NOON) for number in range(3)] == [None, sight, sight]


@pytest.mark.parametrize("state", [state for state in State if state is not State.LIVE])
def test_what_is_not_live_may_change_hands_and_is_not_known(state: State) -> None:
    known = KnownSights()
    known.put(UUID(int=1), Sight(state, UUID(int=8), None, None), NOON, known.forgotten)
    assert known.get(UUID(int=1), NOON) is None
