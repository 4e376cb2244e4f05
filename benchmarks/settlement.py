"""Settlements a second through the relayer, against bare signed USDC transfers a second on the same anvil.

The limit is what a careful script does: it knows gas, fees and nonces beforehand, signs a transfer, sends it,
waits until the node has accepted it and goes on with the next; when all are in blocks it reads each receipt,
for a transfer may have reverted. It writes nothing down, so nothing may stop it. Shown beside it are what it
does when it leaves out the receipts, and with eight transfers under way at once. The relayer claims,
simulates, numbers, signs, commits, broadcasts, reads receipts and commits again, on PostgreSQL with the log
of events, until the last row is confirmed.

anvil mines four blocks a second, as chains do that wait for no transaction. For each block it goes through
the whole state, so that a block for each transaction measures how many sessions were ever paid. Each round
has a new anvil, on which all take turns; what is shown are the rounds' medians.

Run: ``python benchmarks/settlement.py``. Budget: 0.8 of the limit one by one, five sessions a transfer in
batches.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "journeys")]

ROUNDS = 3
TRANSFERS = 2000
SESSIONS = {1: 2000, 100: 12_000}
"""By size of batch."""
LIMITS = {"limit": (1, True), "unread": (1, False), "eight at once": (8, True)}
"""Transfers under way at once, and whether their receipts are read."""
GAS = 100_000
BLOCK_S = 0.25
PATIENCE_S = 60.0
"""More than any of the measurements takes: what hangs is an error."""
GAS_OF_BLOCK = 3_000_000_000
"""So much that a block takes whatever waits."""


async def transfers(books: Books, number: int, at_once: int, read: bool) -> float:
    """Bare transfers a second, so many of them under way at once; with their receipts or without."""
    chain = opened(books.place)
    data = bytes.fromhex(call("transfer(address,uint256)", books.chain.platform_wallet, 1)[2:])
    relaying = RpcSettlements(chain)
    first, fees = await relaying.nonce(chain.signer), await relaying.fees()
    nonces, sent = count(first), list[str]()

    async def sends() -> None:
        while (nonce := next(nonces)) < first + number:
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
            sent.append(await chain.request("eth_sendRawTransaction", "0x" + raw.hex()))

    async def reads() -> None:
        while sent:
            one = sent.pop()
            while (receipt := await chain.request("eth_getTransactionReceipt", one)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the last block is not mined yet
            assert receipt["status"] == "0x1"

    async def side_by_side(work: Callable[[], Coroutine[None, None, None]]) -> None:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    began = time.perf_counter()
    await side_by_side(sends)
    async with asyncio.timeout(PATIENCE_S):
        while await relaying.nonces_used(chain.signer, 1) < first + number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    if read:
        await side_by_side(reads)
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
    paid = asyncio.create_task(all_paid(books.database))
    try:
        async with asyncio.timeout(PATIENCE_S):
            ended, _ = await asyncio.wait([paid, *loops], return_when=asyncio.FIRST_COMPLETED)
            await ended.pop()  # a loop does not end, unless by an error
        rate = number / (time.perf_counter() - began)
    finally:
        for task in (paid, *loops):
            task.cancel()
        await asyncio.gather(paid, *loops, return_exceptions=True)
    assert await books.all_final()
    await chain.close()
    return rate


async def busy(work: Callable[[datetime], Awaitable[bool]]) -> None:
    """A loop as a server runs it."""
    while True:
        if not await work(utc_now()):
            await asyncio.sleep(0.1)


async def all_paid(database: Database) -> None:
    unpaid = True
    while unpaid:
        async with database.read() as tx:
            unpaid = await connection(tx).fetchval(
                "select exists (select from settlement where state <> 'CONFIRMED')"
            )
        await asyncio.sleep(0.05)


async def main() -> None:
    rates: defaultdict[str | int, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        server = await EmbeddedPostgres.start(Path(folder) / "cluster", durable=False)
        await schema.upgrade(server.dsn)
        database = await Database.connect(server.dsn)
        for _ in range(ROUNDS):
            node = await Anvil.start(
                Path(folder), "--gas-limit", str(GAS_OF_BLOCK), block_time=BLOCK_S, kept=False
            )
            try:
                books = Books(await AnvilChain.deploy(node), database, server.dsn)
                await books.consumer(10**12)
                await books.chain.faucet(books.chain.relayer.address, 0, 10**9)
                for name, how in LIMITS.items():
                    rates[name].append(await transfers(books, TRANSFERS, *how))
                for batch, sessions in SESSIONS.items():
                    rates[batch].append(await settlements(books, sessions, batch))
            finally:
                await node.close()
        await database.close()
        await server.close()
    limit, *others = (median(rates[name]) for name in LIMITS)
    print("                      a second     limit     ratio   budget", end="")
    print("     unread     ratio    at once     ratio")
    for name, batch, budget in (("one by one", 1, 0.8), ("in batches of 100", 100, 5.0)):
        rate = median(rates[batch])
        beside = "".join(f" {one:10.0f} {rate / one:8.2f}x" for one in others)
        print(f"{name:20} {rate:9.0f} {limit:9.0f} {rate / limit:8.2f}x {budget:7.1f}x{beside}")


if __name__ == "__main__":
    import structlog
    from anvil import Anvil, AnvilChain, call
    from relaying import Books, opened, policy

    from luxxon_core.adapters.chain.settlements import RpcSettlements
    from luxxon_core.adapters.chain.signer import DynamicFeeTransaction
    from luxxon_core.adapters.postgres import schema
    from luxxon_core.adapters.postgres.database import Database, connection
    from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
    from luxxon_core.adapters.postgres.events import PgJournal
    from luxxon_core.adapters.postgres.telling import TellingSettlementStore
    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.server import settle_in
    from luxxon_core.settlement.usecases import Relay

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    settle_in()  # as a server does
    asyncio.run(main())
