"""The settlement contract as its relayer sees it, over JSON-RPC.

Sources: EIP-1559 (fees), EIP-2718 (typed transactions), the Solidity ABI (arguments), and what nodes say when
they refuse a transaction, which no document defines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from luxxon_core.adapters.chain.node import SEND
from luxxon_core.adapters.chain.reverts import refusal
from luxxon_core.adapters.chain.rpc import SETTLED, NodeError, RpcChain, checksum, quantity, understood
from luxxon_core.adapters.chain.signer import DynamicFeeTransaction
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settlement.domain import Fee, Payload, Version, session_key
from luxxon_core.settlement.ports import (
    Fees,
    InsufficientGasFunds,
    NonceUsed,
    Receipt,
    SettlementRefused,
    Underpriced,
)

ENTRY = "(bytes32,address,address,uint256,uint256,uint256,uint256)"
SETTLE = "settleFromPool" + ENTRY
SETTLE_BATCH = f"settleBatch({ENTRY}[])"
KNOWN = ("already known", "known transaction", "already imported")
NONCE_TOO_LOW = ("nonce too low", "nonce is too low")
TOO_CHEAP = ("underpriced", "less than block base fee", "fee too low", "gas price too low", "tip too low")
GAS_OF_NOTHING = 21_000
GAS_OF_TRANSACTION = 100_000
GAS_OF_SESSION = 100_000
"""Half as much again as a session takes; a simulation with this limit proves that it is enough, and what is
not used is not paid. A node's own estimate executes everything a dozen times."""
MAX_SPAN = 2_000
"""Blocks asked for at once; what a node refuses is halved."""
CLOCKS_APART = timedelta(minutes=5)
"""How much a block's clock may be behind ours."""
STATE_KEPT = 100
"""Blocks whose state any node can tell; most keep that of 128."""
AT_ONCE = 16
"""Requests under way together."""


