"""Put what waits into transactions: several sessions into one, and none that would revert it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import FIRST_RETRY, Fee, Settlement, Version, Wait, backoff, first_offer
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ContractPaused,
    InsufficientPool,
    NotRelayer,
    SettlementRefused,
    Step,
)
from luxxon_core.settlement.usecases.steps import Part, failed, is_past, postponed, report, submitted

_log = structlog.get_logger(__name__)

GAS_OF_EACH = 100_000
"""More than a transaction costs before its first session, and that one more than the others."""
CLAIMED = 500
"""Settlements of a pass: what it asks of the chain and of the database is shared by all of them."""
LARGEST = 100
"""Settlements that the contract takes together."""
ALONE_AFTER = 6
"""Failures after which a settlement gets a transaction of its own: the fault may lie with the batch."""
MAX_SIMULATED = 32
"""Simulations of one group in a pass, and suspects: settlements are locked, and a distant node takes its
time."""
STOPPED_RETRY = timedelta(seconds=30)
"""Pause while the contract is paused, or takes nothing from this account."""


@dataclass(frozen=True, slots=True)
class _Load:
    """Settlements of one transaction, and its limit of gas."""

    settlements: list[Settlement]
    gas: int


_Refused = tuple[Settlement, ExternalError]


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What of a group the chain takes together, and its limit of gas; and what it does not, and why."""

    taken: list[Settlement]
    gas: int
    refused: list[_Refused]


@dataclass(frozen=True, slots=True)
class Submit(Part):
    """Signs, commits, and only then broadcasts."""

    async def __call__(self, now: datetime) -> bool:
        """Submit the settlements that have been due longest; False when none is due."""
        signed: list[Version] = []
        async with self.uow.begin() as tx:
            await self.store.wake(tx, self.chain.contract, now)
            claimed = await self.store.claim(tx, now, CLAIMED)
            if not claimed:
                return False
            self.steps.reached(Step.CLAIMED)
            try:
                after, signed = await self._submitted(tx, claimed, now)
            except ExternalError as error:
                _log.error("settlement.not_submitted", reason=error.message, settlements=len(claimed))
                wait = STOPPED_RETRY if isinstance(error, SettlementRefused) else FIRST_RETRY
                after = [postponed(one, error, now + wait) for one in claimed]
            await self.store.save(tx, after)
            self.steps.reached(Step.STORED)
        self.steps.reached(Step.COMMITTED)
        if signed:
            await self.hand_over(signed)  # only now: the hashes are on disk
            self.steps.reached(Step.BROADCAST)
        report(claimed, after)
        return True

    async def _submitted(
        self, tx: Tx, claimed: list[Settlement], now: datetime
    ) -> tuple[list[Settlement], list[Version]]:
        until = self.until()
        fees, head, next_nonce = await asyncio.gather(
            self.chain.fees(),
            self.chain.head(),  # before the simulation: a deposit above it was not seen by it
            self.chain.nonce(self.chain.signer),
        )
        fee = first_offer(fees.base_fee, self.policy.tip(fees), self.policy.max_fee)
        if fee is None:
            _log.error("settlement.fees_above_cap", base_fee=fees.base_fee, max_fee=self.policy.max_fee)
            return [_dear(one, now + backoff(1)) for one in claimed], []
        loads, refused = await self._loads(claimed, until)
        self.steps.reached(Step.SIMULATED)
        paid = [one for one, error in refused if _is_paid(error)]
        after = await self.taken_over(tx, paid, now, until)
        after += [failed(one, error, now, head) for one, error in refused if not _is_paid(error)]
        sent, signed = await self._signed(tx, loads, next_nonce, fee, now)
        return after + sent, signed

    async def _loads(self, claimed: list[Settlement], until: float) -> tuple[list[_Load], list[_Refused]]:
        """What the chain would take, in transactions of a batch each, and what it would not."""
        refused: list[_Refused] = []
        groups = _groups(claimed)
        if len(groups) > 1:  # each is simulated on the same pools, and sees nothing of what the others take
            wallets = sorted({one.payload.consumer_wallet for one in claimed})
            payable, refused = _affordable(claimed, await self.chain.pools(wallets))
            groups = _groups(payable)
        loads: list[_Load] = []
        for fitted in await asyncio.gather(*(self._fitted(group, until) for group in groups)):
            refused += fitted.refused
            for at in range(0, len(fitted.taken), self.policy.batch):
                part = fitted.taken[at : at + self.policy.batch]
                loads.append(_Load(part, _share(fitted.gas, part, fitted.taken)))
        return loads, refused

    async def _fitted(self, group: list[Settlement], until: float) -> _Fitted:
        """As many of a group as the chain takes together, in order; and others with its reasons: those that
        are seen beforehand, then those found by halving what it refuses. What ``MAX_SIMULATED``, or those up
        to ``until``, do not find out is left for the next pass, for others wait meanwhile.

        Raises:
            ContractPaused, NotRelayer: it takes none of anybody.
        """
        try:
            return _Fitted(group, await self.chain.simulate([one.payload for one in group]), [])
        except (ContractPaused, NotRelayer):
            raise
        except SettlementRefused as error:
            if len(group) == 1 and type(error) is not SettlementRefused:  # else the node may not say why
                return _Fitted([], 0, [(group[0], error)])
        except ExternalError as error:  # no answer either: it was there a moment ago, and this may be why
            return _Fitted([], 0, [(one, error) for one in group])
        try:
            payable, refused = await self._foreseen(group)
            return await self._searched(payable, refused, until)
        except (ContractPaused, NotRelayer):
            raise
        except ExternalError as error:
            return _Fitted([], 0, [(one, error) for one in group])

    async def _searched(self, payable: list[Settlement], refused: list[_Refused], until: float) -> _Fitted:
        """The halving of :meth:`_fitted`. Where it breaks off before it has found anything, the smallest part
        that was refused has failed as a whole and waits: otherwise the next pass would ask the same, and pay
        nobody either. The others are paid without it meanwhile, and what of it fails again is smaller or, in
        the end, a suspect. None of it is said to be what only one of them may be: paid, poor or unpayable.
        """
        taken: list[Settlement] = []
        doubted: list[_Refused] = []
        known = len(refused)
        gas, parts = 0, [payable] if refused and payable else _halves(payable)
        for turn in range(MAX_SIMULATED):
            if not parts or (turn and is_past(until)):
                break
            part = parts.pop()
            try:
                gas = await self.chain.simulate([one.payload for one in [*taken, *part]])
            except (ContractPaused, NotRelayer):
                raise
            except SettlementRefused as error:
                if len(part) == 1:
                    refused.append((part[0], error))
                else:
                    parts += _halves(part)
                    doubt = SettlementRefused(message=f"One of {len(part)} is refused: {error.message}")
                    doubted = [(one, doubt) for one in part]
            else:
                taken += part
        if not taken and len(refused) == known:
            refused += doubted
        return _Fitted(taken, gas, refused)

    async def _foreseen(self, group: list[Settlement]) -> tuple[list[Settlement], list[_Refused]]:
        """Those of a group that are not paid and whose pools are enough, in order; and the others."""
        sessions = [one.payload.session_id for one in group]
        wallets = sorted({one.payload.consumer_wallet for one in group})
        paid, pools = await asyncio.gather(self.chain.settled_of(sessions), self.chain.pools(wallets))
        unpaid = [one for one in group if not paid[one.payload.session_id]]
        payable, refused = _affordable(unpaid, pools)
        return payable, [(one, AlreadySettled()) for one in group if paid[one.payload.session_id]] + refused

    async def _signed(
        self, tx: Tx, loads: Sequence[_Load], next_nonce: int, fee: Fee, now: datetime
    ) -> tuple[list[Settlement], list[Version]]:
        if not loads:
            return [], []
        chain_id, signer = self.chain.chain_id, self.chain.signer
        nonces = await self.store.free_nonces(tx, chain_id, signer, next_nonce, len(loads))
        self.steps.reached(Step.NUMBERED)
        versions = await asyncio.gather(
            *(
                self.chain.sign([one.payload for one in load.settlements], nonce, load.gas, fee)
                for load, nonce in zip(loads, nonces, strict=True)
            )
        )
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


