"""The relayer's process is killed at every step of its life; each session is paid exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGKILL

import paying
from anvil import AnvilChain, anvil_chain
from relaying import PATIENCE_S, Books, opened, policy, process

from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.settlement.domain import Fee
from luxxon_core.settlement.ports import Step
from luxxon_core.settlement.usecases import Policy
from tests.ports.test_postgres import empty_database

SESSIONS = 200
FEE = Fee(10**11, 10**10)

FILLS = (Step.FILLED, Step.FILLED_COMMITTED, Step.FILLED_BROADCAST)
ARRANGED = (Step.TAKEN_OVER, Step.RETURNED, *FILLS)
"""What only happens when somebody else uses the key."""


@asynccontextmanager
async def kept(directory: Path, dsn: str, name: str) -> AsyncIterator[Books]:
    """Books on a chain and a database of their own."""
    await asyncio.to_thread(directory.mkdir)
    async with empty_database(dsn, name) as own, anvil_chain(directory) as chain:
        await schema.upgrade(own)
        database = await Database.connect(own)
        try:
            books = Books(chain, database, own)
            for _ in range(3):
                await books.consumer(10**9)
            await mines(chain, True)
            yield books
        finally:
            await database.close()


async def mines(chain: AnvilChain, on: bool) -> None:
    """A block a second, or none."""
    if on:
        await chain.node.rpc("evm_setIntervalMining", 1)
    else:
        await chain.node.rpc("evm_setAutomine", False)
        await chain.node.rpc("evm_setIntervalMining", 0)


class Life:
    """Relayers that are killed one after the other, or two at a time."""

    def __init__(self, books: Books, how: Policy, relayers: int) -> None:
        self.books, self.how, self.relayers = books, how, relayers
        self.view = opened(books.place)
        self.chain = RpcSettlements(self.view)

    async def dies_at(self, step: Step, relayers: int | None = None) -> None:
        """Run until a process has reached the step; what runs beside it is killed with it."""
        running = [process(self.books.place, self.how, step) for _ in range(relayers or self.relayers)]
        try:
            ended = await asyncio.to_thread(_first, running)
        finally:
            for one in running:
                one.kill()
                await asyncio.to_thread(one.join)
        assert ended, f"{step} was not reached"
        assert all(one.exitcode == -SIGKILL for one in running)

    async def meets(self, step: Step, owed: int) -> None:
        """Owe so many sessions, arrange what leads to a step, then die there."""
        if step in ARRANGED:
            await self.drains()
        sessions = await self.books.owe(owed)
        match step:
            case Step.TAKEN_OVER:
                session_id = sessions[0]
                await paying.pay(self.chain, self.books.payloads[session_id])  # by hand
                await self.books.until(lambda: self.chain.settled(session_id))
                await self.dies_at(step)
            case Step.REPEATED | Step.REPRICED | Step.REPRICED_COMMITTED | Step.REPRICED_BROADCAST:
                await mines(self.books.chain, False)
                await self.dies_at(step)
            case _ if step in FILLS:
                await mines(self.books.chain, False)
                foreign = await self.chain.sign_cancel(await self.chain.nonce(self.chain.signer), FEE)
                assert foreign.raw is not None
                await self.chain.broadcast(foreign.raw)
                await self.dies_at(Step.BROADCAST, 1)
                await self.books.chain.node.rpc("anvil_dropTransaction", foreign.tx_hash)
                await self.dies_at(step)
            case Step.RETURNED:
                await mines(self.books.chain, False)
                await self.dies_at(Step.COMMITTED, 1)  # numbered, and nobody has seen it
                foreign = await self.chain.sign_cancel(await self.chain.nonce(self.chain.signer), FEE)
                assert foreign.raw is not None
                await self.chain.broadcast(foreign.raw)
                await mines(self.books.chain, True)
                await self.dies_at(step)
            case _:
                await self.dies_at(step)
        await mines(self.books.chain, True)

    async def drains(self) -> None:
        """Without deaths until everything that is owed is in a block."""
        running = process(self.books.place, self.how)
        try:
            await self.books.until(self.books.all_confirmed)
        finally:
            running.kill()
            await asyncio.to_thread(running.join)

    async def goes_on(self) -> None:
        """Without further deaths until everything is final."""
        running = [process(self.books.place, self.how) for _ in range(self.relayers)]
        try:
            await self.books.until(self.books.all_final, 60)
            assert all(one.is_alive() for one in running)
        finally:
            for one in running:
                one.kill()
                await asyncio.to_thread(one.join)
        await self.view.close()


def _first(running: list[BaseProcess]) -> bool:
    from multiprocessing.connection import wait

    return bool(wait([one.sentinel for one in running], PATIENCE_S))


async def test_killed_at_every_step_each_session_is_paid_once(tmp_path: Path, dsn: str) -> None:
    """One by one, in batches, and by two relayers at once; side by side, for most of it is waiting."""

    async def lived(name: str, batch: int, relayers: int) -> None:
        async with kept(tmp_path / name, dsn, f"relayer_{name}") as books:
            life = Life(books, policy(batch), relayers)
            for step in Step:
                await life.meets(step, SESSIONS // len(Step))
            await books.owe(SESSIONS - len(books.payloads))
            await life.goes_on()
            assert len(books.payloads) == SESSIONS
            await books.balance()
            assert await books.reverted() == 0  # nothing was sent that somebody else had sent

    async with asyncio.TaskGroup() as group:
        for name, batch, relayers in (("singly", 1, 1), ("batches", 100, 1), ("two", 3, 2)):
            group.create_task(lived(name, batch, relayers))
