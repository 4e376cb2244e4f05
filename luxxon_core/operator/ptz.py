"""Commands of the two sides of a session on the operator's own camera.

A camera that moves without end is the one thing that must not happen. What would go on is stopped when its
time is up, when the session ends, when the event stream breaks, and when the camera answers with a failure.
Beside all that the plugin's own timeout holds, for the case that this process dies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog

from luxxon_core.controls.schemas import (
    MOST_PRESETS,
    AbsoluteMove,
    ContinuousMove,
    GetPresets,
    GetStatus,
    GotoHome,
    GotoPreset,
    Order,
    Outcome,
    PtzPosition,
    PtzPreset,
    PtzResult,
    PtzStatus,
    RelativeMove,
    SetPitchYaw,
    SetPreset,
    SetZoom,
    Stop,
)
from luxxon_core.source import (
    GimbalControl,
    GimbalFrame,
    PtzControl,
    PtzVector,
    SourceConfigError,
    SourceError,
    ZoomControl,
    ZoomKind,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = structlog.get_logger(__name__)

CALL_SECONDS = 4.0
"""How long a camera may take over one command."""
STOP_ATTEMPTS, STOP_SECONDS, STOP_PAUSE = 3, 1.5, 0.2
STOP_LATER = 2.0
"""Seconds between further attempts at a camera that has not taken a stop: it may be away, and moving."""
CAPABILITIES: dict[str, type] = {"ptz": PtzControl, "zoom": ZoomControl, "gimbal": GimbalControl}
CANNOT = "SOURCE_UNSUPPORTED"
"""Code of plugins' errors for what a camera has not, whatever it said."""
CONTINUOUS = "CONTINUOUS"
_LABEL = re.compile(r"(?:ptz|zoom|gimbal):([a-z][A-Za-z]{0,31})")
_TOKEN = re.compile(r"[\x20-\x7e]{1,64}")


def offered(source: object) -> frozenset[str]:
    """The controls that a source has: of ``ptz``, ``zoom``, ``gimbal``."""
    return frozenset(name for name, kind in CAPABILITIES.items() if isinstance(source, kind))


def control_of(order: Order) -> str | None:
    """Which control an order is for; None for stopping, which is for all of them."""
    match order:
        case Stop():
            return None
        case SetZoom():
            return "zoom"
        case SetPitchYaw():
            return "gimbal"
        case _:
            return "ptz"


