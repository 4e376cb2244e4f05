"""The history of a contract and the ledger made of it: on a real chain, and on a node whose chain forks."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode, approval, deposit, settlement, withdrawal
from marketplace import NOON, Marketplace, at
from paying import pay

from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.pools import BlockPools
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.errors import ExternalError, InvalidInput
from luxxon_core.settlement.domain import Payload
from luxxon_core.wallet.domain import Block, Cursor, Entry, EventKind, seen_by
from luxxon_core.wallet.usecases import HEARTBEAT, REMEMBERED, TAIL, Wallets, Watch
from luxxon_core.workspaces.domain import Role, new_workspace

ETHER = 10**18
CONSUMER, OPERATOR, OTHER = (Account.from_key(bytes([number]) * 32).address for number in (1, 2, 3))


class RealChain:
    """People who use the contract on the embedded chain."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.ports = RpcChain(
            chain.rpc_url,
            chain.settlement_address,
            chain.usdc_address,
            chain.relayer,
            chain_id=chain.chain_id,
        )
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


@pytest.fixture(params=["embedded", "forking node"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[AnyChain]:
    async with AsyncExitStack() as stack:
        opened: AnyChain
        if request.param == "embedded":
            opened = RealChain(await EmbeddedChain.start(None))
        else:
            opened = FakeChain(await stack.enter_async_context(ForkingNode.serving(deployed=3)))
            for _ in range(4):
                opened.node.mine()
        yield opened
        await opened.close()


@pytest.fixture
async def node() -> AsyncIterator[ForkingNode]:
    async with ForkingNode.serving() as serving:
        yield serving


@pytest.fixture
async def ports(node: ForkingNode) -> AsyncIterator[RpcChain]:
    opened = RpcChain(node.url, SETTLEMENT, USDC, chain_id=CHAIN_ID)
    yield opened
    await opened.close()


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


# ---------------------------------------------------------------- reading a chain


async def story(chain: AnyChain) -> tuple[str, str, UUID]:
    """Something of each kind; consumer, operator and session."""
    consumer, operator, session = await chain.wallet(), await chain.wallet(), uuid4()
    await chain.approve(consumer, 5_000_000)
    await chain.deposit(consumer, 3_000_000)
    await chain.withdraw(consumer, 1_000_000)
    await chain.settle(session, consumer, operator, 85_000, 15_000)
    await chain.deposit(consumer, 7)
    return consumer, operator, session


async def test_every_event_is_told_to_whom_it_concerns(chain: AnyChain) -> None:
    consumer, operator, session = await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    _, entries = await logs.entries_between(0, head)
    told = [
        (entry.kind, entry.wallet, entry.amount_uusdc, entry.pool_change_uusdc, entry.related_session)
        for entry in entries
    ]
    assert told == [
        (EventKind.APPROVAL, consumer, 5_000_000, 0, None),
        (EventKind.DEPOSIT, consumer, 3_000_000, 3_000_000, None),
        (EventKind.WITHDRAWAL, consumer, 1_000_000, -1_000_000, None),
        (EventKind.SETTLE, consumer, 100_000, -100_000, session),
        (EventKind.SETTLE, operator, 85_000, 0, session),
        (EventKind.DEPOSIT, consumer, 7, 7, None),
    ]
    by_block = []
    for number in range(head + 1):
        block = await logs.block(number)
        assert block is not None and block.number == number
        by_block += await logs.entries_of(block)
    assert by_block == entries


async def test_blocks_are_linked_and_end_at_the_head(chain: AnyChain) -> None:
    await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    below, newest = await logs.block(head - 1), await logs.block(head)
    assert below is not None and newest is not None
    assert newest.parent_hash == below.hash != newest.hash
    assert newest.at >= below.at
    assert await logs.block(head + 1) is None
    unknown = Block(head, "0x" + "ab" * 32, below.hash, newest.at)
    with pytest.raises(ExternalError):
        await logs.entries_of(unknown)


async def test_history_begins_where_the_contract_was_deployed(chain: AnyChain) -> None:
    await story(chain)
    first = await RpcLogs(chain.ports).first_block()
    code = [
        await chain.ports.request("eth_getCode", chain.ports.settlement_address, hex(number))
        for number in (first - 1, first)
    ]
    assert code[0] == "0x" != code[1]


async def test_pools_of_the_past_are_known(chain: AnyChain) -> None:
    consumer, _, _ = await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    pools = [await logs.pool_at(consumer, head - back) for back in range(5)]
    assert pools == [1_900_007, 1_900_000, 2_000_000, 3_000_000, 0]
    assert (await chain.ports.pool(consumer)).amount_uusdc == 1_900_007


# ---------------------------------------------------------------- keeping the ledger


async def test_the_ledger_suffices_to_rebuild_balances(chain: AnyChain, database: Database) -> None:
    consumer, operator, _ = await story(chain)
    await caught_up(watcher(database, chain.ports))
    entries, pools = await ledger_of(database, chain.ports)
    assert (entries, pools) == await chain_of(chain.ports)
    sign = {EventKind.DEPOSIT: 1, EventKind.WITHDRAWAL: -1, EventKind.SETTLE: -1, EventKind.APPROVAL: 0}
    mine = [entry for entry in entries if entry.wallet == consumer]
    assert sum(sign[entry.kind] * entry.amount_uusdc for entry in mine) == pools[consumer] == 1_900_007
    assert pools[operator] == 0


async def test_a_block_is_consumed_when_it_is_deep_enough(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports, confirmations=3)
    number = node.mine(deposit(CONSUMER, 5))
    node.mine()
    await caught_up(watch)
    assert await ledger_of(database, ports) == ([], {})
    node.mine()
    assert await watch.watch(NOON) == 1
    (entry,), pools = await ledger_of(database, ports)
    assert entry.block_number == number and pools == {CONSUMER: 5}


async def test_a_long_history_is_read_in_ranges_that_the_node_grants(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.max_range = 10
    for number in range(300):
        node.mine(*([deposit(CONSUMER, number + 1)] if number % 7 == 0 else []))
    assert await caught_up(watcher(database, ports)) == node.head + 1
    assert await ledger_of(database, ports) == await caught_with(node, ports)
    asked = [params for method, params in node.asked if method == "eth_getLogs"]
    assert any("blockHash" in where for (where,) in asked)  # the newest ones, each by its hash
    granted = [where for (where,) in asked if "toBlock" in where]
    assert len(granted) < 150


async def caught_with(node: ForkingNode, ports: RpcChain) -> tuple[list[Entry], dict[str, int]]:
    node.max_range = 10**9
    return await chain_of(ports)


async def test_a_node_that_keeps_refusing_is_an_error_and_loses_nothing(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for _ in range(TAIL + 20):
        node.mine(deposit(CONSUMER, 1))
    watch = watcher(database, ports)
    for answers in range(40):
        node.fails_at = answers
        with pytest.raises(ExternalError):
            await caught_up(watch)
    node.fails_at = None
    await caught_up(watch)
    assert await ledger_of(database, ports) == await chain_of(ports)


@pytest.mark.parametrize("depth", range(1, 11))
async def test_a_reorganisation_is_followed(
    node: ForkingNode, ports: RpcChain, database: Database, depth: int
) -> None:
    watch = watcher(database, ports)
    for number in range(15):
        node.mine(deposit(CONSUMER, 100 + number), settlement(uuid4(), CONSUMER, OPERATOR, 8, 2))
    node.mine(deposit(OTHER, 9))  # never again on the other branch
    await caught_up(watch)
    node.fork(node.head - depth)
    for number in range(depth):
        node.mine(deposit(OPERATOR, 7 + number), withdrawal(CONSUMER, 1))
    await caught_up(watch)
    assert await ledger_of_known(database, ports) == await chain_of(ports)


async def ledger_of_known(database: Database, ports: RpcChain) -> tuple[list[Entry], dict[str, int]]:
    """A wallet that has nothing left must be noted with nothing."""
    async with database.read() as tx:
        other = await PgLedger(ports.contract).pool(tx, OTHER)
    assert other is not None and other.amount_uusdc == 0
    return await ledger_of(database, ports)


@pytest.mark.parametrize("request_number", range(1, 14))
async def test_a_reorganisation_in_the_middle_of_a_step_mixes_no_branches(
    node: ForkingNode, ports: RpcChain, database: Database, request_number: int
) -> None:
    watch = watcher(database, ports)
    node.mine(deposit(CONSUMER, 50))
    await caught_up(watch)
    for _ in range(10):
        node.mine(deposit(CONSUMER, 1))
    left = itertools.count(request_number, -1)

    def fork(_: str) -> None:
        if next(left) == 0:
            node.fork(3)
            for _ in range(12):
                node.mine(deposit(OTHER, 2))

    node.before = fork
    await caught_up(watch)
    assert node.dropped
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_a_reorganisation_deeper_than_what_is_remembered_has_all_read_again(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports)
    for _ in range(REMEMBERED + 40):
        node.mine(deposit(CONSUMER, 3))
    await caught_up(watch)
    node.fork(5)
    for _ in range(REMEMBERED + 50):
        node.mine(deposit(OTHER, 2))
    await caught_up(watch)
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_a_node_that_falls_behind_takes_nothing_back(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports)
    for number in range(6):
        node.mine(deposit(CONSUMER, 10 + number))
    await caught_up(watch)
    before = await ledger_of(database, ports)
    node.behind = 4
    assert await watch.watch(NOON) == 0
    assert await ledger_of(database, ports) == before
    node.behind = 0
    node.mine(deposit(CONSUMER, 1))
    assert await watch.watch(NOON) == 1
    assert await ledger_of(database, ports) == await chain_of(ports)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_node_does_the_ledger_becomes_what_the_chain_is(
    node: ForkingNode, ports: RpcChain, database: Database, seed: int
) -> None:
    dice, watch = random.Random(seed), watcher(database, ports, confirmations=2)
    node.mine(*(deposit(wallet, 10**9) for wallet in (CONSUMER, OPERATOR, OTHER)))
    for _ in range(60):
        wallet = dice.choice([CONSUMER, OPERATOR, OTHER])
        match dice.randrange(7):
            case 0 | 1:
                node.mine(deposit(wallet, dice.randrange(1, 1000)))
            case 2:
                node.mine(
                    settlement(uuid4(), wallet, dice.choice([OPERATOR, OTHER]), dice.randrange(50), 1),
                    approval(wallet, 2**256 - 1),
                )
            case 3:
                for _ in range(dice.randrange(3, TAIL + 40)):
                    node.mine()
            case 4:
                node.behind = 0
                node.fork(max(1, node.head - dice.randrange(20)))
            case 5:
                node.behind = dice.randrange(4)
            case 6:
                node.fails_at = dice.randrange(12)
        for _ in range(dice.randrange(4)):
            try:
                await watch.watch(NOON)
            except ExternalError:
                node.fails_at = None
        node.behind, node.fails_at = min(node.behind, node.head), None
    node.behind = 0
    for _ in range(3):
        node.mine()
    await caught_up(watch)
    entries, _ = await ledger_of(database, ports)
    expected, pools = await chain_of(ports, node.head - 1)
    assert entries == expected
    async with database.read() as tx:
        assert await PgLedger(ports.contract).balances(tx, pools) == pools


async def test_of_many_watchers_one_watches(node: ForkingNode, ports: RpcChain, database: Database) -> None:
    for number in range(200):
        node.mine(deposit(CONSUMER, number + 1))
    watchers = [watcher(database, ports) for _ in range(6)]
    while sum(await asyncio.gather(*(watch.watch(NOON) for watch in watchers))):
        pass
    await caught_up(watchers[0])
    assert await ledger_of(database, ports) == await chain_of(ports)
    async with database.begin() as tx:
        assert await PgLedger(ports.contract).lock(tx)
        node.mine(deposit(CONSUMER, 1))
        assert await watchers[1].watch(NOON) == 0
    assert await watchers[1].watch(NOON) == 1


async def test_a_node_without_old_states_is_enough(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for number in range(150):
        node.mine(deposit(CONSUMER, number + 1), settlement(uuid4(), CONSUMER, OPERATOR, 0, 1))
    node.state_from, node.deployed = node.head - 8, 20
    await caught_up(watcher(database, ports))
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_the_contract_has_the_last_word_where_logs_are_missing(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(CONSUMER, 40))
    second = node.mine()
    node.blocks[second].pools[CONSUMER.lower()] = 100  # by a log that the node withholds
    node.mine(deposit(CONSUMER, 1))
    await caught_up(watcher(database, ports))
    _, pools = await ledger_of(database, ports)
    assert pools == {CONSUMER: 101}


async def test_a_pool_may_hold_whatever_the_contract_counts(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(OTHER, 2**255), approval(OTHER, 2**256 - 1))  # anybody mints the test token
    node.mine(deposit(CONSUMER, 7))
    await caught_up(watcher(database, ports))
    _, pools = await ledger_of(database, ports)
    assert pools == {OTHER: 2**255, CONSUMER: 7}


@pytest.mark.parametrize("answer", [None, "", "0x", [], 7, "0x" + "f" * 20])
async def test_a_node_that_answers_nonsense_is_an_error_of_the_chain(
    node: ForkingNode, ports: RpcChain, database: Database, answer: object
) -> None:
    node.mine(deposit(CONSUMER, 7))
    await caught_up(watcher(database, ports))
    node.eth_blockNumber = lambda: answer  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ExternalError):
        await ports.head()
    with pytest.raises(ExternalError):
        await watcher(database, ports).watch(NOON)


async def test_who_pays_itself_has_one_entry_about_the_pool(node: ForkingNode, ports: RpcChain) -> None:
    session = uuid4()
    node.mine(deposit(CONSUMER, 100), settlement(session, CONSUMER, CONSUMER, 85, 15))
    _, (_, paid) = await RpcLogs(ports).entries_between(0, 1)
    assert (paid.amount_uusdc, paid.pool_change_uusdc) == (100, -100)


async def test_the_cursor_is_a_heartbeat(node: ForkingNode, ports: RpcChain, database: Database) -> None:
    watch, ledger = watcher(database, ports), PgLedger(ports.contract)
    node.mine()
    await caught_up(watch)
    later = NOON + HEARTBEAT
    for now, expected in ((later - timedelta(seconds=1), NOON), (later, later)):
        assert await watch.watch(now) == 0
        async with database.read() as tx:
            assert await ledger.cursor(tx) == Cursor(node.head, expected)


async def test_ledgers_of_two_contracts_share_the_tables(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(CONSUMER, 5))
    await caught_up(watcher(database, ports))
    other = RpcChain(node.url, "0x" + "77" * 20, USDC, chain_id=CHAIN_ID)
    await caught_up(watcher(database, other))
    assert await ledger_of(database, other) == ([], {})
    assert await ledger_of(database, ports) == await chain_of(ports)
    await other.close()


# ---------------------------------------------------------------- what workspaces see


async def joined(market: Marketplace, wallet: str) -> UUID:
    made = new_workspace(
        workspace_id=uuid4(),
        slug=f"w-{uuid4().hex[:12]}",
        name="w",
        wallet_address=wallet,
        roles=[Role.CONSUMER],
        now=NOON,
    )
    async with market.database.begin() as tx:
        assert await market.workspaces.add(tx, made)
    return made.id


@pytest.fixture
async def wallets(marketplace: Marketplace, ports: RpcChain) -> AsyncIterator[Wallets]:
    pools = BlockPools(ports)
    yield Wallets(marketplace.database, marketplace.workspaces, pools, PgLedger(ports.contract))
    await pools.close()


async def test_a_workspace_has_the_history_of_its_wallet_from_before_it_existed(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    first = await joined(marketplace, CONSUMER)
    node.mine(deposit(CONSUMER, 5))
    await caught_up(watcher(marketplace.database, ports))
    second = await joined(marketplace, CONSUMER)
    pages = [await wallets.events(workspace, None, 50) for workspace in (first, second)]
    assert [[entry.amount_uusdc for _, entry in page] for page in pages] == [[5], [5]]
    ids = [page[0][0] for page in pages]
    assert ids[0] != ids[1]
    assert await wallets.events(first, ids[0], 50) == []
    with pytest.raises(InvalidInput, match="wallet:cursor"):
        await wallets.events(first, ids[1], 50)  # another workspace's
    assert await wallets.events(await joined(marketplace, OTHER), None, 50) == []


async def test_pages_stay_whole_while_new_events_arrive(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    workspace, watch = await joined(marketplace, CONSUMER), watcher(marketplace.database, ports)
    for number in range(10):
        node.mine(*(deposit(CONSUMER, 10 * number + each + 1) for each in range(3)))
    await caught_up(watch)
    seen: list[tuple[UUID, Entry]] = []
    cursor = None
    while page := await wallets.events(workspace, cursor, 4):
        seen += page
        cursor = page[-1][0]
        node.mine(deposit(CONSUMER, 999))
        await caught_up(watch)
    amounts = [entry.amount_uusdc for _, entry in seen]
    assert amounts == sorted((10 * n + each + 1 for n in range(10) for each in range(3)), reverse=True)
    assert len({event_id for event_id, _ in seen}) == 30
    assert len(await wallets.events(workspace, None, 10**9)) == len(seen) + len(seen) // 4 + 1


async def test_the_balance_is_the_watchers_or_for_a_stranger_the_chains(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    workspace, stranger = await joined(marketplace, CONSUMER), await joined(marketplace, OTHER)
    node.mine(deposit(CONSUMER, 5))
    _, balance, cursor = await wallets.get(workspace, at(9))
    assert (balance, cursor) == (5, Cursor(1, at(9)))  # nobody has watched yet
    await caught_up(watcher(marketplace.database, ports))
    node.mine(deposit(CONSUMER, 1), deposit(OTHER, 3))
    await asyncio.sleep(0.3)
    for who, expected in ((workspace, 5), (stranger, 3)):
        _, balance, cursor = await wallets.get(who, at(9))
        assert (balance, cursor) == (expected, Cursor(1, NOON))


def test_ids_can_be_turned_back() -> None:
    for _ in range(100):
        entry, workspace = uuid4(), uuid4()
        seen = seen_by(workspace, entry)
        assert seen.version == 4 and seen.variant == entry.variant
        assert seen_by(workspace, seen) == entry != seen
