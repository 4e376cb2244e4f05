"""Which positions are given out: new ones, with their quality and their true age."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from luxxon_drone.position import BootClock, Order, Position, Positions
from pymavlink.dialects.v20 import common as mavlink

from luxxon_core.source import FixType


def gps(fix: int = 3, h_acc: int = 1250, eph: int = 90, satellites: int = 14) -> mavlink.MAVLink_message:
    return mavlink.MAVLink_gps_raw_int_message(0, fix, 0, 0, 0, eph, 0, 0, 0, satellites, h_acc=h_acc)


def at(
    boot_ms: int, latitude: float = 47.0, longitude: float = 8.0, heading: int = 9000
) -> mavlink.MAVLink_message:
    degrees = round(latitude * 1e7), round(longitude * 1e7)
    return mavlink.MAVLink_global_position_int_message(boot_ms, *degrees, 400_000, 0, 0, 0, 0, heading)


def one(quality: mavlink.MAVLink_message, heading: int = 9000) -> Position:
    positions = Positions()
    positions.gps_raw_int(quality, 0.0)
    position, _ = positions.global_position_int(at(1000, heading=heading), 0.0)
    assert position is not None
    return position


def test_the_receivers_own_accuracy_comes_first() -> None:
    assert one(gps(h_acc=1250, eph=90)).horizontal_accuracy == 1.25
    assert one(gps(h_acc=0, eph=90)).horizontal_accuracy == 4.5
    assert one(gps(h_acc=0, eph=65535)).horizontal_accuracy == 100.0
    assert one(gps(h_acc=0, eph=0)).horizontal_accuracy == 100.0


def test_what_is_unknown_is_left_open() -> None:
    assert one(gps(), heading=65535).heading is None
    assert one(gps(), heading=36000).heading is None
    assert one(gps(), heading=35999).heading == 359.99
    assert one(gps(satellites=255)).satellites is None
    assert one(gps(fix=8)).fix_type is FixType.DGPS
    assert one(gps(fix=6)).fix_type is FixType.RTK_FIXED


def test_a_position_without_word_of_its_quality_has_no_fix() -> None:
    positions = Positions()
    position, _ = positions.global_position_int(at(1000), 0.0)
    assert position is not None
    assert position.fix_type is FixType.NO_GPS
    positions.gps_raw_int(gps(), 1.0)
    for second, expected in ((1, FixType.FIX_3D), (3, FixType.FIX_3D), (10, FixType.NO_GPS)):
        position, _ = positions.global_position_int(at(1000 + second * 1000), float(second))
        assert position is not None
        assert position.fix_type is expected


def test_whether_the_fix_is_known_is_not_whether_there_is_one() -> None:
    positions = Positions()
    positions.global_position_int(at(1000), 0.0)
    assert not positions.fix_known(0.0)
    positions.gps_raw_int(gps(fix=0), 1.0)
    assert [positions.fix_known(now) for now in (1.0, 4.0, 4.1)] == [True, True, False]


def test_a_lost_fix_is_told_at_once_with_the_old_position_as_old_as_it_is() -> None:
    positions = Positions()
    positions.gps_raw_int(gps(), 0.0)
    positions.global_position_int(at(1000), 0.0)
    lost = positions.gps_raw_int(gps(fix=1), 0.8)
    assert lost is not None
    assert (lost.fix_type, lost.taken) == (FixType.NO_FIX, 0.0)
    assert positions.gps_raw_int(gps(fix=1), 1.0) is None
    # What the autopilot estimates from here on is new, and has no fix.
    position, _ = positions.global_position_int(at(2000, latitude=47.1), 1.0)
    assert position is not None
    assert (position.latitude, position.fix_type) == (47.1, FixType.NO_FIX)


def test_nowhere_is_no_position() -> None:
    positions = Positions()
    positions.gps_raw_int(gps(), 0.0)
    assert positions.global_position_int(at(1000, 0.0, 0.0), 0.0) == (None, False)
    assert positions.global_position_int(at(1100, 91.0, 0.0), 0.1) == (None, False)
    assert positions.global_position_int(at(1200, 47.0, -180.5), 0.2) == (None, False)


def test_copies_and_latecomers_are_left_out() -> None:
    clock = BootClock()
    assert clock.observe(100_000, 0.0)[0] is Order.FRESH
    assert clock.observe(100_000, 0.1)[0] is Order.LATE
    assert clock.observe(99_000, 0.1)[0] is Order.LATE
    assert clock.observe(50_000, 0.1)[0] is Order.LATE
    assert clock.observe(100_200, 0.2)[0] is Order.FRESH


def test_what_was_long_under_way_is_old() -> None:
    """A radio that was held up hands over what it has kept: none of that is news but the last."""
    clock = BootClock()
    for tenth in range(50):
        assert clock.observe(100_000 + tenth * 100, tenth / 10)[0] is Order.FRESH
    # Held up from second 5 to 15, and then at once.
    orders = [clock.observe(100_000 + tenth * 100, 15.0) for tenth in range(50, 151)]
    fresh = [age for order, age in orders if order is Order.FRESH]
    assert len(fresh) in (31, 32)  # of the last three seconds
    assert fresh[-1] < 0.1
    assert all(abs(age - (len(fresh) - 1 - number) / 10) < 0.15 for number, age in enumerate(fresh))


def test_a_vehicle_that_starts_anew_is_believed() -> None:
    clock = BootClock()
    clock.observe(600_000, 0.0)
    assert clock.observe(3_000, 5.0) == (Order.REBOOT, 0.0)
    assert clock.observe(3_200, 5.2)[0] is Order.FRESH
    # But not one that would have been up for longer than it was silent.
    clock.observe(63_200, 65.2)
    assert clock.observe(30_000, 65.3)[0] is Order.LATE


def test_the_counter_may_wrap() -> None:
    clock = BootClock()
    clock.observe(2**32 - 100, 0.0)
    order, age = clock.observe(100, 0.2)
    assert order is Order.FRESH
    assert age < 0.01


def test_a_clock_that_was_set_is_taken_in_the_end() -> None:
    clock = BootClock()
    clock.observe(900_000, 0.0)
    orders = [clock.observe(500_000 + tenth * 100, tenth / 10)[0] for tenth in range(1, 100)]
    assert Order.REBOOT not in orders
    assert orders[10] is Order.LATE
    assert orders[-1] is Order.FRESH


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 30, allow_nan=False)), min_size=1, max_size=60)
)
def test_no_time_stamp_is_given_out_twice_in_a_row(steps: list[tuple[int, float]]) -> None:
    """Whatever comes, in whatever order: ages are never negative nor large, and repeats never fresh."""
    clock, now, last = BootClock(), 0.0, None
    for boot_ms, pause in steps:
        now += pause
        order, age = clock.observe(boot_ms, now)
        assert 0.0 <= age <= 3.0
        if order is not Order.LATE:
            assert boot_ms != last
            last = boot_ms
