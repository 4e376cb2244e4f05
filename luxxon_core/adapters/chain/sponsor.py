"""The relayer's account pays the gas of deposits that consumers have signed (ERC-3009).

It takes its nonces where payments do, and leaves its transactions with theirs: the relayer repeats what gets
lost, offers more for what is stuck, and forgets what is final.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from luxxon_core.adapters.chain.reverts import refusal
from luxxon_core.adapters.chain.rpc import NodeError, RpcChain, checksum, quantity
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.kernel.errors import Conflict, ExternalError, InvalidInput, LuxxonError, Unavailable
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.settlement.domain import first_offer
from luxxon_core.settlement.ports import ContractPaused, SettlementStore
from luxxon_core.settlement.usecases import Policy
from luxxon_core.wallet.domain import Authorization

DEPOSIT = "depositWithAuthorization(address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"

_log = structlog.get_logger(__name__)


class RelayerSponsor:
    """Implements :class:`~luxxon_core.wallet.ports.Sponsor`.

    Args:
        store: where the relayer keeps its transactions.
        chain: opened with the relayer's key.
        policy: what the relayer offers for gas.
    """

    def __init__(self, uow: UnitOfWork, store: SettlementStore, chain: RpcChain, policy: Policy) -> None:
        self._uow = uow
        self._store = store
        self._chain = chain
        self._signing = RpcSettlements(chain)
        self._policy = policy

    async def deposit(self, authorization: Authorization, now: datetime) -> str:
        data = _call_data(authorization)
        gas = await self._gas(data)
        fees = await self._signing.fees()
        fee = first_offer(fees.base_fee, self._policy.tip(fees), self._policy.max_fee)
        if fee is None:
            raise Unavailable("deposit:unavailable", "Gas is too dear at the moment: try later")
        chain_id, signer = self._signing.chain_id, self._signing.signer
        async with self._uow.begin() as tx:
            next_nonce = await self._signing.nonce(signer)
            (nonce,) = await self._store.free_nonces(tx, chain_id, signer, next_nonce, 1)
            version = await self._signing.sign_call(data, nonce, gas, fee)
            await self._store.open_transactions(tx, chain_id, signer, [(nonce, version)], now, now)
        assert version.raw is not None
        try:
            await self._signing.broadcast(version.raw)  # only now: the hash is on disk
        except ExternalError as error:  # the relayer broadcasts it again
            _log.warning("deposit.broadcast_failed", tx_hash=version.tx_hash, reason=error.message)
        _log.info("deposit.sponsored", wallet=authorization.wallet, amount=authorization.amount_uusdc)
        return version.tx_hash

    async def waits(self, tx_hash: str) -> bool:
        receipt: object = await self._chain.request("eth_getTransactionReceipt", tx_hash)
        return receipt is None

    async def _gas(self, data: bytes) -> int:
        """What the deposit takes, with room.

        Raises:
            LuxxonError: it would revert.
        """
        call = {"from": self._signing.signer, "to": self._chain.settlement_address, "data": "0x" + data.hex()}
        try:
            return quantity(await self._chain.request("eth_estimateGas", call)) * 5 // 4
        except NodeError as error:
            if error.reverted:
                raise _reason(error) from None
            raise


def _reason(error: NodeError) -> LuxxonError:
    """What the token means; its revert strings are those of Circle's FiatTokenV2."""
    said = error.said
    if "used or canceled" in said:
        return Conflict("deposit:nonce", "The authorization has been used or cancelled")
    if "exceeds balance" in said:
        return InvalidInput("deposit:balance", "The wallet holds less USDC than that")
    if "expired" in said or "not yet valid" in said:
        return InvalidInput("deposit:validBefore", "The authorization is not valid at this time")
    if "signature" in said:
        return InvalidInput("deposit:signature", "The signature is not the wallet's, or signs something else")
    refused = refusal(error.data, said)
    if isinstance(refused, ContractPaused):
        return Unavailable("deposit:unavailable", "Deposits are paused")
    return refused


def _call_data(one: Authorization) -> bytes:
    from eth_utils.abi import function_signature_to_4byte_selector

    r, s, v = one.signature[:32], one.signature[32:64], one.signature[64]
    words = (
        bytes.fromhex(checksum(one.wallet)[2:]).rjust(32, b"\0"),
        *(number.to_bytes(32, "big") for number in (one.amount_uusdc, one.valid_after, one.valid_before)),
        one.nonce,
        (v if v >= 27 else v + 27).to_bytes(32, "big"),
        r,
        s,
    )
    return function_signature_to_4byte_selector(DEPOSIT) + b"".join(words)
