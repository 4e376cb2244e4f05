"""Frames out of noise: garbage, wrong checksums, half frames, forged and replayed signatures."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from luxxon_drone.codec import Codec, signing_key, text
from pymavlink.dialects.v20 import ardupilotmega
from pymavlink.dialects.v20 import common as mavlink

NOW = 1.8e9


def vehicle(passphrase: str = "", system: int = 1) -> Codec:
    return Codec(system, 1, signing_key(passphrase) if passphrase else None)


def beat(codec: Codec, number: int = 0, at: float = NOW) -> bytes:
    return codec.encode(mavlink.MAVLink_heartbeat_message(2, 12, 0, number, 4, 3), at)


def numbers(messages: list[Any]) -> list[int]:
    return [message.custom_mode for message in messages]


def pieces_of(stream: bytes, receiver: Codec, seed: int) -> list[int]:
    """What is heard of a stream that comes in pieces of any size."""
    chance, found, at, clock = random.Random(seed), [], 0, 0.0
    while at < len(stream):
        size = chance.randint(1, 50)
        found += numbers(receiver.stream(stream[at : at + size], clock))
        at, clock = at + size, clock + chance.random() * 0.01
    # A false start waits for the rest of its frame, but not for ever.
    return found + numbers(receiver.stream(b"", clock + 1.0))


HARMLESS = st.binary(max_size=40).filter(lambda noise: not {0xFD, 0xFE} & set(noise))
CUT = st.integers(1, 20).map(lambda length: beat(vehicle(system=9), 99)[:length])
WRONG = st.integers(10, 18).map(
    lambda at: bytes(byte ^ (0x55 * (number == at)) for number, byte in enumerate(beat(vehicle(), 99)))
)


@given(st.lists(HARMLESS | CUT | WRONG, min_size=1, max_size=6), st.integers(0, 2**32))
def test_no_frame_of_a_stream_is_lost_to_broken_ones(noise: list[bytes], seed: int) -> None:
    sender, receiver = vehicle(), vehicle(system=245)
    stream = b"".join(broken + beat(sender, number) for number, broken in enumerate(noise))
    assert pieces_of(stream, receiver, seed) == list(range(len(noise)))


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_after_any_noise_frames_are_found_again(noise: bytes, seed: int) -> None:
    """It may look like frames of messages that nobody knows, and take along what seems to belong to them."""
    sender, receiver = vehicle(), vehicle(system=245)
    stream = noise + b"".join(beat(sender, number) for number in range(40))
    found = pieces_of(stream, receiver, seed)
    assert found == sorted(set(found))
    assert found[-15:] == list(range(25, 40))


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_no_bytes_upset_it(pieces: list[bytes]) -> None:
    codec = vehicle()
    for number, piece in enumerate(pieces):
        codec.datagram(piece)
        codec.stream(piece, number * 0.1)
        assert len(codec._buffer) <= 600


def test_what_a_datagram_leaves_over_does_not_spoil_the_next() -> None:
    sender, receiver = vehicle(), vehicle(system=245)
    assert receiver.datagram(beat(sender, 1)[:-3]) == []
    assert numbers(receiver.datagram(b"\xfd\xff\x00" + beat(sender, 2) + beat(sender, 3))) == [2, 3]


def test_a_wrong_checksum_is_counted_and_the_next_frame_found() -> None:
    sender, receiver = vehicle(), vehicle(system=245)
    wrong = bytearray(beat(sender, 1))
    wrong[12] ^= 0x40
    assert numbers(receiver.stream(bytes(wrong) + beat(sender, 2), 0.0)) == [2]
    assert receiver.bad_frames >= 1


def test_messages_of_another_dialect_are_stepped_over() -> None:
    other = ardupilotmega.MAVLink(None, 1, 1)
    ahrs = ardupilotmega.MAVLink_ahrs_message(0.1, 0, 0, 0, 0, 0, 0).pack(other)
    sender, receiver = vehicle(), vehicle(system=245)
    assert numbers(receiver.datagram(ahrs + beat(sender, 1) + ahrs + beat(sender, 2))) == [1, 2]
    assert receiver.bad_frames == 0


def test_the_older_protocol_is_understood() -> None:
    old = mavlink.MAVLink_heartbeat_message(2, 12, 0, 7, 4, 3)
    frame = old.pack(mavlink.MAVLink(None, 1, 1), force_mavlink1=True)
    assert numbers(vehicle().datagram(frame)) == [7]


def test_signed_frames_are_taken_unsigned_and_foreign_ones_not() -> None:
    receiver = Codec(245, 191, signing_key("open sesame"))
    assert numbers(receiver.datagram(beat(vehicle("open sesame"), 1))) == [1]
    assert receiver.datagram(beat(vehicle("guessed"), 2)) == []
    assert receiver.datagram(beat(vehicle(), 3)) == []
    old = mavlink.MAVLink_heartbeat_message(2, 12, 0, 7, 4, 3)
    assert receiver.datagram(old.pack(mavlink.MAVLink(None, 1, 1), force_mavlink1=True)) == []
    assert receiver.bad_signatures == 3


def test_a_recorded_frame_is_not_taken_again() -> None:
    sender, receiver = vehicle("key"), Codec(245, 191, signing_key("key"))
    frame = beat(sender, 1)
    assert len(receiver.datagram(frame)) == 1
    assert receiver.datagram(frame) == []
    assert len(receiver.datagram(beat(sender, 2, NOW + 1))) == 1


def test_a_forged_time_stamp_does_not_shut_the_vehicle_out() -> None:
    sender, receiver = vehicle("key"), Codec(245, 191, signing_key("key"))
    forged = bytearray(beat(sender, 1))
    forged[-12:-6] = b"\xff" * 6
    assert receiver.datagram(bytes(forged)) == []
    assert len(receiver.datagram(beat(sender, 2))) == 1


def test_signatures_out_carry_a_time_that_rises() -> None:
    codec, receiver = Codec(245, 191, signing_key("key")), Codec(1, 1, signing_key("key"))
    for at in (NOW, NOW, NOW - 3600, NOW + 1):  # the clock of the computer is set back
        assert len(receiver.datagram(beat(codec, 1, at))) == 1


def test_a_key_is_not_in_its_text() -> None:
    from luxxon_drone.config import DroneConfig
    from luxxon_drone.station import Settings

    config = DroneConfig(signing_key="open sesame", video_password="hunter2")
    assert "sesame" not in repr(config) + str(config.model_dump())
    assert "hunter2" not in repr(config) + str(config.model_dump())
    assert "k3y" not in repr(Settings(key=b"k3y"))


def test_names_of_a_camera_are_made_fit_to_be_shown() -> None:
    assert text(b"Sky\0rest") == "Sky"
    assert text([83, 107, 121, 0, 0]) == "Sky"
    assert "\x1b" not in text(b"\x1b[2Jevil")
    assert text(b"\xff\xfe") == "\ufffd\ufffd"
