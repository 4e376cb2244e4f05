"""The camera's own side of remote control: nothing moves for longer, later or for others than was meant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from luxxon_core.controls.schemas import (
    AbsoluteMove,
    ContinuousMove,
    GetPresets,
    GetStatus,
    GotoHome,
    GotoPreset,
    Order,
    Outcome,
    PtzCommand,
    PtzResult,
    RelativeMove,
    SetPitchYaw,
    SetPreset,
    SetZoom,
    Stop,
)
from luxxon_core.events.schemas import Ready
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.operator import ptz
from luxxon_core.operator.ptz import Controls, offered
from luxxon_core.operator.remote import RemoteControl
from luxxon_core.source import GimbalFrame, PtzVector, SourceError, SourceNotReady, ZoomKind
from luxxon_core.testing import FakeCamera, FakeSource, FakeVehicle

ALL = ("ptz", "zoom", "gimbal")
Until = Callable[..., object]


@dataclass
class Runaway(FakeVehicle):
    """Moves until it is told to stop, whatever was asked."""

    turning: bool = False
    zooming: bool = False
    move_error: Exception | None = None
    stop_errors: list[Exception] = field(default_factory=list)
    hang: float = 0.0

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        await super().continuous_move(velocity, 3600)
        self.turning = True
        await asyncio.sleep(self.hang)
        if self.move_error is not None:
            raise self.move_error

    async def set_zoom(self, kind: ZoomKind, value: float) -> None:
        await super().set_zoom(kind, value)
        self.zooming = kind is ZoomKind.CONTINUOUS and value != 0

    async def stop(self) -> None:
        if self.stop_errors:
            raise self.stop_errors.pop()
        await super().stop()
        self.turning = False

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.commands]


@pytest.fixture
async def camera() -> AsyncIterator[Runaway]:
    runaway = Runaway()
    yield runaway
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ptz-")]


async def stopped(still: Callable[[], bool], seconds: float = 3) -> float:
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while still():
            await asyncio.sleep(0.005)
    return time.monotonic() - begun


# -- what is executed -------------------------------------------------------------------------------------


async def test_each_order_is_the_cameras_own() -> None:
    camera = FakeVehicle()
    controls = Controls(camera, ALL)
    for order in (
        AbsoluteMove(0.5, -0.5, 0.2),
        RelativeMove(0.1, 0, 0),
        SetPreset("the door"),
        GotoHome(),
        SetPitchYaw(-45, 90, "EARTH"),
        SetZoom("RANGE", 30),
    ):
        assert (await controls.handle(order)).outcome is Outcome.EXECUTED
    assert camera.position == PtzVector()
    assert camera.gimbal == (-45, 90, GimbalFrame.EARTH)
    assert camera.zoom == (ZoomKind.RANGE, 30)
    presets = (await controls.handle(GetPresets())).presets
    assert presets is not None
    ((token, name),) = [(one.token, one.name) for one in presets]
    assert name == "the door"
    assert (await controls.handle(GotoPreset(token))).outcome is Outcome.EXECUTED
    status = (await controls.handle(GetStatus())).status
    assert status is not None
    assert status.position is not None
    assert (status.position.pan, status.moving) == (pytest.approx(0.6), False)


async def test_a_camera_does_what_it_can_and_what_its_owner_allows() -> None:
    assert offered(FakeCamera()) == frozenset()
    assert offered(FakeSource()) == {"ptz"}
    assert (await Controls(FakeSource(), ALL).handle(SetZoom("STEP", 1))).outcome is Outcome.UNSUPPORTED
    assert (await Controls(FakeCamera(), ALL).handle(Stop())).outcome is Outcome.UNSUPPORTED
    careful = Controls(FakeVehicle(), ["zoom"])
    assert careful.allowed == {"zoom"}
    assert (await careful.handle(GotoHome())).outcome is Outcome.NOT_ALLOWED
    assert (await careful.handle(Stop())).outcome is Outcome.EXECUTED
    assert (await Controls(FakeVehicle()).handle(GotoHome())).outcome is Outcome.NOT_ALLOWED


@pytest.mark.parametrize(
    ("error", "outcome", "label"),
    [
        (SourceNotReady("ptz:busy"), Outcome.FAILED, "busy"),
        (SourceError("rtsp:gone", "rtsp://user:secret@10.0.0.1 is gone"), Outcome.FAILED, None),
        (SourceError("ptz:unsupported"), Outcome.UNSUPPORTED, None),
        (NotImplementedError(), Outcome.UNSUPPORTED, None),
        (ValueError("http://user:secret@10.0.0.1"), Outcome.FAILED, None),
        (TimeoutError(), Outcome.FAILED, "cameraTimeout"),
    ],
)
async def test_what_goes_wrong_has_a_name_and_no_secret(
    camera: Runaway, error: Exception, outcome: Outcome, label: str | None
) -> None:
    """And a camera that failed to begin a move may be moving all the same."""
    camera.move_error = error
    controls = Controls(camera, ALL)
    assert await controls.handle(ContinuousMove(pan=1)) == PtzResult(outcome, label)
    await stopped(lambda: camera.turning or controls.running)


async def test_arguments_that_the_camera_refuses_are_not_its_failure() -> None:
    found = await Controls(FakeSource(), ALL).handle(GotoPreset("nowhere"))
    assert (found.outcome, found.label) == (Outcome.REJECTED, "preset")


async def test_masks_are_told_before_the_picture_changes() -> None:
    told: list[int] = []
    camera = FakeVehicle()
    controls = Controls(camera, ALL, lambda: told.append(len(camera.commands)))
    await controls.handle(ContinuousMove(pan=1))
    await controls.handle(GetStatus())
    await controls.handle(SetZoom("STEP", 1))
    assert told == [0, 1]
    await controls.halt()


# -- the dead man's switch --------------------------------------------------------------------------------


async def test_a_move_ends_at_its_time_though_the_camera_would_go_on(camera: Runaway) -> None:
    controls = Controls(camera, ALL)
    for order, still in (
        (ContinuousMove(pan=1, timeout=0.3), lambda: camera.turning),
        (SetZoom("CONTINUOUS", 1, 0.3), lambda: camera.zooming),
    ):
        await controls.handle(order)
        assert controls.running
        assert 0.2 < await stopped(still) < 1
    assert not controls.running


async def test_who_asks_again_in_time_goes_on(camera: Runaway) -> None:
    controls = Controls(camera, ALL)
    for _ in range(4):
        await controls.handle(ContinuousMove(pan=1, timeout=0.3))
        await asyncio.sleep(0.15)
    assert "stop" not in camera.names
    await controls.handle(GetStatus())
    await stopped(lambda: camera.turning)


async def test_going_somewhere_is_not_stopped_by_the_move_before(camera: Runaway) -> None:
    controls = Controls(camera, ALL)
    await controls.handle(ContinuousMove(pan=1, timeout=0.1))
    await controls.handle(GotoHome())
    await asyncio.sleep(0.3)
    assert camera.names == ["continuous_move", "goto_home"]


async def test_a_velocity_of_zero_stops(camera: Runaway) -> None:
    controls = Controls(camera, ALL)
    await controls.handle(ContinuousMove(pan=1, timeout=5))
    await controls.handle(ContinuousMove())
    assert (camera.turning, controls.running) == (False, False)


async def test_stopping_is_tried_again(camera: Runaway) -> None:
    camera.stop_errors = [SourceNotReady("ptz:busy"), RuntimeError("odd")]
    controls = Controls(camera, ALL)
    await controls.handle(ContinuousMove(pan=1, timeout=0.05))
    assert await stopped(lambda: camera.turning) < 2
    await stopped(lambda: controls.running)


async def test_a_camera_that_was_away_is_stopped_when_it_is_back(
    camera: Runaway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: nothing else would stop it."""
    monkeypatch.setattr(ptz, "STOP_PAUSE", 0.01)
    monkeypatch.setattr(ptz, "STOP_LATER", 0.05)
    camera.stop_errors = [SourceNotReady("ptz:away") for _ in range(8)]
    controls = Controls(camera, ALL)
    await controls.handle(ContinuousMove(pan=1, timeout=0.05))
    await stopped(lambda: camera.turning)
    await stopped(lambda: controls.running)


