"""The two sockets: what is sent for each route arrives, protected with its keys, in whatever pieces."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from struct import pack

import pytest
from edge_peers import until
from packet_peers import rtp_header
from pylibsrtp import Policy, Session

from luxxon_core.adapters.aiortc_edge import batch, private, rtp, udp
from luxxon_core.adapters.aiortc_edge.batch import MAX_PACKETS, BatchSocket, batch_supported
from luxxon_core.adapters.aiortc_edge.udp import PlainSocket

GCM = Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28, 16
SHA1 = Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30, 10
needs_batch = pytest.mark.skipif(not batch_supported(), reason="no sendmmsg here")
AnySocket = BatchSocket | PlainSocket


class End:
    """A receiver with keys of its own."""

    def __init__(self, profile: tuple[int, int, int]) -> None:
        number, size, tag = profile
        key = os.urandom(size)
        out = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=number)
        out.allow_repeat_tx = True
        out.window_size = 128
        sending = Session(out)
        self.session = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=number))
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(2)
        self.route = udp.Route()
        self.route.address = udp.pack_address(*self.sock.getsockname())
        self.route.keys = private.SrtpKeys(sending._srtp[0], sending._srtp[0], tag, (sending, sending))

    def next(self, *, rtcp: bool = False) -> bytes:
        data = self.sock.recv(2048)
        plain: bytes = self.session.unprotect_rtcp(data) if rtcp else self.session.unprotect(data)
        return plain

    @property
    def silent(self) -> bool:
        self.sock.setblocking(False)
        try:
            self.sock.recv(2048)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def ends() -> object:
    with ExitStack() as stack:

        def make(*profiles: tuple[int, int, int]) -> list[End]:
            made = [End(profile) for profile in profiles]
            for end in made:
                stack.callback(end.sock.close)
            return made

        yield make


Ends = Callable[..., list[End]]


@pytest.fixture(params=["sendmmsg", "sendto"])
async def out(request: pytest.FixtureRequest) -> AsyncIterator[AnySocket]:
    if request.param == "sendmmsg" and not batch_supported():
        pytest.skip("no sendmmsg here")
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    made = (BatchSocket if request.param == "sendmmsg" else PlainSocket)(sock, lambda *_: None)
    yield made
    made.close()


def frame(sizes: list[int], first: int = 0) -> list[bytes]:
    return [rtp_header(96, first + n, 3000, 7) + os.urandom(size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes", [[900], [900] * 5, [900] * 5 + [80], [80, 900, 900, 1440, 1, 1], [1200] * MAX_PACKETS]
)
async def test_each_route_gets_all_packets_whatever_their_sizes(
    out: AnySocket, ends: Ends, sizes: list[int]
) -> None:
    made = ends(GCM, SHA1, GCM)
    packets = frame(sizes)
    for end in made:
        end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    out.fan([end.route for end in made], packets)
    out.flush()
    for end in made:
        assert [end.next() for _ in sizes] == packets
        assert end.silent
    assert out.counters.sent == 3 * len(sizes) and out.counters.errors == 0


async def test_control_packets_have_a_longer_trailer(out: AnySocket, ends: Ends) -> None:
    made = ends(GCM, SHA1)
    report = rtp.picture_loss(1, 2)
    out.fan([end.route for end in made], [report], rtcp=True)
    out.send(b"\x16 as it is", made[0].route.address)
    out.flush()
    assert [end.next(rtcp=True) for end in made] == [report, report]
    assert made[0].sock.recv(100) == b"\x16 as it is"


@pytest.mark.parametrize("size", [udp.STRIDE - 12, udp.STRIDE, 2000])
async def test_a_packet_with_no_room_for_its_trailer_is_left_out(ends: Ends, size: int) -> None:
    """libsrtp writes behind the packet without looking what is there."""
    (end,) = ends(GCM)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    out = PlainSocket(sock, lambda *_: None)
    large, small = rtp.rtcp_packet(205, 15, bytes(size - 4)), rtp.picture_loss(1, 2)
    out.fan([end.route], [large, small], rtcp=True)
    assert end.next(rtcp=True) == small
    assert (out.counters.sent, out.counters.errors) == (1, 1)
    out.close()


async def test_a_packet_that_srtp_refuses_takes_no_other_along(out: AnySocket, ends: Ends) -> None:
    """A retransmission from before the window, among others from within it."""
    (end,) = ends(GCM)
    for first in range(0, 400, 100):
        packets = frame([300] * 100, first)
        out.fan([end.route], packets)
        out.flush()
        assert [end.next() for _ in packets] == packets
    fresh = frame([300, 300], 400)
    out.fan([end.route], [fresh[0], *frame([300], 3), fresh[1]])
    out.flush()
    assert [end.next(), end.next()] == fresh
    assert end.silent
    assert out.counters.errors == 1


async def test_a_route_without_keys_or_after_them_gets_nothing(out: AnySocket, ends: Ends) -> None:
    gone, here = ends(GCM, GCM)
    gone.route.keys = None
    out.fan([gone.route, here.route], frame([50]))
    out.flush()
    assert here.next() and gone.silent


@needs_batch
async def test_more_than_a_batch_is_refused_before_anything_is_sent(ends: Ends) -> None:
    (end,) = ends(GCM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        made = BatchSocket(sock, lambda *_: None)
        with pytest.raises(ValueError, match="batch"):
            made.fan([end.route], frame([10] * (MAX_PACKETS + 1)))
        made.close()
    assert end.silent


class Kernel:
    """The C library, but for messages that are segmented: those are refused."""

    def __init__(self, real: object, ffi: object, reason: int) -> None:
        self._real, self._ffi, self._reason = real, ffi, reason
        self.refused = 0

    def sendmmsg(self, descriptor: int, messages: object, count: int, flags: int) -> int:
        if messages[0].controllen:  # type: ignore[index]
            self.refused += 1
            self._ffi.errno = self._reason  # type: ignore[attr-defined]
            return -1
        sent: int = self._real.sendmmsg(descriptor, messages, 1, flags)  # type: ignore[attr-defined]
        return sent


@needs_batch
@pytest.mark.parametrize(("reason", "again"), [(errno.EIO, 1), (errno.EMSGSIZE, 2)])
async def test_what_cannot_travel_in_segments_travels_in_pieces(ends: Ends, reason: int, again: int) -> None:
    """EIO says that the interface never can, EMSGSIZE that this route's packets must be smaller."""
    (end,) = ends(GCM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        made = BatchSocket(sock, lambda *_: None)
        kernel = made._c = Kernel(made._c, made._ffi, reason)
        for first in (0, 10):
            packets = frame([500, 500, 500, 20], first)
            made.fan([end.route], packets)
            made.flush()
            assert [end.next() for _ in packets] == packets
        assert kernel.refused == again
        assert made.counters.errors == 0
        made.close()


@needs_batch
async def test_a_full_kernel_is_waited_for_then_packets_are_dropped(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SEND_BYTES", 20_000)
    (end,) = ends(GCM)
    end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        made = BatchSocket(sock, lambda *_: None)
        real = made._c

        class Full:
            def sendmmsg(self, *_: object) -> int:
                made._ffi.errno = errno.EAGAIN
                return -1

        made._c = Full()
        packets = frame([1000] * 50)
        for packet in packets:
            made.fan([end.route], [packet])
        assert made.counters.dropped > 20
        made._c = real
        await until(lambda: made.counters.sent)
        kept = made.counters.sent
        assert kept + made.counters.dropped == 50
        assert [end.next() for _ in range(kept)] == packets[:kept]
        made.close()


def test_addresses_of_both_families() -> None:
    for host in ("192.0.2.3", "2001:db8::7"):
        assert udp.unpack_address(udp.pack_address(host, 65535)) == (host, 65535)
    mapped = udp.pack_address("::ffff:192.0.2.3", 9)
    assert udp.unpack_address(mapped) == ("192.0.2.3", 9)
    assert udp.socket_address(mapped) == ("::ffff:192.0.2.3", 9, 0, 0)
    assert udp.socket_address(udp.pack_address("fe80::1%lo", 9, 1)) == ("fe80::1", 9, 0, 1)
    assert len(mapped) == 28 and pack("!H", 9) == mapped[2:4]
