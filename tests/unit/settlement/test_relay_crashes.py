"""The relayer pays every session exactly once, wherever the process dies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from relayer_world import World

from luxxon_core.settlement.domain import Settlement, SettlementState
from luxxon_core.settlement.ports import Step


@pytest.mark.parametrize("mines_at_once", [True, False])
@pytest.mark.parametrize("forgets", [True, False], ids=["mempool lost", "mempool kept"])
@pytest.mark.parametrize("batch", [1, 100])
async def test_death_at_any_moment_pays_once(mines_at_once: bool, forgets: bool, batch: int) -> None:
    moment, deaths = 0, 0
    while True:
        moment += 1
        world = World(mines_at_once=mines_at_once, batch=batch)
        sessions = [await world.queue(), await world.queue()]
        if not await world.dies_at(moment):
            break
        deaths += 1
        if forgets:
            world.network.mempool.clear()
        await world.run()
        world.paid_once(*sessions)
    assert deaths >= 20  # the test has looked at every effect


async def test_two_deaths_in_a_row_pay_once() -> None:
    for first in range(1, 40, 3):
        for second in range(1, 40, 3):
            world = World(mines_at_once=False)
            session_id = await world.queue()
            await world.dies_at(first)
            await world.dies_at(second)
            await world.run()
            world.paid_once(session_id)


async def test_the_hash_is_stored_before_the_network_sees_it() -> None:
    world = World()
    session_id = await world.queue()
    seen: list[Settlement] = []
    broadcast = world.network.broadcast

    async def watched(raw: bytes) -> None:
        seen.append(world.store.rows[session_id])
        await broadcast(raw)

    world.network.broadcast = watched  # type: ignore[method-assign]
    await world.run()
    assert seen[0].state is SettlementState.SUBMITTED and seen[0].tx_hash
    assert seen[0].transaction_id in world.store.transactions


async def test_each_step_of_the_relayer_is_told() -> None:
    world, told = World(), list[Step]()

    class Heard:
        def reached(self, step: Step) -> None:
            told.append(step)

    world.relay = replace(world.relay, steps=Heard())
    await world.queue()
    await world.run()
    assert told == [
        Step.CLAIMED,
        Step.SIMULATED,
        Step.NUMBERED,
        Step.SIGNED,
        Step.STORED,
        Step.COMMITTED,
        Step.BROADCAST,
        Step.FOLLOWED,
        Step.LOOKED,
        Step.PAID,
        Step.CLOSED,
        Step.WRITTEN,
    ]
