"""The application: every operation, the media edge, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luxxon_core import __version__
from luxxon_core.bootstrap.cases import cookie_secrets
from luxxon_core.http.schemas import Config, Health
from luxxon_core.kernel.clock import Clock
from luxxon_core.settings import Settings
from luxxon_core.workers import Workers

if TYPE_CHECKING:
    from aiohttp import web

    from luxxon_core.bootstrap.cases import Cases
    from luxxon_core.bootstrap.couriers import Couriers
    from luxxon_core.bootstrap.parts import Parts
    from luxxon_core.http.idempotency import Idempotency


def config_of(settings: Settings, parts: Parts) -> Config:
    """What clients need to know of the chain; no secrets."""
    from luxxon_core.adapters.chain.networks import NAMES

    rpc = parts.rpc
    if parts.chain is not None:
        public_rpc_url = parts.chain.rpc_url
    elif settings.public_rpc_url is not None:
        public_rpc_url = settings.public_rpc_url
    else:  # on this machine: the settings are refused otherwise
        public_rpc_url = settings.rpc_urls[0]
    return Config(
        environment=settings.environment,
        chain_id=rpc.chain_id,
        chain_name=settings.chain_name or NAMES.get(rpc.chain_id, f"Chain {rpc.chain_id}"),
        rpc_url=public_rpc_url,
        explorer_url=settings.explorer_url,
        usdc_address=rpc.usdc_address,
        settlement_address=rpc.settlement_address,
    )


def idempotency_of(settings: Settings, parts: Parts, clock: Clock) -> Idempotency:
    """Answers that are kept for repeated requests, shared by all servers with the same cookie secret."""
    from luxxon_core.adapters.postgres.idempotency import PgAnswers
    from luxxon_core.http.idempotency import Idempotency

    return Idempotency(parts.database, PgAnswers(), clock, cookie_secrets(settings))


def application(
    settings: Settings,
    parts: Parts,
    cases: Cases,
    config: Config,
    clock: Clock,
    public_url: str,
    idempotency: Idempotency,
    workers: Workers,
    couriers: Couriers,
) -> web.Application:
    """The routes of every slice behind one frame."""
    from luxxon_core.bootstrap.agents import mount
    from luxxon_core.figures import OUTCOMES, checks, sources
    from luxxon_core.http.app import Frame
    from luxxon_core.http.app import application as framed
    from luxxon_core.http.guard import Guard
    from luxxon_core.http.limits import Clients, Limits, Quotas
    from luxxon_core.http.metrics import Exporter, RequestMetrics
    from luxxon_core.http.observe import Observer
    from luxxon_core.http.operations import EXPORTER, READINESS, expose
    from luxxon_core.http.system import Readiness
    from luxxon_core.rows import operations

    requests = RequestMetrics(OUTCOMES)
    exporter = Exporter(requests, sources(parts, clock, workers, couriers))
    readiness = Readiness(checks(parts, parts.authorizer))
    quotas = Quotas(
        settings.rate_limit_key,
        settings.rate_limit_wallet,
        settings.rate_limit_address,
        settings.rate_limit_failures,
    )
    frame = Frame(
        guard=Guard(cases.access, parts.authorizer, cases.links),
        clock=clock,
        limits=Limits(quotas),
        clients=Clients(settings.trusted_proxies, settings.forwarded_header),
        observer=Observer(requests),
        idempotency=idempotency,
        origins=settings.origins,
        secure=public_url.startswith("https://"),
    )
    health = Health(ok=True, surface="lx-api", version=__version__, build_sha="")
    app = framed(frame, operations(cases, config, health, readiness, public_url))
    app.on_shutdown.append(cases.observations.stop)
    app.add_routes(parts.media.routes())
    mount(app, frame, cases.access, public_url)
    app[READINESS], app[EXPORTER] = readiness, exporter
    expose(app, exporter, direct=settings.public_url is None)
    return app
