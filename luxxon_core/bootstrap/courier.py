"""The process that sends webhooks: it makes deliveries of the log's events and sends what is due, until its
standard input ends. Any number of them share one database."""

from __future__ import annotations

import asyncio
import io
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import TextIO, cast

import msgspec
import structlog

from luxxon_core import __version__
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.webhook_queue import PgBell, PgQueue
from luxxon_core.adapters.postgres.webhooks import PgDeliveries
from luxxon_core.adapters.webhook_sender import HttpSender
from luxxon_core.bootstrap.couriers import Begin, CourierFigures, _sealer, _target
from luxxon_core.events.domain import RETENTION
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.ids import new_id
from luxxon_core.webhooks.domain import Policy
from luxxon_core.webhooks.schemas import BodyWriter
from luxxon_core.webhooks.usecases import Courier, FanOut, Limits
from luxxon_core.workers import Workers

LOOK_SECONDS = 1.0
"""The log is looked at so often even if nobody rings."""
SWEEP_SECONDS = 300.0
SWEPT_AT_ONCE = 5000
REPORT_SECONDS = 1.0
NICENESS = 10
"""Below the API's priority: where there is not enough for both, deliveries wait."""
GATHER_SECONDS = 0.02
"""Between two looks at the log, so that what is published meanwhile is made into deliveries together."""
NAME_THREADS = 64
"""Names are looked up in threads, and a look-up may hang."""
OPEN_FILES = 4096
"""Connections under way, as many that are kept to be used again, and room."""


async def serve(begin: Begin, ended: asyncio.Future[None]) -> None:
    """Send until ``ended`` is done; what is then under way is given back.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(NAME_THREADS, "names"))
    keys = tuple(bytes.fromhex(key) for key in begin.keys)
    async with AsyncExitStack() as stack:
        database = await Database.connect(begin.dsn, min_size=1, max_size=4)
        stack.push_async_callback(database.close)
        sender = HttpSender(_target(begin.networks, begin.plain), utc_now, timeout_s=begin.timeout_s)
        stack.push_async_callback(sender.close)
        queue = PgQueue()
        courier = Courier(
            database,
            queue,
            sender,
            _sealer(keys),
            utc_now,
            new_id,
            random.random,
            Policy(
                first_retry=timedelta(seconds=begin.retry_s),
                disable_after=timedelta(hours=begin.disable_after_h),
            ),
            Limits(lease=timedelta(seconds=2 * begin.timeout_s + 10)),
            f"Luxxon-Webhooks/{__version__}",
        )
        stack.push_async_callback(courier.close)
        bell = PgBell(begin.dsn)
        stack.push_async_callback(bell.close)
        fan_out = FanOut(database, queue, PgDeliveries(), BodyWriter(), new_id)

        async def tell(_: datetime) -> None:
            await bell.wait(LOOK_SECONDS)
            while await fan_out.step(utc_now()):
                courier.stir()
            courier.stir()
            await asyncio.sleep(GATHER_SECONDS)

        async def sweep(now: datetime) -> bool:
            async with database.begin() as tx:
                return await queue.sweep(tx, now - RETENTION, now, SWEPT_AT_ONCE) >= SWEPT_AT_ONCE

        workers = Workers(utc_now)
        stack.push_async_callback(workers.close)
        workers.every("webhook events", 0, tell)
        workers.every("webhook deliveries", 0, courier.turn)
        workers.every("webhook sweep", SWEEP_SECONDS, sweep)

        async def report(_: datetime) -> None:
            tell_figures(CourierFigures(dict(courier.outcomes), courier.under_way))

        workers.every("webhook figures", REPORT_SECONDS, report)
        await ended


def tell_figures(figures: CourierFigures) -> None:
    """A line of JSON on standard output. One that finds no room is lost: the next one tells of it too."""
    with suppress(OSError):
        os.write(1, msgspec.json.encode(figures) + b"\n")


async def _run() -> None:
    loop = asyncio.get_running_loop()
    begin = msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.buffer.readline), type=Begin)
    _log_from(begin.level)
    ended: asyncio.Future[None] = loop.create_future()

    def hung_up() -> None:
        loop.remove_reader(sys.stdin.fileno())
        ended.set_result(None)

    loop.add_reader(sys.stdin.fileno(), hung_up)
    try:
        await serve(begin, ended)
    except LuxxonError as error:
        structlog.get_logger(__name__).error("webhooks.stopped", code=error.code, detail=error.detail)
        raise SystemExit(1) from None


class _Log(io.TextIOBase):
    """Standard error. Nothing waits for a server that does not read, or is gone: such lines are lost."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            os.write(2, text.encode())
        return len(text)


def _log_from(level: int) -> None:
    """JSON lines on standard error, which the server puts into its log."""
    os.set_blocking(1, False)
    os.set_blocking(2, False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Log())),
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def allow_files() -> None:
    """Open as many files as the work may take, where the machine lets us: the usual limit is below that, and
    a connection that could not be opened for it would be taken for the receiver's failure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = OPEN_FILES if hard == unlimited else min(OPEN_FILES, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Run until the server hangs up. Signals are the server's to handle."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    allow_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run())


if __name__ == "__main__":
    main()
