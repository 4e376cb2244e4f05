"""The fast socket of 64-bit little-endian Linux: hundreds of datagrams a system call.

A frame's packets are copied for each viewer into an arena, in one piece with room for the tags, encrypted
there by libsrtp, and handed over by one ``sendmmsg``. Equal-sized neighbours for one destination travel as
one message with UDP_SEGMENT.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Iterable, Sequence
from struct import pack
from typing import Any

from cffi import FFI

from luxxon_core.adapters.aiortc_edge import private
from luxxon_core.adapters.aiortc_edge.udp import (
    ADDRESS_SIZES,
    RECEIVE_ROUND,
    STRIDE,
    Counters,
    Receiver,
    Route,
    socket_address,
)

RECEIVE_SLOTS = 64
SEND_MESSAGES = 512
SEND_BYTES = 256 << 10
"""What waits for one ``sendmmsg``: so little that the processor's cache holds it until the kernel reads."""
MAX_SEGMENTS = 40
MAX_SEGMENTED = 60_000
"""Bytes in one segmented message; the kernel takes no more than 64 kB."""
SOL_UDP = 17
UDP_SEGMENT = 103
SRTCP_INDEX = 4
"""Bytes that SRTCP adds to the tag (RFC 3711 §3.4)."""
MAX_PACKETS = 128
"""Packets of one batch."""


def batch_supported() -> bool:
    return sys.platform == "linux" and sys.maxsize > 2**32 and sys.byteorder == "little"


class _Messages:
    """An array of mmsghdr with one iovec and one sockaddr each, for C and for Python."""

    def __init__(self, ffi: Any, count: int, address_size: int) -> None:
        self.address_size = address_size
        self.addresses = ffi.new("char[]", count * address_size)
        self.iovecs = ffi.new("struct iovec[]", count)
        self.headers = ffi.new("struct mmsghdr[]", count)
        first_address = int(ffi.cast("uintptr_t", self.addresses))
        for i in range(count):
            header = self.headers[i]
            header.name = ffi.cast("void *", first_address + address_size * i)
            header.namelen = address_size
            header.iov, header.iovlen = self.iovecs + i, 1
        self.address_view = memoryview(ffi.buffer(self.addresses)).cast("B")
        self.vectors = memoryview(ffi.buffer(self.iovecs)).cast("B").cast("Q")
        """Two a message: where its bytes are, and how many."""
        self.words = memoryview(ffi.buffer(self.headers)).cast("B").cast("Q")
        """Eight a message: [+4] control, [+5] length of control."""
        self.ints = memoryview(ffi.buffer(self.headers)).cast("B").cast("I")
        """[16 * i + 14]: bytes received."""

    def address(self, index: int) -> bytes:
        return bytes(self.address_view[self.address_size * index : self.address_size * (index + 1)])


class _Slots(_Messages):
    """Room for received datagrams, ``STRIDE`` bytes each."""

    def __init__(self, ffi: Any, count: int, address_size: int) -> None:
        super().__init__(ffi, count, address_size)
        srtp = private.srtp_ffi
        self.memory = srtp.new("char[]", count * STRIDE)
        start = int(srtp.cast("uintptr_t", self.memory))
        first_iovec = int(ffi.cast("uintptr_t", self.iovecs))
        for i in range(count):
            self.vectors[2 * i], self.vectors[2 * i + 1] = start + i * STRIDE, STRIDE
        self.pointers = [srtp.cast("void *", start + i * STRIDE) for i in range(count)]
        # libsrtp updates an int in place: the low half of the iovec's length, on a little-endian machine.
        self.lengths = [srtp.cast("int *", first_iovec + 16 * i + 8) for i in range(count)]
        self.view = memoryview(srtp.buffer(self.memory)).cast("B")


class _Shape:
    """How a batch of packets lies in memory: each with room for its tag, neighbours in one message."""

    def __init__(self, packets: Sequence[bytes], growth: int, limit: int) -> None:
        self.data = b"".join([packet + bytes(growth) for packet in packets])
        self.lengths = pack(f"={len(packets)}i", *map(len, packets))
        self.offsets: list[int] = []
        self.messages: list[tuple[int, int, int]] = []
        """Offset, bytes, and the size of all its datagrams but the last; 0 if it is one datagram."""
        at = 0
        for run in _runs(packets, limit, growth):
            start = at
            for packet in run:
                self.offsets.append(at)
                at += len(packet) + growth
            self.messages.append((start, at - start, len(run[0]) + growth if len(run) > 1 else 0))


