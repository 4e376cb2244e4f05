"""How far a node's chain goes: up to the newest block that it shows, whatever number it tells.

``eth_blockNumber`` alone is a claim. Behind a balancer one node may tell of a block that the next lacks, and
a faulty one may tell anything; whoever believed that would count confirmations that are none, look for logs
that are not there, and take honest nodes for old. So a node that tells of more than it has shown is asked for
that block, once for each new one.

A node that makes up blocks as well, each with the right number, is found out by two others at least: its head
is far above theirs, and theirs rise. With one node or two nothing tells it from the one that is right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from luxxon_core.adapters.chain.node_state import Node, OldHead, number_of
from luxxon_core.adapters.chain.wire import NodeError

MAX_LAG = 5
"""Blocks that a node's head may lie behind the others', above theirs, or above the blocks that it shows."""
STILL_S = 30.0
"""A node whose head has not risen for so long is no measure for one that goes on."""

Ask = Callable[[str, Sequence[object]], Awaitable[Any]]
"""A request to one node."""


async def newest_shown(node: Node, told: int, ask: Ask) -> int:
    """The newest block of a node that tells of the number ``told``.

    Raises:
        OldHead: it shows neither that block nor another newest one.
        Unreachable: it does not answer.
    """
    if told <= node.shown:
        if told < node.shown - MAX_LAG:
            node.shown = told  # the chain has become shorter: more is to be shown anew
        return told
    if await _number_at(hex(told), ask) == told:
        node.shown = max(node.shown, told)
        return told
    newest = await _number_at("latest", ask)
    if newest is None or (newest > node.shown and await _number_at(hex(newest), ask) != newest):
        raise OldHead("a head without its block")
    node.shown = max(node.shown, newest)
    return newest


def boasts(node: Node) -> bool:
    """Whether a node tells of far more blocks than it shows."""
    return node.head is not None and node.told > node.head + MAX_LAG


def runs_away(node: Node, nodes: Sequence[Node], now: float) -> bool:
    """Whether a node's head is far above those of two others that go on."""
    others = [
        one.head
        for one in nodes
        if one is not node and one.head is not None and one.answers and now - one.risen_at < STILL_S
    ]
    return node.head is not None and len(others) > 1 and node.head > max(others) + MAX_LAG


async def _number_at(place: str, ask: Ask) -> int | None:
    """The number of the block that a node shows at a number or a tag; None where it shows none."""
    try:
        block = await ask("eth_getBlockByNumber", (place, False))
    except NodeError:
        return None
    number = block.get("number") if isinstance(block, dict) else None
    return None if number is None else number_of(number)
