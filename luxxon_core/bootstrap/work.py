"""What goes on by itself while a deployment runs: each loop calls one use case."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from luxxon_core.settings import Settings, revealed
from luxxon_core.workers import Workers

if TYPE_CHECKING:
    from luxxon_core.bootstrap.cases import Cases
    from luxxon_core.bootstrap.parts import Parts
    from luxxon_core.http.idempotency import Idempotency

ALIVE_SECONDS = 1.0
SWEEP_SECONDS = 1.0
STALE_SECONDS = 5.0
WEBHOOK_SECONDS = 1.0
HEAR_SECONDS = 5.0
REPAIR_SECONDS = 600.0
PURGE_SECONDS = 300.0
CHAIN_SECONDS = {"embedded": (0.1, 0.25), "external": (1.0, 1.0)}
"""Pauses of relayer and watcher."""


def begin(workers: Workers, settings: Settings, parts: Parts, cases: Cases, idempotency: Idempotency) -> None:
    """Set every loop going; several servers on one database run the same ones."""
    relay_seconds, watch_seconds = CHAIN_SECONDS["embedded" if settings.rpc_url is None else "external"]
    if parts.chain is not None:
        workers.once("chain process", parts.chain.watch)
    workers.every("event feed", 0, cases.feed.turn)
    workers.every("meters", 0, cases.feed.second)
    workers.every("controls", 0, cases.hear_controls)
    workers.follow("media events", parts.media.all.events, cases.media)
    workers.every("alive", ALIVE_SECONDS, cases.sessions.stamp_alive)
    workers.every("session sweep", SWEEP_SECONDS, cases.sessions.sweep)
    workers.every("abandoned sweep", SWEEP_SECONDS, cases.sessions.sweep_abandoned)
    workers.every("teardown sweep", SWEEP_SECONDS, cases.sessions.sweep_torn_down)
    workers.every("observations", 0, cases.observations.run)
    workers.every("observation waiters", HEAR_SECONDS, cases.observations.hear)
    workers.every("stale telemetry sweep", STALE_SECONDS, cases.telemetry.sweep_stale)
    if parts.relays:
        workers.every("relayer", relay_seconds, cases.relay.submit)
        workers.every("settlement receipts", relay_seconds, cases.relay.follow)
    _watch(workers, settings, parts, cases, watch_seconds)
    if parts.outbox is not None:
        workers.every("relationships", SWEEP_SECONDS, parts.outbox.apply_outbox)
        workers.every("relationship repair", REPAIR_SECONDS, parts.outbox.reconcile)
    workers.every("challenge purge", PURGE_SECONDS, cases.access.purge)
    workers.every("quote purge", PURGE_SECONDS, cases.pricing.purge)
    workers.every("event purge", PURGE_SECONDS, cases.forget_events)
    workers.every("observation purge", PURGE_SECONDS, cases.observations.purge)
    workers.every("idempotency purge", PURGE_SECONDS, idempotency.purge)


def _watch(workers: Workers, settings: Settings, parts: Parts, cases: Cases, seconds: float) -> None:
    """Have the ledger kept: as often as a node tells of a block where one does so by WebSocket, else by
    looking every ``seconds``."""
    urls = [url for url in settings.rpc_urls if url.startswith(("ws://", "wss://"))]
    given = revealed(settings.rpc_ws_url)
    if given is not None:
        urls = [given]
    if not urls:
        workers.every("watcher", seconds, cases.watch.watch)
        return
    from luxxon_core.adapters.chain.heads import NewHeads

    heads = NewHeads(urls, parts.rpc.settlement_address)

    async def watch(now: datetime) -> int:
        if found := await cases.watch.watch(now):
            return found
        await heads.wait(seconds)
        return 1

    workers.once("chain subscription", heads.run)
    workers.every("watcher", 0, watch)
