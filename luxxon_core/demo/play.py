"""The course of a demo, from two fresh wallets to a confirmed settlement."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from luxxon_core.adapters.postgres.embedded import end_leftover
from luxxon_core.adapters.system import private_directory
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.follow import Following, followed
from luxxon_core.demo.report import FrameInfo, Report
from luxxon_core.demo.stage import (
    CONSUMER_SCOPES,
    SUPPLIER_SCOPES,
    Operator,
    Party,
    balances,
    fund,
    operating,
    party,
)
from luxxon_core.kernel.clock import milliseconds, utc_now
from luxxon_core.kernel.errors import (
    ExternalError,
    FrameNotAvailable,
    InvalidState,
    LuxxonError,
    StartError,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.server import Server, running, stop_signal
from luxxon_core.settings import Settings, default_data_dir, load
from luxxon_core.settlement.schemas import Receipt

if TYPE_CHECKING:
    from luxxon_core.source import Source

log = structlog.get_logger(__name__)

LIVE_WITHIN_SECONDS = 20.0
SETTLED_WITHIN_SECONDS = 8.0
SPARE_SECONDS = 15
"""How much longer than asked the session could run: the meter's own limit is not what ends a demo."""
STOPPED = 130
HOME, HOME_NAME = Point(50.8466, 4.3528), "Brussels, BE"
"""Where the demo's camera stands unless told otherwise, and what people call it."""


@dataclass(frozen=True, slots=True)
class Options:
    headless: bool
    json: bool
    seconds: int
    source: str
    save_frame: Path | None
    data_dir: Path | None
    at: Point


class DemoFailed(LuxxonError):
    """The demo did not reach its end; the message says where it stopped."""

    code, default_message = "DEMO_FAILED", "The demo failed"


class Interrupted(Exception):
    """Asked to stop before there was anything to settle."""


async def run(options: Options) -> int:
    """Run the demo and print its report.

    Returns the exit code: 0 when the chain moved what the bill says, 1 when it did not, 130 when stopped
    before LIVE.

    Raises:
        StartError, SourceError: bad input; one line says what.
    """
    begun, report = time.monotonic(), Report()
    try:
        async with contextlib.AsyncExitStack() as stack:
            stop = await stack.enter_async_context(stop_signal())
            source = await _opened(stack, options.source)
            _check_writable(options.save_frame)
            directory = stack.enter_context(_directory(options.data_dir))
            server = await stack.enter_async_context(running(_settings(options, directory)))
            report.timings.server_ready_ms = round((time.monotonic() - begun) * 1000)
            await Demo(options, server, source, report, stop).play(stack)
    except Interrupted:
        sys.stderr.write("luxxon: stopped before the session was LIVE\n")
        return STOPPED
    except (DemoFailed, ExternalError) as error:
        sys.stderr.write(f"luxxon: {error.message}\n")
    report.show(as_json=options.json)
    return 0 if report.ok else 1


def _check_writable(path: Path | None) -> None:
    if path is None:
        return
    try:
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise StartError(message=f"cannot write {path}: {error.strerror}") from error


async def _opened(stack: contextlib.AsyncExitStack, spec: str) -> Source:
    """Open the camera first of all: a wrong one is told at once."""
    from luxxon_core.plugins import load_plugins
    from luxxon_core.settings import load_cameras

    registry, fields = load_plugins(), None
    if spec.partition(":")[0] not in registry.sources and (known := load_cameras().cameras.get(spec)):
        spec, fields = known.type, known.fields
    source_type, config = registry.configure(spec, fields)
    source = await stack.enter_async_context(await source_type.open(config))
    for warning in source.health().warnings:
        log.warning("camera", reason=warning)
    return source


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    """The given data directory, or one for this run alone."""
    if given is not None:
        yield given.absolute()
        return
    with private_directory(
        default_data_dir() / "demo", lambda left: end_leftover(left / "data/postgres")
    ) as own:
        yield own / "data"


def _settings(options: Options, directory: Path) -> Settings:
    """Everything embedded, whatever the environment says of a real deployment."""
    return load(
        environment="TEST",
        data_dir=directory,
        durable=options.data_dir is not None,
        database_url=None,
        public_url=None,
        host="127.0.0.1",
        udp_host="127.0.0.1",
        port=0,
        udp_port=0,
        rpc_port=0,
    )


