"""What the parts of a running server tell of themselves: figures for ``/metrics``, checks for ``/ready``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING
from uuid import UUID

from luxxon_core.adapters.postgres import figures as postgres
from luxxon_core.http.metrics import Figure, Source
from luxxon_core.http.principal import Permission
from luxxon_core.http.system import Check
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import VideoError
from luxxon_core.webhooks.domain.deliveries import OUTCOMES as ANSWERS
from luxxon_core.workers import Workers

if TYPE_CHECKING:
    from luxxon_core.bootstrap import Parts
    from luxxon_core.bootstrap.couriers import Couriers
    from luxxon_core.http.guard import Authorizer

OUTCOMES = {"luxxon_dispatches": ("POST", "/sessions/{session_id}/dispatch")}
NOBODY, NOWHERE = "0x" + "0" * 40, UUID(int=0)
LEVELS = frozenset({"live_inputs", "publishers", "viewers"})
"""Figures of the edge that go up and down; the others only grow."""


def sources(parts: Parts, clock: Clock, workers: Workers, couriers: Couriers) -> Sequence[Source]:
    async def edge() -> Sequence[Figure]:
        stats = parts.media.stats()
        return [
            Figure(
                f"luxxon_edge_{one.name}",
                f"Media edge: {one.name.replace('_', ' ')}",
                [({}, float(getattr(stats, one.name)))],
                "gauge" if one.name in LEVELS else "counter",
            )
            for one in fields(stats)
        ]

    async def marketplace() -> Sequence[Figure]:
        return await postgres.figures(parts.database, clock)

    async def pool() -> Sequence[Figure]:
        return postgres.pool(parts.database)

    async def loops() -> Sequence[Figure]:
        failures = [({"worker": name}, float(count)) for name, count in workers.failures.items()]
        return [Figure("luxxon_worker_failures", "Failures of loops, each tried again", failures, "counter")]

    async def nodes() -> Sequence[Figure]:
        health = [
            ({"node": str(place), "host": one.host}, one)
            for place, one in enumerate(parts.rpc.nodes.health())
        ]
        return [
            Figure(
                "luxxon_chain_node_usable",
                "Whether a node of the chain answers, keeps up with the others and is on the right chain",
                [(labels, float(one.usable)) for labels, one in health],
            ),
            Figure(
                "luxxon_chain_node_head",
                "The newest block that a node of the chain told of",
                [(labels, float(one.head)) for labels, one in health if one.head is not None],
            ),
        ]

    async def webhooks() -> Sequence[Figure]:
        return await postgres.webhooks(parts.database, clock)

    async def couriering() -> Sequence[Figure]:
        return _of_couriers(couriers)

    return edge, marketplace, pool, loops, nodes, webhooks, couriering


def _of_couriers(couriers: Couriers) -> list[Figure]:
    """Of the process of this server that sends webhooks; what is pending is shared by all servers."""
    told = couriers.figures
    counts = dict.fromkeys(ANSWERS, 0) | told.outcomes
    return [
        Figure(
            "luxxon_webhook_attempts",
            "Attempts to deliver a webhook by what the receiver answered, none for no answer",
            [({"outcome": name}, float(count)) for name, count in counts.items()],
            "counter",
        ),
        Figure(
            "luxxon_webhook_courier_up",
            "Whether the process that sends webhooks runs; it starts with the first webhook",
            [({}, float(couriers.running))],
        ),
        Figure(
            "luxxon_webhook_courier_ends",
            "Processes that sent webhooks and ended by themselves, each followed by another",
            [({}, float(couriers.ends))],
            "counter",
        ),
        Figure("luxxon_webhook_under_way", "Attempts under way", [({}, float(told.under_way))]),
    ]


def checks(parts: Parts, authorizer: Authorizer) -> Mapping[str, Check]:
    async def database() -> None:
        await postgres.ping(parts.database)

    async def authorization() -> None:
        await authorizer.check(NOBODY, NOWHERE, Permission.VIEW, None)

    async def edge() -> None:
        if not parts.media.running:
            raise VideoError("video:edge:stopped")

    return {"database": database, "chain": parts.rpc.head, "authorization": authorization, "edge": edge}
