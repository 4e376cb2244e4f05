"""A relayer in a process of its own that dies where it is told to, and what it is owed to pay."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from typing import Any
from uuid import UUID, uuid4

from anvil import AnvilChain, call
from ended_sessions import end_sessions
from eth_utils.crypto import keccak

from luxxon_core.adapters.chain.rpc import SETTLED, RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.events import PgJournal
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.adapters.postgres.telling import TellingSettlementStore
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import Payload, Settlement, SettlementState, compose, session_key
from luxxon_core.settlement.ports import Step
from luxxon_core.settlement.usecases import Policy, QueueSettlement, Relay
from luxxon_core.workers import Workers

PAUSE_S = 0.02
PATIENCE_S = 30.0
NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(
    [
        "aiohttp",
        "asyncpg",
        "coincurve",
        "eth_abi.abi",
        "eth_keys",
        "rlp",
        "web3",
        "luxxon_core.adapters.chain.embedded_keys",
        "luxxon_core.adapters.chain.node",
        "luxxon_core.adapters.chain.settlements",
        "luxxon_core.adapters.postgres.telling",
        "luxxon_core.settlement.usecases",
    ]
)
"""Imported once, and not by each process anew; what lies in this folder the server cannot import."""


def policy(batch: int = 100, **changed: Any) -> Policy:
    """With the depths and the patience of a chain that mines every second."""
    given = {
        "confirmations": 2,
        "final": 4,
        "max_fee": 10**12,
        "reprice_after": timedelta(seconds=1),
        "fill_after": timedelta(seconds=1),
    }
    return Policy(batch=batch, **(given | changed))


@dataclass(frozen=True)
class Place:
    """Where a relayer works; sent to its process."""

    dsn: str
    rpc_url: str
    settlement_address: str
    usdc_address: str
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Deadly:
    """Ends the process at a step, as a power cut does."""

    at: Step | None

    def reached(self, step: Step) -> None:
        if step is self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def process(place: Place, how: Policy, dies_at: Step | None = None) -> BaseProcess:
    """Start a relayer that runs until it is killed, or dies at a step by itself."""
    started = _fork.Process(target=_run, args=(place, how, dies_at), daemon=True)
    started.start()
    return started


def _run(place: Place, how: Policy, dies_at: Step | None) -> None:
    asyncio.run(_relay(place, how, dies_at))


async def _relay(place: Place, how: Policy, dies_at: Step | None) -> None:
    database = await Database.connect(place.dsn, min_size=1, max_size=2)
    chain = RpcSettlements(opened(place))
    store = TellingSettlementStore(PgJournal())
    relay = Relay(database, store, chain, how, Deadly(dies_at))
    workers = Workers(utc_now)  # both loops, as in a server
    workers.every("relayer", PAUSE_S, relay.submit)
    workers.every("settlement receipts", PAUSE_S, relay.follow)
    await asyncio.Event().wait()


def opened(place: Place) -> RpcChain:
    return RpcChain(
        place.rpc_url,
        place.settlement_address,
        place.usdc_address,
        LocalSigner(place.key),
        chain_id=AnvilChain.chain_id,
    )


class Books:
    """Sessions that are owed on a chain, and whether each was paid once."""

    def __init__(self, chain: AnvilChain, database: Database, dsn: str) -> None:
        self.chain, self.database = chain, database
        self.payloads: dict[UUID, Payload] = {}
        self.pools: dict[str, int] = {}
        self.place = Place(
            dsn,
            chain.rpc_url,
            chain.settlement_address,
            chain.usdc_address,
            chain.relayer._key.to_bytes(),
        )

    async def consumer(self, pool: int) -> str:
        """The address of a new consumer with so much in its pool."""
        address = "0x" + os.urandom(20).hex()
        node = self.chain.node
        await self.chain.faucet(address, 10**18, pool)
        await node.rpc("anvil_impersonateAccount", address)
        approve = call("approve(address,uint256)", self.chain.settlement_address, pool)
        await node.send(**{"from": address, "to": self.chain.usdc_address, "data": approve})
        deposit = call("deposit(uint256)", pool)
        await node.send(**{"from": address, "to": self.chain.settlement_address, "data": deposit})
        self.pools[address] = pool
        return address

    async def owe(self, number: int, consumer: str | None = None, operator: str | None = None) -> list[UUID]:
        """Finish so many sessions; each charge is another."""
        consumers = list(self.pools)
        owed = []
        for _ in range(number):
            place = len(self.payloads)
            payload = compose(
                session_id=uuid4(),
                consumer_wallet=consumer or consumers[place % len(consumers)],
                operator_wallet=operator or "0x" + keccak(text=f"operator {place % 7}")[:20].hex(),
                rate_uusdc=1000 + place,
                clean_seconds=31 + place % 60,
                fee_bps=1500,
            )
            self.payloads[payload.session_id] = payload
            owed.append(payload)
        ended = [(one.session_id, one.rate_uusdc, one.chargeable_seconds) for one in owed]
        await end_sessions(self.place.dsn, ended, NOW)
        store = PgSettlementStore()
        async with self.database.begin() as tx:
            for payload in owed:
                await QueueSettlement(store)(tx, payload, NOW, utc_now())
        return [payload.session_id for payload in owed]

    async def rows(self) -> dict[UUID, Settlement]:
        async with self.database.read() as tx:
            return await PgSettlementStore().many(tx, list(self.payloads))

    async def until(self, holds: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not await holds():
                await asyncio.sleep(0.1)

    async def all_final(self) -> bool:
        return all(row.final_at is not None for row in (await self.rows()).values())

    async def all_confirmed(self) -> bool:
        return all(row.state is SettlementState.CONFIRMED for row in (await self.rows()).values())

    async def balance(self) -> None:
        """Each session was paid once, by the transaction that its row names; to the last micro-unit."""
        rows, paid = await self.rows(), await self.paid()
        assert rows.keys() == paid.keys() == self.payloads.keys()
        for session_id, row in rows.items():
            assert row.state is SettlementState.CONFIRMED
            assert paid[session_id] == [(row.tx_hash, row.block_number)]
        view = opened(self.place)
        operators: dict[str, int] = {}
        pools = dict(self.pools)
        for one in self.payloads.values():
            operators[one.operator_wallet] = operators.get(one.operator_wallet, 0) + one.to_amount_uusdc
            pools[one.consumer_wallet] -= one.charged_uusdc
        for wallet, owed in operators.items():
            assert await view.usdc_balance(wallet) == owed
        for wallet, left in pools.items():
            assert (await view.pool(wallet)).amount_uusdc == left
        fees = sum(one.fee_amount_uusdc for one in self.payloads.values())
        assert await view.usdc_balance(self.chain.platform_wallet) == fees
        await view.close()

    async def reverted(self) -> int:
        """How many transactions failed in all blocks."""
        node, failures = self.chain.node, 0
        for number in range(int(await node.rpc("eth_blockNumber"), 16) + 1):
            receipts = await node.rpc("eth_getBlockReceipts", hex(number))
            failures += sum(one["status"] != "0x1" for one in receipts)
        return failures

    async def paid(self) -> dict[UUID, list[tuple[str, int]]]:
        """Transaction and block of each payment that the contract's log shows."""
        logs = await self.chain.node.rpc(
            "eth_getLogs",
            {
                "address": self.chain.settlement_address,
                "topics": ["0x" + keccak(text=SETTLED).hex()],
                "fromBlock": "0x0",
            },
        )
        known = {"0x" + session_key(one).hex(): one for one in self.payloads}
        found: dict[UUID, list[tuple[str, int]]] = {}
        for log in logs:
            payment = (log["transactionHash"], int(log["blockNumber"], 16))
            found.setdefault(known[log["topics"][1]], []).append(payment)
        return found
