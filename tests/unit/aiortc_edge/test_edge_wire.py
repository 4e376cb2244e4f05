"""STUN, RTP and RTCP: known vectors, round trips, and whatever bytes may come."""

from __future__ import annotations

import hmac
from binascii import crc32
from contextlib import suppress
from struct import pack, unpack_from

import pytest
from aioice import stun as reference
from aiortc import rtp as rtp_reference
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.aiortc_edge import rtp, stun

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)


def request(username: str = "ours:theirs", password: str = "secret", *, nominate: bool = False) -> bytes:
    """A binding request as another implementation builds it."""
    message = reference.Message(reference.Method.BINDING, reference.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 12345
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    return bytes(message)


def test_a_signed_request_is_understood() -> None:
    parsed = stun.parse_binding_request(request(nominate=True))
    assert parsed.local_ufrag == b"ours"
    assert parsed.nominates
    assert parsed.authentic(b"secret")
    assert not parsed.authentic(b"guess")


def test_a_changed_request_is_not_authentic() -> None:
    data = bytearray(request())
    data[data.index(b"ours")] ^= 1
    assert not stun.parse_binding_request(bytes(data)).authentic(b"secret")


def test_what_follows_the_signature_does_not_count() -> None:
    data = request()
    at = data.index(pack("!HH", stun.FINGERPRINT, 4))
    nominating = data[:at] + pack("!HH", stun.USE_CANDIDATE, 0)
    forged = nominating[:2] + pack("!H", len(nominating) - 20) + nominating[4:]
    parsed = stun.parse_binding_request(forged)
    assert parsed.authentic(b"secret") and not parsed.nominates


def test_the_answer_is_what_another_implementation_accepts() -> None:
    parsed = stun.parse_binding_request(request())
    answer = stun.binding_success(parsed, b"secret", "192.0.2.7", 40000)
    message = reference.parse_message(answer)
    assert message.check_message_integrity(b"secret")
    assert message.transaction_id == parsed.transaction_id
    assert message.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 40000)


def test_the_answer_can_carry_ipv6() -> None:
    parsed = stun.parse_binding_request(request())
    answer = stun.binding_success(parsed, b"secret", "2001:db8::1", 40000)
    assert reference.parse_message(answer).attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::1", 40000)


def test_sample_request_of_rfc_5769() -> None:
    data = bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
        "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
        "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
    )
    parsed = stun.parse_binding_request(data)
    assert parsed.local_ufrag == b"evtj"
    assert parsed.authentic(b"VOkJxbRl1RmTxUk/WvJxBt")


@given(st.binary(max_size=200))
def test_any_datagram_is_refused_cleanly(data: bytes) -> None:
    with pytest.raises(stun.StunError):
        stun.parse_binding_request(data)


