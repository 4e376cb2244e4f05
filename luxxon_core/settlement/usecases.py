"""Queue a finished session's payment, carry it to the chain exactly once, and show it.

Exactly once, whatever dies when:

* The row is written in the transaction that finalises the session, so there is one for each.
* A transaction is signed and its raw bytes and hash are committed before anybody sees it. A process that dies
  before the commit has paid nothing; one that dies after it leaves the bytes to be broadcast again, and the
  same bytes are the same transaction.
* A new transaction is signed only when the stored one can never pay: it was mined and reverted, or its nonce
  went to another. Each time ``settled(id)`` is read first.
* Should two transactions for one session reach the chain all the same, the contract pays the first only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.sessions.domain import Meter, Session, meter
from luxxon_core.sessions.usecases import SessionCases
from luxxon_core.settlement.domain import (
    Payload,
    Settlement,
    SettlementState,
    backoff,
    compose,
    poll_interval,
    queued,
)
from luxxon_core.settlement.ports import (
    InsufficientGasFunds,
    NonceUsed,
    Receipt,
    SettlementChain,
    SettlementStore,
)
from luxxon_core.telemetry.domain import Window

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueueSettlement:
    """Runs inside the transaction that finalises a session, so that both happen or neither."""

    store: SettlementStore

    async def __call__(self, tx: Tx, payload: Payload, ended_at: datetime, now: datetime) -> None:
        """Store a finalised session's payment; a second call for the session changes nothing."""
        await self.store.add(tx, queued(payload, ended_at, now))


@dataclass(frozen=True, slots=True)
class GetSettlement:
    """Looks a settlement up."""

    uow: UnitOfWork
    store: SettlementStore

    async def __call__(self, session_id: UUID) -> Settlement | None:
        """A session's settlement; None while it is NOT_READY. Who may see it is settled before."""
        async with self.uow.read() as tx:
            return await self.store.get(tx, session_id)


@dataclass(frozen=True, slots=True)
class Relay:
    """Carries settlements to the chain, a step of one settlement a pass. Any number of processes may run it.

    Attributes:
        confirmations: blocks, its own included, after which a transaction counts as final.
    """

    uow: UnitOfWork
    store: SettlementStore
    chain: SettlementChain
    confirmations: int

    async def relay_once(self, now: datetime) -> bool:
        """Advance the settlement that has been due longest; False when none is due.

        A chain that cannot be reached is not an error here: the settlement waits and is tried again.
        """
        async with self.uow.begin() as tx:
            claimed = await self.store.claim(tx, now)
            if claimed is None:
                return False
            try:
                if claimed.state is SettlementState.PENDING:
                    after = await self._submit(tx, claimed, now)
                else:
                    after = await self._follow(claimed, now)
            except ExternalError as error:
                after = _failed(claimed, error, now)
            await self.store.save(tx, after)
        if after.state is SettlementState.SUBMITTED and claimed.state is SettlementState.PENDING:
            await self._broadcast(after)  # only now: the hash is on disk
        _report(claimed, after)
        return True

    async def next_due(self) -> datetime | None:
        """When there will be something to do without new work arriving; None for never."""
        async with self.uow.read() as tx:
            return await self.store.next_due(tx)

    async def _submit(self, tx: Tx, pending: Settlement, now: datetime) -> Settlement:
        if await self.chain.settled(pending.payload.session_id):
            return await self._paid_before(pending, now)
        signer = self.chain.signer
        account_nonce = await self.chain.account_nonce(signer, pending=True)
        nonce = await self.store.next_nonce(tx, signer, account_nonce)
        signed = await self.chain.sign(pending.payload, nonce)
        return replace(
            pending,
            state=SettlementState.SUBMITTED,
            signer=signed.signer,
            nonce=signed.nonce,
            raw_tx=signed.raw,
            tx_hash=signed.tx_hash,
            submitted_at=now,
            next_attempt_at=now,
            last_error=None,
        )

    async def _follow(self, submitted: Settlement, now: datetime) -> Settlement:
        assert submitted.tx_hash and submitted.submitted_at
        assert submitted.signer and submitted.nonce is not None
        # read before the receipt: what is mined between the two is then seen as mined, not as displaced
        mined_nonce = await self.chain.account_nonce(submitted.signer, pending=False)
        receipt = await self.chain.receipt(submitted.tx_hash)
        if receipt is None and mined_nonce > submitted.nonce:
            return await self._again(submitted, "nonce used by another transaction", now)
        if receipt is None:
            await self._broadcast(submitted)
        elif receipt.confirmations >= self.confirmations:
            if receipt.succeeded:
                return _confirmed(submitted, receipt)
            return await self._again(submitted, f"reverted in {receipt.tx_hash}", now)
        wait = poll_interval(now - submitted.submitted_at)
        return replace(submitted, next_attempt_at=now + wait)

    async def _again(self, submitted: Settlement, reason: str, now: datetime) -> Settlement:
        """The stored transaction can never pay: back to PENDING, unless another one has paid."""
        if await self.chain.settled(submitted.payload.session_id):
            return await self._paid_before(submitted, now)
        attempts = submitted.attempts + 1
        return replace(
            submitted,
            state=SettlementState.PENDING,
            signer=None,
            nonce=None,
            raw_tx=None,
            tx_hash=None,
            submitted_at=None,
            attempts=attempts,
            last_error=reason,
            next_attempt_at=now + backoff(attempts),
        )

    async def _paid_before(self, settlement: Settlement, now: datetime) -> Settlement:
        """The contract says paid, by a transaction that is not the stored one: take over its hash."""
        receipt = await self.chain.find_settlement(settlement.payload.session_id)
        if receipt is None:  # the node keeps no log of it; that it is paid is certain
            return replace(
                settlement, state=SettlementState.CONFIRMED, tx_hash=None, raw_tx=None, confirmed_at=now
            )
        if receipt.confirmations < self.confirmations:
            return replace(settlement, next_attempt_at=now + backoff(1))
        return _confirmed(settlement, receipt)

    async def _broadcast(self, submitted: Settlement) -> None:
        assert submitted.raw_tx is not None
        try:
            await self.chain.broadcast(submitted.raw_tx)
        except NonceUsed:
            return  # mined or displaced: the next look at the receipt tells which
        except InsufficientGasFunds:
            _log.error("settlement.relayer_without_gas", signer=submitted.signer, tx_hash=submitted.tx_hash)
        except ExternalError as error:
            _log.warning("settlement.broadcast_failed", tx_hash=submitted.tx_hash, reason=str(error))


