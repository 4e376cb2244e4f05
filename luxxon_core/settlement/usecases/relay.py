"""Carry settlements to the chain exactly once.

Exactly once, whatever dies when:

* The row is written in the transaction that finalises the session, so there is one for each.
* A transaction is signed and its raw bytes and hash are committed before anybody sees it. A process that dies
  before the commit has paid nothing; one that dies after it leaves the bytes to be broadcast again, and the
  same bytes are the same transaction. One for higher fees has the same nonce: one of the two is mined.
* A settlement gets another nonce only when no version of the stored one can pay: a block that counts has it,
  reverted, or has another transaction of its nonce. Each time ``settled(id)`` is read first.
* Should two transactions for one session reach the chain all the same, as a deep reorganisation may have it,
  the contract pays the first only; what was in a batch with it is sent again.
* A transaction is looked at until it is final: what a reorganisation takes back is broadcast again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.settlement.ports import SettlementChain, SettlementStore, Steps
from luxxon_core.settlement.usecases.follow import Follow
from luxxon_core.settlement.usecases.steps import SILENT, Policy
from luxxon_core.settlement.usecases.submit import Submit


@dataclass(frozen=True, slots=True)
class Relay:
    """Does a bounded piece of the relayer's work a pass. Any number of processes may run it."""

    uow: UnitOfWork
    store: SettlementStore
    chain: SettlementChain
    policy: Policy
    steps: Steps = SILENT

    async def relay_once(self, now: datetime) -> bool:
        """Look at the transactions that are due or, when none is, submit what waits; False with neither.

        A chain that cannot be reached is not an error here: what is due waits and is tried again.
        """
        return await self.follow(now) or await self.submit(now)

    async def follow(self, now: datetime) -> bool:
        """Look at the transactions that are due; False when none is."""
        return await Follow(self.uow, self.store, self.chain, self.policy, self.steps)(now)

    async def submit(self, now: datetime) -> bool:
        """Submit what waits; False when nothing is due."""
        return await Submit(self.uow, self.store, self.chain, self.policy, self.steps)(now)

    async def next_due(self) -> datetime | None:
        """When there will be something to do without new work arriving; None for never."""
        async with self.uow.read() as tx:
            return await self.store.next_due(tx)