class RpcSettlements:
    """Implements :class:`~luxxon_core.settlement.ports.SettlementChain`.

    Args:
        chain: where to ask, which contract, and whose key signs.
    """

    def __init__(self, chain: RpcChain) -> None:
        self._chain = chain
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def chain_id(self) -> int:
        return self._chain.chain_id

    @property
    def contract(self) -> str:
        return self._chain.contract

    @property
    def signer(self) -> str:
        return self._chain.signer

    # ---------------------------------------------------------------- reading

    async def head(self) -> int:
        return await self._chain.head()

    async def settled(self, session_id: UUID, depth: int = 1) -> bool:
        return (await self.settled_of([session_id], depth))[session_id]

    async def settled_of(self, sessions: Sequence[UUID], depth: int = 1) -> dict[UUID, bool]:
        call, block = _selector("settled(bytes32)"), await self._block(depth)
        words = await self._read_all([call + session_key(one) for one in sessions], block)
        return {one: word != 0 for one, word in zip(sessions, words, strict=True)}

    async def pools(self, wallets: Sequence[str]) -> dict[str, int]:
        call = _selector("deposits(address)")
        words = await self._read_all([call + _word(one) for one in wallets], "latest")
        return dict(zip(wallets, words, strict=True))

    async def _read_all(self, calls: Sequence[bytes], block: str) -> list[int]:
        to = self._chain.settlement_address
        requests = [[{"to": to, "data": _hex(call)}, block] for call in calls]
        answers = [_result(one) for one in await self._chain.request_all("eth_call", requests)]
        if block != "latest":  # before the contract was there
            answers = ["0x0" if answer == "0x" else answer for answer in answers]
        return [quantity(answer, bits=256) for answer in answers]

    async def _block(self, depth: int) -> str:
        """The newest block with so many confirmations, as far as its state is kept."""
        if depth <= 1:
            return "latest"
        return hex(max(0, await self.head() + 1 - min(depth, STATE_KEPT)))

    async def find_settlement(self, session_id: UUID, since: datetime) -> Receipt | None:
        topics = [_hex(_keccak(SETTLED.encode())), _hex(session_key(session_id))]
        wanted = {"address": self._chain.settlement_address, "topics": topics}
        last, span = await self.head(), MAX_SPAN
        while last >= 0:
            first = max(0, last - span + 1)
            try:
                where = {"fromBlock": hex(first), "toBlock": hex(last)}
                logs = await self._request("eth_getLogs", {**wanted, **where})
            except NodeError:
                if span == 1:
                    raise
                span //= 2  # many providers limit the range of blocks
                continue
            if logs:
                with understood():
                    tx_hash: str = logs[0]["transactionHash"]
                return (await self.receipts([tx_hash])).get(tx_hash)
            if await self._is_before(first, since):
                return None
            last = first - 1
        return None

    async def _is_before(self, block_number: int, moment: datetime) -> bool:
        block = await self._request("eth_getBlockByNumber", hex(block_number), False)
        with understood():
            return _moment(block["timestamp"]) < moment - CLOCKS_APART

    async def nonce(self, account: str) -> int:
        return quantity(await self._request("eth_getTransactionCount", checksum(account), "pending"))

    async def nonces_used(self, account: str, depth: int) -> int:
        block = await self._block(depth)
        return quantity(await self._request("eth_getTransactionCount", checksum(account), block))

    async def fees(self) -> Fees:
        block, tip = await asyncio.gather(
            self._request("eth_getBlockByNumber", "latest", False), self._request("eth_maxPriorityFeePerGas")
        )
        with understood():
            return Fees(quantity(block["baseFeePerGas"]), quantity(tip))

    async def receipts(self, tx_hashes: Sequence[str]) -> dict[str, Receipt]:
        if not tx_hashes:
            return {}
        head, answers = await asyncio.gather(
            self.head(),
            self._chain.request_all("eth_getTransactionReceipt", [[one] for one in tx_hashes]),
        )
        found = [_result(one) for one in answers]
        with understood():
            mined = {
                tx_hash: one
                for tx_hash, one in zip(tx_hashes, found, strict=True)
                if one is not None and one["blockNumber"] is not None
            }
            untold = {one["blockNumber"] for one in mined.values() if _told_time(one) is None}
        times = dict(zip(untold, await asyncio.gather(*map(self._time_of, untold)), strict=True))
        with understood():
            receipts = {}
            for tx_hash, one in mined.items():
                number = quantity(one["blockNumber"])
                at = _told_time(one) or times[one["blockNumber"]].get(one["blockHash"])
                if at is None:
                    continue  # its block has just been replaced
                succeeded, depth = one["status"] == "0x1", max(1, head - number + 1)
                receipts[tx_hash] = Receipt(tx_hash, succeeded, number, depth, at)
            return receipts

    async def _time_of(self, block_number: str) -> dict[str, datetime]:
        """The time of the block of that number, by its hash."""
        block = await self._request("eth_getBlockByNumber", block_number, False)
        with understood():
            return {} if block is None else {block["hash"]: _moment(block["timestamp"])}

    # ---------------------------------------------------------------- writing

    async def simulate(self, payloads: Sequence[Payload]) -> int:
        gas = GAS_OF_TRANSACTION + GAS_OF_SESSION * len(payloads)
        call = {
            "from": self.signer,
            "to": self._chain.settlement_address,
            "data": _hex(_call_data(payloads)),
        }
        try:
            await self._request("eth_call", {**call, "gas": hex(gas)}, "latest")
        except NodeError as error:
            refused = refusal(error.data, error.said)
            if error.reverted and type(refused) is not SettlementRefused:
                raise refused from None
        else:
            return gas
        try:  # a token that takes more gas, or a reason that is not the contract's own: searched by the node
            return quantity(await self._request("eth_estimateGas", call)) * 5 // 4
        except NodeError as error:
            if error.reverted:
                raise refusal(error.data, error.said) from None
            raise

    async def sign(self, payloads: Sequence[Payload], nonce: int, gas: int, fee: Fee) -> Version:
        return await self.sign_call(_call_data(payloads), nonce, gas, fee)

    async def sign_call(self, data: bytes, nonce: int, gas: int, fee: Fee) -> Version:
        """A transaction that calls the settlement contract. Broadcasts nothing."""
        to = bytes.fromhex(self._chain.settlement_address[2:])
        return await self._signed(self._unsigned(nonce, gas, fee, to, data), fee)

    async def sign_again(self, version: Version, fee: Fee) -> Version:
        import rlp

        if version.raw is None:
            raise ValueError("somebody else's transaction cannot be signed again")
        fields = rlp.decode(version.raw[1:])
        nonce, gas = (int.from_bytes(fields[at], "big") for at in (1, 4))
        return await self._signed(
            self._unsigned(nonce, gas, fee, fields[5], fields[7]), fee, cancels=version.cancels
        )

    async def sign_cancel(self, nonce: int, fee: Fee) -> Version:
        to = bytes.fromhex(self.signer[2:])
        return await self._signed(self._unsigned(nonce, GAS_OF_NOTHING, fee, to, b""), fee, cancels=True)

    def _unsigned(self, nonce: int, gas: int, fee: Fee, to: bytes, data: bytes) -> DynamicFeeTransaction:
        return DynamicFeeTransaction(
            chain_id=self.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=fee.priority_fee,
            max_fee_per_gas=fee.max_fee,
            gas=gas,
            to=to,
            data=data,
        )

    async def _signed(
        self, transaction: DynamicFeeTransaction, fee: Fee, *, cancels: bool = False
    ) -> Version:
        raw = transaction.signed(await self._chain.key.sign_digest(transaction.digest()))
        return Version(_hex(_keccak(raw)), raw, fee, cancels)

    async def broadcast(self, raw: bytes) -> None:
        try:
            await self._request(SEND, _hex(raw))
        except NodeError as error:
            if (refused := _refused(error)) is not None:
                raise refused from None

    async def broadcast_all(self, raws: Sequence[bytes]) -> list[ExternalError | None]:
        said = await self._chain.request_all(SEND, [[_hex(raw)] for raw in raws])
        return [
            _refused(one) if isinstance(one, NodeError) else one if isinstance(one, ExternalError) else None
            for one in said
        ]

    async def _request(self, method: str, *params: object) -> Any:
        async with self._slots:
            return await self._chain.request(method, *params)