@given(st.data())
def test_any_damage_to_a_request_is_refused_or_unauthentic(data: st.DataObject) -> None:
    message = bytearray(request())
    signed = message.index(pack("!HH", stun.FINGERPRINT, 4))
    message[data.draw(st.integers(0, signed - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = stun.parse_binding_request(bytes(message))
    except stun.StunError:
        return
    assert not parsed.authentic(b"secret")


def test_length_is_covered_as_rfc_8489_asks() -> None:
    """The signature covers a header whose length ends with the signature, not with the fingerprint."""
    data = request()
    at = data.index(pack("!HH", stun.MESSAGE_INTEGRITY, 20))
    expected = hmac.digest(b"secret", data[:2] + pack("!H", at + 4) + data[4:at], "sha1")
    assert stun.parse_binding_request(data).integrity == expected
    fingerprint = unpack_from("!L", data, len(data) - 4)[0]
    assert fingerprint == crc32(data[:-8]) ^ stun.FINGERPRINT_XOR


@given(
    st.integers(0, 127), st.booleans(), U16, U32, U32, st.binary(max_size=100), st.lists(U32, max_size=15),
    st.integers(0, 20),
)  # fmt: skip
def test_rtp_is_parsed_as_another_implementation_builds_it(
    payload_type: int,
    marker: bool,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    sources: list[int],
    padding: int,
) -> None:
    packet = rtp_reference.RtpPacket(payload_type, int(marker), sequence, timestamp, ssrc, payload)
    packet.csrc, packet.padding_size = sources, padding
    extensions = rtp_reference.HeaderExtensionsMap()
    parsed = rtp.parse_rtp(packet.serialize(extensions))
    assert parsed == (payload_type, marker, sequence, timestamp, ssrc, payload)


def test_header_extension_is_skipped() -> None:
    data = pack("!BBHLL", 0x90, 96, 1, 2, 3) + pack("!HH", 0xBEDE, 1) + b"\x10abc" + b"payload"
    assert rtp.parse_rtp(data).payload == b"payload"


@given(st.binary(max_size=60))
def test_any_bytes_as_rtp_give_a_packet_or_a_clean_error(data: bytes) -> None:
    with suppress(rtp.RtpError):
        rtp.parse_rtp(data)


@given(st.binary(max_size=80))
def test_any_bytes_as_rtcp_give_packets_or_a_clean_error(data: bytes) -> None:
    with suppress(rtp.RtpError):
        for packet in rtp.parse_rtcp(data):
            for parse in (rtp.parse_sender_info, rtp.feedback_target):
                with suppress(rtp.RtpError):
                    parse(packet)
            with suppress(rtp.RtpError):
                assert all(0 <= lost <= 0xFFFF for lost in rtp.parse_nack(packet)[1])


@given(st.lists(U16, min_size=1, max_size=80, unique=True), U32)
def test_nack_names_exactly_the_lost(lost: list[int], ssrc: int) -> None:
    (packet,) = rtp.parse_rtcp(rtp.nack(1, ssrc, sorted(lost)))
    media, named = rtp.parse_nack(packet)
    assert (media, list(named)) == (ssrc, sorted(lost))
    (other,) = rtp_reference.RtcpPacket.parse(rtp.nack(1, ssrc, sorted(lost)))
    assert sorted(set(other.lost)) == sorted(lost)


def test_neighbours_share_a_nack_entry_across_the_wrap() -> None:
    packet = rtp.nack(1, 2, [0xFFFF, 0, 15])
    assert len(packet) == 16
    assert list(rtp.parse_nack(next(rtp.parse_rtcp(packet)))[1]) == [0xFFFF, 0, 15]


def test_reports_are_what_another_implementation_reads() -> None:
    reception = rtp.Reception(7, 64, 5, 0x10002, 90, 0xAABBCCDD, 65536)
    (report,) = rtp_reference.RtcpPacket.parse(rtp.receiver_report(1, reception))
    (block,) = report.reports
    assert (block.ssrc, block.fraction_lost, block.packets_lost) == (7, 64, 5)
    assert (block.highest_sequence, block.jitter, block.lsr, block.dlsr) == (0x10002, 90, 0xAABBCCDD, 65536)

    info = rtp.SenderInfo(9, 0x1122334455667788, 3000)
    compound = rtp.sender_report(info, 10, 2**32 + 5) + rtp.source_description(9, "name")
    sender, description = rtp_reference.RtcpPacket.parse(compound)
    assert (sender.ssrc, sender.sender_info.ntp_timestamp) == (9, 0x1122334455667788)
    assert (sender.sender_info.packet_count, sender.sender_info.octet_count) == (10, 5)
    assert description.chunks[0].items[0] == (1, b"name")
    assert rtp.parse_sender_info(next(rtp.parse_rtcp(compound))) == info


@given(st.integers(30_000, 2**40))
def test_remb_is_never_more_than_asked_and_close_to_it(bitrate: int) -> None:
    (packet,) = rtp_reference.RtcpPacket.parse(rtp.remb(1, bitrate, 42))
    read, ssrcs = rtp_reference.unpack_remb_fci(packet.fci)
    assert ssrcs == [42]
    assert bitrate * 0.99999 - 1 <= read <= bitrate


@given(U16, U16, st.binary(min_size=1, max_size=50))
def test_a_retransmission_gives_the_original_back(original: int, sequence: int, payload: bytes) -> None:
    data = rtp.rtx_packet(
        payload_type=97,
        sequence=sequence,
        timestamp=5,
        ssrc=6,
        original=original,
        marker=0x80,
        payload=payload,
    )
    restored = rtp.restore_from_rtx(rtp.parse_rtp(data))
    assert restored is not None
    assert (restored.sequence, restored.payload, restored.marker) == (original, payload, True)


def test_a_probe_is_no_retransmission() -> None:
    assert rtp.restore_from_rtx(rtp.RtpPacket(97, False, 1, 2, 3, b"")) is None
