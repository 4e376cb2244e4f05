"""The whole product in one process: ``luxxon demo``.

A consumer asks for a place, an operator's camera goes live over WebRTC, the meter runs and the money moves on a
chain. Everything goes through the public API and standard JSON-RPC, as it would between strangers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog

from luxxon_core.adapters.postgres.embedded import end_leftover
from luxxon_core.adapters.system import private_directory
from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.clock import iso, milliseconds, utc_now
from luxxon_core.kernel.errors import FrameNotAvailable, InvalidState, LuxxonError, StartError
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.server import Server, running, stop_signal
from luxxon_core.settings import default_data_dir, load
from luxxon_core.settlement.schemas import Receipt, SettlementView

if TYPE_CHECKING:
    from luxxon_core.operator.agent import OperatorAgent
    from luxxon_core.sessions.schemas import Session
    from luxxon_core.source import Source

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
LIVE_WITHIN_SECONDS = 20.0
SETTLED_WITHIN_SECONDS = 8.0
SPARE_SECONDS = 60
"""How much longer than asked the session could run: the meter's own limit is not what ends a demo."""
CONSUMER_SCOPES = ("sessions:read", "sessions:create", "wallet:read")
SUPPLIER_SCOPES = ("sessions:read", "sessions:operate")
GAS_WEI = 10**18


@dataclass(frozen=True, slots=True)
class Options:
    headless: bool
    json: bool
    seconds: int
    source: str
    save_frame: Path | None
    data_dir: Path | None
    lat: float
    lng: float


class DemoFailed(LuxxonError):
    """The demo did not reach its end; the message says where it stopped."""

    code, default_message = "DEMO_FAILED", "The demo failed"


class Interrupted(Exception):  # noqa: N818 - a stop on request is no error
    """SIGINT or SIGTERM before there was anything to settle."""


@dataclass(frozen=True, slots=True)
class Party:
    """A wallet, its workspace, and a client with a key of that workspace."""

    wallet: LocalWallet
    workspace_id: str
    name: str
    api: Luxxon


@dataclass(frozen=True, slots=True)
class Balances:
    """µUSDC read from the chain."""

    pool: int
    operator: int
    fee: int


@dataclass(slots=True)
class Timings:
    """Milliseconds."""

    serverReadyMs: int = 0  # noqa: N815 - names of the report
    assignMs: int = 0  # noqa: N815
    firstFrameMs: int | None = None  # noqa: N815
    settleMs: int | None = None  # noqa: N815


@dataclass(slots=True)
class Report:
    """What ``--json`` prints."""

    ok: bool = False
    timeline: list[dict[str, str]] = field(default_factory=list)
    session: Any = None
    settlement: Any = None
    balances: dict[str, Balances] = field(default_factory=dict)
    frame: dict[str, Any] | None = None
    timings: Timings = field(default_factory=Timings)

    def add_up(self, charged: int, to_amount: int, fee_amount: int) -> bool:
        """Whether the chain moved exactly what the bill says, to the last µUSDC."""
        before, after = self.balances["before"], self.balances["after"]
        return (
            before.pool - after.pool == charged == to_amount + fee_amount
            and after.operator - before.operator == to_amount
            and after.fee - before.fee == fee_amount
        )


async def run(options: Options) -> int:
    """Run the demo and print its report; the exit code: 0 when paid and added up, 1 otherwise, 130 when
    stopped before LIVE.

    Raises:
        StartError, SourceError: bad input; one line says what.
    """
    begun = time.monotonic()
    report = Report()
    async with contextlib.AsyncExitStack() as stack:
        source = await _opened(stack, options.source)
        directory = stack.enter_context(_directory(options.data_dir))
        settings = load(
            data_dir=directory, durable=options.data_dir is not None, port=0, udp_port=0, rpc_port=0
        )
        server = await stack.enter_async_context(running(settings))
        report.timings.serverReadyMs = round((time.monotonic() - begun) * 1000)
        stop = await stack.enter_async_context(stop_signal())
        demo = Demo(options, server, source, report, stop)
        try:
            await demo.play(stack)
        except Interrupted:
            print("luxxon: stopped before the session was LIVE", file=sys.stderr)  # noqa: T201
            return 130
    _print(options, report)
    return 0 if report.ok else 1