async def test_a_camera_that_takes_no_stop_holds_up_no_closing(
    camera: Runaway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ptz, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(ptz, "CALL_SECONDS", 0.1)
    camera.stop_errors = [SourceNotReady("ptz:away") for _ in range(1000)]
    controls = Controls(camera, ALL)
    await controls.handle(ContinuousMove(pan=1, timeout=5))
    await asyncio.wait_for(controls.halt(), 3)
    assert controls.running, "nobody says that it has stopped"


async def test_what_waited_too_long_for_the_camera_is_not_begun(camera: Runaway) -> None:
    """In time when it came, too late when it was its turn; a stop is never too late."""
    camera.hang = 0.4
    controls = Controls(camera, ALL)
    first = asyncio.create_task(controls.handle(ContinuousMove(pan=1, timeout=5)))
    await stopped(lambda: not camera.turning)
    due = time.monotonic() + 0.1
    late = await controls.handle(AbsoluteMove(0.5, 0, 0), lambda: time.monotonic() > due)
    assert (late, (await first).outcome) == (PtzResult(Outcome.EXPIRED), Outcome.EXECUTED)
    assert camera.names == ["continuous_move"]
    assert (await controls.handle(Stop(), lambda: True)).outcome is Outcome.EXECUTED
    assert not camera.turning


# -- the stream -------------------------------------------------------------------------------------------


@dataclass
class Remote:
    """A remote control, and a server whose clock is an hour behind ours."""

    control: RemoteControl
    answers: list[tuple[str, Outcome]]
    number: int = 0

    def now(self, seconds: float = 0.0) -> Timestamp:
        return Timestamp.of(datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=seconds))

    def send(self, order: Order, *, session: str = "s", age: float = 0.0) -> str:
        self.number += 1
        at = self.now(-age)
        command = PtzCommand(session, str(self.number), at, Timestamp.of(at + timedelta(seconds=2)), order)
        self.control.told(command)
        return command.command_id

    async def answered(self, command_id: str) -> Outcome:
        async with asyncio.timeout(5):
            while True:
                for one, outcome in self.answers:
                    if one == command_id:
                        return outcome
                await asyncio.sleep(0.005)