def _refused(error: NodeError) -> ExternalError | None:
    """What a node means that does not take a transaction; None when it has it already."""
    if any(words in error.said for words in KNOWN):
        return None
    if any(words in error.said for words in NONCE_TOO_LOW):
        return NonceUsed("settlement:nonce")
    if any(words in error.said for words in TOO_CHEAP):
        return Underpriced("settlement:fee")
    if "insufficient funds" in error.said:
        return InsufficientGasFunds("settlement:gas")
    return error


def _result(answer: Any) -> Any:
    """One of several answers.

    Raises:
        ExternalError: in its place is why there is none.
    """
    if isinstance(answer, ExternalError):
        raise answer
    return answer


def _told_time(receipt: dict[str, Any]) -> datetime | None:
    """The time of a receipt's block, which many nodes tell with the logs."""
    told = [log["blockTimestamp"] for log in receipt["logs"] if log.get("blockTimestamp") is not None]
    return _moment(told[0]) if told else None


def _moment(timestamp: str) -> datetime:
    return datetime.fromtimestamp(quantity(timestamp), UTC)


def _call_data(payloads: Sequence[Payload]) -> bytes:
    """``settleFromPool`` for one, ``settleBatch`` for more: an array of static tuples lies there as it is,
    behind its offset and its length."""
    entries = b"".join(_entry(payload) for payload in payloads)
    if len(payloads) == 1:
        return _selector(SETTLE) + entries
    return _selector(SETTLE_BATCH) + _number(32) + _number(len(payloads)) + entries


def _entry(payload: Payload) -> bytes:
    return b"".join(
        (
            session_key(payload.session_id),
            _word(payload.consumer_wallet),
            _word(payload.operator_wallet),
            _number(payload.rate_uusdc),
            _number(payload.chargeable_seconds),
            _number(payload.to_amount_uusdc),
            _number(payload.fee_amount_uusdc),
        )
    )


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


@lru_cache(4096)
def _word(address: str) -> bytes:
    return bytes.fromhex(checksum(address)[2:]).rjust(32, b"\0")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


@cache
def _selector(signature: str) -> bytes:
    return _keccak(signature.encode())[:4]


def _keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak

    return keccak(data)
