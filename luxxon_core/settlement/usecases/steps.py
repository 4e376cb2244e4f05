"""What submitting and following share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.settlement.domain import Settlement, SettlementState, Version, Wait, backoff
from luxxon_core.settlement.ports import (
    AlreadySettled,
    Fees,
    InsufficientGasFunds,
    InsufficientPool,
    NeverPayable,
    NonceUsed,
    SettlementChain,
    SettlementRefused,
    SettlementStore,
    Step,
    Steps,
    Underpriced,
)

_log = structlog.get_logger(__name__)

WIDTH = 100
"""Rows of a pass."""
PARK_AFTER = 8
"""A settlement that the contract refuses for a reason unknown here is tried so often, some four minutes."""
NO_LOG = "It has been paid, and the node has no log of it yet"
GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Policy:
    """How the relayer goes about it.

    Attributes:
        confirmations: blocks, its own included, after which a transaction counts.
        final: blocks after which it is not looked at again.
        max_fee: most that is offered for a gas, in wei.
        priority_fee: tip for a gas, in wei; None asks the node.
        batch: most sessions of one transaction; the contract takes 100.
        reprice_after: how long a transaction may wait before more is offered.
        look_after: when a transaction is looked at for the first time.
        fill_after: how long one may wait for a nonce before it that nobody uses.
    """

    confirmations: int
    final: int
    max_fee: int = 500 * GWEI
    priority_fee: int | None = None
    batch: int = 100
    look_after: timedelta = timedelta(0)
    reprice_after: timedelta = timedelta(seconds=30)
    fill_after: timedelta = timedelta(seconds=15)

    def tip(self, fees: Fees) -> int:
        return fees.priority_fee if self.priority_fee is None else self.priority_fee


class Silent:
    """Nobody is told."""

    def reached(self, step: Step) -> None:
        pass


SILENT = Silent()


@dataclass(frozen=True, slots=True)
class Part:
    """The parts that every piece of the relayer works with."""

    uow: UnitOfWork
    store: SettlementStore
    chain: SettlementChain
    policy: Policy
    steps: Steps

    async def hand_over(self, versions: Iterable[Version]) -> None:
        """Broadcast what is committed, in the order of nonces. What does not arrive, and what comes after it,
        is broadcast again when its transaction is looked at."""
        for version in versions:
            try:
                await self.broadcast(version)
            except Underpriced as error:
                _log.warning("settlement.underpriced", tx_hash=version.tx_hash, reason=error.message)
            except ExternalError as error:
                _log.warning("settlement.broadcast_failed", tx_hash=version.tx_hash, reason=error.message)
                return

    async def broadcast(self, version: Version) -> None:
        """Broadcast one.

        Raises:
            Underpriced; ExternalError: it did not arrive.
        """
        assert version.raw is not None
        try:
            await self.chain.broadcast(version.raw)
        except NonceUsed:
            return  # mined or displaced: the next look at the receipt tells which
        except InsufficientGasFunds:
            _log.error("settlement.relayer_without_gas", signer=self.chain.signer, tx_hash=version.tx_hash)

    async def taken_over(self, tx: Tx, settlement: Settlement, now: datetime) -> Settlement:
        """The contract says paid, by a transaction that is not ours or no longer: follow that one.

        Raises:
            ExternalError: the chain cannot be read.
        """
        receipt = await self.chain.find_settlement(settlement.payload.session_id, settlement.created_at)
        if receipt is None and settlement.attempts >= PARK_AFTER:  # that it is paid is certain
            return replace(
                unsent(settlement), state=SettlementState.CONFIRMED, confirmed_at=now, final_at=now
            )
        if receipt is None:
            return failed(settlement, AlreadySettled(message=NO_LOG), now)
        found = Version(receipt.tx_hash, None, None)
        chain_id, signer = self.chain.chain_id, self.chain.signer
        (known,) = await self.store.open_transactions(tx, chain_id, signer, [(None, found)], now, now)
        self.steps.reached(Step.TAKEN_OVER)
        return submitted(settlement, known, receipt.tx_hash, now)


def submitted(settlement: Settlement, transaction: int, tx_hash: str, now: datetime) -> Settlement:
    return replace(
        unsent(settlement),
        state=SettlementState.SUBMITTED,
        transaction_id=transaction,
        tx_hash=tx_hash,
        submitted_at=now,
    )


def unsent(settlement: Settlement) -> Settlement:
    """Without any transaction and without a reason to wait."""
    return replace(
        settlement,
        state=SettlementState.PENDING,
        transaction_id=None,
        tx_hash=None,
        submitted_at=None,
        confirmed_at=None,
        block_number=None,
        final_at=None,
        waits_for=None,
        short_at_block=None,
        last_error=None,
    )


def failed(settlement: Settlement, error: ExternalError, now: datetime, head: int = 0) -> Settlement:
    """One more attempt has failed: when to try again, or that nobody does before the operator has looked.

    Args:
        head: the newest block before the attempt.
    """
    attempts = settlement.attempts + 1
    waits_for: Wait | None = None
    if isinstance(error, InsufficientPool):
        waits_for = Wait.DEPOSIT
    elif isinstance(error, NeverPayable) or (type(error) is SettlementRefused and attempts >= PARK_AFTER):
        waits_for = Wait.OPERATOR
    return replace(
        unsent(settlement),
        attempts=attempts,
        last_error=error.message,
        waits_for=waits_for,
        short_at_block=head if waits_for is Wait.DEPOSIT else None,
        next_attempt_at=now + backoff(attempts),
    )


def report(before: Settlement, after: Settlement) -> None:
    """Log what has changed."""
    fields = {
        "session_id": str(after.payload.session_id),
        "state": after.state.value,
        "reason": after.last_error,
    }
    if after.waits_for is Wait.OPERATOR:
        _log.error("settlement.parked", **fields, attempts=after.attempts)
    elif after.state is not before.state:
        _log.info("settlement.moved", **fields, tx_hash=after.tx_hash)
    elif after.attempts > before.attempts or after.waits_for is not before.waits_for:
        _log.warning("settlement.waits", **fields, attempts=after.attempts, waits_for=after.waits_for)