class Controls:
    """Executes orders on an open source.

    Args:
        allowed: the controls that others may use, of those that the source offers.
        moving: is called before anything that changes what the camera shows.
    """

    def __init__(
        self, source: object, allowed: Collection[str] = (), moving: Callable[[], None] | None = None
    ) -> None:
        self.allowed = offered(source).intersection(allowed)
        self._source: Any = source
        self._offered = offered(source)
        self._moving = moving or (lambda: None)
        self._lock = asyncio.Lock()
        """Held over calls that move or stop: a stop never overtakes the move before it."""
        self._pan_tilt = _Motion(self._lock, self._stop_pan_tilt)
        self._zoom = _Motion(self._lock, self._stop_zoom)

    @property
    def running(self) -> bool:
        """Whether something moves that nothing but a stop or its time would end."""
        return self._pan_tilt.running or self._zoom.running

    @property
    def driving(self) -> bool:
        """Whether the camera is being told to move, or moves by our order, whatever it says itself."""
        return self._lock.locked() or self.running

    async def handle(self, order: Order, late: Callable[[], bool] = lambda: False) -> PtzResult:
        """Execute an order; what goes wrong is the result's.

        Args:
            late: whether it is too late to begin. Asked when it is the order's turn, of all but a stop.
        """
        refused = self._refused(control_of(order))
        try:
            return PtzResult(refused) if refused is not None else await self._execute(order, late)
        except _TooLate:
            log.info("ptz.expired", order=type(order).__name__)
            return PtzResult(Outcome.EXPIRED)
        except TimeoutError:
            log.warning("ptz.failed", order=type(order).__name__, reason="the camera took too long")
            return PtzResult(Outcome.FAILED, "cameraTimeout")
        except NotImplementedError:
            return PtzResult(Outcome.UNSUPPORTED)
        except SourceError as error:
            return _refused(order, error)
        except Exception as error:  # noqa: BLE001 - a plugin's; told by its type, as its text may hold a password
            log.warning("ptz.failed", order=type(order).__name__, error=type(error).__name__)
            return PtzResult(Outcome.FAILED)

    def _refused(self, control: str | None) -> Outcome | None:
        if not (self._offered if control is None else control in self._offered):
            return Outcome.UNSUPPORTED
        if not (self.allowed if control is None else control in self.allowed):
            return Outcome.NOT_ALLOWED
        return None

    async def halt(self, *, insist: bool = False) -> None:
        """Stop what would go on, now; to ``insist`` until the camera takes it, or give up after some time."""
        await asyncio.gather(self._pan_tilt.halt(insist), self._zoom.halt(insist))

    async def _execute(self, order: Order, late: Callable[[], bool]) -> PtzResult:
        match order:
            case GetStatus() | GetPresets() | SetPreset():
                if late():
                    raise _TooLate
                async with asyncio.timeout(CALL_SECONDS):
                    return await self._asked(order)
            case Stop():
                await self._stop_all()
            case ContinuousMove():
                velocity = PtzVector(order.pan, order.tilt, order.zoom)
                if velocity == PtzVector():
                    await self._stop_all()
                else:
                    call = self._source.continuous_move
                    moves = partial(call, velocity, order.timeout)
                    await self._run(self._pan_tilt, order.timeout, moves, late)
            case SetZoom():
                await self._zoomed(order, late)
            case _:
                await self._aimed(order, late)
        return PtzResult(Outcome.EXECUTED)

    async def _asked(self, order: GetStatus | GetPresets | SetPreset) -> PtzResult:
        match order:
            case GetStatus():
                found = await self._source.get_status()
                at = found.position
                position = None if at is None else PtzPosition(at.pan, at.tilt, at.zoom)
                return PtzResult(Outcome.EXECUTED, status=PtzStatus(bool(found.moving), position))
            case GetPresets():
                presets = [
                    PtzPreset(one.token, _printable(one.name))
                    for one in await self._source.get_presets()
                    if _TOKEN.fullmatch(one.token)
                ]
                return PtzResult(Outcome.EXECUTED, presets=presets[:MOST_PRESETS])
            case SetPreset():
                token = await self._source.set_preset(order.name, order.token)
                return PtzResult(Outcome.EXECUTED, token=token if _TOKEN.fullmatch(token) else None)

    async def _aimed(self, order: Order, late: Callable[[], bool]) -> None:
        """Have the camera go where it then stays."""
        source = self._source
        async with self._called(late):
            match order:
                case RelativeMove():
                    await source.relative_move(PtzVector(order.pan, order.tilt, order.zoom))
                case AbsoluteMove():
                    await source.absolute_move(PtzVector(order.pan, order.tilt, order.zoom))
                case GotoPreset():
                    await source.goto_preset(order.token)
                case GotoHome():
                    await source.goto_home()
                case SetPitchYaw():
                    await source.set_pitch_yaw(order.pitch, order.yaw, GimbalFrame(order.frame))
            if control_of(order) == "ptz":
                self._pan_tilt.ended()

    async def _zoomed(self, order: SetZoom, late: Callable[[], bool]) -> None:
        kind = ZoomKind(order.kind)
        if order.kind == CONTINUOUS and order.value:
            call = self._source.set_zoom
            await self._run(self._zoom, order.timeout, partial(call, kind, order.value), late)
            return
        async with self._called(late):
            await self._source.set_zoom(kind, order.value)
            self._zoom.ended()

    async def _run(
        self,
        motion: _Motion,
        seconds: float,
        call: Callable[[], Awaitable[None]],
        late: Callable[[], bool],
    ) -> None:
        """Begin what would go on, and see to its end; a camera that failed may be moving all the same."""
        try:
            async with self._called(late):
                motion.begins()
                await call()
                motion.ends_in(seconds)
        except _TooLate:
            raise
        except BaseException:
            motion.ends_in(0)
            raise

    async def _stop_all(self) -> None:
        async with self._called():
            if "ptz" in self._offered:
                await self._source.stop()
                self._pan_tilt.ended()
            if self._zoom.running:
                await self._stop_zoom()
                self._zoom.ended()

    async def _stop_pan_tilt(self) -> None:
        await self._source.stop()

    async def _stop_zoom(self) -> None:
        await self._source.set_zoom(ZoomKind.CONTINUOUS, 0.0)

    @asynccontextmanager
    async def _called(self, late: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        async with self._lock:
            if late():  # it has waited for a camera that did not take a stop
                raise _TooLate
            self._moving()
            async with asyncio.timeout(CALL_SECONDS):
                yield


class _TooLate(Exception):
    """An order whose time was over before its turn came."""


class _Motion:
    """A movement that goes on until it is stopped, and the timer that stops it: the dead man's switch."""

    def __init__(self, lock: asyncio.Lock, stop: Callable[[], Awaitable[None]]) -> None:
        self._lock, self._stop = lock, stop
        self._timer: asyncio.Task[None] | None = None
        self.running = False

    def begins(self) -> None:
        self._forget()
        self.running = True

    def ends_in(self, seconds: float) -> None:
        self._forget()
        self._timer = asyncio.create_task(self._end(seconds), name="ptz-dead-man")

    def ended(self) -> None:
        """It has been stopped, or the camera is on its way to somewhere."""
        self._forget()
        self.running = False

    async def halt(self, insist: bool) -> None:
        """Stop it now, and wait for that: for ever, or for as long as the first attempts take."""
        if self.running:
            self.ends_in(0)
        if self._timer is None:
            return
        most = None if insist else CALL_SECONDS + STOP_ATTEMPTS * (STOP_SECONDS + STOP_PAUSE)
        await asyncio.wait({self._timer}, timeout=most)
        if not insist:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for attempt in count(1):
            async with self._lock:
                try:
                    async with asyncio.timeout(STOP_SECONDS):
                        await self._stop()
                except Exception as error:  # noqa: BLE001 - a plugin's; tried again
                    if attempt <= STOP_ATTEMPTS:
                        log.error("ptz.stop_failed", attempt=attempt, error=type(error).__name__)
                else:
                    self.running = False
                    return
            await asyncio.sleep(STOP_PAUSE if attempt < STOP_ATTEMPTS else STOP_LATER)


def _refused(order: Order, error: SourceError) -> PtzResult:
    found = _LABEL.fullmatch(error.detail or "")
    label = found[1] if found else None
    if error.code == CANNOT or label == "unsupported":
        return PtzResult(Outcome.UNSUPPORTED)
    # The reason stays here: it may name the camera's address.
    log.warning("ptz.refused", order=type(order).__name__, reason=error.message)
    return PtzResult(Outcome.REJECTED if isinstance(error, SourceConfigError) else Outcome.FAILED, label)


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:64]