@dataclass(frozen=True, slots=True)
class SettleSession:
    """Implements the sessions' port ``Settlements``."""

    store: SettlementStore

    async def queue(
        self, tx: Tx, session: Session, consumer_wallet: str, operator_wallet: str, now: datetime
    ) -> None:
        """Compose the payload from the stored meter and queue it in the finalising transaction."""
        payload = compose(
            session_id=session.id,
            consumer_wallet=consumer_wallet,
            operator_wallet=operator_wallet,
            rate_uusdc=session.terms.rate_uusdc,
            clean_seconds=session.clean_seconds,
            fee_bps=session.terms.platform_fee_bps,
        )
        assert session.ended_at is not None
        await QueueSettlement(self.store)(tx, payload, session.ended_at, now)


@dataclass(frozen=True, slots=True)
class Bill:
    """All that a receipt says: the session, what it lost, its reading and its payment."""

    session: Session
    windows: list[Window]
    meter: Meter
    settlement: Settlement | None


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a session costs and how its payment goes, for either side of it."""

    uow: UnitOfWork
    store: SettlementStore
    sessions: SessionCases

    async def settlement_of(self, session_id: UUID, workspace_id: UUID) -> Settlement | None:
        """None while nothing is owed yet.

        Raises:
            SessionNotFound; NotAuthorized: neither side of it.
        """
        await self.sessions.get(session_id, workspace_id)
        return await GetSettlement(self.uow, self.store)(session_id)

    async def receipt_of(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Bill:
        """The bill: final when the session is over, the reading at ``now`` while it is LIVE."""
        session = await self.sessions.get(session_id, workspace_id)
        windows = await self.sessions.windows_of(session_id)
        settlement = await GetSettlement(self.uow, self.store)(session_id)
        return Bill(session, windows, meter(session, now, windows), settlement)


def _confirmed(settlement: Settlement, receipt: Receipt) -> Settlement:
    return replace(
        settlement,
        state=SettlementState.CONFIRMED,
        tx_hash=receipt.tx_hash,
        raw_tx=None,
        last_error=None,
        confirmed_at=receipt.timestamp,
        block_number=receipt.block_number,
    )


def _failed(claimed: Settlement, error: ExternalError, now: datetime) -> Settlement:
    attempts = claimed.attempts + 1
    return replace(
        claimed, attempts=attempts, last_error=error.message, next_attempt_at=now + backoff(attempts)
    )


def _report(before: Settlement, after: Settlement) -> None:
    fields = {"session_id": str(after.payload.session_id), "state": after.state.value}
    if after.state is not before.state:
        _log.info("settlement.moved", **fields, tx_hash=after.tx_hash, reason=after.last_error)
    elif after.attempts > before.attempts:
        _log.warning("settlement.waits", **fields, attempts=after.attempts, reason=after.last_error)
