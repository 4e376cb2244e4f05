"""The adapters of a deployment, started side by side."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
from luxxon_core.adapters.system import locked
from luxxon_core.bootstrap.edges import MediaEdges, edges
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings, revealed

if TYPE_CHECKING:
    from luxxon_core.access.ports import Mirror
    from luxxon_core.adapters.chain.embedded_process import ChainProcess
    from luxxon_core.adapters.chain.keys import KeySource
    from luxxon_core.adapters.chain.pools import BlockPools
    from luxxon_core.adapters.chain.rpc import RpcChain
    from luxxon_core.adapters.chain.signer import Signer
    from luxxon_core.adapters.postgres.events import PgEventLine
    from luxxon_core.adapters.postgres.outbox import PgOutbox
    from luxxon_core.http.guard import Authorizer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Parts:
    """The running adapters.

    Attributes:
        dsn: of the database; may hold a password.
        chain: the embedded one; None when somebody else runs it.
        relays: whether there is a relayer's key to pay with.
        mirror: told of every change of a member.
        outbox: ``mirror`` when it has work of its own to do.
    """

    dsn: str = field(repr=False)
    database: Database
    line: PgEventLine
    media: MediaEdges
    chain: ChainProcess | None
    rpc: RpcChain
    pools: BlockPools
    relays: bool
    authorizer: Authorizer
    mirror: Mirror
    outbox: PgOutbox | None

    @property
    def development_chain(self) -> ChainProcess:
        """The embedded chain, with its faucet.

        Raises:
            StartError: this deployment has none.
        """
        if self.chain is None:
            raise StartError("chain:development", "This deployment has no development chain")
        return self.chain


async def started(stack: AsyncExitStack, settings: Settings, public_url: str, clock: Clock) -> Parts:
    """Database and chain are processes of their own and start side by side with our own imports.

    Raises:
        StartError: a part cannot start as the settings say.
    """
    stack.enter_context(locked(settings.data_dir))
    chain = asyncio.create_task(_chain(stack, settings))
    database = asyncio.create_task(_database(stack, settings))
    media = asyncio.create_task(edges(stack, settings, public_url, clock))
    try:
        # all of them, even when one fails: what has started must be on the stack before it unwinds
        await asyncio.wait({chain, database, media})
    finally:
        for task in (chain, database, media):
            task.cancel()
        await asyncio.gather(chain, database, media, return_exceptions=True)
    dsn, opened = database.result()
    embedded, rpc, relays = chain.result()
    return Parts(
        dsn,
        opened,
        _line(stack, dsn),
        media.result(),
        embedded,
        rpc,
        _pools(stack, rpc),
        relays,
        *await _authorization(stack, settings, opened),
    )


async def books(stack: AsyncExitStack, settings: Settings) -> tuple[Database, RpcChain]:
    """Database and chain alone, for commands that look at the ledger; what is embedded is started for it.

    Raises:
        StartError: a part cannot start as the settings say, or a server holds the data directory.
    """
    directory = settings.data_dir / "postgres"
    if settings.database_url is None and not (directory / "PG_VERSION").exists():
        raise StartError(message=f"there is no database in {directory} yet")
    if settings.database_url is None or settings.rpc_url is None:
        stack.enter_context(locked(settings.data_dir))
    _, database = await _database(stack, settings)
    if settings.rpc_url is None:
        _, rpc, _ = await _chain(stack, settings)
    else:
        rpc = await _reading(settings)
        stack.push_async_callback(rpc.close)
    return database, rpc


async def _database(stack: AsyncExitStack, settings: Settings) -> tuple[str, Database]:
    external = settings.database_url is not None
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
    else:
        server = await EmbeddedPostgres.start(settings.data_dir / "postgres", durable=settings.durable)
        stack.push_async_callback(server.close)
        watching = asyncio.create_task(server.watch(), name="database watch")
        stack.push_async_callback(ended, watching)
        dsn = server.dsn
    await schema.prepare(dsn, external=external, geography=settings.geography)
    database = await Database.connect(dsn, max_size=settings.database_pool)
    stack.push_async_callback(database.close)
    return dsn, database


def _line(stack: AsyncExitStack, dsn: str) -> PgEventLine:
    from luxxon_core.adapters.postgres.events import PgEventLine

    line = PgEventLine(dsn)
    stack.push_async_callback(line.close)
    return line


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _chain(stack: AsyncExitStack, settings: Settings) -> tuple[ChainProcess | None, RpcChain, bool]:
    if settings.rpc_url is not None:
        rpc, relays = await _external_chain(stack, settings)
        stack.push_async_callback(rpc.close)
        return None, rpc, relays
    from luxxon_core.adapters.chain.embedded_process import ChainProcess
    from luxxon_core.adapters.chain.rpc import RpcChain

    chain = await ChainProcess.start(settings.data_dir / "chain", settings.rpc_port)
    stack.push_async_callback(chain.close)
    rpc = RpcChain(
        chain.rpc_url,
        chain_id=chain.chain_id,
        settlement_address=chain.settlement_address,
        usdc_address=chain.usdc_address,
        signer=chain.relayer,
    )
    stack.push_async_callback(rpc.close)
    return chain, rpc, True


async def _external_chain(stack: AsyncExitStack, settings: Settings) -> tuple[RpcChain, bool]:
    from luxxon_core.adapters.chain.keys import signer_of
    from luxxon_core.bootstrap.plugged import plugged_signer

    if settings.public_rpc_url is None and urlsplit(settings.rpc_urls[0]).hostname not in LOOPBACK:
        raise StartError(message="setting public_rpc_url: needed beside rpc_url, which may hold a key")
    signer = await signer_of(relayer_key(settings))
    if settings.relayer_signer is not None:
        if signer is not None:
            raise StartError(message="setting relayer_signer: there is another key of the relayer beside it")
        signer = await plugged_signer(stack, settings)
    return await _reading(settings, signer), signer is not None


async def _reading(settings: Settings, signer: Signer | None = None) -> RpcChain:
    from luxxon_core.adapters.chain.external import open_chain

    if settings.settlement_address is None:
        raise StartError(message="setting settlement_address: needed beside rpc_url")
    return await open_chain(
        settings.rpc_urls,
        settings.settlement_address,
        usdc_address=settings.usdc_address,
        chain_id=settings.chain_id,
        signer=signer,
    )


def relayer_key(settings: Settings) -> KeySource:
    """Where the settings have the relayer's key."""
    from luxxon_core.adapters.chain.keys import KeySource

    return KeySource(
        "relayer",
        revealed(settings.relayer_key),
        settings.relayer_keystore,
        revealed(settings.relayer_passphrase),
        settings.relayer_passphrase_file,
        settings.relayer_kms_key,
        settings.kms_region,
        settings.kms_endpoint,
    )


