"""What submitting and following share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.settlement.domain import FIRST_RETRY, Settlement, SettlementState, Version, Wait, backoff
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ChainUnreachable,
    Fees,
    InsufficientGasFunds,
    InsufficientPool,
    NeverPayable,
    NonceUsed,
    Receipt,
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
CUT_AFTER = 20
"""A search that never comes to its end is begun so often, for an hour or longer."""
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
        patience: how long a pass looks for reasons and for payments of others, and asks about one transaction
            after the other. Its rows are locked meanwhile, and the database ends a transaction that says
            nothing for 30 s: the same pass would come again, and nobody would be paid.
    """

    confirmations: int
    final: int
    max_fee: int = 500 * GWEI
    priority_fee: int | None = None
    batch: int = 100
    look_after: timedelta = timedelta(0)
    reprice_after: timedelta = timedelta(seconds=30)
    fill_after: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=12)

    def tip(self, fees: Fees) -> int:
        return fees.priority_fee if self.priority_fee is None else self.priority_fee


class SearchCut(ExternalError):
    """There was no time to look through all blocks: says nothing about whether there is a log."""

    default_message = "It has been paid, and looking for the log of it takes long"


class Silent:
    """Nobody is told."""

    def reached(self, step: Step) -> None:
        pass


SILENT = Silent()


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of broadcasts.

    Attributes:
        dearer: hashes of those that the node takes only for more.
        poor: hashes of those that the account cannot pay for.
        reached: a node answered for each.
    """

    dearer: set[str]
    poor: set[str]
    reached: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The parts that every piece of the relayer works with."""

    uow: UnitOfWork
    store: SettlementStore
    chain: SettlementChain
    policy: Policy
    steps: Steps

    async def hand_over(self, versions: Sequence[Version]) -> Arrival:
        """Broadcast what is committed. What does not arrive is broadcast again when its transaction is looked
        at."""
        raws = [one.raw for one in versions if one.raw is not None]
        assert len(raws) == len(versions)
        dearer, poor, unreachable = set[str](), set[str](), None
        for version, error in zip(versions, await self.chain.broadcast_all(raws), strict=True):
            match error:
                case None | NonceUsed():
                    pass  # mined or displaced: the next look at the receipt tells which
                case InsufficientGasFunds():
                    poor.add(version.tx_hash)
                case ChainUnreachable():
                    unreachable = error
                case _:
                    _log.warning("settlement.not_taken", tx_hash=version.tx_hash, reason=error.message)
                    if isinstance(error, Underpriced):
                        dearer.add(version.tx_hash)
        if poor:
            _log.error("settlement.relayer_without_gas", signer=self.chain.signer, tx_hashes=sorted(poor))
        if unreachable is not None:
            _log.warning("settlement.broadcast_failed", reason=unreachable.message, of=len(versions))
        return Arrival(dearer, poor, unreachable is None)

    def until(self) -> float:
        """When a pass that begins now stops looking, by the loop's clock."""
        return asyncio.get_running_loop().time() + self.policy.patience.total_seconds()

    async def payment(self, settlement: Settlement, until: float) -> Receipt | None:
        """Who paid it, also where that was not us; None where the node has no log of that.

        Raises:
            SearchCut: by ``until`` not all blocks had been looked through.
        """
        try:
            async with asyncio.timeout_at(until):
                return await self.chain.find_settlement(settlement.payload.session_id, settlement.created_at)
        except TimeoutError as error:
            _log.warning("settlement.search_cut", session_id=str(settlement.payload.session_id))
            raise SearchCut from error

    async def taken_over(
        self, tx: Tx, paid: Iterable[Settlement], now: datetime, until: float
    ) -> list[Settlement]:
        """The contract says paid, by transactions that are not ours or no longer: follow those. What cannot
        be found out about one is tried again, and keeps no other waiting; so is what is not come to by
        ``until``."""
        after, failure = list[Settlement](), None
        followed: dict[str, int] = {}
        for one in paid:
            if is_past(until):
                after.append(postponed(unsent(one), AlreadySettled(message=NO_LOG), now + FIRST_RETRY))
                continue
            if failure is None:
                try:
                    after.append(await self._taken_over(tx, one, followed, now, until))
                    continue
                except ExternalError as error:
                    failure = error
            after.append(failed(one, failure, now))
            if not isinstance(failure, ChainUnreachable):
                failure = None
        return after

    async def _taken_over(
        self, tx: Tx, settlement: Settlement, followed: dict[str, int], now: datetime, until: float
    ) -> Settlement:
        """One of :meth:`taken_over`; ``followed`` has their transactions' ids by hash, and is added to.

        Where the node has no log, its hash is given up after ``PARK_AFTER`` failures. A search that was cut
        is one as well, so that it comes ever less often, but gives up nothing before ``CUT_AFTER``: each
        begins at the newest block, so one that was cut so often is not going to end.
        """
        session_id = settlement.payload.session_id
        try:
            receipt = await self.payment(settlement, until)
        except ChainUnreachable:
            raise
        except SearchCut:
            if settlement.attempts < CUT_AFTER:
                raise
            receipt = None
        except ExternalError as error:
            _log.warning("settlement.no_log", session_id=str(session_id), reason=error.message)
            receipt = None
        if receipt is None and settlement.attempts >= PARK_AFTER and await self._for_good(session_id):
            return replace(
                unsent(settlement), state=SettlementState.CONFIRMED, confirmed_at=now, final_at=now
            )
        if receipt is None:
            return failed(settlement, AlreadySettled(message=NO_LOG), now)
        if receipt.tx_hash not in followed:
            found = Version(receipt.tx_hash, None, None)
            chain_id, signer = self.chain.chain_id, self.chain.signer
            opened = await self.store.open_transactions(tx, chain_id, signer, [(None, found)], now, now)
            followed[receipt.tx_hash] = opened[0]
        self.steps.reached(Step.TAKEN_OVER)
        return submitted(settlement, followed[receipt.tx_hash], receipt.tx_hash, now)

    async def _for_good(self, session_id: UUID) -> bool:
        """Whether a session is paid so deep that no reorganisation takes it back."""
        return (await self.chain.settled_of([session_id], self.policy.final))[session_id]


