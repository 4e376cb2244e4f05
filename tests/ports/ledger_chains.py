"""Chains that a ledger is kept of, and the ledger beside a fresh scan of them."""

from __future__ import annotations

from uuid import UUID, uuid4

from eth_account import Account
from eth_account.signers.local import LocalAccount
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode, approval, deposit, settlement, withdrawal
from marketplace import NOON
from paying import pay
from relayer_chain import relayer_chain

from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.settlement.domain import Payload
from luxxon_core.wallet.domain import Entry
from luxxon_core.wallet.usecases import Watch

ETHER = 10**18
CONSUMER, OPERATOR, OTHER = (Account.from_key(bytes([number]) * 32).address for number in (1, 2, 3))


class RealChain:
    """People who use the contract on the embedded chain."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.ports = relayer_chain(chain)
        self._chain = chain
        self._people: dict[str, LocalAccount] = {}
        config = Config(
            environment="TEST",
            chain_id=chain.chain_id,
            chain_name="",
            rpc_url=chain.rpc_url,
            explorer_url="",
            usdc_address=chain.usdc_address,
            settlement_address=chain.settlement_address,
        )
        self._client = ChainClient(config)

    async def close(self) -> None:
        await self._client.__aexit__()
        await self.ports.close()
        await self._chain.close()

    async def wallet(self) -> str:
        account = Account.create()
        self._people[account.address] = account
        await self._chain.faucet(account.address, ETHER, 10**9)
        return str(account.address)

    async def approve(self, wallet: str, amount: int) -> None:
        await self._do(wallet, self._chain.usdc_address, "approve(address,uint256)", amount)

    async def deposit(self, wallet: str, amount: int) -> None:
        await self._do(wallet, self._chain.settlement_address, "deposit(uint256)", amount)

    async def withdraw(self, wallet: str, amount: int) -> None:
        await self._do(wallet, self._chain.settlement_address, "withdraw(uint256)", amount)

    async def settle(self, session: UUID, consumer: str, operator: str, to: int, fee: int) -> None:
        payload = Payload(session, consumer, operator, to + fee, 1, to, fee)
        await pay(RpcSettlements(self.ports), payload)

    async def _do(self, wallet: str, contract: str, function: str, amount: int) -> None:
        spender = [self._chain.settlement_address] if function.startswith("approve") else []
        person = LocalWallet(self._people[wallet])
        await self._client._send(person, contract, function, *spender, amount)


class FakeChain:
    """The same on the forking node, a block for each act."""

    def __init__(self, node: ForkingNode) -> None:
        self.node = node
        self.ports = RpcChain(node.url, SETTLEMENT, USDC, chain_id=CHAIN_ID)

    async def close(self) -> None:
        await self.ports.close()

    async def wallet(self) -> str:
        return str(Account.create().address)

    async def approve(self, wallet: str, amount: int) -> None:
        self.node.mine(approval(wallet, amount))

    async def deposit(self, wallet: str, amount: int) -> None:
        self.node.mine(deposit(wallet, amount))

    async def withdraw(self, wallet: str, amount: int) -> None:
        self.node.mine(withdrawal(wallet, amount))

    async def settle(self, session: UUID, consumer: str, operator: str, to: int, fee: int) -> None:
        self.node.mine(settlement(session, consumer, operator, to, fee))


AnyChain = RealChain | FakeChain


def watcher(database: Database, ports: RpcChain, confirmations: int = 1) -> Watch:
    return Watch(database, PgLedger(ports.contract), RpcLogs(ports), confirmations)


async def caught_up(watch: Watch) -> int:
    """Watch until there is nothing left to do; the blocks that went by."""
    total = 0
    while consumed := await watch.watch(NOON):
        total += consumed
    return total


async def ledger_of(database: Database, ports: RpcChain) -> tuple[list[Entry], dict[str, int]]:
    """All entries in order, and the noted pools."""
    ledger, entries = PgLedger(ports.contract), []
    pools = {}
    async with database.read() as tx:
        for wallet in await ledger.wallets_after(tx, -1):
            entries += [entry for _, entry in await ledger.page(tx, wallet, None, 10**6) or []]
            noted = await ledger.pool(tx, wallet)
            assert noted is not None
            pools[wallet] = noted.amount_uusdc
    return sorted(entries, key=_order), pools


async def chain_of(ports: RpcChain, last: int | None = None) -> tuple[list[Entry], dict[str, int]]:
    """The same by a fresh scan of the chain."""
    last = await ports.head() if last is None else last
    covered, entries = await RpcLogs(ports).entries_between(0, last)
    assert covered == last
    return sorted(entries, key=_order), {
        entry.wallet: await ports.deposits(entry.wallet, last) for entry in entries
    }


def _order(entry: Entry) -> tuple[int, int, str]:
    return entry.block_number, entry.log_index, entry.wallet


async def story(chain: AnyChain) -> tuple[str, str, UUID]:
    """Something of each kind; consumer, operator and session."""
    consumer, operator, session = await chain.wallet(), await chain.wallet(), uuid4()
    await chain.approve(consumer, 5_000_000)
    await chain.deposit(consumer, 3_000_000)
    await chain.withdraw(consumer, 1_000_000)
    await chain.settle(session, consumer, operator, 85_000, 15_000)
    await chain.deposit(consumer, 7)
    return consumer, operator, session
