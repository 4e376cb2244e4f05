"""A node for tests whose chain can be forked: JSON-RPC over HTTP, with the settlement contract's events."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from aiohttp import web
from eth_utils.crypto import keccak
from loopback import served

from luxxon_core.settlement.domain import session_key

CHAIN_ID = 4242
SETTLEMENT = "0x" + "5e" * 20
USDC = "0x" + "0c" * 20
GENESIS = 1_700_000_000

_DEPOSITED, _WITHDRAWN, _SETTLED, _APPROVAL = (
    "0x" + keccak(text=text).hex()
    for text in (
        "Deposited(address,uint256)",
        "Withdrawn(address,uint256)",
        "Settled(bytes32,address,address,uint256,uint256,uint256,uint256)",
        "Approval(address,address,uint256)",
    )
)
_DEPOSITS = "0x" + keccak(text="deposits(address)")[:4].hex()


_numbers = itertools.count()


@dataclass(frozen=True)
class Happening:
    """A log of a transaction of its own, and what it does to whose pool; it can be mined on many branches."""

    address: str
    topics: tuple[str, ...]
    values: tuple[int, ...]
    change: tuple[str, int] | None = None
    transaction: int = field(default_factory=_numbers.__next__)


def deposit(wallet: str, amount: int) -> Happening:
    return Happening(SETTLEMENT, (_DEPOSITED, _word(wallet)), (amount,), (wallet, amount))


def withdrawal(wallet: str, amount: int) -> Happening:
    return Happening(SETTLEMENT, (_WITHDRAWN, _word(wallet)), (amount,), (wallet, -amount))


def approval(owner: str, amount: int, spender: str = SETTLEMENT) -> Happening:
    return Happening(USDC, (_APPROVAL, _word(owner), _word(spender)), (amount,))


def settlement(session: UUID, consumer: str, operator: str, to: int, fee: int) -> Happening:
    topics = (_SETTLED, "0x" + session_key(session).hex(), _word(consumer), _word(operator))
    return Happening(SETTLEMENT, topics, (to, fee, to + fee, 1), (consumer, -to - fee))


class Refused(Exception):
    """An error of JSON-RPC."""


@dataclass
class Minted:
    number: int
    hash: str
    parent: str
    happenings: tuple[Happening, ...]
    pools: dict[str, int]


@dataclass
class ForkingNode:
    """Serves the newest branch. What a provider does wrong is set by attributes.

    Attributes:
        deployed: the first block with the contract's code.
        max_range: most blocks in one log query.
        state_from: the oldest block whose state it still has.
        behind: how many of the newest blocks it does not know of at the moment.
        fails_at: how many more requests it answers before it refuses them all.
        before: called with each request's method before it is answered.
        fault: called as well; what it returns is the answer to the request, in place of JSON-RPC.
        answers_chain_id: eth_chainId.
        claims: blocks that its head has above what it can hand over.
        lenient: asked for what is above its blocks, it answers with the newest one, or its state.
        fabricates: it makes up the blocks that it claims.
        spacing: seconds between two blocks.
        withholds: numbers of blocks whose logs it does not show.
        sent: raw transactions that it has taken.
        takes_batches: whether an array of requests is answered; of more than ``max_batch`` with 429.
    """

    deployed: int = 0
    max_range: int = 10**9
    state_from: int = 0
    behind: int = 0
    fails_at: int | None = None
    before: Callable[[str], None] | None = None
    fault: Callable[[str], Awaitable[web.Response | None]] | None = None
    answers_chain_id: int = CHAIN_ID
    claims: int = 0
    lenient: bool = False
    fabricates: bool = False
    spacing: int = 1
    withholds: set[int] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    blocks: list[Minted] = field(default_factory=list)
    dropped: list[Minted] = field(default_factory=list)
    """Blocks of other branches; as geth does, it goes on serving their logs by hash."""
    url: str = ""
    takes_batches: bool = True
    max_batch: int = 1000
    _forks: int = 0

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine()

    @classmethod
    @asynccontextmanager
    async def serving(cls, **how: Any) -> AsyncIterator[Self]:
        node = cls(**how)
        app = web.Application()
        app.router.add_post("/", node._serve)
        app.router.add_get("/", node._subscribed)
        async with served(app) as node.url:
            try:
                yield node
            finally:
                await node.hang_up()

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def mine(self, *happenings: Happening) -> int:
        """A block; its number."""
        number, parent = len(self.blocks), self.blocks[-1].hash if self.blocks else "0x" + "00" * 32
        seed = f"{parent} {self._forks} {happenings}"
        pools = dict(self.blocks[-1].pools) if self.blocks else {}
        for happening in happenings:
            if happening.change is not None:
                wallet, change = happening.change
                pools[wallet.lower()] = pools.get(wallet.lower(), 0) + change
        minted = Minted(number, _hash(seed), parent, happenings, pools)
        self.blocks.append(minted)
        return number

    def fork(self, after: int) -> None:
        """Drop the blocks above ``after``; what is mined from now on is another branch."""
        self.dropped += self.blocks[after + 1 :]
        del self.blocks[after + 1 :]
        self._forks += 1

    # -- JSON-RPC -----------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.json()
        if isinstance(body, list) and not self.takes_batches:
            error = {"code": -32600, "message": "Batch requests are not supported"}
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": error})
        if isinstance(body, list) and len(body) > self.max_batch:
            return web.Response(status=429)
        for call in body if isinstance(body, list) else [body]:
            self.asked.append((call["method"], call["params"]))
            if self.before is not None:
                self.before(call["method"])
            if self.fault is not None and (instead := await self.fault(call["method"])) is not None:
                return instead
        if isinstance(body, list):
            return web.json_response([self._answer(call) for call in reversed(body)])
        return web.json_response(self._answer(body))

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            if self.fails_at is not None:
                self.fails_at -= 1
                if self.fails_at < 0:
                    raise Refused("over the request limit")
            answer["result"] = getattr(self, call["method"])(*call["params"])
        except Refused as error:
            answer["error"] = {"code": -32000, "message": str(error)}
        return answer

    async def _subscribed(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        try:
            async for message in socket:
                call = message.json()
                self.asked.append((call["method"], call["params"]))
                await socket.send_json(self._answer(call))
        finally:
            self.sockets.remove(socket)
        return socket

    async def announce(self) -> None:
        """Tell subscribers of the newest block."""
        head = self.eth_getBlockByNumber(hex(self.head), False)
        params = {"subscription": "0x1", "result": head}
        for socket in self.sockets:
            await socket.send_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})

    async def hang_up(self) -> None:
        """End the WebSockets."""
        for socket in list(self.sockets):
            await socket.close()

    def eth_subscribe(self, *_what: Any) -> str:
        return "0x1"

    def eth_sendRawTransaction(self, raw: str) -> str:
        if raw in self.sent:
            raise Refused("already known")
        self.sent.append(raw)
        return _hash(raw)

    @property
    def _known(self) -> list[Minted]:
        return self.blocks[: len(self.blocks) - self.behind]

    def eth_chainId(self) -> str:
        return hex(self.answers_chain_id)

    def eth_blockNumber(self) -> str:
        return hex(len(self._known) - 1 + self.claims)

    def eth_maxPriorityFeePerGas(self) -> str:
        return "0x1"

    def eth_getTransactionCount(self, _address: str, _number: str) -> str:
        return "0x0"

    def eth_getBlockByNumber(self, number: str, _full: bool) -> dict[str, str] | None:
        wanted = len(self._known) - 1 if number == "latest" else int(number, 16)
        if self.lenient:
            wanted = min(wanted, len(self._known) - 1)
        if len(self._known) <= wanted < len(self._known) + self.claims and self.fabricates:
            block = Minted(wanted, _hash(f"made up {wanted}"), _hash(f"made up {wanted - 1}"), (), {})
        elif wanted >= len(self._known):
            return None
        else:
            block = self._known[wanted]
        return {
            "number": hex(wanted),
            "baseFeePerGas": "0x7",
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(GENESIS + wanted * self.spacing),
            "logsBloom": _bloom(block.happenings),
        }

    def eth_getCode(self, _address: str, number: str) -> str:
        self._state(number)
        return "0x60" if int(number, 16) >= self.deployed else "0x"

    def eth_call(self, call: dict[str, str], number: str) -> str:
        assert call["data"].startswith(_DEPOSITS)
        wallet = "0x" + call["data"][-40:].lower()
        return f"0x{self._state(number).pools.get(wallet, 0):064x}"

    def eth_getLogs(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in where:
            every = [*self._known, *self.dropped]
            blocks = [block for block in every if block.hash == where["blockHash"]]
            if not blocks:
                raise Refused("unknown block")
        else:
            first, last = int(where["fromBlock"], 16), int(where["toBlock"], 16)
            if last - first + 1 > self.max_range:
                raise Refused(f"block range too large, at most {self.max_range}")
            blocks = self._known[first : last + 1]
        return [
            {
                "address": happening.address,
                "topics": list(happening.topics),
                "data": "0x" + b"".join(v.to_bytes(32, "big") for v in happening.values).hex(),
                "blockNumber": hex(block.number),
                "blockHash": block.hash,
                "transactionHash": _hash(f"transaction {happening.transaction}"),
                "logIndex": hex(index),
                "removed": False,
            }
            for block in blocks
            if block.number not in self.withholds
            for index, happening in enumerate(block.happenings)
            if happening.address == where["address"].lower() and _fits(happening.topics, where["topics"])
        ]

    def _state(self, number: str) -> Minted:
        wanted = int(number, 16)
        if self.lenient:
            wanted = min(wanted, len(self._known) - 1)
        if not self.state_from <= wanted < len(self._known):
            raise Refused("missing trie node")
        return self._known[wanted]


def _fits(topics: tuple[str, ...], wanted: list[Any]) -> bool:
    return len(topics) >= len(wanted) and all(
        choice is None or topic in (choice if isinstance(choice, list) else [choice])
        for topic, choice in zip(topics, wanted, strict=False)
    )


def _word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _bloom(happenings: tuple[Happening, ...]) -> str:
    bits = 0
    for happening in happenings:
        for value in (happening.address, *happening.topics):
            digest = keccak(hexstr=value)
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return f"0x{bits:0512x}"


def _hash(seed: str) -> str:
    return "0x" + hashlib.sha256(seed.encode()).hexdigest()