def is_past(until: float) -> bool:
    return asyncio.get_running_loop().time() >= until


def postponed(settlement: Settlement, error: ExternalError, until: datetime) -> Settlement:
    """Nothing was found out about it: that is no failure of its own."""
    return replace(settlement, last_error=error.message, next_attempt_at=until)


def submitted(settlement: Settlement, transaction: int, tx_hash: str, now: datetime) -> Settlement:
    return Settlement(  # all the rest is as nothing had happened yet
        settlement.payload,
        SettlementState.SUBMITTED,
        settlement.created_at,
        now,  # and no other: what a transaction's settlements have in common is written once
        settlement.attempts,
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
    if settlement.waits_for is Wait.DEPOSIT and not isinstance(error, InsufficientPool):
        attempts = 1  # that its pool was too small for long says nothing of what is wrong now
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


def report(before: Iterable[Settlement], after: Iterable[Settlement]) -> None:
    """Log what has changed; ``before`` has all of those that ``after`` has."""
    log, known = _log.bind(), {one.payload.session_id: one for one in before}
    for one in after:
        former = known[one.payload.session_id]
        if one.waits_for is Wait.OPERATOR:
            told, event = log.error, "settlement.parked"
        elif one.state is not former.state:
            told, event = log.info, "settlement.moved"
        elif one.attempts > former.attempts or one.waits_for is not former.waits_for:
            told, event = log.warning, "settlement.waits"
        else:
            continue
        told(
            event,
            session_id=str(one.payload.session_id),
            state=one.state.value,
            reason=one.last_error,
            tx_hash=one.tx_hash,
            attempts=one.attempts,
            waits_for=one.waits_for,
        )
