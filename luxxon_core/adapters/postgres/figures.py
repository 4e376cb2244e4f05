"""Figures of the marketplace for ``/metrics``: what is open and what is owed, each from a partial index.

What is finished is not counted: it only grows, and counting it takes longer every day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.http.metrics import Figure

SQL = statements("figures")
OPEN = ("REQUESTED", "ASSIGNED", "LIVE")
UNPAID = ("PENDING", "SUBMITTED")
WAITS = ("DEPOSIT", "FEES", "OPERATOR")


async def figures(database: Database, clock: Callable[[], datetime]) -> Sequence[Figure]:
    """Open sessions and unpaid settlements by state, and the oldest of the unpaid."""
    async with database.read() as tx:
        sessions = await connection(tx).fetch(SQL["sessions"])
        settlements = await connection(tx).fetch(SQL["settlements"], clock())
        waiting = await connection(tx).fetch(SQL["waiting"])
    states = dict.fromkeys(OPEN, 0) | {row["state"]: row["number"] for row in sessions}
    unpaid = dict.fromkeys(UNPAID, 0) | {row["state"]: row["number"] for row in settlements}
    waits = dict.fromkeys(WAITS, 0) | {row["waits_for"]: row["number"] for row in waiting}
    oldest = max((row["oldest_s"] for row in settlements), default=0.0)
    return [
        Figure("luxxon_sessions_open", "Sessions that are not over", _by_state(states)),
        Figure("luxxon_settlements_unconfirmed", "Payments not confirmed on chain", _by_state(unpaid)),
        Figure(
            "luxxon_settlement_oldest_unconfirmed_seconds",
            "Age of the oldest payment not confirmed on chain, 0 without one",
            [({}, max(0.0, oldest))],
        ),
        Figure(
            "luxxon_settlements_waiting",
            "Payments that wait for a deposit, for lower fees, or parked for the operator",
            [({"for": reason}, float(number)) for reason, number in waits.items()],
        ),
    ]


async def webhooks(database: Database, clock: Callable[[], datetime]) -> Sequence[Figure]:
    """Deliveries of webhooks that are pending, and how long the oldest of them has been."""
    async with database.read() as tx:
        row = await connection(tx).fetchrow(SQL["webhooks"], clock())
    return [
        Figure("luxxon_webhook_deliveries_pending", "Deliveries not made yet", [({}, float(row["number"]))]),
        Figure(
            "luxxon_webhook_oldest_pending_seconds",
            "Age of the oldest delivery not made yet, 0 without one",
            [({}, max(0.0, row["oldest_s"] or 0.0))],
        ),
    ]


def _by_state(counts: dict[str, int]) -> list[tuple[dict[str, str], float]]:
    return [({"state": state}, float(number)) for state, number in counts.items()]


def pool(database: Database) -> Sequence[Figure]:
    """Connections of the pool; of as many as there may be, those in use are what requests wait for."""
    connections = database._pool
    size, idle = connections.get_size(), connections.get_idle_size()
    return [
        Figure(
            "luxxon_database_connections",
            "Connections of the pool",
            [({"state": "used"}, float(size - idle)), ({"state": "idle"}, float(idle))],
        ),
        Figure(
            "luxxon_database_connections_max",
            "Connections that the pool may open",
            [({}, float(connections.get_max_size()))],
        ),
    ]


async def ping(database: Database) -> None:
    """Ask the database for anything.

    Raises:
        DatabaseError: it does not answer.
    """
    async with database.read() as tx:
        await connection(tx).fetchval("select 1")