@contextlib.contextmanager
def _directory(given: Path | None) -> Any:
    if given is not None:
        yield given.absolute()
        return
    with private_directory(default_data_dir() / "demo", lambda left: end_leftover(left / "postgres")) as made:
        yield made / "data"


async def _opened(stack: contextlib.AsyncExitStack, spec: str) -> Source:
    """Open the camera first of all: a wrong one is told at once."""
    from luxxon_core.plugins import load_plugins

    source_type, config = load_plugins().configure(spec)
    source = await source_type.open(config)
    await stack.enter_async_context(source)
    for warning in source.health().warnings:
        log.warning("camera", reason=warning)
    return source


@dataclass
class Demo:
    options: Options
    server: Server
    source: Source
    report: Report
    stop: asyncio.Event
    _posted_at: datetime | None = None
    _wanted_end: bool = False

    async def play(self, stack: contextlib.AsyncExitStack) -> None:
        """From two fresh wallets to a confirmed settlement."""
        config = self.server.deployment.config
        chain = await stack.enter_async_context(ChainClient(config))
        consumer, supplier = await asyncio.gather(
            self._party(stack, "demo-viewer", "CONSUMER", CONSUMER_SCOPES),
            self._party(stack, "demo-camera", "SUPPLIER", SUPPLIER_SCOPES),
        )
        session_seconds = self.options.seconds + SPARE_SECONDS
        await self._fund(chain, consumer, session_seconds)
        agent = await stack.enter_async_context(self._operating(supplier))
        self.report.balances["before"] = await _balances(chain, consumer, supplier)
        session = await self._requested(consumer, session_seconds)
        if self.options.headless:
            await self._drive(consumer, session.id)
        else:
            await self._with_console(consumer, supplier, config, session, agent)
        await self._reckon(chain, consumer, supplier, session.id)

    # -- setting the stage ----------------------------------------------------------------------------

    async def _party(
        self, stack: contextlib.AsyncExitStack, slug: str, role: str, scopes: tuple[str, ...]
    ) -> Party:
        """A wallet signs in, makes a workspace and mints a key for it."""
        wallet = await asyncio.to_thread(LocalWallet.create)
        slug = f"{slug}-{wallet.address[2:8].lower()}"
        async with Luxxon(self.server.api_url) as visitor:
            challenge = await visitor.workspaces.challenge(wallet.address)
            workspace = await visitor.workspaces.create(
                slug=slug,
                name=slug,
                wallet_address=wallet.address,
                signature=wallet.sign_message(challenge.message),
                nonce=challenge.nonce,
                roles=[role],
            )
            challenge = await visitor.auth.challenge(wallet.address)
            await visitor.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
            await visitor.auth.select_workspace(workspace.id)
            key = await visitor.workspaces.create_api_key(workspace.id, label="demo", scopes=scopes)
        api = await stack.enter_async_context(Luxxon(self.server.api_url, api_key=key.plaintext))
        return Party(wallet, workspace.id, slug, api)

    async def _fund(self, chain: ChainClient, consumer: Party, session_seconds: int) -> None:
        """Test money from the development chain, then approve and deposit signed by the consumer."""
        rate = self.server.deployment.cases.sessions.policy.base_rate_uusdc
        amount = rate * session_seconds
        await self.server.deployment.parts.chain.faucet(consumer.wallet.address, GAS_WEI, amount)
        await chain.top_up(consumer.wallet, amount)

    @contextlib.asynccontextmanager
    async def _operating(self, supplier: Party) -> AsyncIterator[OperatorAgent]:
        """The operator's agent, ONLINE and waiting."""
        import httpx

        from luxxon_core.operator.agent import AgentState, Location, OperatorAgent

        async def note_post(request: httpx.Request) -> None:
            if request.method == "POST" and self._posted_at is None:
                self._posted_at = utc_now()

        http = httpx.AsyncClient(event_hooks={"request": [note_post]}, trust_env=False)
        agent = OperatorAgent(
            supplier.api,
            self.source,
            supplier.workspace_id,
            Location(self.options.lat, self.options.lng),
            device_kind="FIXED",
            http=http,
            poll_seconds=0.1,
        )
        task = asyncio.create_task(agent.run(), name="operator")
        try:
            await self._until(lambda: _done(agent.status.state is not AgentState.STARTING), task)
            yield agent
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await http.aclose()

    async def _requested(self, consumer: Party, session_seconds: int) -> Session:
        asked = time.monotonic()
        session = await consumer.api.sessions.create(
            lat=self.options.lat, lng=self.options.lng, max_duration_seconds=session_seconds
        )
        session = await consumer.api.sessions.dispatch(session.id)
        self.report.timings.assignMs = round((time.monotonic() - asked) * 1000)
        return session

    # -- the session ----------------------------------------------------------------------------------

    async def _drive(self, consumer: Party, session_id: str) -> None:
        """Wait for LIVE, let it run, take a frame, end it, wait for the money."""
        receipt = await self._live(consumer, session_id)
        await self._run_length(consumer, session_id, receipt)
        self.report.frame = await self._frame(consumer, session_id)
        with contextlib.suppress(InvalidState):  # ended in the console, or by its own limit
            await consumer.api.sessions.end(session_id)
        await self._settled(consumer, session_id)

    async def _live(self, consumer: Party, session_id: str) -> Receipt:
        async def look() -> Receipt | None:
            receipt = await consumer.api.sessions.receipt(session_id)
            return receipt if receipt.state != "ASSIGNED" else None

        try:
            receipt = await self._until(look, seconds=LIVE_WITHIN_SECONDS, stop=True)
        except (TimeoutError, Interrupted) as error:
            with contextlib.suppress(InvalidState):
                await consumer.api.sessions.cancel(session_id)
            if isinstance(error, Interrupted):
                raise
            raise DemoFailed(message="the camera's first frame did not arrive") from None
        if receipt.started_at is None:
            raise DemoFailed(message=f"the session is {receipt.state} before it was LIVE")
        if self._posted_at is not None:
            self.report.timings.firstFrameMs = milliseconds(receipt.started_at - self._posted_at)
        return receipt

    async def _run_length(self, consumer: Party, session_id: str, receipt: Receipt) -> None:
        """Until the asked LIVE time is over, the session is, or somebody wants it to be."""
        assert receipt.started_at is not None
        while (left := self.options.seconds - (utc_now() - receipt.started_at).total_seconds()) > 0:
            if self.stop.is_set() or self._wanted_end:
                return
            if (await consumer.api.sessions.get(session_id)).state != "LIVE":
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), min(left, 0.25))

    async def _frame(self, consumer: Party, session_id: str) -> dict[str, Any] | None:
        """The latest picture, saved where asked."""
        try:
            jpeg = await consumer.api.sessions.frame(session_id)
        except FrameNotAvailable:
            return None
        from PIL import Image

        with Image.open(io.BytesIO(jpeg)) as picture:
            width, height = picture.size
        path = self.options.save_frame
        if path is not None:
            try:
                await asyncio.to_thread(path.write_bytes, jpeg)
            except OSError as error:
                raise StartError(message=f"cannot write {path}: {error.strerror}") from error
        return {"path": str(path) if path else None, "width": width, "height": height, "bytes": len(jpeg)}

    async def _settled(self, consumer: Party, session_id: str) -> None:
        async def look() -> SettlementView | None:
            view = await consumer.api.settlements.get(session_id)
            return view if view.state == "CONFIRMED" else None

        try:
            await self._until(look, seconds=SETTLED_WITHIN_SECONDS)
        except TimeoutError:
            return
        self.report.timings.settleMs = -1  # completed by _reckon, which knows the end of the session
        self._confirmed_at = utc_now()

    _confirmed_at: datetime | None = None

    async def _with_console(
        self, consumer: Party, supplier: Party, config: Config, session: Session, agent: OperatorAgent
    ) -> None:
        """Drive the session while the console shows it; the console may end it, and closes itself never."""
        from importlib import import_module

        console = import_module("luxxon_tui.app")
        context = console.demo_context(
            workspace=consumer.name,
            chain_name=config.chain_name,
            camera=self.options.source.partition(":")[0],
            operator=supplier.name,
            lat=self.options.lat,
            lng=self.options.lng,
            radius_m=agent.coverage_radius_meters,
        )
        driving = asyncio.create_task(self._drive(consumer, session.id), name="demo")
        showing = asyncio.create_task(
            console.run_console(consumer.api, UUID(session.id), context), name="console"
        )
        stopping = asyncio.create_task(self.stop.wait(), name="stop")
        try:
            await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._wanted_end = True
            if not showing.done():
                await asyncio.wait({driving})
        finally:
            for task in (showing, stopping):
                task.cancel()
            await asyncio.gather(showing, stopping, return_exceptions=True)
        await driving

    # -- the reckoning --------------------------------------------------------------------------------

    async def _reckon(self, chain: ChainClient, consumer: Party, supplier: Party, session_id: str) -> None:
        receipt = await consumer.api.sessions.receipt(session_id)
        report = self.report
        report.session = to_builtins(await consumer.api.sessions.get(session_id))
        report.settlement = to_builtins(await consumer.api.settlements.get(session_id))
        report.balances["after"] = await _balances(chain, consumer, supplier)
        moments = [
            ("REQUESTED", receipt.created_at),
            ("ASSIGNED", receipt.assigned_at),
            ("LIVE", receipt.started_at),
            ("ENDED", receipt.ended_at),
            ("SETTLED", self._confirmed_at),
        ]
        report.timeline = [{"state": state, "at": iso(at)} for state, at in moments if at is not None]
        if self._confirmed_at is not None and receipt.ended_at is not None:
            report.timings.settleMs = max(0, milliseconds(self._confirmed_at - receipt.ended_at))
        report.ok = report.settlement["state"] == "CONFIRMED" and report.add_up(
            int(receipt.charged_micro_usdc),
            int(receipt.to_amount_micro_usdc),
            int(receipt.fee_amount_micro_usdc),
        )

    async def _until(
        self,
        look: Callable[[], Awaitable[Any]],
        task: asyncio.Task[None] | None = None,
        *,
        seconds: float = LIVE_WITHIN_SECONDS,
        stop: bool = False,
    ) -> Any:
        """Poll until ``look`` finds something; a ``task`` that ends meanwhile raises its error here."""
        deadline = time.monotonic() + seconds
        while not (found := await look()):
            if task is not None and task.done():
                task.result()
            if stop and (self.stop.is_set() or self._wanted_end):
                raise Interrupted
            if time.monotonic() > deadline:
                raise TimeoutError
            await asyncio.sleep(POLL_SECONDS)
        return found


async def _done(value: bool) -> bool:
    return value


async def _balances(chain: ChainClient, consumer: Party, supplier: Party) -> Balances:
    platform = await chain.platform_wallet()
    pool, operator, fee = await asyncio.gather(
        chain.pool(consumer.wallet.address), chain.usdc(supplier.wallet.address), chain.usdc(platform)
    )
    return Balances(pool, operator, fee)


def _print(options: Options, report: Report) -> None:
    if options.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    session, settlement = report.session, report.settlement
    rows = [f"{step['at'][11:23]}  {step['state']}" for step in report.timeline]
    rows += [
        f"clean {session['cleanSeconds']} s   charged {session['chargedMicroUsdc']} µUSDC",
        f"settlement {settlement['state']}  {settlement.get('txHash', '')}",
        "paid to the last micro-unit" if report.ok else "NOT settled as billed",
    ]
    sys.stdout.write("\n".join(rows) + "\n")
