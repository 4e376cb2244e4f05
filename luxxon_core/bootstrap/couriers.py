"""Webhooks: the use cases of the API, and the process that sends, while there is anybody to send to.

Sending is work that others cause and can multiply: in a process of its own, of lower priority, it takes the
API's event loop nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from luxxon_core.adapters.system import SystemSecrets, kept_secret
from luxxon_core.kernel.errors import StartError
from luxxon_core.kernel.ids import new_id
from luxxon_core.settings import Settings, revealed

if TYPE_CHECKING:
    from luxxon_core.adapters.sealing import AesSealer
    from luxxon_core.bootstrap.parts import Parts
    from luxxon_core.kernel.uow import UnitOfWork
    from luxxon_core.webhooks.domain import Target
    from luxxon_core.webhooks.usecases import Subscriptions

END_SECONDS = 10.0
START_SECONDS = 60.0
AGAIN_SECONDS = (1.0, 60.0)
"""Between a process that ended and the next one; it doubles while they end soon."""
STEADY_SECONDS = 60.0
MAX_LINE = 1 << 20

log = structlog.get_logger(__name__)


class Begin(msgspec.Struct, frozen=True):
    """What the process has to know, on the first line of its standard input: some are secrets."""

    dsn: str
    keys: list[str]
    """Hexadecimal."""
    networks: list[str]
    plain: bool
    timeout_s: float
    retry_s: float
    disable_after_h: float
    level: int

    def __repr__(self) -> str:
        return "Begin()"


class CourierFigures(msgspec.Struct, frozen=True):
    """What the process tells of itself once a second, on a line of its standard output."""

    outcomes: dict[str, int]
    """Attempts since it began, by what was answered."""
    under_way: int


def subscriptions(settings: Settings, uow: UnitOfWork) -> Subscriptions:
    """What workspaces do with their webhooks."""
    from luxxon_core.adapters.postgres.webhooks import PgDeliveries, PgWebhooks
    from luxxon_core.webhooks.schemas import BodyWriter
    from luxxon_core.webhooks.usecases import Subscriptions

    return Subscriptions(
        uow,
        PgWebhooks(),
        PgDeliveries(),
        _sealer(_keys(settings)),
        SystemSecrets(),
        BodyWriter(),
        new_id,
        _target([str(one) for one in settings.webhook_networks], settings.webhook_http),
    )


def couriers_of(settings: Settings, parts: Parts) -> Couriers:
    from luxxon_core.adapters.postgres.webhooks import any_enabled

    begin = Begin(
        dsn=parts.dsn,
        keys=[key.hex() for key in _keys(settings)],
        networks=[str(one) for one in settings.webhook_networks],
        plain=settings.webhook_http,
        timeout_s=settings.webhook_timeout_s,
        retry_s=settings.webhook_retry_s,
        disable_after_h=settings.webhook_disable_after_h,
        level=logging.getLogger().getEffectiveLevel(),
    )
    return Couriers(begin, lambda: any_enabled(parts.database))


@dataclass(slots=True)
class _Run:
    process: Process
    since: float
    figures: CourierFigures = field(default_factory=lambda: CourierFigures({}, 0))
    logging: asyncio.Task[None] = field(init=False)
    reading: asyncio.Task[None] = field(init=False)

    async def over(self) -> None:
        """Once the process has ended: what it said last has been read."""
        await asyncio.gather(self.logging, self.reading, return_exceptions=True)


class Couriers:
    """Keeps the process running; :meth:`turn` is called again and again, then :meth:`close`."""

    def __init__(self, begin: Begin, wanted: Callable[[], Awaitable[bool]]) -> None:
        """Args:
        wanted: whether there is anybody to send to.
        """
        self._begin, self._wanted = begin, wanted
        self._run: _Run | None = None
        self._pause = AGAIN_SECONDS[0]
        self._again_at = 0.0
        self._outcomes: Counter[str] = Counter()
        self.ends = 0
        """Processes that ended without having been told to."""

    @property
    def figures(self) -> CourierFigures:
        """Attempts since the server began, by all of its processes; what is under way in the present one."""
        now = self._run.figures if self._run is not None else CourierFigures({}, 0)
        return CourierFigures(dict(self._outcomes + Counter(now.outcomes)), now.under_way)

    @property
    def running(self) -> bool:
        """Whether there is a process that sends."""
        return self._run is not None and self._run.process.returncode is None

    @property
    def pid(self) -> int | None:
        """Of the process that sends; None while there is none."""
        return None if self._run is None else self._run.process.pid

    async def turn(self, _: datetime) -> None:
        """Start the process where there should be one and is none.

        Raises:
            StartError: it does not begin.
        """
        now = asyncio.get_running_loop().time()
        if self._run is not None:
            if self._run.process.returncode is None:
                return
            await self._ended(self._run, now)
        if now >= self._again_at and await self._wanted():
            self._again_at = now + self._pause
            self._run = await _launched(self._begin)
            log.info("webhooks.started", pid=self._run.process.pid)

    async def close(self) -> None:
        """Have it give back what it has not finished, and wait until it has ended."""
        run, self._run = self._run, None
        if run is None:
            return
        assert run.process.stdin is not None
        run.process.stdin.close()
        try:
            await asyncio.wait_for(run.process.wait(), END_SECONDS)
        except TimeoutError:
            run.process.kill()
            await run.process.wait()
        await run.over()

    async def _ended(self, run: _Run, now: float) -> None:
        steady = now - run.since >= STEADY_SECONDS
        self._pause = AGAIN_SECONDS[0] if steady else min(2 * self._pause, AGAIN_SECONDS[1])
        self._again_at = now + (AGAIN_SECONDS[0] if steady else self._pause)
        log.error("webhooks.ended", status=run.process.returncode)
        await run.over()
        self._run, self.ends = None, self.ends + 1
        self._outcomes += Counter(run.figures.outcomes)


async def _launched(begin: Begin) -> _Run:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "luxxon_core.bootstrap.courier"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=MAX_LINE,
        # our settings are none of its business but for what it is told, and some are secrets
        env={name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")},
        start_new_session=True,  # a Ctrl-C of the terminal is the owner's to handle
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(begin) + b"\n")
    try:
        await asyncio.wait_for(process.stdin.drain(), START_SECONDS)
    except (OSError, TimeoutError) as error:
        process.kill()
        await process.wait()
        raise StartError("webhooks:process", "the process that sends webhooks does not begin") from error
    except BaseException:
        process.kill()
        await process.wait()
        raise
    run = _Run(process, asyncio.get_running_loop().time())
    run.logging = asyncio.create_task(_relog(process), name="webhook process log")
    run.reading = asyncio.create_task(_read_figures(run), name="webhook process figures")
    return run


async def _read_figures(run: _Run) -> None:
    """Keep the newest figures that the process tells, until it ends."""
    assert run.process.stdout is not None
    while True:
        try:
            line = await run.process.stdout.readline()
            if not line:
                return
            run.figures = msgspec.json.decode(line, type=CourierFigures)
        except (ValueError, msgspec.MsgspecError):  # something else that was printed, of any length
            continue


async def _relog(process: Process) -> None:
    """Put what the process logs into our own log, until it ends."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # longer than any of ours
            continue
        if not line:
            return
        try:
            said: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
            level = logging.getLevelNamesMapping()[str(said.pop("level")).upper()]
            event = str(said.pop("event"))
        except (msgspec.MsgspecError, KeyError):
            if text := line.decode(errors="replace").strip():
                log.error("webhooks.said", text=text)
            continue
        log.log(level, event, **said)


def _keys(settings: Settings) -> tuple[bytes, ...]:
    """What encrypts the secrets of webhooks, and what did before."""
    given = revealed(settings.webhook_key)
    first = given.encode() if given is not None else kept_secret(settings.data_dir / "webhook.secret")
    return first, *(old.get_secret_value().encode() for old in settings.webhook_keys_old)


def _sealer(keys: tuple[bytes, ...]) -> AesSealer:
    from luxxon_core.adapters.sealing import AesSealer

    return AesSealer(keys)


def _target(networks: list[str], plain: bool) -> Target:
    from luxxon_core.webhooks.domain import Target
    from luxxon_core.webhooks.domain.targets import network

    return Target(tuple(network(one) for one in networks), plain)
