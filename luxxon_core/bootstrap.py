"""Settings → adapters → use cases → application: the only place that knows the adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from luxxon_core import __version__
from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
from luxxon_core.adapters.system import SystemSecrets, kept_secret, locked
from luxxon_core.http.schemas import Config, Health
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.ids import new_id
from luxxon_core.settings import Settings
from luxxon_core.workers import Workers

if TYPE_CHECKING:
    from aiohttp import web

    from luxxon_core.access.usecases import Access
    from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
    from luxxon_core.adapters.chain.embedded_process import ChainProcess
    from luxxon_core.adapters.chain.rpc import RpcChain
    from luxxon_core.dispatch.usecases import Dispatch
    from luxxon_core.sessions.usecases import SessionCases
    from luxxon_core.settlement.usecases import Receipts, Relay
    from luxxon_core.telemetry.usecases import Telemetry
    from luxxon_core.wallet.usecases import Wallets
    from luxxon_core.workspaces.usecases import WorkspaceCases

ALIVE_SECONDS = 1.0
SWEEP_SECONDS = 1.0
RELAY_SECONDS = 0.1
STALE_SECONDS = 5.0
PURGE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The running adapters."""

    database: Database
    edge: AiortcEdge
    chain: ChainProcess
    rpc: RpcChain


@dataclass(frozen=True, slots=True)
class Cases:
    """The use cases, wired."""

    access: Access
    workspaces: WorkspaceCases
    telemetry: Telemetry
    sessions: SessionCases
    dispatch: Dispatch
    wallets: Wallets
    receipts: Receipts
    relay: Relay


@dataclass(frozen=True, slots=True)
class Deployment:
    """A marketplace that is ready to be bound to a socket."""

    parts: Parts
    cases: Cases
    config: Config
    app: web.Application = field(repr=False)


@asynccontextmanager
async def deployed(settings: Settings, public_url: str, clock: Clock) -> AsyncIterator[Deployment]:
    """Start every part, wire it, and run the workers; everything ends in reverse order.

    Raises:
        StartError: a part cannot start as the settings say.
    """
    async with AsyncExitStack() as stack:
        parts = await _start(stack, settings, public_url, clock)
        cases = _wire(parts, settings, public_url)
        config = _config(settings, parts)
        await cases.sessions.restore(clock())
        workers = Workers(clock)
        stack.push_async_callback(workers.close)
        _work(workers, cases, parts)
        yield Deployment(
            parts, cases, config, _application(settings, parts, cases, config, clock, public_url)
        )


async def _start(stack: AsyncExitStack, settings: Settings, public_url: str, clock: Clock) -> Parts:
    """Database and chain are processes of their own and start side by side with our own imports."""
    stack.enter_context(locked(settings.data_dir))
    chain = asyncio.create_task(_chain(stack, settings))
    database = asyncio.create_task(_database(stack, settings))
    edge = asyncio.create_task(_edge(stack, settings, public_url, clock))
    try:
        # all of them, even when one fails: what has started must be on the stack before it unwinds
        await asyncio.wait({chain, database, edge})
    finally:
        for task in (chain, database, edge):
            task.cancel()
        await asyncio.gather(chain, database, edge, return_exceptions=True)
    return Parts(database.result(), edge.result(), *chain.result())


async def _database(stack: AsyncExitStack, settings: Settings) -> Database:
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
    else:
        server = await EmbeddedPostgres.start(settings.data_dir / "postgres", durable=settings.durable)
        stack.push_async_callback(server.close)
        watching = asyncio.create_task(server.watch(), name="database watch")
        stack.push_async_callback(ended, watching)
        dsn = server.dsn
    await schema.upgrade(dsn)
    database = await Database.connect(dsn)
    stack.push_async_callback(database.close)
    return database


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _chain(stack: AsyncExitStack, settings: Settings) -> tuple[ChainProcess, RpcChain]:
    from luxxon_core.adapters.chain.embedded_process import ChainProcess

    chain = await ChainProcess.start(settings.data_dir / "chain", settings.rpc_port)
    stack.push_async_callback(chain.close)
    rpc = _rpc(chain)
    stack.push_async_callback(rpc.close)
    return chain, rpc


async def _edge(stack: AsyncExitStack, settings: Settings, public_url: str, clock: Clock) -> AiortcEdge:
    module = await asyncio.to_thread(import_module, "luxxon_core.adapters.aiortc_edge.edge")
    edge: AiortcEdge = module.AiortcEdge(
        public_url=public_url, clock=clock, udp_host=settings.udp_host, udp_port=settings.udp_port
    )
    await edge.start()
    stack.push_async_callback(edge.close)
    return edge


def _rpc(chain: ChainProcess) -> RpcChain:
    from luxxon_core.adapters.chain.rpc import RpcChain

    return RpcChain(
        chain.rpc_url,
        chain_id=chain.chain_id,
        settlement_address=chain.settlement_address,
        usdc_address=chain.usdc_address,
        signer=chain.relayer,
    )


