"""Put what waits into transactions: several sessions into one, and none that would revert it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Fee, Settlement, Version, Wait, backoff, first_offer
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ContractPaused,
    NotRelayer,
    SettlementRefused,
    Step,
)
from luxxon_core.settlement.usecases.steps import WIDTH, Part, failed, report, submitted

_log = structlog.get_logger(__name__)

GAS_OF_EACH = 100_000
"""More than a transaction costs before its first session, and that one more than the others."""
ALONE_AFTER = 6
"""Failures after which a settlement gets a transaction of its own: the fault may lie with the batch."""


@dataclass(frozen=True, slots=True)
class _Load:
    """Settlements of one transaction, and its limit of gas."""

    settlements: list[Settlement]
    gas: int


@dataclass(frozen=True, slots=True)
class Submit(Part):
    """Signs, commits, and only then broadcasts."""

    async def __call__(self, now: datetime) -> bool:
        """Submit the settlements that have been due longest; False when none is due."""
        signed: list[Version] = []
        async with self.uow.begin() as tx:
            await self.store.wake(tx, now)
            claimed = await self.store.claim(tx, now, WIDTH)
            if not claimed:
                return False
            self.steps.reached(Step.CLAIMED)
            try:
                after, signed = await self._submitted(tx, claimed, now)
            except ExternalError as error:
                after = [failed(one, error, now) for one in claimed]
            await self.store.save(tx, after)
            self.steps.reached(Step.STORED)
        self.steps.reached(Step.COMMITTED)
        if signed:
            await self.hand_over(signed)  # only now: the hashes are on disk
            self.steps.reached(Step.BROADCAST)
        before = {one.payload.session_id: one for one in claimed}
        for one in after:
            report(before[one.payload.session_id], one)
        return True

    async def _submitted(
        self, tx: Tx, claimed: Sequence[Settlement], now: datetime
    ) -> tuple[list[Settlement], list[Version]]:
        fees = await self.chain.fees()
        fee = first_offer(fees.base_fee, self.policy.tip(fees), self.policy.max_fee)
        if fee is None:
            _log.error("settlement.fees_above_cap", base_fee=fees.base_fee, max_fee=self.policy.max_fee)
            until = now + backoff(1)
            return [replace(one, waits_for=Wait.FEES, next_attempt_at=until) for one in claimed], []
        head = await self.chain.head()  # before the simulation: a deposit above it was not seen by it
        loads, refused = await self._loads(claimed)
        self.steps.reached(Step.SIMULATED)
        after = []
        for settlement, error in refused:
            if isinstance(error, AlreadySettled):
                after.append(await self.taken_over(tx, settlement, now))
            else:
                after.append(failed(settlement, error, now, head))
        sent, signed = await self._signed(tx, loads, fee, now)
        return after + sent, signed

    async def _loads(
        self, claimed: Sequence[Settlement]
    ) -> tuple[list[_Load], list[tuple[Settlement, SettlementRefused]]]:
        """What the chain would take, in transactions of a batch each, and what it would not."""
        alone = [[one] for one in claimed if one.attempts >= ALONE_AFTER]
        together = [one for one in claimed if one.attempts < ALONE_AFTER]
        loads: list[_Load] = []
        refused: list[tuple[Settlement, SettlementRefused]] = []
        for group in [together, *alone] if together else alone:
            taken, gas, not_taken = await self._fitted(group)
            refused += not_taken
            for at in range(0, len(taken), self.policy.batch):
                part = taken[at : at + self.policy.batch]
                loads.append(_Load(part, gas if len(part) == len(taken) else _share(gas, part, taken)))
        return loads, refused

    async def _fitted(
        self, group: list[Settlement]
    ) -> tuple[list[Settlement], int, list[tuple[Settlement, SettlementRefused]]]:
        """As many of a group as the chain takes together, in order, found by halving what it refuses, with
        their gas; and the others with its reasons."""
        taken: list[Settlement] = []
        refused: list[tuple[Settlement, SettlementRefused]] = []
        gas, parts = 0, [group]
        while parts:
            part = parts.pop()
            try:
                gas = await self.chain.simulate([one.payload for one in [*taken, *part]])
            except (ContractPaused, NotRelayer):
                raise  # nothing about any of them
            except SettlementRefused as error:
                if len(part) == 1:
                    refused.append((part[0], error))
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
            else:
                taken += part
        return taken, gas, refused

    async def _signed(
        self, tx: Tx, loads: Sequence[_Load], fee: Fee, now: datetime
    ) -> tuple[list[Settlement], list[Version]]:
        if not loads:
            return [], []
        chain_id, signer = self.chain.chain_id, self.chain.signer
        next_nonce = await self.chain.nonce(signer)
        nonces = await self.store.free_nonces(tx, chain_id, signer, next_nonce, len(loads))
        self.steps.reached(Step.NUMBERED)
        versions = [
            await self.chain.sign([one.payload for one in load.settlements], nonce, load.gas, fee)
            for load, nonce in zip(loads, nonces, strict=True)
        ]
        self.steps.reached(Step.SIGNED)
        numbered = list(zip(nonces, versions, strict=True))
        look_at = now + self.policy.look_after
        opened = await self.store.open_transactions(tx, chain_id, signer, numbered, now, look_at)
        after = [
            submitted(one, known, version.tx_hash, now)
            for load, known, version in zip(loads, opened, versions, strict=True)
            for one in load.settlements
        ]
        return after, versions


def _share(gas: int, part: Sequence[Settlement], of: Sequence[Settlement]) -> int:
    """What a part of a simulated group needs: its share, and what each transaction costs by itself."""
    return gas * len(part) // len(of) + GAS_OF_EACH
