"""The fast socket of 64-bit little-endian Linux: hundreds of datagrams a system call.

Packets are copied into a slab of slots, encrypted there by libsrtp, and handed over by one ``sendmmsg``.
Equal-sized neighbours for one destination travel as one message with UDP_SEGMENT.
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
    RECEIVE_ROUND,
    STRIDE,
    Counters,
    Receiver,
    Route,
    unpack_address,
)

RECEIVE_SLOTS = 64
SEND_SLOTS = 512
MAX_SEGMENTS = 40
SOL_UDP = 17
UDP_SEGMENT = 103


def batch_supported() -> bool:
    return sys.platform == "linux" and sys.maxsize > 2**32 and sys.byteorder == "little"


class _Slab:
    """Datagram slots and the arrays of mmsghdr, iovec and sockaddr over them, for C and for Python."""

    def __init__(self, ffi: Any, count: int) -> None:
        srtp = private.srtp_ffi
        self.memory = srtp.new("char[]", count * STRIDE)
        self.addresses = ffi.new("char[]", count * 16)
        self.iovecs = ffi.new("struct iovec[]", count)
        self.messages = ffi.new("struct mmsghdr[]", count)
        memory = int(srtp.cast("uintptr_t", self.memory))
        self.first_iovec = int(ffi.cast("uintptr_t", self.iovecs))
        first_address = int(ffi.cast("uintptr_t", self.addresses))
        for i in range(count):
            self.iovecs[i].base, self.iovecs[i].len = ffi.cast("void *", memory + i * STRIDE), STRIDE
            message = self.messages[i]
            message.name, message.namelen = ffi.cast("void *", first_address + 16 * i), 16
            message.iov, message.iovlen = self.iovecs + i, 1
        self.pointers = [srtp.cast("void *", memory + i * STRIDE) for i in range(count)]
        # libsrtp updates an int in place: the low half of the iovec's length, on a little-endian machine.
        self.lengths = [srtp.cast("int *", self.first_iovec + 16 * i + 8) for i in range(count)]
        self.view = memoryview(srtp.buffer(self.memory)).cast("B")
        self.address_view = memoryview(ffi.buffer(self.addresses)).cast("B")
        self.words = memoryview(ffi.buffer(self.iovecs)).cast("B").cast("Q")
        """[2 * i + 1]: length of slot i."""
        self.message_words = memoryview(ffi.buffer(self.messages)).cast("B").cast("Q")
        """Eight a message: [+2] iovec, [+3] count of iovecs, [+4] control, [+5] length of control."""
        self.message_ints = memoryview(ffi.buffer(self.messages)).cast("B").cast("I")
        """[16 * i + 14]: bytes received."""


class BatchSocket:
    """recvmmsg, and sendmmsg of a whole wake-up's datagrams at once."""

    def __init__(self, sock: socket.socket, receiver: Receiver) -> None:
        self.counters = Counters()
        self._sock, self._fd, self._receiver = sock, sock.fileno(), receiver
        self._ffi, self._c = _libc()
        self._rx, self._tx = _Slab(self._ffi, RECEIVE_SLOTS), _Slab(self._ffi, SEND_SLOTS)
        self._slot = self._head = self._count = 0
        """Next free slot; first message not yet sent; messages queued."""
        self._blocked = self._scheduled = False
        self._controls: dict[int, tuple[Any, int]] = {}
        self._segments = MAX_SEGMENTS if _segmentation(sock) else 1
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()
        return host, port

    def _readable(self) -> None:
        rx, receiver = self._rx, self._receiver
        at = 0

        def decrypt(keys: private.SrtpKeys, rtcp: bool) -> bytes | None:
            function = private.unprotect_rtcp if rtcp else private.unprotect
            rx.words[2 * at + 1] = rx.message_ints[16 * at + 14]
            failed = function(keys.receive, rx.pointers[at], rx.lengths[at])
            size, rx.words[2 * at + 1] = rx.words[2 * at + 1], STRIDE
            return None if failed else bytes(rx.view[at * STRIDE : at * STRIDE + size])

        self._scheduled = True  # one flush at the end serves the whole wake-up
        try:
            for _ in range(RECEIVE_ROUND // RECEIVE_SLOTS):
                count = self._c.recvmmsg(
                    self._fd, rx.messages, RECEIVE_SLOTS, socket.MSG_DONTWAIT, self._ffi.NULL
                )
                if count <= 0:
                    break
                self.counters.received += count
                for at in range(count):
                    size = rx.message_ints[16 * at + 14]
                    address = bytes(rx.address_view[16 * at : 16 * at + 16])
                    receiver(rx.view[at * STRIDE : at * STRIDE + size], address, decrypt)
                if count < RECEIVE_SLOTS:
                    break
        finally:
            self.flush()

    def send(self, datagram: bytes, address: bytes) -> None:
        if self._room(1):
            tx, slot = self._tx, self._slot
            tx.words[2 * slot + 1] = len(datagram)
            private.srtp_ffi.memmove(tx.pointers[slot], datagram, len(datagram))
            self._slot += 1
            self._message(slot, 1, 0, address)
            self._schedule()

    def fan(self, routes: Iterable[Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        tx, copy = self._tx, private.srtp_ffi.memmove
        pointers, lengths, words = tx.pointers, tx.lengths, tx.words
        function = private.protect_rtcp if rtcp else private.protect
        runs = _runs(packets, self._segments)
        for route in routes:
            if (keys := route.keys) is None or not self._room(len(packets)):
                continue
            context, address, slot = keys.send, route.address, self._slot
            for run in runs:
                first = slot
                for packet in run:
                    size = len(packet)
                    words[2 * slot + 1] = size
                    copy(pointers[slot], packet, size)
                    if function(context, pointers[slot], lengths[slot]):
                        self.counters.errors += 1
                    else:
                        slot += 1
                if slot > first:
                    segment = words[2 * first + 1] if slot - first > 1 else 0
                    self._message(first, slot - first, segment, address)
            self._slot = slot
        self._schedule()

    def _room(self, slots: int) -> bool:
        if self._slot + slots > SEND_SLOTS:
            self.flush()
            if self._slot + slots > SEND_SLOTS:  # the kernel's buffer is full: viewers ask again with NACK
                self.counters.dropped += slots
                return False
        return True

    def _message(self, first: int, slots: int, segment: int, address: bytes) -> None:
        """Queue one message; ``segment``: size of all its datagrams but the last, 0 if it is one datagram."""
        tx, index = self._tx, self._count
        tx.address_view[16 * index : 16 * index + 16] = address
        word = 8 * index
        tx.message_words[word + 2] = tx.first_iovec + 16 * first
        tx.message_words[word + 3] = slots
        tx.message_words[word + 4] = self._control(segment) if segment else 0
        tx.message_words[word + 5] = 24 if segment else 0
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
                self._fd, self._tx.messages + self._head, self._count - self._head, socket.MSG_DONTWAIT
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
        self.counters.sent += self._slot
        self._slot = self._head = self._count = 0

    def _refused(self, index: int, reason: int) -> None:
        """The kernel refused a message. A segmented one is sent again piece by piece: its segments exceed the
        route's MTU, or the interface cannot segment."""
        tx = self._tx
        slots = tx.message_words[8 * index + 3]
        if slots == 1:
            self.counters.errors += 1
            return
        if reason == errno.EIO:
            self._segments = 1
        address = unpack_address(bytes(tx.address_view[16 * index : 16 * index + 16]))
        first = (tx.message_words[8 * index + 2] - tx.first_iovec) // 16
        for slot in range(first, first + slots):
            try:
                self._sock.sendto(tx.view[slot * STRIDE : slot * STRIDE + tx.words[2 * slot + 1]], address)
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
        self._count = self._head = self._slot = 0
        self._sock.close()


def _runs(packets: Sequence[bytes], limit: int) -> list[list[bytes]]:
    """Cut a batch into runs that one segmented message can carry: equal sizes, the last may be shorter."""
    runs: list[list[bytes]] = []
    for packet in packets:
        run = runs[-1] if runs else []
        if run and len(run) < limit and len(packet) <= len(run[0]) == len(run[-1]):
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