def _groups(claimed: list[Settlement]) -> list[list[Settlement]]:
    """What is simulated together: as many as the contract takes, and each suspect by itself; of many suspects
    the rest is left for the next pass."""
    suspects = [[one] for one in claimed if _suspect(one)][:MAX_SIMULATED]
    others = [one for one in claimed if not _suspect(one)]
    return [*(others[at : at + LARGEST] for at in range(0, len(others), LARGEST)), *suspects]


def _affordable(
    group: Iterable[Settlement], pools: Mapping[str, int]
) -> tuple[list[Settlement], list[_Refused]]:
    """Those whose pools are enough for them and all before them; and the others."""
    left = dict(pools)
    payable: list[Settlement] = []
    refused: list[_Refused] = []
    for one in group:
        owed, wallet = one.payload.charged_uusdc, one.payload.consumer_wallet
        if owed > left[wallet]:
            refused.append((one, InsufficientPool()))
        else:
            left[wallet] -= owed
            payable.append(one)
    return payable, refused


def _is_paid(error: ExternalError) -> bool:
    return isinstance(error, AlreadySettled)


def _halves(part: list[Settlement]) -> list[list[Settlement]]:
    """The second half and the first, which is taken off next; nothing of nothing."""
    middle = len(part) // 2
    return [half for half in (part[middle:], part[:middle]) if half]


def _dear(settlement: Settlement, until: datetime) -> Settlement:
    """Waiting for lower fees; what waits for a deposit waits for both."""
    return replace(settlement, waits_for=settlement.waits_for or Wait.FEES, next_attempt_at=until)


def _suspect(settlement: Settlement) -> bool:
    """Whether it may be what keeps others from being paid. That its own pool is too small is known."""
    return settlement.attempts >= ALONE_AFTER and settlement.waits_for is not Wait.DEPOSIT


def _share(gas: int, part: Sequence[Settlement], of: Sequence[Settlement]) -> int:
    """What a part of a simulated group needs: its share, and what each transaction costs by itself."""
    if len(part) == len(of):
        return gas
    return gas * len(part) // len(of) + GAS_OF_EACH
