"""A marketplace without HTTP: the real use cases on the real database, with an edge and pools in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from luxxon_core.access.domain import SignInDomain
from luxxon_core.access.usecases import Access, Memberships
from luxxon_core.adapters.chain.signatures import EthereumWallets
from luxxon_core.adapters.pictures import PillowScaler
from luxxon_core.adapters.postgres.access import PgApiKeys, PgChallenges, PgMembers
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.faults import PgPictureFaults
from luxxon_core.adapters.postgres.permissions import MemberTable, Rules
from luxxon_core.adapters.postgres.pricing import PgMarket, PgQuotes
from luxxon_core.adapters.postgres.sessions import PgCurrent, PgSessions
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.adapters.postgres.telemetry import PgHeartbeats, PgWindows
from luxxon_core.adapters.postgres.workspaces import PgSuppliers, PgWorkspaces
from luxxon_core.adapters.spicedb.schema import schema_text
from luxxon_core.adapters.system import SystemSecrets
from luxxon_core.dispatch.usecases import Dispatch
from luxxon_core.kernel.errors import ExternalError, VideoError
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.ids import new_id
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.pricing.domain import Tariff
from luxxon_core.pricing.usecases import Pricing
from luxxon_core.sessions.domain import Session
from luxxon_core.sessions.usecases import Policy, SessionCases
from luxxon_core.settlement.usecases import SettleSession
from luxxon_core.telemetry.usecases import Telemetry
from luxxon_core.wallet.ports import PoolBalance
from luxxon_core.workspaces.domain import Availability, Role, Workspace, new_workspace
from luxxon_core.workspaces.usecases import WorkspaceCases

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
GRAND_PLACE = Point(50.8467, 4.3525)
RATE, FEE_BPS, GEOFENCE_M = 1000, 1500, 500.0


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(milliseconds=round(seconds * 1000))


class MemoryEdge:
    """Implements :class:`~luxxon_core.media.ports.Edge` for tests: no media, only what it was told."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.served: dict[str, LiveInput] = {}
        self.flowing: set[str] = set()
        self.minted = 0
        self.unreachable = False
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue()

    async def create(self) -> LiveInput:
        await asyncio.sleep(0)
        self._reach()
        uid = secrets.token_hex(16)
        whip, whep = (f"https://edge.test/{kind}/{secrets.token_hex(16)}" for kind in ("whip", "whep"))
        made = self.served[uid] = LiveInput(uid, self.name, whip, whep)
        self.minted += 1
        return made

    async def restore(self, live_input: LiveInput) -> None:
        self.served[live_input.uid] = live_input

    async def delete(self, live_input: LiveInput) -> None:
        await asyncio.sleep(0)
        self._reach()
        self.served.pop(live_input.uid, None)

    async def frame(self, live_input: LiveInput) -> Frame | None:
        return None

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def serving(self, before: datetime) -> dict[str, str]:
        return dict.fromkeys(self.served, self.name)

    def announce(self) -> None:
        for uid in self.flowing:
            self._events.put_nowait(MediaEvent(MediaEventKind.CONNECTED, uid, NOON))

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        await self._events.put(None)

    def _reach(self) -> None:
        if self.unreachable:
            raise VideoError("edge:unreachable")


class FixedPools:
    """Implements the sessions' port ``Pools``: every wallet has the same balance.

    Only a fresh read sees what changed; others get what the last fresh one saw, as from a block before.
    """

    def __init__(self, balance: int = 10**12) -> None:
        self.balance, self.block = balance, 1
        self.unreachable = False
        self.reads = 0
        self._seen: PoolBalance | None = None

    async def pool_of(self, wallet_address: str, *, fresh: bool = False) -> PoolBalance:
        self.reads += 1
        if self.unreachable:
            raise ExternalError("chain:unreachable")
        if fresh or self._seen is None:
            self._seen = PoolBalance(self.balance, self.block)
        await asyncio.sleep(0)
        return self._seen


