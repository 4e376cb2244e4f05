"""What is known of a node of the chain, and what is made of what nodes answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from luxxon_core.adapters.chain.wire import NodeError, Unreachable, Wire, result_of
from luxxon_core.kernel.errors import ExternalError

DOWN_S = (1.0, 30.0)
"""First and longest time until a node that failed is probed; it doubles in between."""


@dataclass(slots=True)
class Node:
    """What we know of one node.

    Attributes:
        proven: it has told the right chain's id.
        foreign: it has told another one's, and is not asked again.
        down: it failed, and has not been probed with success since.
        behind: its head lies too far behind the others'.
        probe_at, rests_until: on the monotonic clock.
    """

    host: str
    wire: Wire
    proven: bool = False
    foreign: bool = False
    down: bool = False
    behind: bool = False
    head: int | None = None
    pause: float = DOWN_S[0]
    probe_at: float = 0.0
    rests_until: float = 0.0
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def rank(self) -> int:
        return 2 if self.down else 1 if self.behind else 0


class OldHead(Unreachable):
    """A node's head is not believed; it is not down for that."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """How one node does.

    Attributes:
        host: all that may be shown of its URL.
        head: the newest block that it told of.
    """

    host: str
    usable: bool
    head: int | None


def reference_of(heads: Sequence[int]) -> int:
    """What nodes are measured by: the newest head, or where three were heard the second, so that a single
    node that makes up a head has the others not look old."""
    return sorted(heads)[-1 if len(heads) < 3 else -2]


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
        number = int(str(answer), 16)
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
