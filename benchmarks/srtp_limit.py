"""What no edge can do better: libsrtp and sendmmsg in C, one packet to many destinations."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack


@contextmanager
def sinks(count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def limit_us(destinations: int, size: int, rounds: int = 300) -> float:
    """CPU µs of one packet to one of these destinations: AES-GCM in place, its share of one sendmmsg."""
    from pylibsrtp import Policy, Session

    from luxxon_core.adapters.aiortc_edge import private
    from luxxon_core.adapters.aiortc_edge.batch import _libc

    ffi, c = _libc()
    srtp = private.srtp_ffi
    profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    sessions = [
        Session(Policy(key=os.urandom(28), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        for _ in range(destinations)
    ]
    contexts = [session._srtp[0] for session in sessions]
    memory, lengths = srtp.new("char[]", destinations * 2048), srtp.new("int[]", destinations)
    start = int(srtp.cast("uintptr_t", memory))
    cells = [srtp.cast("void *", start + 2048 * at) for at in range(destinations)]
    places = [lengths + at for at in range(destinations)]
    vectors, messages = ffi.new("struct iovec[]", destinations), ffi.new("struct mmsghdr[]", destinations)
    spent = 0.0
    with sinks(destinations) as sockets, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        addresses = [
            ffi.new("char[]", pack("=H", 2) + pack("!H", each.getsockname()[1]) + b"\x7f\0\0\1" + bytes(8))
            for each in sockets
        ]
        for at in range(destinations):
            vectors[at].base, vectors[at].len = ffi.cast("void *", start + 2048 * at), size + 12 + 16
            messages[at].name, messages[at].namelen = addresses[at], 16
            messages[at].iov, messages[at].iovlen = vectors + at, 1
        protect, copy, descriptor = private.protect, srtp.memmove, out.fileno()
        body = os.urandom(size)
        for sequence in range(rounds):
            packet = pack("!BBHLL", 0x80, 102, sequence, sequence * 3000, 5) + body
            began = time.process_time()
            for cell, place, context in zip(cells, places, contexts, strict=True):
                copy(cell, packet, size + 12)
                place[0] = size + 12
                protect(context, cell, place)
            done = 0
            while done < destinations:
                done += c.sendmmsg(descriptor, messages + done, destinations - done, 0)
            spent += time.process_time() - began
            if sequence % 20 == 19:
                for each in sockets:
                    drained(each)
    return spent / rounds / destinations * 1e6


def drained(sock: socket.socket) -> None:
    try:
        while True:
            sock.recv(2048)
    except BlockingIOError:
        pass
