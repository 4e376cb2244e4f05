"""How far a node's chain goes, and which node's head is believed.

``eth_blockNumber`` alone is a claim. Behind a balancer one node may tell of a block that the next lacks, and
a faulty one may tell anything; whoever believed that would count confirmations that are none, look for logs
that are not there, and take honest nodes for old. So a node that tells of more than it has shown is asked for
that block, once for each new one: its chain goes up to the newest block that it shows.

A node that makes up blocks as well, each with the right number, is found out by two others at least: its head
is far above theirs, and theirs rise. With one node or two nothing tells it from the one that is right.

Two that lag, for they synchronize or answer from a cache, would find out an honest one likewise. They are
known by newest blocks that are old though their heads rise: at its end a chain that goes on has new ones. Old
is what is far older than the newest block of another node that is of this time. Where none is, for the chain
stands still or has a clock of its own, times tell nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from luxxon_core.adapters.chain.node_state import Doubt, Node, OldHead, number_of, reference_of
from luxxon_core.adapters.chain.wire import NodeError

MAX_LAG = 5
"""Blocks that a node's head may lie behind the others', above theirs, or above the blocks that it shows."""
STILL_S = 30.0
"""A node whose head has not risen for so long is no measure for one that goes on."""
OLD_S = 60.0
"""A block so much older than another is old, and one so far from the time is not of this time."""
SILENT_S = 300.0
"""A head counts as made up for so long after the last word against it."""

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
            node.shown, node.made_at = told, None  # the chain has become shorter: more is to be shown anew
        return told
    number, made_at = await _block_at(hex(told), ask)
    if number == told:
        _note(node, told, made_at)
        return told
    newest, made_at = await _block_at("latest", ask)
    if newest is None or (newest > node.shown and (await _block_at(hex(newest), ask))[0] != newest):
        raise OldHead("a head without its block")
    _note(node, newest, made_at)
    return newest


def boasts(node: Node) -> bool:
    """Whether a node tells of far more blocks than it shows."""
    return node.head is not None and node.told > node.head + MAX_LAG


def is_behind(head: int, nodes: Sequence[Node], now: float, wall: float) -> bool:
    """Whether a head lies far behind those of nodes that answer."""
    heads = [one.head for one in _measures(nodes, now, wall) if one.head is not None]
    return bool(heads) and head < reference_of(heads) - MAX_LAG


def runs_away(node: Node, nodes: Sequence[Node], now: float, wall: float) -> bool:
    """Whether a node's head is far above those of two others that answer and go on."""
    others = [
        one.head
        for one in _measures(nodes, now, wall)
        if one is not node and one.head is not None and _goes_on(one, now)
    ]
    return node.head is not None and len(others) > 1 and node.head > max(others) + MAX_LAG


def doubt_of(node: Node, nodes: Sequence[Node], now: float, wall: float) -> Doubt | None:
    """What speaks against a node, itself one of ``nodes``, which have all just told their heads."""
    if node.makes_up and not _acquitted(node, nodes, now, wall):
        return "made up"
    if node.head is not None and is_behind(node.head, nodes, now, wall):
        return "behind"
    if runs_away(node, nodes, now, wall):
        return "made up"
    return "above its blocks" if boasts(node) else None


def _acquitted(node: Node, nodes: Sequence[Node], now: float, wall: float) -> bool:
    """Whether a node whose head was found to be made up is to be believed again.

    It is once its head is near one that is believed. One honest node is enough to keep it out, though two
    found it out: else it would be returned to when the other goes down, and the honest one taken for old.

    With nobody left to speak against it, it stays out: better no answer than a balance that is made up. But
    those who found it out may have been wrong, and gone for good. So where its newest block is not of the
    future, as one far above the chain's end is, it is taken back after ``SILENT_S``; and at once where two
    others or more do answer, and all of them lag or stand still, or where the only other one lags.
    """
    others = [one for one in nodes if not one.makes_up]
    measures = _measures(nodes, now, wall)
    if any(_near(node, one) for one in measures):
        return True
    if any(_goes_on(one, now) for one in measures):
        node.accused_at = now
        return False
    possible = node.made_at is not None and node.made_at <= wall + OLD_S
    refuted = len(others) > 1 or (bool(others) and not measures)
    return possible and (refuted or now - node.accused_at >= SILENT_S)


def _measures(nodes: Sequence[Node], now: float, wall: float) -> list[Node]:
    """The nodes that others are measured by."""
    return [
        one for one in nodes if one.head is not None and not one.makes_up and not _lags(one, nodes, now, wall)
    ]


def _lags(node: Node, nodes: Sequence[Node], now: float, wall: float) -> bool:
    """Whether a node's newest block is old though it goes on, or was found to be and stopped."""
    times = [one.made_at for one in nodes if one.made_at is not None and abs(one.made_at - wall) <= OLD_S]
    if node.made_at is None or not times or not (_goes_on(node, now) or node.doubt):
        return False
    return min(max(times), wall) - node.made_at > OLD_S


def _goes_on(node: Node, now: float) -> bool:
    return now - node.risen_at < STILL_S


def _near(one: Node, other: Node) -> bool:
    return one.head is not None and other.head is not None and abs(one.head - other.head) <= MAX_LAG


def _note(node: Node, number: int, made_at: int | None) -> None:
    if number > node.shown:
        node.shown, node.made_at = number, made_at


async def _block_at(place: str, ask: Ask) -> tuple[int | None, int | None]:
    """The number and the time of the block that a node shows at a number or a tag, if any."""
    try:
        block = await ask("eth_getBlockByNumber", (place, False))
    except NodeError:
        return None, None
    number, made_at = (
        (block.get("number"), block.get("timestamp")) if isinstance(block, dict) else (None, None)
    )
    return (None if number is None else number_of(number), None if made_at is None else number_of(made_at))