@asynccontextmanager
async def remote(camera: FakeSource) -> AsyncIterator[Remote]:
    answers: list[tuple[str, Outcome]] = []

    async def answer(_: str, command_id: str, result: PtzResult) -> None:
        answers.append((command_id, result.outcome))

    made = Remote(RemoteControl(Controls(camera, ALL), answer), answers)
    serving = asyncio.create_task(made.control.serve("s"))
    await asyncio.sleep(0)
    made.control.told(Ready(made.now()))
    try:
        yield made
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_command_that_was_held_up_is_dropped(camera: Runaway) -> None:
    async with remote(camera) as hand:
        assert await hand.answered(hand.send(ContinuousMove(pan=1), age=2.5)) is Outcome.EXPIRED
        assert await hand.answered(hand.send(ContinuousMove(pan=1), age=0.1)) is Outcome.EXECUTED
        assert camera.names == ["continuous_move"]


async def test_another_cameras_command_is_not_ours(camera: Runaway) -> None:
    async with remote(camera) as hand:
        hand.send(ContinuousMove(pan=1), session="another")
        await hand.answered(hand.send(GetStatus()))
        assert (camera.names, len(hand.answers)) == ([], 1)


async def test_the_end_of_the_session_ends_the_move(camera: Runaway) -> None:
    async with remote(camera) as hand:
        await hand.answered(hand.send(ContinuousMove(pan=1, timeout=5)))
        await hand.answered(hand.send(SetZoom("CONTINUOUS", 1, 5)))
        assert (camera.turning, camera.zooming) == (True, True)
    assert (camera.turning, camera.zooming) == (False, False)


async def test_a_session_that_ends_while_the_camera_is_being_told(camera: Runaway) -> None:
    camera.hang = 3
    async with remote(camera) as hand:
        hand.send(ContinuousMove(pan=1, timeout=5))
        await stopped(lambda: not camera.turning)
    assert not camera.turning


async def test_a_broken_stream_ends_the_move(camera: Runaway) -> None:
    async with remote(camera) as hand:
        await hand.answered(hand.send(ContinuousMove(pan=1, timeout=5)))
        hand.control.lost()
        assert await stopped(lambda: camera.turning) < 0.5


async def test_a_slow_camera_follows_the_newest_wish(camera: Runaway) -> None:
    camera.hang = 0.3
    async with remote(camera) as hand:
        first = hand.send(ContinuousMove(pan=1))
        await stopped(lambda: not camera.turning)
        passed = [hand.send(ContinuousMove(pan=speed / 10)) for speed in range(1, 5)]
        step, zoom = hand.send(RelativeMove(pan=0.1)), hand.send(SetZoom("STEP", 1))
        last = hand.send(ContinuousMove(pan=-1))
        assert [await hand.answered(one) for one in passed] == [Outcome.SUPERSEDED] * 4
        for one in (first, step, zoom, last):
            assert await hand.answered(one) is Outcome.EXECUTED
        waiting = hand.send(RelativeMove(pan=0.5))
        assert await hand.answered(hand.send(Stop())) is Outcome.EXECUTED
        assert await hand.answered(waiting) is Outcome.SUPERSEDED
        assert not camera.turning


async def test_a_flood_is_held_in_bounds(camera: Runaway) -> None:
    camera.hang = 0.5
    async with remote(camera) as hand:
        hand.send(ContinuousMove(pan=1))
        await stopped(lambda: not camera.turning)
        sent = [hand.send(GetStatus()) for _ in range(500)]
        await hand.answered(sent[-1])
        outcomes = [outcome for one, outcome in hand.answers if one in sent]
        assert outcomes.count(Outcome.EXECUTED) == 20
