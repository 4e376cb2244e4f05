"""What is known of a node of the chain, and what is made of what nodes answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from luxxon_core.adapters.chain.wire import NodeError, Unreachable, Wire, result_of
from luxxon_core.kernel.errors import ExternalError

DOWN_S = (1.0, 30.0)
"""First and longest time until a node that failed is probed; it doubles in between."""
MISSING = (
    "missing trie node",
    "header not found",
    "header for hash not found",
    "block not found",
    "unknown block",
    "could not find block",
    "resource not found",
    "blockoutofrange",
    "beyond current head",
    "beyond latest executed",
    "greater than current head",
    "historical state",
    "no state available",
    "state unavailable",
    "state is not available",
    "is pruned",
)
"""What geth, reth, Erigon, Nethermind, Besu, anvil and providers say where a block or a state is missing."""


Doubt = Literal["behind", "above its blocks", "without its block", "made up"]
"""What a node's head is that is not believed."""


@dataclass(slots=True)
class Node:
    """What we know of one node.

    Attributes:
        proven: it has told the right chain's id.
        foreign: it has told another one's, and is not asked again.
        down: it failed, and has not been probed with success since.
        doubt: what its head is where it is not believed; "made up" is kept until it is taken back.
        head: the newest block that it has shown of those that it told of, lately.
        told: what its head is by its own word.
        shown: the newest block that it has shown.
        made_at: that block's timestamp, where it has one.
        risen_at: when its head was last heard to be higher than before.
        accused_at: when others last spoke against its head.
        probe_at, rests_until, risen_at, accused_at: on the monotonic clock.
    """

    host: str
    wire: Wire
    proven: bool = False
    foreign: bool = False
    down: bool = False
    doubt: Doubt | None = None
    head: int | None = None
    told: int = -1
    shown: int = -1
    made_at: int | None = None
    risen_at: float = 0.0
    accused_at: float = 0.0
    pause: float = DOWN_S[0]
    probe_at: float = 0.0
    rests_until: float = 0.0
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def rank(self) -> int:
        return 2 if self.down else 1 if self.doubt else 0

    @property
    def answers(self) -> bool:
        return not (self.down or self.foreign)

    @property
    def makes_up(self) -> bool:
        return self.doubt == "made up"

    @property
    def barred(self) -> bool:
        """Whether it is not to be asked, even if there is no other."""
        return self.foreign or self.makes_up

    def is_due(self, now: float) -> bool:
        """Whether its head may be asked for."""
        return not self.foreign and self.rests_until <= now and not (self.down and self.probe_at > now)

    def hear(self, told: int, head: int, now: float) -> None:
        if self.head is None or head > self.head:
            self.risen_at = now
        self.told, self.head = told, head

    def lacks(self, method: str, params: Sequence[object]) -> bool:
        """Whether a query for logs goes beyond what the node has told of: it would leave out the rest and say
        nothing."""
        if method != "eth_getLogs" or self.head is None or not isinstance(params[0], dict):
            return False
        last = params[0].get("toBlock")
        return isinstance(last, str) and last.startswith("0x") and int(last, 16) > self.head

    def should_have(self, method: str, params: Sequence[object]) -> bool:
        """Whether the node, answering null, lacks what its own head says that it has."""
        if method != "eth_getBlockByNumber" or self.head is None:
            return False
        number = params[0]
        return isinstance(number, str) and number.startswith("0x") and int(number, 16) <= self.head


class OldHead(Unreachable):
    """A node's head is not believed; it is not down for that."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """How one node does.

    Attributes:
        host: all that may be shown of its URL.
        head: the newest block that it told of and showed.
    """

    host: str
    usable: bool
    head: int | None


def reference_of(heads: Sequence[int]) -> int:
    """What nodes are measured by: the newest head, or where three were heard the second, so that a single
    node that makes up a head has the others not look old."""
    return sorted(heads)[-1 if len(heads) < 3 else -2]


def is_missing(answer: object) -> bool:
    """Whether a node answers that it has not got a block, or its state: another may have it."""
    if not isinstance(answer, NodeError) or answer.reverted:
        return False
    return any(words in answer.said for words in MISSING)


def is_open(answer: object, several: bool) -> bool:
    """Whether another node is to be asked as well."""
    return isinstance(answer, Unreachable) or (several and is_missing(answer))


def better(known: Any, answer: Any) -> Any:
    """Of what two nodes say of one request: the later, but rather an error than that none answered."""
    return known if isinstance(known, NodeError) and isinstance(answer, Unreachable) else answer


def result_or_error(method: str, response: Mapping[str, Any] | Unreachable) -> Any:
    """What an answer holds, an error included, or that there is none."""
    if isinstance(response, Unreachable):
        return response
    try:
        return result_of(method, response)
    except ExternalError as error:
        return error


def best_of(answers: Sequence[Any]) -> Any:
    """Of what nodes say of one transaction: that it was taken, else why not, else that there is no answer."""
    taken = [one for one in answers if not isinstance(one, ExternalError)]
    refused = [one for one in answers if isinstance(one, NodeError)]
    return [*taken, *refused, *answers][0]


def number_of(answer: object) -> int:
    """A quantity out of an answer.

    Raises:
        Unreachable: it is none.
    """
    try:
        number = int(answer, 16) if isinstance(answer, str) else -1
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise Unreachable("no known form", brief=False)
    return number


def host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or "unnamed"
    except ValueError:
        return "unnamed"
