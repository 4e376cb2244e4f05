"""Settlements a second through the relayer, against bare signed USDC transfers a second on the same anvil.

The limit signs token transfers and broadcasts them one after the other while receipts are read, eight at a
time, with gas and fees known before: what any payment costs at least. The relayer claims, simulates, numbers,
signs, commits, broadcasts, reads receipts and commits again, on PostgreSQL with the log of events.

Run: ``python benchmarks/settlement.py``. Budget: 0.8 of the limit one by one, five sessions a transfer in
batches.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "journeys")]

TRANSFERS = 1000
SESSIONS = {1: 1000, 100: 4000}
"""By size of batch."""
AT_ONCE = 8
GAS = 100_000


async def transfers(books: Books, number: int) -> float:
    """Bare transfers a second."""
    chain = opened(books.place)
    await books.chain.faucet(chain.signer, 0, number)
    data = bytes.fromhex(call("transfer(address,uint256)", books.chain.platform_wallet, 1)[2:])
    relaying = RpcSettlements(chain)
    first, fees = await relaying.nonce(chain.signer), await relaying.fees()
    slots = asyncio.Semaphore(AT_ONCE)

    read = partial(chain.request, "eth_getTransactionReceipt")

    async def mined(tx_hash: str) -> None:
        async with slots:
            while (receipt := await read(tx_hash)) is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            assert receipt["status"] == "0x1"

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for nonce in range(first, first + number):
            unsigned = DynamicFeeTransaction(
                chain_id=chain.chain_id,
                nonce=nonce,
                max_priority_fee_per_gas=fees.priority_fee,
                max_fee_per_gas=2 * fees.base_fee + fees.priority_fee,
                gas=GAS,
                to=bytes.fromhex(chain.usdc_address[2:]),
                data=data,
            )
            raw = unsigned.signed(await chain.key.sign_digest(unsigned.digest()))
            group.create_task(mined(await chain.request("eth_sendRawTransaction", "0x" + raw.hex())))
    rate = number / (time.perf_counter() - began)
    await chain.close()
    return rate


async def settlements(books: Books, number: int, batch: int) -> float:
    """Sessions a second, from the first pass until all are confirmed."""
    chain, store = opened(books.place), TellingSettlementStore(PgJournal())
    how = policy(batch, confirmations=1, final=1, look_after=timedelta(seconds=0.3))
    relay = Relay(books.database, store, RpcSettlements(chain), how)
    await relay.relay_once(utc_now())  # connections are open
    await books.owe(number)
    began = time.perf_counter()
    loops = [asyncio.create_task(busy(work)) for work in (relay.submit, relay.follow)]
    while await unpaid(books.database):  # noqa: ASYNC110 - what is waited for happens in the database
        await asyncio.sleep(0.01)
    rate = number / (time.perf_counter() - began)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    assert await books.all_final()
    await chain.close()
    return rate


async def busy(work: Callable[[datetime], Awaitable[bool]]) -> None:
    """A loop as a server runs it."""
    while True:
        if not await work(utc_now()):
            await asyncio.sleep(0.01)


async def unpaid(database: Database) -> bool:
    async with database.read() as tx:
        found: bool = await connection(tx).fetchval(
            "select exists (select from settlement where state <> 'CONFIRMED')"
        )
        return found


async def main() -> None:
    print("                        a second     limit     ratio   budget")
    with tempfile.TemporaryDirectory() as folder:
        server = await EmbeddedPostgres.start(Path(folder) / "cluster", durable=False)
        await schema.upgrade(server.dsn)
        database = await Database.connect(server.dsn)
        node = Path(folder) / "chain"
        await asyncio.to_thread(node.mkdir)
        async with anvil_chain(node, kept=False) as chain:
            books = Books(chain, database, server.dsn)
            await books.consumer(10**12)
            limit = await transfers(books, TRANSFERS)
            for name, batch, budget in (("one by one", 1, 0.8), ("in batches of 100", 100, 5.0)):
                rate = await settlements(books, SESSIONS[batch], batch)
                print(f"{name:20} {rate:11.0f} {limit:9.0f} {rate / limit:8.2f}x {budget:7.1f}x")
        await database.close()
        await server.close()


if __name__ == "__main__":
    import structlog
    from anvil import anvil_chain, call
    from relaying import Books, opened, policy

    from luxxon_core.adapters.chain.settlements import RpcSettlements
    from luxxon_core.adapters.chain.signer import DynamicFeeTransaction
    from luxxon_core.adapters.postgres import schema
    from luxxon_core.adapters.postgres.database import Database, connection
    from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
    from luxxon_core.adapters.postgres.events import PgJournal
    from luxxon_core.adapters.postgres.telling import TellingSettlementStore
    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.settlement.usecases import Relay

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(main())