class BatchSocket:
    """recvmmsg, and sendmmsg of a whole wake-up's datagrams at once."""

    def __init__(self, sock: socket.socket, receiver: Receiver) -> None:
        self.counters = Counters()
        self._sock, self._fd, self._receiver = sock, sock.fileno(), receiver
        self._ffi, self._c = _libc()
        size = ADDRESS_SIZES[sock.family]
        self._rx = _Slots(self._ffi, RECEIVE_SLOTS, size)
        self._tx = _Messages(self._ffi, SEND_MESSAGES, size)
        srtp = private.srtp_ffi
        self._arena = srtp.new("char[]", SEND_BYTES)
        self._arena_start = int(srtp.cast("uintptr_t", self._arena))
        self._arena_view = memoryview(srtp.buffer(self._arena)).cast("B")
        self._lengths = srtp.new("int[]", MAX_PACKETS)
        self._length = [self._lengths + i for i in range(MAX_PACKETS)]
        self._used = self._head = self._count = self._waiting = 0
        """Bytes taken; first message not yet sent; messages queued; datagrams in them."""
        self._blocked = self._scheduled = False
        self._controls: dict[int, tuple[Any, int]] = {}
        self._segments = MAX_SEGMENTS if _segmentation(sock) else 1
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()[:2]
        return host, port

    def _readable(self) -> None:
        rx, receiver = self._rx, self._receiver
        at = 0

        def decrypt(keys: private.SrtpKeys, rtcp: bool) -> bytes | None:
            function = private.unprotect_rtcp if rtcp else private.unprotect
            rx.vectors[2 * at + 1] = rx.ints[16 * at + 14]
            failed = function(keys.receive, rx.pointers[at], rx.lengths[at])
            size, rx.vectors[2 * at + 1] = rx.vectors[2 * at + 1], STRIDE
            return None if failed else bytes(rx.view[at * STRIDE : at * STRIDE + size])

        self._scheduled = True  # one flush at the end serves the whole wake-up
        try:
            for _ in range(RECEIVE_ROUND // RECEIVE_SLOTS):
                count = self._c.recvmmsg(
                    self._fd, rx.headers, RECEIVE_SLOTS, socket.MSG_DONTWAIT, self._ffi.NULL
                )
                if count <= 0:
                    break
                self.counters.received += count
                for at in range(count):
                    size = rx.ints[16 * at + 14]
                    receiver(rx.view[at * STRIDE : at * STRIDE + size], rx.address(at), decrypt)
                if count < RECEIVE_SLOTS:
                    break
        finally:
            self.flush()

    def send(self, datagram: bytes, address: bytes) -> None:
        size = len(datagram)
        if self._room(size, 1, 1):
            self._arena_view[self._used : self._used + size] = datagram
            self._message(self._used, size, 0, address)
            self._used += size
            self._waiting += 1
            self._schedule()

    def fan(self, routes: Iterable[Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        copy, arena = private.srtp_ffi.memmove, self._arena
        protect = private.protect_rtcp if rtcp else private.protect
        shapes: dict[int, _Shape] = {}
        count, lengths, places = len(packets), self._lengths, self._length
        if count > MAX_PACKETS:
            raise ValueError("too many packets for one batch")
        for route in routes:
            if (keys := route.keys) is None:
                continue
            if (shape := shapes.get(keys.tag)) is None:
                growth = keys.tag + SRTCP_INDEX if rtcp else keys.tag
                shape = shapes[keys.tag] = _Shape(packets, growth, self._segments)
            size = len(shape.data)
            if not self._room(size, count, count):
                continue
            start = arena + self._used
            copy(start, shape.data, size)
            copy(lengths, shape.lengths, 4 * count)
            context, refused = keys.send, 0
            for offset, length in zip(shape.offsets, places, strict=False):
                refused |= protect(context, start + offset, length)
            if refused or rtcp:
                self._one_by_one(shape, packets, route.address)
            else:
                for offset, total, segment in shape.messages:
                    self._message(self._used + offset, total, segment, route.address)
                self._waiting += count
            self._used += size
        self._schedule()

    def _one_by_one(self, shape: _Shape, packets: Sequence[bytes], address: bytes) -> None:
        """Queue what libsrtp has protected, and leave out what it refused."""
        for packet, offset, size in zip(packets, shape.offsets, self._lengths, strict=False):
            if size > len(packet):
                self._message(self._used + offset, size, 0, address)
                self._waiting += 1
            else:
                self.counters.errors += 1

    def _room(self, size: int, messages: int, datagrams: int) -> bool:
        if self._used + size > SEND_BYTES or self._count + messages > SEND_MESSAGES:
            self.flush()
            if self._used + size > SEND_BYTES or self._count + messages > SEND_MESSAGES:
                self.counters.dropped += datagrams  # the kernel's buffer is full: viewers ask again with NACK
                return False
        return True

    def _message(self, offset: int, size: int, segment: int, address: bytes) -> None:
        """Queue ``size`` bytes of the arena; ``segment``: see ``_Shape.messages``."""
        tx, index = self._tx, self._count
        at = tx.address_size * index
        tx.address_view[at : at + tx.address_size] = address
        tx.vectors[2 * index], tx.vectors[2 * index + 1] = self._arena_start + offset, size
        word = 8 * index
        tx.words[word + 4] = self._control(segment) if segment else 0
        tx.words[word + 5] = 24 if segment else 0
        self._count = index + 1

    def _control(self, segment: int) -> int:
        """Address of the control message UDP_SEGMENT=``segment``: at most one a size, kept."""
        if segment not in self._controls:
            cell = self._ffi.new("char[24]", pack("=QiiH", 18, SOL_UDP, UDP_SEGMENT, segment))
            self._controls[segment] = cell, int(self._ffi.cast("uintptr_t", cell))
        return self._controls[segment][1]

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._scheduled = False
        while self._head < self._count:
            done = self._c.sendmmsg(
                self._fd, self._tx.headers + self._head, self._count - self._head, socket.MSG_DONTWAIT
            )
            if done > 0:
                self._head += done
            elif self._ffi.errno == errno.EAGAIN:
                if not self._blocked:
                    self._blocked = True
                    self._loop.add_writer(self._fd, self._writable)
                return
            else:
                self._refused(self._head, self._ffi.errno)
                self._head += 1
        self.counters.sent += self._waiting
        self._used = self._head = self._count = self._waiting = 0

    def _refused(self, index: int, reason: int) -> None:
        """The kernel refused a message. A segmented one is sent again piece by piece: its segments exceed the
        route's MTU, or the interface cannot segment."""
        tx, word = self._tx, 8 * index
        if not tx.words[word + 5]:
            self.counters.errors += 1
            return
        if reason == errno.EIO:
            self._segments = 1
        address = socket_address(tx.address(index))
        at = tx.vectors[2 * index] - self._arena_start
        end = at + tx.vectors[2 * index + 1]
        segment = next(size for size, (_, cell) in self._controls.items() if cell == tx.words[word + 4])
        for start in range(at, end, segment):
            try:
                self._sock.sendto(self._arena_view[start : min(start + segment, end)], address)
            except OSError:
                self.counters.errors += 1

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        self._blocked = False
        self.flush()

    def close(self) -> None:
        self.flush()
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._used = self._count = self._head = self._waiting = 0
        self._sock.close()


def _runs(packets: Sequence[bytes], limit: int, growth: int) -> list[list[bytes]]:
    """Cut a batch into runs that one segmented message can carry: equal sizes, the last may be shorter."""
    runs: list[list[bytes]] = []
    for packet in packets:
        run, size = runs[-1] if runs else [], len(packet)
        room = len(run) < limit and (len(run) + 1) * (size + growth) <= MAX_SEGMENTED
        if run and room and size <= len(run[0]) == len(run[-1]):
            run.append(packet)
        else:
            runs.append([packet])
    return runs


def _segmentation(sock: socket.socket) -> bool:
    try:
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
    except OSError:
        return False
    return True


def _libc() -> tuple[Any, Any]:
    ffi = FFI()
    ffi.cdef(
        """
        struct iovec { void *base; size_t len; };
        struct mmsghdr {
            void *name; unsigned namelen; struct iovec *iov; size_t iovlen;
            void *control; size_t controllen; int flags, pad; unsigned len;
        };
        int sendmmsg(int, struct mmsghdr *, unsigned, int);
        int recvmmsg(int, struct mmsghdr *, unsigned, int, void *);
        """
    )
    return ffi, ffi.dlopen(None)
