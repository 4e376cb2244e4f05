"""Look at what was broadcast until it is final: repeat it, offer more, close gaps, take back, confirm."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import (
    FIRST_POLL,
    FIRST_RETRY,
    Fee,
    Settlement,
    SettlementState,
    Standing,
    Transaction,
    Version,
    backoff,
    first_offer,
    higher_offer,
    pays,
    poll_interval,
    standing,
)
from luxxon_core.settlement.ports import ChainUnreachable, Look, Receipt, Step
from luxxon_core.settlement.usecases.steps import WIDTH, Part, SearchCut, is_past, report, submitted, unsent

_log = structlog.get_logger(__name__)

MAX_DOUBLINGS = 5
REPEAT_AFTER = timedelta(seconds=3)
"""Younger ones are likely to be on their way still."""
LOGS_AFTER = timedelta(minutes=1)
"""Past this the payment is looked for as one of somebody else's, or of nobody's whom the node can name."""
SEARCHED_FOR = timedelta(hours=1)
"""Past this a search for the payment that never comes to its end is not waited for any more."""
MAX_FILLED = 16
"""Nonces of a gap that a pass fills."""


@dataclass(slots=True)
class _Pass:
    """What the chain says in one pass, and what is to be written down because of it."""

    now: datetime
    paid_by: Mapping[int, list[Settlement]]
    receipts: Mapping[str, Receipt]
    counted: Mapping[str, int]
    """Nonces used in blocks that count, by signer."""
    mined: Mapping[str, int]
    """Nonces used in any block."""
    until: float
    """When to stop asking about one transaction after the other, by the loop's clock."""
    deep: dict[str, int] = field(default_factory=dict)
    """Nonces used in blocks that are final, of signers of which that was asked."""
    after: list[Settlement] = field(default_factory=list)
    looks: dict[int, Look] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    waiting: list[Transaction] = field(default_factory=list)
    failed: list[tuple[Transaction, Receipt | None]] = field(default_factory=list)
    reachable: bool = True
    receipts_late: bool = False
    repriced: list[Version] = field(default_factory=list)
    filled: list[Version] = field(default_factory=list)

    def look(self, transaction: Transaction, waiting_since: datetime | None) -> None:
        again = self.now + poll_interval(self.now - transaction.signed_at)
        self.looks[transaction.id] = Look(transaction.id, again, waiting_since)

    def settlements(self, transaction: Transaction) -> list[Settlement]:
        return self.paid_by.get(transaction.id, [])

    def receipt(self, transaction: Transaction) -> Receipt | None:
        found = (self.receipts.get(one.tx_hash) for one in reversed(transaction.versions))
        return next((receipt for receipt in found if receipt is not None), None)


@contextmanager
def _asking(transaction: Transaction, this: _Pass) -> Iterator[None]:
    """Around what asks the chain about one transaction. Once it has not answered, nothing more is asked in
    the pass: the rows of all are locked meanwhile."""
    try:
        yield
    except ExternalError as error:
        this.reachable = this.reachable and not isinstance(error, ChainUnreachable)
        _log.warning("settlement.waits", tx_hash=transaction.newest.tx_hash, reason=error.message)


