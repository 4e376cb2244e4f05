"""How long after it was mined a deposit is in the ledger: by polling, and by a WebSocket's word.

anvil mines each deposit at once; the watcher runs as in a server, on a private PostgreSQL, and the ledger is
read every millisecond. The limit is the same watcher without any pause, which keeps the node and the database
busy for nothing. Polling pauses for a second, so that is what it takes at most.

Run: ``python benchmarks/watcher.py``, about half a minute.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

from anvil import AnvilChain, anvil_chain, call  # noqa: E402

from luxxon_core.adapters.chain.heads import NewHeads  # noqa: E402
from luxxon_core.adapters.chain.logs import RpcLogs  # noqa: E402
from luxxon_core.adapters.chain.rpc import RpcChain, checksum  # noqa: E402
from luxxon_core.adapters.postgres import schema  # noqa: E402
from luxxon_core.adapters.postgres.database import Database  # noqa: E402
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres  # noqa: E402
from luxxon_core.adapters.postgres.ledger import PgLedger  # noqa: E402
from luxxon_core.kernel.clock import utc_now  # noqa: E402
from luxxon_core.wallet.usecases import Watch  # noqa: E402
from luxxon_core.workers import Workers  # noqa: E402

DEPOSITS = 15
POLL_S = 1.0
MOST = 5.0
"""How many times the limit a WebSocket's word may take."""


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="luxxon-bench-") as root:
        directory = Path(root)
        server = await EmbeddedPostgres.start(directory / "cluster", durable=True)
        try:
            await schema.upgrade(server.dsn)
            database = await Database.connect(server.dsn)
            async with anvil_chain(directory) as chain:
                ports = RpcChain(
                    chain.rpc_url, chain.settlement_address, chain.usdc_address, chain_id=chain.chain_id
                )
                await measure(chain, ports, database)
                await ports.close()
            await database.close()
        finally:
            await server.close()


async def measure(chain: AnvilChain, ports: RpcChain, database: Database) -> None:
    ledger = PgLedger(ports.contract)
    watch = Watch(database, ledger, RpcLogs(ports), 1)
    heads = NewHeads([chain.rpc_url.replace("http", "ws")], chain.settlement_address)

    async def woken(now: datetime) -> int:
        if found := await watch.watch(now):
            return found
        await heads.wait(POLL_S)
        return 1

    wallet = (await chain.node.rpc("eth_accounts"))[1]
    await chain.faucet(wallet, 0, 10**12)
    await chain.node.send(
        **{"from": wallet},
        to=chain.usdc_address,
        data=call("approve(address,uint256)", chain.settlement_address, 2**256 - 1),
    )

    async def figure(name: str, seconds: float, work: Callable[[datetime], Awaitable[object]]) -> float:
        workers = Workers(utc_now)
        workers.once("subscription", heads.run)
        workers.every("watcher", seconds, work)
        await asyncio.sleep(2)
        waits = [await seen(chain, database, ledger, wallet) for _ in range(DEPOSITS)]
        await workers.close()
        median, longest = statistics.median(waits) * 1000, max(waits) * 1000
        print(f"{name:28} median {median:6.1f} ms, longest {longest:6.1f} ms")
        return median

    limit = await figure("without a pause (the limit)", 0, watch.watch)
    polled = await figure("polling every second", POLL_S, watch.watch)
    told = await figure("told by WebSocket", 0, woken)
    verdict = "met" if told <= MOST * limit else "MISSED"
    print(
        f"polling takes {polled / limit:.1f} times the limit, WebSocket {told / limit:.1f},"
        f" at most {MOST}: {verdict}"
    )


async def seen(chain: AnvilChain, database: Database, ledger: PgLedger, wallet: str) -> float:
    """Seconds from the receipt of a deposit until the ledger has its block."""
    await asyncio.sleep(random.random())
    data = call("deposit(uint256)", 1000)
    receipt = await chain.node.send(**{"from": wallet}, to=chain.settlement_address, data=data)
    mined, number = time.perf_counter(), int(receipt["blockNumber"], 16)
    while True:
        async with database.read() as tx:
            pool = await ledger.pool(tx, checksum(wallet))
        if pool is not None and pool.block_number >= number:
            return time.perf_counter() - mined
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main())