def _wire(parts: Parts, settings: Settings, public_url: str) -> Cases:
    from luxxon_core.access.domain import SignInDomain
    from luxxon_core.access.usecases import Access
    from luxxon_core.adapters.chain.signatures import EthereumWallets
    from luxxon_core.adapters.postgres import access as pg_access
    from luxxon_core.adapters.postgres.sessions import PgSessions
    from luxxon_core.adapters.postgres.settlement import PgSettlementStore
    from luxxon_core.adapters.postgres.telemetry import PgHeartbeats, PgWindows
    from luxxon_core.adapters.postgres.workspaces import PgSuppliers, PgWorkspaces
    from luxxon_core.dispatch.usecases import Dispatch
    from luxxon_core.sessions.usecases import Policy, SessionCases
    from luxxon_core.settlement.usecases import Receipts, Relay, SettleSession
    from luxxon_core.telemetry.usecases import Telemetry
    from luxxon_core.wallet.usecases import Wallets
    from luxxon_core.workspaces.usecases import WorkspaceCases

    uow, workspaces, sessions, windows = parts.database, PgWorkspaces(), PgSessions(), PgWindows()
    store = PgSettlementStore()
    given = settings.cookie_secret
    access = Access(
        uow=uow,
        challenges=pg_access.PgChallenges(),
        keys=pg_access.PgApiKeys(),
        members=pg_access.PgMembers(),
        wallets=EthereumWallets(),
        secrets=SystemSecrets(),
        new_id=new_id,
        sign_in=SignInDomain(urlsplit(public_url).netloc, public_url, parts.chain.chain_id),
        environment=settings.environment,
        cookie_secret=given.get_secret_value().encode()
        if given is not None
        else kept_secret(settings.data_dir / "cookie.secret"),
    )
    wallets = Wallets(uow, workspaces, parts.rpc)
    policy = Policy(
        settings.base_rate_uusdc, settings.platform_fee_bps, settings.geofence_radius_m, settings.holds
    )
    cases = SessionCases(
        uow=uow,
        sessions=sessions,
        workspaces=workspaces,
        windows=windows,
        settlements=SettleSession(store),
        pools=wallets,
        edge=parts.edge,
        new_id=new_id,
        policy=policy,
    )
    return Cases(
        access=access,
        workspaces=WorkspaceCases(uow, workspaces, access, new_id),
        telemetry=Telemetry(uow, windows, PgHeartbeats(), workspaces, new_id),
        sessions=cases,
        dispatch=Dispatch(uow, sessions, PgSuppliers()),
        wallets=wallets,
        receipts=Receipts(uow, store, cases),
        relay=Relay(uow, store, parts.rpc, confirmations=1),
    )


def _config(settings: Settings, parts: Parts) -> Config:
    return Config(
        environment=settings.environment,
        chain_id=parts.chain.chain_id,
        chain_name="Luxxon development chain",
        rpc_url=parts.chain.rpc_url,
        explorer_url="",
        usdc_address=parts.chain.usdc_address,
        settlement_address=parts.chain.settlement_address,
    )


def _work(workers: Workers, cases: Cases, parts: Parts) -> None:
    workers.once("chain process", parts.chain.watch)
    workers.once("chain client", parts.rpc.connect)
    workers.follow("media events", parts.edge.events, cases.sessions.on_media)
    workers.every("alive", ALIVE_SECONDS, cases.sessions.stamp_alive)
    workers.every("session sweep", SWEEP_SECONDS, cases.sessions.sweep)
    workers.every("teardown sweep", STALE_SECONDS, cases.sessions.sweep_torn_down)
    workers.every("stale telemetry sweep", STALE_SECONDS, cases.telemetry.sweep_stale)
    workers.every("relayer", RELAY_SECONDS, cases.relay.relay_once)
    workers.every("challenge purge", PURGE_SECONDS, cases.access.purge)


def _application(
    settings: Settings, parts: Parts, cases: Cases, config: Config, clock: Clock, public_url: str
) -> web.Application:
    from aiohttp import web

    from luxxon_core.access import routes as access
    from luxxon_core.dispatch import routes as dispatch
    from luxxon_core.http import system
    from luxxon_core.http.app import MAX_BODY, cors_middleware, errors_middleware, mount
    from luxxon_core.http.guard import Guard
    from luxxon_core.sessions import routes as sessions
    from luxxon_core.settlement import routes as settlement
    from luxxon_core.telemetry import routes as telemetry
    from luxxon_core.wallet import routes as wallet
    from luxxon_core.workspaces import routes as workspaces

    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[cors_middleware(settings.origins), errors_middleware(clock)],
    )
    health = Health(ok=True, surface="lx-api", version=__version__, build_sha="")
    operations = [
        *system.operations(config, health),
        *access.operations(cases.access),
        *workspaces.operations(cases.workspaces),
        *telemetry.operations(cases.telemetry),
        *wallet.operations(cases.wallets),
        *dispatch.operations(cases.dispatch),
        *settlement.operations(cases.receipts),
        *sessions.operations(cases.sessions),
    ]
    secure = public_url.startswith("https://")
    mount(app, operations, Guard(cases.access, cases.access), clock, secure=secure)
    app.add_routes(parts.edge.routes())
    return app
