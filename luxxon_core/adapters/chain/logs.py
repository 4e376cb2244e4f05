"""The settlement contract's history out of a node's logs.

Sources: EIP-234 (logs of a block by its hash), and what providers limit: the range of blocks, the number of
results, and how far back state is kept. Where several nodes are known, one that shows no logs of a block
whose filter admits some is not taken at its word.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import structlog

from luxxon_core.adapters.chain.rpc import SETTLED, NodeError, RpcChain, checksum, quantity, understood
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settlement.domain import session_of_key
from luxxon_core.wallet.domain import Block, Entry, EventKind

DEPOSITED = "Deposited(address,uint256)"
WITHDRAWN = "Withdrawn(address,uint256)"
APPROVAL = "Approval(address,address,uint256)"
MAX_SPAN = 10_000
"""Blocks asked for at once; what a node refuses is halved."""
TRIED_AGAIN_AFTER = 100
"""Ranges after which more blocks are asked for than a node has refused: it may have been their many logs."""
AT_ONCE = 16
"""Requests under way together."""
MAX_BLOOMS = 64
"""Blocks whose filter is kept until their logs have been read."""

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_log = structlog.get_logger(__name__)


class _Span:
    """How many blocks a node is asked for at once: as many as it grants, found by few refusals."""

    def __init__(self, most: int) -> None:
        self.blocks = most
        self._most = self._limit = most
        self._granted = self._ranges = 0

    def refused(self, blocks: int, *, about_range: bool = True) -> None:
        if self._granted >= blocks:
            self._granted = 0
        if about_range:
            self._limit = blocks - 1
        self.blocks = max(1, self._granted or blocks // 2)
        self._ranges = 0

    def granted(self, blocks: int) -> None:
        """Ask for more next time, up to halfway to what was refused, until the two are close."""
        if blocks < self.blocks:
            return  # the last ones of the chain
        self._granted = blocks
        self._ranges += 1
        if self._ranges == TRIED_AGAIN_AFTER:
            self._limit, self._ranges = self._most, 0
        between = self._limit - blocks
        if between > blocks // 8:
            self.blocks = min(2 * blocks, blocks + -(-between // 2))


class RpcLogs:
    """Implements :class:`~luxxon_core.wallet.ports.ChainLogs`.

    Args:
        chain: where to ask, and which contracts.
        first_block: where the contract's history begins; None finds out.
    """

    def __init__(self, chain: RpcChain, first_block: int | None = None) -> None:
        self._chain = chain
        self._first_block = first_block
        self._span = _Span(MAX_SPAN)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._blooms: dict[str, str] = {}

    async def head(self) -> int:
        return await self._chain.head()

    async def block(self, number: int) -> Block | None:
        document = await self._request("eth_getBlockByNumber", hex(number), False)
        block = _block(document)
        if block is not None and isinstance(document.get("logsBloom"), str):
            self._blooms[block.hash] = document["logsBloom"]
            while len(self._blooms) > MAX_BLOOMS:
                del self._blooms[next(iter(self._blooms))]
        return block

    async def first_block(self) -> int:
        if self._first_block is None:
            self._first_block = await self._deployed_at()
        return self._first_block

    async def entries_of(self, block: Block) -> list[Entry]:
        where = {"blockHash": block.hash}
        found = await self._logs(where)
        if not found and self._may_hold(block):
            found = await self._doubted(where)
        return _entries(found, lambda _: block.at)

    async def entries_between(self, first: int, last: int) -> tuple[int, list[Entry]]:
        while True:
            last = min(last, first + self._span.blocks - 1)
            try:
                found = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)})
            except ExternalError as error:
                # a time-out, or a refusal by HTTP status, may be about the range as well
                self._span.refused(last - first + 1, about_range=isinstance(error, NodeError))
                if last == first or not isinstance(error, NodeError):
                    raise
                _log.info("fewer blocks at once", blocks=self._span.blocks, reason=error.message)
                continue
            self._span.granted(last - first + 1)
            times = await self._times(found)
            return last, _entries(found, times.__getitem__)

    async def pool_at(self, wallet: str, block_number: int) -> int | None:
        try:
            async with self._slots:
                return await self._chain.deposits(wallet, block_number)
        except NodeError as error:
            _log.info("no state of an old block", block=block_number, reason=error.message)
            return None

    # ---------------------------------------------------------------- inside

    async def _deployed_at(self) -> int:
        """The first block with the contract's code, by bisection; an earlier one where old state is gone."""
        first, last = 0, await self.head()
        if not await self._has_code(last):
            raise ExternalError("chain:contract", "There is no contract at the settlement address")
        try:
            while first < last:
                middle = (first + last) // 2
                if await self._has_code(middle):
                    last = middle
                else:
                    first = middle + 1
        except NodeError as error:
            _log.warning("deployment not found", reading_from=first, reason=error.message)
        return first

    async def _has_code(self, block_number: int) -> bool:
        code = await self._request("eth_getCode", self._chain.settlement_address, hex(block_number))
        return code not in (None, "0x", "0x0")

    def _may_hold(self, block: Block) -> bool:
        """Whether the block's own filter admits logs of the contract's; other blocks' busy filters do too."""
        bloom = self._blooms.pop(block.hash, None)
        if bloom is None or not self._chain.nodes.several:
            return False
        with understood():
            bits = int(bloom, 16)
        contract = bytes.fromhex(self._chain.settlement_address[2:])
        kinds = [bytes.fromhex(_topics()[name][2:]) for name in (DEPOSITED, WITHDRAWN, SETTLED)]
        return admits(bits, contract) and any(admits(bits, kind) for kind in kinds)

    async def _doubted(self, where: Mapping[str, str]) -> list[dict[str, Any]]:
        """The logs by another node's word, where there is one: this one shows none, and may withhold them."""
        async with self._slots:
            found = await asyncio.gather(
                *(self._chain.nodes.second("eth_getLogs", q) for q in self._queries(where))
            )
        logs = self._ordered([part for part in found if part is not None])
        if logs:
            _log.error("chain.logs_withheld", block=where["blockHash"], logs=len(logs))
        return logs

    async def _logs(self, where: Mapping[str, str]) -> list[dict[str, Any]]:
        """Logs of the contract, and of the token's approvals for it, in order."""
        return self._ordered(
            await asyncio.gather(*(self._request("eth_getLogs", query) for query in self._queries(where)))
        )

    def _queries(self, where: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        topics = _topics()
        approved = [topics[APPROVAL], None, _word(self._chain.settlement_address)]
        of_contract = {
            "address": self._chain.settlement_address,
            "topics": [[topics[DEPOSITED], topics[WITHDRAWN], topics[SETTLED]]],
        }
        of_token = {"address": self._chain.usdc_address, "topics": approved}
        return {**of_contract, **where}, {**of_token, **where}

    def _ordered(self, found: Iterable[Any]) -> list[dict[str, Any]]:
        with understood():
            logs = [log for part in found for log in part]
            if any(log.get("removed") for log in logs):
                raise ExternalError("chain:logs", "The chain's node hands out logs of a dropped block")
            return sorted(logs, key=_place)

    async def _times(self, logs: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
        """The timestamps of the blocks of these logs, by hash."""
        with understood():
            numbers = {log["blockHash"]: quantity(log["blockNumber"]) for log in logs}
        blocks = await asyncio.gather(*(self.block(number) for number in numbers.values()))
        times = {block.hash: block.at for block in blocks if block is not None}
        if times.keys() != numbers.keys():
            raise ExternalError("chain:block", "The chain's node lacks a block that it has logs of")
        return times

    async def _request(self, method: str, *params: object) -> Any:
        async with self._slots:
            return await self._chain.request(method, *params)


def admits(bloom: int, value: bytes) -> bool:
    """Whether a block's filter of its logs may contain an address or a topic (Yellow Paper, 4.3.1)."""
    return all(bloom >> bit & 1 for bit in _bits(value))


@cache
def _bits(value: bytes) -> tuple[int, ...]:
    from eth_utils.crypto import keccak

    digest = keccak(value)
    return tuple(int.from_bytes(digest[at : at + 2], "big") & 2047 for at in (0, 2, 4))


def _block(document: Mapping[str, Any] | None) -> Block | None:
    if document is None:
        return None
    with understood():
        at = datetime.fromtimestamp(quantity(document["timestamp"]), UTC)
        hashes = _hash(document["hash"]), _hash(document["parentHash"])
        return Block(quantity(document["number"]), *hashes, at)


def _entries(logs: Iterable[Mapping[str, Any]], time_of: Callable[[str], datetime]) -> list[Entry]:
    with understood():
        return [entry for log in logs for entry in _meaning(log, time_of(log["blockHash"]))]


def _meaning(log: Mapping[str, Any], at: datetime) -> list[Entry]:
    """A log as the wallets concerned see it.

    A settlement is one entry for the consumer, with all that left the pool, and one for the operator, with
    what it was paid; where both are one wallet, the consumer's alone, because it is about the pool.
    """
    names = {topic: name for name, topic in _topics().items()}
    topics, data = log["topics"], bytes.fromhex(log["data"][2:])
    values = [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]
    block_number, log_index = _place(log)

    def entry(kind: EventKind, topic: str, amount: int, change: int, session: UUID | None = None) -> Entry:
        return Entry(
            kind=kind,
            wallet=checksum("0x" + topic[-40:]),
            tx_hash=_hash(log["transactionHash"]),
            log_index=log_index,
            block_number=block_number,
            at=at,
            amount_uusdc=amount,
            pool_change_uusdc=change,
            related_session=session,
        )

    match names[topics[0]]:
        case name if name == DEPOSITED:
            return [entry(EventKind.DEPOSIT, topics[1], values[0], values[0])]
        case name if name == WITHDRAWN:
            return [entry(EventKind.WITHDRAWAL, topics[1], values[0], -values[0])]
        case name if name == APPROVAL:
            return [entry(EventKind.APPROVAL, topics[1], values[0], 0)]
    _, key, consumer, operator = topics
    session, charged = _session(key), values[0] + values[1]
    paid = [entry(EventKind.SETTLE, consumer, charged, -charged, session)]
    if operator != consumer:
        paid.append(entry(EventKind.SETTLE, operator, values[0], 0, session))
    return paid


def _place(log: Mapping[str, Any]) -> tuple[int, int]:
    """Block and index in it: the order of logs."""
    return quantity(log["blockNumber"]), quantity(log["logIndex"], bits=31)


def _hash(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise ValueError("not a hash")
    return text


def _session(key: str) -> UUID | None:
    try:
        return session_of_key(bytes.fromhex(key[2:]))
    except ValueError:
        return None


@cache
def _topics() -> dict[str, str]:
    """The first topic of each event."""
    from eth_utils.crypto import keccak

    return {name: "0x" + keccak(name.encode()).hex() for name in (DEPOSITED, WITHDRAWN, SETTLED, APPROVAL)}


def _word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")
