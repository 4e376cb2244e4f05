"""The protocol without a wire: any interleaving of messages, losses, copies and strangers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luxxon_drone import exchange, permits
from luxxon_drone.exchange import Command, Outcome, request_message
from luxxon_drone.permits import check
from luxxon_drone.station import (
    Event,
    Finished,
    LinkLost,
    LinkUp,
    Moved,
    Rebooted,
    Settings,
    Station,
)
from pymavlink.dialects.v20 import common as mavlink

UNIX = 1.8e9
HOME = ("127.0.0.1", 1)
ZOOM = Command(permits.SET_CAMERA_ZOOM, (2, 50.0), 100)
INFORMATION = mavlink.MAVLINK_MSG_ID_CAMERA_INFORMATION


def packed(message: Any, system: int = 1, component: int = 1) -> bytes:
    frame: bytes = message.pack(mavlink.MAVLink(None, system, component))
    return frame


def beat(system: int = 1, component: int = 1, kind: int = 2, autopilot: int = 12) -> bytes:
    return packed(mavlink.MAVLink_heartbeat_message(kind, autopilot, 0, 0, 4, 3), system, component)


def ack(
    command: int, result: int, component: int = 100, system: int = 1, to: tuple[int, int] = (0, 0)
) -> bytes:
    return packed(mavlink.MAVLink_command_ack_message(command, result, 0, 0, *to), system, component)


def position(boot_ms: int, system: int = 1) -> bytes:
    message = mavlink.MAVLink_global_position_int_message(boot_ms, 470000000, 80000000, 0, 0, 0, 0, 0, 0)
    return packed(message, system)


def camera_information() -> bytes:
    name = b"x" * 32
    message = mavlink.MAVLink_camera_information_message(1, name, name, 1, 1, 1, 1, 1, 1, 0, 320, 0, b"")
    return packed(message, 1, 100)


class Bench:
    """A station, its clock, and all it said and did."""

    def __init__(self, **settings: Any) -> None:
        self.station = Station(Settings(**settings))
        self.now = 0.0
        self.events: list[Event] = []
        self.sent: list[Any] = []
        self.routes: list[tuple[object, ...]] = []
        self._reader = mavlink.MAVLink(None)

    def hear(self, data: bytes, source: object = HOME) -> Bench:
        self.events += self.station.receive(data, self.now, UNIX + self.now, source)  # type: ignore[arg-type]
        return self._send()

    def wait(self, seconds: float) -> Bench:
        """Ticks when the station asks for it."""
        end = self.now + seconds
        for _ in range(10_000):
            due = self.station.due()
            if due > end:
                break
            self.now = max(self.now, due)
            self.events += self.station.tick(self.now, UNIX + self.now)
            self._send()
        else:
            raise AssertionError("the station never comes to rest")
        self.now = end
        return self

    def submit(self, command: Command) -> int:
        number = self.station.submit(command, self.now, UNIX + self.now)
        self._send()
        return number

    def _send(self) -> Bench:
        for outgoing in self.station.outgoing():
            check(outgoing.frame)
            (message,) = self._reader.parse_buffer(outgoing.frame)
            self.sent.append(message)
            self.routes.append(outgoing.routes)
        return self

    def outcomes(self) -> dict[int, Outcome]:
        finished = [event for event in self.events if isinstance(event, Finished)]
        assert len({event.number for event in finished}) == len(finished), "a command that ended twice"
        return {event.number: event.outcome for event in finished}

    def commands(self, command: int) -> list[Any]:
        return [one for one in self.sent if one.get_type() == "COMMAND_LONG" and one.command == command]

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def up(**settings: Any) -> Bench:
    return Bench(**settings).hear(beat())


def test_the_first_vehicle_is_taken_and_others_are_named() -> None:
    bench = Bench()
    bench.hear(beat(255, 190, mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID))
    bench.hear(beat(1, 100, mavlink.MAV_TYPE_CAMERA, mavlink.MAV_AUTOPILOT_INVALID))
    assert bench.station.vehicle is None
    bench.hear(beat(7)).hear(beat(9)).hear(position(1000, 9))
    assert (bench.station.vehicle, bench.station.neighbours) == (7, {9})
    assert bench.of(LinkUp) == [LinkUp()]
    assert bench.of(Moved) == []


def test_the_vehicle_asked_for_is_waited_for() -> None:
    bench = Bench(target_system=9).hear(beat(7))
    assert not bench.station.alive
    bench.hear(beat(9))
    assert bench.station.alive


def test_a_lost_vehicle_is_not_replaced_by_another() -> None:
    bench = up().wait(4.9)
    assert bench.station.alive
    bench.wait(0.2)
    assert bench.of(LinkLost) == [LinkLost()]
    bench.hear(beat(2)).wait(1)
    assert not bench.station.alive
    bench.hear(beat(1))
    assert bench.station.alive
    assert len(bench.of(LinkUp)) == 2


def test_heartbeats_go_out_once_a_second_and_are_no_ground_stations() -> None:
    bench = up().wait(4.5)
    beats = [one for one in bench.sent if one.get_type() == "HEARTBEAT"]
    assert len(beats) == 5
    assert {(one.type, one.autopilot) for one in beats} == {
        (mavlink.MAV_TYPE_ONBOARD_CONTROLLER, mavlink.MAV_AUTOPILOT_INVALID)
    }


def test_an_impostor_neither_moves_the_vehicle_nor_gets_its_commands() -> None:
    bench = up().hear(position(1000))
    mallory = ("127.0.0.1", 666)
    bench.hear(position(2000), mallory).hear(beat(), mallory)
    assert len(bench.of(Moved)) == 1
    assert bench.station.impostors == 2
    bench.submit(ZOOM)
    assert bench.routes[-1] == (HOME,)
    # After a silence, too, it takes a heartbeat to be the vehicle.
    bench.wait(6).hear(position(3000), mallory).hear(beat())
    assert bench.station.alive
    # One whose address has changed is heard again once the old one has fallen silent.
    bench.wait(6).hear(beat(), mallory)
    assert bench.station.alive


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (0, Outcome.ACCEPTED),
        (2, Outcome.DENIED),
        (3, Outcome.UNSUPPORTED),
        (4, Outcome.FAILED),
        (7, Outcome.UNSUPPORTED),
        (8, Outcome.UNSUPPORTED),
        (200, Outcome.FAILED),
    ],
)
def test_an_answer_ends_a_command(result: int, outcome: Outcome) -> None:
    bench = up()
    number = bench.submit(ZOOM)
    bench.hear(ack(ZOOM.command, result))
    assert bench.outcomes() == {number: outcome}
    assert len(bench.commands(ZOOM.command)) == 1


def test_without_an_answer_it_is_sent_again_and_then_given_up() -> None:
    bench = up(timeout=60)
    number = bench.submit(ZOOM)
    bench.wait(20)
    sent = bench.commands(ZOOM.command)
    assert [one.confirmation for one in sent] == [0, 1, 2, 3]
    assert bench.outcomes() == {number: Outcome.TIMED_OUT}


def test_a_link_is_lost_at_the_moment_that_was_asked_for() -> None:
    """Sums of times are rounded: found by the property below, as a station that ticked without end."""
    for tenth in range(1, 400):
        bench = Bench()
        bench.now = tenth / 7
        bench.hear(beat()).wait(20)
        assert not bench.station.alive


def test_a_busy_vehicle_is_asked_again() -> None:
    bench = up(timeout=60)
    number = bench.submit(ZOOM)
    bench.hear(ack(ZOOM.command, 1) * 3)  # and copies of the same refusal
    assert len(bench.commands(ZOOM.command)) == 1
    bench.wait(0.6)
    assert len(bench.commands(ZOOM.command)) == 2
    bench.hear(ack(ZOOM.command, 0))
    assert bench.outcomes() == {number: Outcome.ACCEPTED}


def test_a_vehicle_that_is_always_busy_is_given_up() -> None:
    bench = up(timeout=60)
    number = bench.submit(ZOOM)
    for _ in range(20):
        bench.hear(ack(ZOOM.command, 1)).wait(0.6)
    assert bench.outcomes() == {number: Outcome.BUSY}
    assert len(bench.commands(ZOOM.command)) == exchange.BUSY_RETRIES + 1


def test_work_in_progress_is_waited_for_but_not_for_ever() -> None:
    bench = up(timeout=100)
    number = bench.submit(ZOOM)
    for _ in range(4):
        bench.hear(ack(ZOOM.command, 5)).wait(4)
    assert len(bench.commands(ZOOM.command)) == 1
    for _ in range(10):
        bench.hear(ack(ZOOM.command, 5)).wait(4)
    assert bench.outcomes() == {number: Outcome.TIMED_OUT}


def test_a_message_asked_for_is_the_answer_and_a_promise_is_not() -> None:
    bench = up()
    number = bench.submit(request_message(INFORMATION, 100))
    bench.hear(ack(permits.REQUEST_MESSAGE, 0)).wait(1.1)
    assert bench.outcomes() == {}
    assert len(bench.commands(permits.REQUEST_MESSAGE)) == 2  # the message was lost
    bench.hear(camera_information())
    assert bench.outcomes() == {number: Outcome.ACCEPTED}


def test_answers_to_others_and_from_others_do_not_count() -> None:
    bench = up()
    bench.submit(ZOOM)
    for frame in (
        ack(ZOOM.command, 0, to=(255, 190)),
        ack(ZOOM.command, 0, component=101),
        ack(ZOOM.command, 0, system=2),
        ack(ZOOM.command + 1, 0),
    ):
        bench.hear(frame)
    assert bench.outcomes() == {}
    bench.hear(ack(ZOOM.command, 0, to=(245, 191)))
    assert len(bench.outcomes()) == 1


def test_of_one_kind_one_command_at_a_time_is_under_way() -> None:
    bench = up()
    first, second = bench.submit(ZOOM), bench.submit(ZOOM)
    elsewhere = bench.submit(Command(ZOOM.command, (2, 50.0), 101))
    assert len(bench.commands(ZOOM.command)) == 2
    bench.hear(ack(ZOOM.command, 0)).wait(0.01)
    assert bench.outcomes() == {first: Outcome.ACCEPTED}
    assert len(bench.commands(ZOOM.command)) == 3
    bench.hear(ack(ZOOM.command, 2)).hear(ack(ZOOM.command, 0, component=101))
    assert bench.outcomes()[second] is Outcome.DENIED
    assert bench.outcomes()[elsewhere] is Outcome.ACCEPTED


def test_a_lost_link_ends_all_that_is_under_way() -> None:
    bench = up(timeout=1)
    numbers = [bench.submit(ZOOM), bench.submit(ZOOM)]
    bench.wait(2)
    assert bench.outcomes() == dict.fromkeys(numbers, Outcome.LINK_LOST)
    late = bench.submit(ZOOM)
    bench.wait(1)
    assert bench.outcomes()[late] is Outcome.LINK_LOST


def test_a_vehicle_that_starts_anew_has_forgotten_its_commands() -> None:
    bench = up(timeout=60).hear(position(600_000)).wait(5)
    number = bench.submit(ZOOM)
    bench.hear(position(2_000))
    assert bench.of(Rebooted) == [Rebooted()]
    assert bench.outcomes() == {number: Outcome.LINK_LOST}


def test_made_up_systems_and_components_take_no_room() -> None:
    bench = up()
    for number in range(2, 250):
        bench.hear(beat(number))
        bench.hear(beat(1, number, mavlink.MAV_TYPE_CAMERA, mavlink.MAV_AUTOPILOT_INVALID))
    assert len(bench.station.neighbours) <= 16
    assert len(bench.station.components) <= 32
    assert len(bench.station._routes) <= 32


RESULTS = st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.just("beat"), st.sampled_from([1, 1, 1, 2, 245])),
    st.tuples(st.just("ack"), RESULTS),
    st.tuples(st.just("promise"), RESULTS),
    st.tuples(st.just("information"), st.just(0)),
    st.tuples(st.just("position"), st.integers(0, 120_000)),
    st.tuples(st.just("elsewhere"), st.integers(0, 120_000)),
    st.tuples(st.just("zoom"), st.just(0)),
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(st.just("noise"), st.binary(max_size=30)),
    st.tuples(st.just("again"), st.integers(0, 5)),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_any_interleaving_ends_every_command_once(  # noqa: PLR0912 - one for each step
    steps: list[tuple[str, Any]],
) -> None:
    """And the link is up exactly while the vehicle's heartbeats are not older than its time-out."""
    bench = Bench()
    heard: list[bytes] = []
    submitted: list[int] = []
    last_beat, vehicle = float("-inf"), None
    for name, value in steps:
        before = len(bench.events)
        frame = b""
        if name == "wait":
            bench.wait(value)
        elif name == "beat":
            frame = beat(value)
        elif name in ("ack", "promise"):
            frame = ack(ZOOM.command if name == "ack" else permits.REQUEST_MESSAGE, value)
        elif name == "information":
            frame = camera_information()
        elif name == "position":
            frame = position(value)
        elif name == "elsewhere":
            bench.hear(position(value), ("127.0.0.1", 2))
        elif name == "noise":
            frame = value
        elif name == "again" and heard:
            frame = heard[-1 - value % len(heard)]
        elif name in ("zoom", "ask"):
            command = ZOOM if name == "zoom" else request_message(INFORMATION, 100)
            submitted.append(bench.submit(command))
        if frame:
            heard.append(frame)
            bench.hear(frame)
            if len(frame) >= 10 and frame[7:10] == b"\0\0\0" and frame[0] == 0xFD:
                system = frame[5]
                vehicle = vehicle or system
                if system == vehicle:
                    last_beat = bench.now
        if vehicle == 1 or vehicle is None:
            assert bench.station.alive == (bench.now < last_beat + 5.0)
        moved = [event for event in bench.events[before:] if isinstance(event, Moved)]
        assert not moved or bench.station.alive
        assert all(event.position.taken <= bench.now for event in moved)
    bench.wait(200)
    assert sorted(bench.outcomes()) == submitted
    assert not bench.station.alive
    per_command = Counter(one.command for one in bench.sent if one.get_type() == "COMMAND_LONG")
    most = exchange.RETRIES + exchange.BUSY_RETRIES + 1
    assert all(count <= most * max(1, len(submitted)) for count in per_command.values())
    kinds = [type(event) for event in bench.events if isinstance(event, LinkUp | LinkLost)]
    assert all(kind is (LinkUp if number % 2 == 0 else LinkLost) for number, kind in enumerate(kinds))
