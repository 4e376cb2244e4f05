"""Bytes over UDP, TCP or a serial line, read on the event loop. Knows nothing of MAVLink."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from luxxon_core.source import SourceConfigError, SourceError, SourceNotReady
from luxxon_drone.config import LinkAddress, Medium

if TYPE_CHECKING:
    from asyncio import DatagramTransport

OPEN_SECONDS = 5.0
SERIAL_READ_SECONDS = 0.2
STALLED_BYTES = 65_536
"""Unsent bytes with which a TCP peer counts as gone."""

OnData = Callable[[bytes, Hashable], None]
OnLost = Callable[[str], None]


class Transport(Protocol):
    """``open``, ``write``, ``close``; it may be opened again. ``on_lost`` is called once per open."""

    stream: bool
    """Whether what is read has no boundaries."""

    async def open(self, on_data: OnData, on_lost: OnLost) -> None:
        """Raise SourceConfigError or SourceNotReady where that cannot be done."""
        ...

    def write(self, data: bytes, routes: Sequence[Hashable]) -> None:
        """Send to ``routes``, as given with what was read; a transport with one peer sends to that."""
        ...

    async def close(self) -> None: ...


def transport_for(address: LinkAddress, baud: int) -> Transport:
    if address.medium is Medium.TCP:
        return TcpTransport(address)
    if address.medium is Medium.SERIAL:
        return SerialTransport(address, baud)
    return UdpTransport(address)


class UdpTransport:
    stream = False

    def __init__(self, address: LinkAddress) -> None:
        self._address = address
        self._connected = address.medium is Medium.UDP_OUT
        self._transport: DatagramTransport | None = None
        self._protocol: _Datagrams | None = None

    async def open(self, on_data: OnData, on_lost: OnLost) -> None:
        loop = asyncio.get_running_loop()
        address = self._address.host, self._address.port
        where: dict[str, Any] = {"remote_addr" if self._connected else "local_addr": address}
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                self._transport, self._protocol = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(on_data, on_lost), **where
                )
        except (OSError, TimeoutError) as error:
            raise _refusal(self._address, error) from None

    def write(self, data: bytes, routes: Sequence[Any]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._connected:
            self._transport.sendto(data)
            return
        for route in routes:
            self._transport.sendto(data, route)

    async def close(self) -> None:
        if self._transport is not None and self._protocol is not None:
            self._transport.abort()
            await self._protocol.closed.wait()  # only then is the port free
        self._transport = self._protocol = None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data, self._on_lost = on_data, on_lost
        self.closed = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._on_data(data, addr)

    def error_received(self, exc: Exception) -> None:
        pass  # nobody listens there (yet): the heartbeats that do not come say the same

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if exc is not None:
            self._on_lost(_plain(exc))


class TcpTransport:
    stream = True

    def __init__(self, address: LinkAddress) -> None:
        self._address = address
        self._transport: asyncio.Transport | None = None
        self._protocol: _Stream | None = None

    async def open(self, on_data: OnData, on_lost: OnLost) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                self._transport, self._protocol = await loop.create_connection(
                    lambda: _Stream(on_data, on_lost), self._address.host, self._address.port
                )
        except (OSError, TimeoutError) as error:
            raise _refusal(self._address, error) from None

    def write(self, data: bytes, routes: Sequence[Hashable]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > STALLED_BYTES:
            self._transport.abort()
            return
        self._transport.write(data)

    async def close(self) -> None:
        if self._transport is not None and self._protocol is not None:
            self._transport.abort()
            await self._protocol.closed.wait()
        self._transport = self._protocol = None


class _Stream(asyncio.Protocol):
    def __init__(self, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data, self._on_lost = on_data, on_lost
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._on_data(data, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._on_lost(_plain(exc) if exc else "the connection was closed")


class SerialTransport:
    """pyserial blocks: one thread reads, and writes are small enough for the driver's buffer."""

    stream = True

    def __init__(self, address: LinkAddress, baud: int) -> None:
        self._address, self._baud = address, baud
        self._port: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self, on_data: OnData, on_lost: OnLost) -> None:
        import serial

        try:
            self._port = await asyncio.to_thread(
                serial.Serial, self._address.host, self._baud, timeout=SERIAL_READ_SECONDS, write_timeout=0
            )
        except serial.SerialException as error:
            raise _refusal(self._address, error) from None
        except ValueError:
            raise SourceConfigError(
                "drone:baud", f"{self._address}: does not take {self._baud} baud"
            ) from None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._read,
            args=(asyncio.get_running_loop(), self._stop, self._port, on_data, on_lost),
            name="luxxon-serial",
            daemon=True,
        )
        self._thread.start()

    @staticmethod
    def _read(
        loop: asyncio.AbstractEventLoop, stop: threading.Event, port: Any, on_data: OnData, on_lost: OnLost
    ) -> None:
        import serial

        reason = "the serial device was closed"
        try:
            while not stop.is_set():
                data = port.read(max(1, port.in_waiting))
                if data and not loop.is_closed():
                    loop.call_soon_threadsafe(on_data, data, None)
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial's answer to a device that is closed while it is read.
            reason = _plain(error)
        if not stop.is_set() and not loop.is_closed():
            loop.call_soon_threadsafe(on_lost, reason)

    def write(self, data: bytes, routes: Sequence[Hashable]) -> None:
        import serial

        if self._port is None:
            return
        try:
            self._port.write(data)
        except (serial.SerialException, OSError):
            return  # the reading thread finds the same and reports it

    async def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5.0)
            self._thread = None
        if self._port is not None:
            self._port.close()
            self._port = None


def _refusal(address: LinkAddress, error: Exception) -> SourceError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return SourceNotReady("drone:portInUse", f"{address}: another program listens there")
    if number in (errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENODEV, errno.ENOTTY):
        return SourceConfigError("drone:noDevice", f"{address}: there is no such address or device here")
    if number in (errno.EACCES, errno.EPERM):
        return SourceConfigError("drone:permission", f"{address}: no permission to use it")
    if isinstance(error, TimeoutError):
        return SourceNotReady("drone:unreachable", f"{address}: no answer")
    return SourceNotReady("drone:unreachable", f"{address}: {_plain(error)}")


def _plain(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
