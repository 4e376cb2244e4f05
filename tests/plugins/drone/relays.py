"""What stands between camera and drone in a test: a radio that loses packets, and an RTSP server."""

from __future__ import annotations

import base64
import contextlib
import random
import re
import socket
import struct
import threading
from typing import Self


class LossyRadio:
    """Passes datagrams from one port on loopback to another, but for a share of them."""

    def __init__(self, port: int, to: int, loss: float) -> None:
        self.lost = self.passed = 0
        self._to, self.loss, self._chance = ("127.0.0.1", to), loss, random.Random(7)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="radio", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                data = self._socket.recv(2048)
                if self._chance.random() < self.loss:
                    self.lost += 1
                    continue
                self._socket.sendto(data, self._to)
                self.passed += 1


class RtspRelay:
    """An RTSP server (RFC 2326) for one client at a time, RTP within the connection (§10.12).

    Its video is what an RtpCamera sends to ``rtp_port``. With a password it asks for Basic credentials.
    """

    def __init__(self, rtp_port: int, password: str = "") -> None:
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", rtp_port))
        self._rtp.settimeout(0.2)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port: int = self._server.getsockname()[1]
        self._expected = base64.b64encode(f"pilot:{password}".encode()).decode() if password else ""
        self.sessions = 0
        self._client: socket.socket | None = None
        self._playing = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name="rtsp", daemon=True) for target in (self._serve, self._relay)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
        self._server.close()
        self._rtp.close()

    def hang_up(self) -> None:
        with self._lock:
            client, self._client, self._playing = self._client, None, False
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            client.settimeout(10)
            with self._lock:
                self._client = client
            with contextlib.suppress(OSError):
                self._converse(client)
            self.hang_up()

    def _converse(self, client: socket.socket) -> None:
        pending = b""
        while data := client.recv(4096):
            pending += data
            while pending[:1] == b"$" and len(pending) >= 4:  # a receiver report of the client
                size = 4 + int.from_bytes(pending[2:4], "big")
                if len(pending) < size:
                    break
                pending = pending[size:]
            while b"\r\n\r\n" in pending and pending[:1] != b"$":
                request, _, pending = pending.partition(b"\r\n\r\n")
                self._answer(client, request.decode())

    def _answer(self, client: socket.socket, request: str) -> None:
        method = request.split(" ", 1)[0]
        found = re.search(r"CSeq: *(\d+)", request, re.IGNORECASE)
        head = f"CSeq: {found[1] if found else 0}\r\n"
        body, status = "", "200 OK"
        if self._expected and method != "OPTIONS" and f"Basic {self._expected}" not in request:
            status, head = "401 Unauthorized", head + 'WWW-Authenticate: Basic realm="drone"\r\n'
        elif method == "OPTIONS":
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif "/main" not in request.split("\r\n", 1)[0]:
            status = "404 Not Found"
        elif method == "DESCRIBE":
            body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=drone\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            body += "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 42\r\n"
        elif method == "PLAY":
            head += "Session: 42\r\n"
        with self._lock:
            client.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
            if method == "PLAY" and status.startswith("200"):
                self._playing = True
                self.sessions += 1

    def _relay(self) -> None:
        while not self._stop.is_set():
            try:
                packet = self._rtp.recv(2048)
            except TimeoutError:
                continue
            with self._lock, contextlib.suppress(OSError):
                if self._client is not None and self._playing:
                    self._client.sendall(b"$" + struct.pack("!BH", 0, len(packet)) + packet)