def _pools(stack: AsyncExitStack, rpc: RpcChain) -> BlockPools:
    from luxxon_core.adapters.chain.pools import BlockPools

    pools = BlockPools(rpc)
    stack.push_async_callback(pools.close)
    return pools


async def _authorization(
    stack: AsyncExitStack, settings: Settings, database: Database
) -> tuple[Authorizer, Mirror, PgOutbox | None]:
    """SpiceDB where the settings name one, else the same rules over the member table."""
    from luxxon_core.adapters.spicedb.schema import schema_text

    if settings.spicedb_endpoint is None:
        from luxxon_core.adapters.postgres.permissions import MemberTable, Rules

        table = MemberTable(database, Rules.parse(schema_text()))
        return table, table, None
    from luxxon_core.adapters.postgres.outbox import PgOutbox, Told
    from luxxon_core.adapters.spicedb.authorization import SpiceDb

    if settings.spicedb_token is None:
        raise StartError(message="setting spicedb_token: needed beside spicedb_endpoint")
    try:
        authority = settings.spicedb_ca.read_bytes() if settings.spicedb_ca is not None else None
    except OSError as error:
        raise StartError(message=f"setting spicedb_ca: {error.strerror}") from error
    spicedb = SpiceDb(
        settings.spicedb_endpoint,
        settings.spicedb_token.get_secret_value(),
        plaintext=settings.spicedb_insecure,
        ca=authority,
    )
    stack.push_async_callback(spicedb.close)
    await spicedb.start()
    outbox = PgOutbox(database, spicedb)
    return Told(spicedb, outbox), outbox, outbox