@dataclass(frozen=True, slots=True)
class Follow(Part):
    """Reads receipts; knows of every version that was ever broadcast."""

    async def __call__(self, now: datetime) -> bool:
        """Look at the transactions that are due; False when none is."""
        async with self.uow.begin() as tx:
            found = await self.store.claim_transactions(tx, self.chain.chain_id, now, WIDTH)
            if not found:
                return False
            self.steps.reached(Step.FOLLOWED)
            settlements = await self.store.paid_by(tx, [one.id for one in found])
            try:
                this = await self._look(found, settlements, now)
            except ExternalError as error:
                _log.warning("settlement.chain_unreachable", reason=error.message)
                later = now + FIRST_RETRY
                await self.store.looked(tx, [Look(one.id, later, one.waiting_since) for one in found])
                return True
            self.steps.reached(Step.LOOKED)
            for transaction in found:
                self._sort(transaction, this)
            await self._give_back(tx, this)
            await self._repeat(tx, this)
            await self._fill(tx, this)
            await self._write(tx, this)
        self.steps.reached(Step.WRITTEN)
        report(settlements, this.after)
        await self._hand_over(this)
        return True

    async def _look(
        self, found: Sequence[Transaction], settlements: Sequence[Settlement], now: datetime
    ) -> _Pass:
        until, paid_by = self.until(), defaultdict[int, list[Settlement]](list)
        for one in settlements:
            assert one.transaction_id is not None
            paid_by[one.transaction_id].append(one)
        signers = sorted({one.signer for one in found if one.nonce is not None})
        # before the receipts: what is mined between the two is then seen as mined, not as displaced
        counted = await self._used(signers, self.policy.confirmations)
        mined = counted if self.policy.confirmations == 1 else await self._used(signers, 1)
        receipts = await self.chain.receipts([one.tx_hash for every in found for one in every.versions])
        return _Pass(now, paid_by, receipts, counted, mined, until)

    async def _used(self, signers: Sequence[str], depth: int) -> dict[str, int]:
        counts = await asyncio.gather(*(self.chain.nonces_used(signer, depth) for signer in signers))
        return dict(zip(signers, counts, strict=True))

    async def _write(self, tx: Tx, this: _Pass) -> None:
        if this.after:
            await self.store.save(tx, this.after)
        if this.closed:
            await self.store.close_transactions(tx, this.closed, this.now)
            self.steps.reached(Step.CLOSED)
        await self.store.looked(tx, list(this.looks.values()))

    async def _hand_over(self, this: _Pass) -> None:
        if this.repriced:
            self.steps.reached(Step.REPRICED_COMMITTED)
            await self.hand_over(this.repriced)
            self.steps.reached(Step.REPRICED_BROADCAST)
        if this.filled:
            self.steps.reached(Step.FILLED_COMMITTED)
            await self.hand_over(this.filled)
            self.steps.reached(Step.FILLED_BROADCAST)

    def _sort(self, transaction: Transaction, this: _Pass) -> None:
        """What the receipts say of a transaction; what more there is to ask is asked later."""
        receipt = this.receipt(transaction)
        this.look(transaction, None if receipt is not None else transaction.waiting_since or this.now)
        match standing(
            transaction, receipt, this.counted.get(transaction.signer, 0), self.policy.confirmations
        ):
            case Standing.WAITING:
                self._back_to_submitted(transaction, transaction.newest.tx_hash, None, this)
                this.waiting.append(transaction)
            case Standing.INCLUDED:
                assert receipt is not None
                block = receipt.block_number if pays(transaction, receipt) else None
                self._back_to_submitted(transaction, receipt.tx_hash, block, this)
            case Standing.PAID:
                assert receipt is not None
                self._paid(transaction, receipt, this)
            case Standing.FAILED:
                this.failed.append((transaction, receipt))

    def _paid(self, transaction: Transaction, receipt: Receipt, this: _Pass) -> None:
        final = receipt.confirmations >= self.policy.final
        for one in this.settlements(transaction):
            after = replace(
                one,
                state=SettlementState.CONFIRMED,
                tx_hash=receipt.tx_hash,
                last_error=None,
                confirmed_at=receipt.timestamp,
                block_number=receipt.block_number,
                final_at=this.now if final else None,
            )
            if after != one:
                this.after.append(after)
        self.steps.reached(Step.PAID)
        if final:
            this.closed.append(transaction.id)

    def _back_to_submitted(
        self, transaction: Transaction, tx_hash: str, block_number: int | None, this: _Pass
    ) -> None:
        """Not, or no longer, deep enough; paid in a block already, or in none (any more)."""
        for one in this.settlements(transaction):
            if one.state is SettlementState.CONFIRMED:
                _log.warning("settlement.reorganised", session_id=str(one.payload.session_id))
            after = replace(
                one,
                state=SettlementState.SUBMITTED,
                tx_hash=tx_hash,
                confirmed_at=None,
                block_number=block_number,
            )
            if after != one:
                this.after.append(after)

    async def _give_back(self, tx: Tx, this: _Pass) -> None:
        """See to all that have failed, or to those that there is time for, and to one in any case: the others
        are looked at again when they are due. First those that still owe, so that each pass leaves fewer."""
        owing_first = sorted(this.failed, key=lambda each: not this.settlements(each[0]))
        for turn, (transaction, receipt) in enumerate(owing_first):
            if turn and is_past(this.until):
                break
            with _asking(transaction, this):
                await self._failed(tx, transaction, receipt, this)

    async def _failed(self, tx: Tx, transaction: Transaction, receipt: Receipt | None, this: _Pass) -> None:
        """No version can pay any more: its settlements are paid anew, unless another one has paid them."""
        cancelled = receipt is not None and receipt.succeeded
        if cancelled:
            reason = None
        elif receipt is not None:
            reason = f"reverted in {receipt.tx_hash}"
        else:
            reason = "nonce used by another transaction"
        settlements = this.settlements(transaction)
        if not this.reachable or (receipt is None and this.receipts_late):
            return
        if receipt is None and settlements and await self._soon(transaction, settlements[0], this):
            waited = this.now - (transaction.waiting_since or this.now)
            this.receipts_late = waited < LOGS_AFTER  # then likely those of the others as well
            return
        sessions = [one.payload.session_id for one in settlements]
        paid = await self.chain.settled_of(sessions) if sessions else {}
        after = await self.taken_over(
            tx, [one for one in settlements if paid[one.payload.session_id]], this.now, this.until
        )
        for one in settlements:
            if paid[one.payload.session_id]:
                continue
            attempts = one.attempts + (0 if cancelled else 1)
            after.append(
                replace(
                    unsent(one),
                    attempts=attempts,
                    last_error=reason,
                    next_attempt_at=this.now + backoff(attempts),
                )
            )
        this.after += after
        if after:
            self.steps.reached(Step.RETURNED)
        if await self._over(transaction, receipt, this):
            this.closed.append(transaction.id)

    async def _soon(self, transaction: Transaction, settlement: Settlement, this: _Pass) -> bool:
        """Whether the node, or another one behind the same address, is about to know the receipt: it has the
        new state already, and logs, if any yet, that name a version of the transaction. While the search for
        these is cut, that is not known, and is asked less and less often: others have failed as well."""
        session_id = settlement.payload.session_id
        if not (await self.chain.settled_of([session_id]))[session_id]:
            return False
        since = transaction.waiting_since or this.now
        waited = this.now - since
        try:
            found = await self.payment(settlement, this.until)
        except SearchCut:
            this.looks[transaction.id] = Look(transaction.id, this.now + max(waited, FIRST_RETRY), since)
            return waited < SEARCHED_FOR
        if found is None:
            return waited < LOGS_AFTER
        return any(one.tx_hash == found.tx_hash for one in transaction.versions)

    async def _over(self, transaction: Transaction, receipt: Receipt | None, this: _Pass) -> bool:
        """Whether what has become of a transaction that pays nobody is final."""
        if receipt is not None:
            return receipt.confirmations >= self.policy.final
        if transaction.nonce is None:
            return True
        signer = transaction.signer
        if signer not in this.deep:
            this.deep[signer] = await self.chain.nonces_used(signer, self.policy.final)
        return this.deep[signer] > transaction.nonce

    # ---------------------------------------------------------------- not mined

    async def _repeat(self, tx: Tx, this: _Pass) -> None:
        """Broadcast again what no block has, and offer more for what has waited long enough."""
        old = [one for one in this.waiting if this.now - one.signed_at >= REPEAT_AFTER]
        if not old or not this.reachable:
            return
        arrival = await self.hand_over([one.newest for one in old])
        this.reachable = arrival.reached
        self.steps.reached(Step.REPEATED)
        if not arrival.reached:
            return
        mine = [one for one in old if one.signer == self.chain.signer]  # only who has the key can offer more
        able = [one for one in mine if one.newest.tx_hash not in arrival.poor]
        late = [one for one in able if self._waits_too_long(one, one.newest.tx_hash in arrival.dearer, this)]
        for turn, one in enumerate(late):
            if turn and is_past(this.until):
                break  # the others are looked at again when they are due
            with _asking(one, this):
                await self._reprice(tx, one, this)

    def _waits_too_long(self, transaction: Transaction, dearer: bool, this: _Pass) -> bool:
        """Whether more is to be offered: a node asks for it, or it is the next of its account and waits."""
        next_in_line = this.mined[transaction.signer] == transaction.nonce
        since = transaction.waiting_since or this.now
        # each time twice as long: fees may not be what keeps it waiting
        patience = self.policy.reprice_after * (1 << min(len(transaction.versions) - 1, MAX_DOUBLINGS))
        return dearer or (next_in_line and this.now - since >= patience)

    async def _reprice(self, tx: Tx, transaction: Transaction, this: _Pass) -> None:
        former = transaction.newest
        if former.fee is None or not this.reachable:
            return
        fees = await self.chain.fees()
        fee = higher_offer(former.fee, fees.base_fee, self.policy.tip(fees), self.policy.max_fee)
        if fee is None:
            _log.error(
                "settlement.fees_above_cap",
                tx_hash=former.tx_hash,
                base_fee=fees.base_fee,
                max_fee=self.policy.max_fee,
            )
            return
        version = await self.chain.sign_again(former, fee)
        await self.store.add_version(tx, transaction.id, version, this.now)
        self.steps.reached(Step.REPRICED)
        _log.info("settlement.repriced", tx_hash=version.tx_hash, former=former.tx_hash, max_fee=fee.max_fee)
        settlements = this.settlements(transaction)
        mine = {one.payload.session_id for one in settlements}
        this.after = [one for one in this.after if one.payload.session_id not in mine]
        assert transaction.nonce is not None
        for one in settlements:
            since = one.submitted_at or this.now
            this.after.append(submitted(one, transaction.id, version.tx_hash, since))
        this.repriced.append(version)
        this.looks[transaction.id] = Look(transaction.id, this.now + FIRST_POLL, this.now)

    async def _fill(self, tx: Tx, this: _Pass) -> None:
        """Use up nonces that nobody uses and that keep later ones waiting, as when another transaction of the
        key was dropped after ours had been numbered behind it."""
        signer = self.chain.signer
        ours = [one for one in this.waiting if one.signer == signer and one.nonce is not None]
        first = min(ours, key=lambda one: one.nonce or 0, default=None)
        if first is None or this.now - first.created_at < self.policy.fill_after:
            return
        assert first.nonce is not None
        if this.mined[signer] >= first.nonce or not this.reachable:
            return
        try:
            next_nonce = await self.chain.nonce(signer)
            missing = await self._missing(tx, next_nonce, first.nonce)
            fee = await self._offer() if missing else None
            if fee is None:
                return
            signed: list[tuple[int | None, Version]] = [
                (nonce, await self.chain.sign_cancel(nonce, fee)) for nonce in missing
            ]
        except ExternalError as error:
            _log.warning("settlement.gap_not_filled", reason=error.message)
            return
        await self.store.open_transactions(tx, self.chain.chain_id, signer, signed, this.now, this.now)
        for nonce, version in signed:
            _log.warning("settlement.gap_filled", signer=signer, nonce=nonce, tx_hash=version.tx_hash)
            this.filled.append(version)
        self.steps.reached(Step.FILLED)

    async def _missing(self, tx: Tx, next_nonce: int, before: int) -> list[int]:
        if next_nonce >= before:
            return []
        count = min(before - next_nonce, MAX_FILLED)
        free = await self.store.free_nonces(tx, self.chain.chain_id, self.chain.signer, next_nonce, count)
        return [nonce for nonce in free if nonce < before]

    async def _offer(self) -> Fee | None:
        fees = await self.chain.fees()
        return first_offer(fees.base_fee, self.policy.tip(fees), self.policy.max_fee)
