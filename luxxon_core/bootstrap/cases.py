"""Use cases on their adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from luxxon_core.adapters.system import SystemSecrets, kept_secret
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.ids import new_id
from luxxon_core.settings import Settings, revealed

if TYPE_CHECKING:
    from uuid import UUID

    from luxxon_core.access.usecases import Access, Memberships
    from luxxon_core.bootstrap.parts import Parts
    from luxxon_core.controls.domain import Result
    from luxxon_core.controls.usecases import Controls
    from luxxon_core.dispatch.usecases import Dispatch
    from luxxon_core.events.usecases import Feed, Purge, Streams, TellMedia
    from luxxon_core.kernel.uow import UnitOfWork
    from luxxon_core.links.usecases import Links
    from luxxon_core.observations.usecases import Observations
    from luxxon_core.pricing.domain import Tariff
    from luxxon_core.pricing.usecases import DemandMap, Pricing
    from luxxon_core.sessions.usecases import SessionCases
    from luxxon_core.settlement.ports import SettlementStore
    from luxxon_core.settlement.usecases import Policy as RelayPolicy
    from luxxon_core.settlement.usecases import Receipts, Relay
    from luxxon_core.telemetry.usecases import BeaconLog, Telemetry, VideoEvents
    from luxxon_core.wallet.usecases import SponsoredDeposits, Wallets, Watch
    from luxxon_core.webhooks.usecases import Subscriptions
    from luxxon_core.workspaces.usecases import WorkspaceCases


@dataclass(frozen=True, slots=True)
class Cases:
    """The use cases, wired."""

    access: Access
    memberships: Memberships
    workspaces: WorkspaceCases
    telemetry: Telemetry
    beacons: BeaconLog
    video: VideoEvents
    sessions: SessionCases
    observations: Observations
    links: Links
    pricing: Pricing
    demand: DemandMap
    dispatch: Dispatch
    wallets: Wallets
    deposits: SponsoredDeposits
    watch: Watch
    receipts: Receipts
    relay: Relay
    feed: Feed
    streams: Streams
    media: TellMedia
    forget_events: Purge
    webhooks: Subscriptions
    controls: Controls
    hear_controls: Callable[[datetime], Awaitable[object]]


def wired(parts: Parts, settings: Settings, public_url: str, clock: Clock) -> Cases:
    """Every use case of a deployment."""
    from luxxon_core.access.domain import SignInDomain
    from luxxon_core.access.usecases import Access, Memberships
    from luxxon_core.adapters.chain.logs import RpcLogs
    from luxxon_core.adapters.chain.settlements import RpcSettlements
    from luxxon_core.adapters.chain.signatures import EthereumWallets
    from luxxon_core.adapters.pictures import PillowScaler
    from luxxon_core.adapters.postgres import access as pg_access
    from luxxon_core.adapters.postgres import telling
    from luxxon_core.adapters.postgres.events import AnnouncingUnitOfWork, PgEventLog, PgJournal
    from luxxon_core.adapters.postgres.ledger import PgLedger
    from luxxon_core.adapters.postgres.pricing import PgMarket, PgQuotes
    from luxxon_core.adapters.postgres.sessions import PgCurrent
    from luxxon_core.adapters.postgres.telemetry import PgNotifications
    from luxxon_core.adapters.postgres.workspaces import PgSuppliers, PgWorkspaces
    from luxxon_core.bootstrap.couriers import subscriptions
    from luxxon_core.dispatch.usecases import Dispatch
    from luxxon_core.events.domain import RETENTION
    from luxxon_core.events.usecases import Feed, Purge, Streams, TellMedia
    from luxxon_core.links.domain import link_keys
    from luxxon_core.links.usecases import Links
    from luxxon_core.pricing.usecases import DemandMap, Pricing
    from luxxon_core.sessions.usecases import Policy, SessionCases
    from luxxon_core.settlement.usecases import Receipts, Relay, SettleSession
    from luxxon_core.telemetry.usecases import BeaconLog, Telemetry, VideoEvents
    from luxxon_core.wallet.usecases import Wallets, Watch
    from luxxon_core.workspaces.usecases import WorkspaceCases

    journal = PgJournal()
    uow = AnnouncingUnitOfWork(parts.database, journal, parts.line)
    workspaces, market, log = PgWorkspaces(), PgMarket(), PgEventLog()
    sessions, windows = telling.TellingSessions(journal), telling.TellingWindows(journal)
    store, ledger = telling.TellingSettlementStore(journal), PgLedger(parts.rpc.contract)
    signatures = EthereumWallets(parts.rpc)
    access = Access(
        uow=uow,
        challenges=pg_access.PgChallenges(),
        keys=pg_access.PgApiKeys(),
        members=pg_access.PgMembers(),
        wallets=signatures,
        secrets=SystemSecrets(),
        new_id=new_id,
        sign_in=SignInDomain(urlsplit(public_url).netloc, public_url, parts.rpc.chain_id),
        environment=settings.environment,
        cookie_secrets=cookie_secrets(settings),
        authorizer=parts.authorizer,
    )
    memberships = Memberships(uow, pg_access.PgMembers(), signatures, parts.mirror)
    wallets = Wallets(uow, workspaces, parts.pools, ledger)
    pricing = Pricing(uow, market, PgQuotes(), new_id, _tariff(settings))
    cases = SessionCases(
        uow=uow,
        sessions=sessions,
        current=PgCurrent(parts.database),
        workspaces=workspaces,
        windows=windows,
        faults=telling.TellingPictureFaults(journal),
        settlements=SettleSession(store),
        pools=wallets,
        spending=pg_access.PgApiKeys(),
        pricing=pricing,
        edge=parts.media.all,
        scaler=PillowScaler(),
        new_id=new_id,
        policy=Policy(settings.platform_fee_bps, settings.geofence_radius_m, settings.holds),
    )
    feed = Feed(parts.line, uow, log, clock)
    controls, hear_controls = _controls(parts, settings, cases, feed)
    dispatch = Dispatch(uow, sessions, PgSuppliers())
    telemetry = Telemetry(uow, windows, telling.TellingHeartbeats(journal), workspaces, new_id)
    return Cases(
        access=access,
        memberships=memberships,
        workspaces=WorkspaceCases(uow, workspaces, access, memberships, new_id),
        telemetry=telemetry,
        beacons=BeaconLog(
            uow,
            telling.TellingBeacons(journal),
            windows,
            signatures,
            required=settings.telemetry_signatures == "required",
        ),
        video=VideoEvents(
            uow,
            windows,
            PgNotifications(),
            new_id,
            revealed(settings.video_webhook_token),
            revealed(settings.video_webhook_auth),
        ),
        sessions=cases,
        observations=_observations(settings, cases, dispatch, feed, clock),
        links=Links(
            cases,
            telemetry,
            access,
            link_keys(cookie_secrets(settings)),
            timedelta(seconds=settings.link_ttl_s),
            public_url,
        ),
        pricing=pricing,
        demand=DemandMap(uow, market),
        dispatch=dispatch,
        wallets=wallets,
        deposits=_deposits(parts, settings, uow, store),
        watch=Watch(uow, ledger, RpcLogs(parts.rpc, settings.settlement_block), confirmations(settings)),
        receipts=Receipts(uow, store, cases),
        relay=Relay(uow, store, RpcSettlements(parts.rpc), relaying(settings)),
        feed=feed,
        streams=Streams(uow, log, feed, clock),
        media=TellMedia(uow, sessions, journal, cases.on_media),
        forget_events=Purge(uow, log, RETENTION),
        webhooks=subscriptions(settings, parts.database),
        controls=controls,
        hear_controls=hear_controls,
    )


def _observations(
    settings: Settings, sessions: SessionCases, dispatch: Dispatch, feed: Feed, clock: Clock
) -> Observations:
    from luxxon_core.adapters.light import PillowLightmeter
    from luxxon_core.adapters.postgres.observations import PgObservations
    from luxxon_core.observations.usecases import Observations, Policy

    policy = Policy(
        settings.observation_unit_s,
        timedelta(seconds=settings.observation_kept_s),
        settings.observation_frame_kb << 10,
        settings.observation_store_mb << 20,
        timedelta(seconds=settings.observation_record_s),
    )
    return Observations(PgObservations(), PillowLightmeter(), sessions, dispatch, feed, clock, policy)


def _deposits(parts: Parts, settings: Settings, uow: UnitOfWork, store: SettlementStore) -> SponsoredDeposits:
    from luxxon_core.adapters.chain.sponsor import RelayerSponsor
    from luxxon_core.http.limits import Window
    from luxxon_core.wallet.usecases import SponsoredDeposits

    pays = parts.relays and settings.sponsored_deposits
    return SponsoredDeposits(
        RelayerSponsor(uow, store, parts.rpc, relaying(settings)) if pays else None,
        settings.sponsored_deposit_min_uusdc,
        Window("deposits", settings.rate_limit_deposits, 3600),
    )


def _controls(
    parts: Parts, settings: Settings, sessions: SessionCases, feed: Feed
) -> tuple[Controls, Callable[[datetime], Awaitable[object]]]:
    """Commands to cameras, and the loop that hears them and their answers of other servers."""
    from luxxon_core.adapters.postgres.controls import PgControlChannel
    from luxxon_core.controls.usecases import Controls
    from luxxon_core.http.limits import Window

    def answered(session_id: UUID, command_id: UUID, result: Result) -> None:
        controls.heard(session_id, command_id, result)

    channel = PgControlChannel(parts.dsn, parts.database, feed.commanded, answered)
    limit = Window("ptz", settings.rate_limit_ptz, 1)
    controls = Controls(sessions.current, channel, new_id, limit, monotonic)
    return controls, channel.turn


def confirmations(settings: Settings) -> int:
    """How deep a block must lie: one is enough where blocks are never taken back."""
    return settings.confirmations or (1 if settings.rpc_url is None else 3)


def relaying(settings: Settings) -> RelayPolicy:
    """How the relayer goes about it; the embedded chain takes nothing back."""
    from luxxon_core.settlement.usecases import Policy

    look_after = timedelta(seconds=0.3 if settings.rpc_url is None else 1)
    depth = confirmations(settings)
    final = settings.final_confirmations or (1 if settings.rpc_url is None else 64)
    tip = settings.priority_fee_gwei
    return Policy(
        confirmations=depth,
        final=max(depth, final),
        max_fee=round(settings.max_fee_gwei * 10**9),
        priority_fee=None if tip is None else round(tip * 10**9),
        look_after=look_after,
    )


def cookie_secrets(settings: Settings) -> tuple[bytes, ...]:
    """What signs session cookies, and what did before."""
    given = settings.cookie_secret
    first = given.get_secret_value().encode() if given else kept_secret(settings.data_dir / "cookie.secret")
    return first, *(old.get_secret_value().encode() for old in settings.cookie_secrets_old)


def _tariff(settings: Settings) -> Tariff:
    from luxxon_core.kernel.geo import Circle, Point
    from luxxon_core.pricing.domain import Corridor, Tariff

    return Tariff(
        base_rate_uusdc=settings.base_rate_uusdc,
        live=settings.pricing == "live",
        corridors=tuple(
            Corridor(one.name, Circle(Point(one.lat, one.lng), one.radius_m), one.multiplier_bps)
            for one in settings.corridors
        ),
        corridor_max_bps=settings.corridor_max_bps,
        open_radius_m=settings.open_radius_m,
        quote_ttl_s=settings.quote_ttl_s,
    )