@dataclass
class Marketplace:
    database: Database
    edge: MemoryEdge = field(default_factory=MemoryEdge)
    pools: FixedPools = field(default_factory=FixedPools)
    tariff: Tariff = field(default_factory=lambda: Tariff(RATE))

    def __post_init__(self) -> None:
        uow, self.workspaces, sessions, windows = self.database, PgWorkspaces(), PgSessions(), PgWindows()
        self.store = PgSettlementStore()
        self.pricing = Pricing(uow, PgMarket(), PgQuotes(), new_id, self.tariff)
        self.sessions = SessionCases(
            uow=uow,
            sessions=sessions,
            current=PgCurrent(uow),
            workspaces=self.workspaces,
            windows=windows,
            faults=PgPictureFaults(),
            settlements=SettleSession(self.store),
            pools=self.pools,
            spending=PgApiKeys(),
            pricing=self.pricing,
            edge=self.edge,
            scaler=PillowScaler(),
            new_id=new_id,
            policy=Policy(FEE_BPS, GEOFENCE_M),
        )
        self.dispatch = Dispatch(uow, sessions, PgSuppliers())
        self.telemetry = Telemetry(uow, windows, PgHeartbeats(), self.workspaces, new_id)
        table = MemberTable(uow, Rules.parse(schema_text()))
        self.access = Access(
            uow=uow,
            challenges=PgChallenges(),
            keys=PgApiKeys(),
            members=PgMembers(),
            authorizer=table,
            wallets=EthereumWallets(),
            secrets=SystemSecrets(),
            new_id=new_id,
            sign_in=SignInDomain("market.test", "https://market.test", 31337),
            environment="TEST",
            cookie_secrets=(b"secret of the tests",),
        )
        self.memberships = Memberships(uow, PgMembers(), self.access.wallets, table)
        self.tenants = WorkspaceCases(uow, self.workspaces, self.access, self.memberships, new_id)

    # -- setting the stage ------------------------------------------------------------------------

    async def workspace(
        self,
        *roles: Role,
        coverage: Circle | None = None,
        availability: Availability = Availability.OFFLINE,
        idle_since: datetime | None = None,
        now: datetime = NOON,
    ) -> Workspace:
        """A stored workspace in exactly this condition."""
        workspace_id, wallet = new_id(), "0x" + secrets.token_hex(20)
        made = new_workspace(
            workspace_id=workspace_id,
            slug=f"w-{workspace_id.hex[:12]}",
            name="workspace",
            wallet_address=wallet,
            roles=list(roles),
            now=now,
        )
        online = availability is Availability.ONLINE
        wanted = replace(
            made,
            coverage_lat=coverage and coverage.center.lat,
            coverage_lng=coverage and coverage.center.lng,
            coverage_radius_m=coverage and coverage.radius_m,
            availability=availability,
            idle_since=(idle_since or now) if online else None,
            last_seen_at=now if online else None,
        )
        async with self.database.begin() as tx:
            assert await self.workspaces.add(tx, made)
            await self.workspaces.save(tx, wanted)
        return wanted

    async def consumer(self) -> UUID:
        return (await self.workspace(Role.CONSUMER)).id

    async def supplier(
        self, point: Point = GRAND_PLACE, *, online: bool = True, idle_since: datetime | None = None
    ) -> UUID:
        availability = Availability.ONLINE if online else Availability.OFFLINE
        made = await self.workspace(
            Role.SUPPLIER,
            coverage=Circle(point, 500),
            availability=availability,
            idle_since=idle_since,
        )
        return made.id

    async def requested(
        self, consumer: UUID, *, now: datetime = NOON, max_s: int = 600, wait_s: int = 300
    ) -> Session:
        return await self.sessions.create(consumer, GRAND_PLACE, max_s, wait_s, now)

    async def live(
        self, consumer: UUID, supplier: UUID, *, now: datetime = NOON, max_s: int = 600
    ) -> Session:
        """A session that the supplier accepted, started and went LIVE with, all at ``now``."""
        session = await self.requested(consumer, now=now, max_s=max_s)
        await self.sessions.accept(session.id, supplier, now)
        session = await self.sessions.start(session.id, supplier, now)
        await self.first_frame(session, now)
        return await self.sessions.get(session.id, consumer)

    async def first_frame(self, session: Session, now: datetime) -> None:
        await self.media(MediaEventKind.FIRST_FRAME, session, now)

    async def media(
        self, kind: MediaEventKind, session: Session, now: datetime, happened: datetime | None = None
    ) -> None:
        assert session.live_input is not None
        await self.sessions.on_media(MediaEvent(kind, session.live_input.uid, happened or now), now)

    # -- looking ----------------------------------------------------------------------------------

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database.read() as tx:
            return list(await connection(tx).fetch(sql, *arguments))

    async def value(self, sql: str, *arguments: object) -> Any:
        async with self.database.read() as tx:
            return await connection(tx).fetchval(sql, *arguments)

    async def look(self, workspace_id: UUID) -> Workspace:
        async with self.database.read() as tx:
            found = await self.workspaces.get(tx, workspace_id)
        assert found is not None
        return found

    async def availability(self, workspace_id: UUID) -> Availability:
        return (await self.look(workspace_id)).availability

    async def settlements(self, session_id: UUID) -> int:
        return int(await self.value("select count(*) from settlement where session_id = $1", session_id))