@dataclass
class Demo:
    options: Options
    server: Server
    source: Source
    report: Report
    stop: asyncio.Event
    """Set by a signal, and when the console closes: end the session now."""

    async def play(self, stack: contextlib.AsyncExitStack) -> None:
        """Set the stage, run the session, and compare the bill with the chain."""
        api_url, seconds = self.server.api_url, self.options.seconds + SPARE_SECONDS
        chain = await stack.enter_async_context(ChainClient(self.server.deployment.config))
        consumer = await stack.enter_async_context(party(api_url, "demo-viewer", "CONSUMER", CONSUMER_SCOPES))
        supplier = await stack.enter_async_context(party(api_url, "demo-camera", "SUPPLIER", SUPPLIER_SCOPES))
        await fund(self.server, chain, consumer, seconds)
        operator = await stack.enter_async_context(operating(supplier, self.source, self.options.at))
        self.report.before = await balances(chain, consumer, supplier)
        if self.stop.is_set():
            raise Interrupted
        session_id = await self._request(consumer, seconds)
        if self.options.headless:
            await self._drive(consumer, operator, session_id)
        else:
            await self._with_console(consumer, supplier, operator, session_id)
        self.report.receipt = await consumer.api.sessions.receipt(session_id)
        self.report.session = await consumer.api.sessions.get(session_id)
        self.report.settlement = await consumer.api.settlements.get(session_id)
        self.report.after = await balances(chain, consumer, supplier)
        self.report.complete()

    async def _request(self, consumer: Party, seconds: int) -> str:
        asked, at = time.monotonic(), self.options.at
        session = await consumer.api.sessions.create(lat=at.lat, lng=at.lng, max_duration_seconds=seconds)
        await consumer.api.sessions.dispatch(session.id)
        self.report.timings.assign_ms = round((time.monotonic() - asked) * 1000)
        self._say("ASSIGNED")
        return session.id

    def _say(self, state: str) -> None:
        """Progress for who watches a headless run, beside the report on standard output."""
        if self.options.headless:
            sys.stderr.write(f"luxxon: {state}\n")
            sys.stderr.flush()

    async def _drive(self, consumer: Party, operator: Operator, session_id: str) -> None:
        """Wait for LIVE, let it run, take a frame, end it, wait for the money."""
        async with followed(consumer.api, session_id) as session:
            live = await self._live(consumer, operator, session_id, session)
            assert live.started_at is not None
            if operator.posted_at is not None:
                self.report.timings.first_frame_ms = milliseconds(
                    live.started_at - Timestamp.of(operator.posted_at)
                )
            self._say("LIVE")
            await self._run_length(live, session)
            try:
                self.report.frame = await self._take_frame(consumer, session_id)
            finally:
                with contextlib.suppress(InvalidState):  # ended in the console
                    await consumer.api.sessions.end(session_id)
            self._say("ENDED")
            await self._settle(session)

    async def _live(
        self, consumer: Party, operator: Operator, session_id: str, session: Following
    ) -> Receipt:
        told = await self._unless_stopped(session.until(lambda one: not one.waits, LIVE_WITHIN_SECONDS))
        if not told:
            with contextlib.suppress(InvalidState):
                await consumer.api.sessions.cancel(session_id)
            if self.stop.is_set():
                raise Interrupted
            reason = operator.agent.status.last_error
            message = "the camera's first frame did not arrive" + (f": {reason}" if reason else "")
            raise DemoFailed(message=message)
        receipt = await consumer.api.sessions.receipt(session_id)
        if receipt.started_at is None:
            raise DemoFailed(message=f"the session was {receipt.state} before it was LIVE")
        return receipt

    async def _run_length(self, live: Receipt, session: Following) -> None:
        """Until the asked LIVE time is over, the session is, or somebody wants it to be."""
        assert live.started_at is not None
        left = self.options.seconds - (utc_now() - live.started_at).total_seconds()
        await self._unless_stopped(session.until(lambda one: one.state != "LIVE", max(0.0, left)))

    async def _unless_stopped(self, waiting: Coroutine[object, object, None]) -> bool:
        """Whether what is waited for came, before its time was out and before anybody wanted an end."""
        wanted = asyncio.create_task(waiting, name="wait")
        stopped = asyncio.create_task(self.stop.wait(), name="stopped")
        try:
            await asyncio.wait((wanted, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                return False
            with contextlib.suppress(TimeoutError):
                wanted.result()
                return True
            return False
        finally:
            for task in (wanted, stopped):
                task.cancel()
            await asyncio.gather(wanted, stopped, return_exceptions=True)

    async def _take_frame(self, consumer: Party, session_id: str) -> FrameInfo | None:
        """The latest picture, saved where asked; None when the session has ended before."""
        from PIL import Image

        try:
            jpeg = await consumer.api.sessions.frame(session_id)
        except FrameNotAvailable:
            return None
        with Image.open(io.BytesIO(jpeg)) as picture:
            width, height = picture.size
        path = self.options.save_frame
        if path is not None:
            try:
                await asyncio.to_thread(path.write_bytes, jpeg)
            except OSError as error:
                raise DemoFailed(message=f"cannot write {path}: {error.strerror}") from error
        return FrameInfo(str(path) if path else None, width, height, len(jpeg))

    async def _settle(self, session: Following) -> None:
        with contextlib.suppress(TimeoutError):  # the report says that it is not confirmed
            await session.until(lambda one: one.settlement == "CONFIRMED", SETTLED_WITHIN_SECONDS)
            self.report.confirmed_at = utc_now()

    async def _with_console(
        self, consumer: Party, supplier: Party, operator: Operator, session_id: str
    ) -> None:
        """Drive the session while the console shows it. Leaving the console ends the session; the end of the
        session leaves the console open on its receipt."""
        console = import_module("luxxon_tui.program")
        context = console.demo_context(
            workspace=consumer.name,
            place=HOME_NAME if self.options.at == HOME else None,
            chain_name=self.server.deployment.config.chain_name,
            camera=self.options.source.partition(":")[0],
            operator=supplier.name,
            at=self.options.at,
            radius_m=operator.agent.coverage_radius_meters,
        )
        showing = asyncio.create_task(
            console.run_console(consumer.api, UUID(session_id), context), name="console"
        )
        stopping = asyncio.create_task(self.stop.wait(), name="stop")
        driving = asyncio.create_task(self._drive(consumer, operator, session_id), name="drive")
        try:
            await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.stop.set()
            await driving
            if showing.done():
                showing.result()  # a console that broke is not to be taken for one that was left
        finally:
            for task in (showing, stopping, driving):
                task.cancel()
            await asyncio.gather(showing, stopping, driving, return_exceptions=True)
