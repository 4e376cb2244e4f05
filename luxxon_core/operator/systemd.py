"""Tells systemd how a service is: sd_notify(3), one datagram a message."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Notifier:
    """Silent where no service manager listens (``NOTIFY_SOCKET``)."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An abstract address is written with @ for its first, zero byte (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        usec = os.environ.get("WATCHDOG_USEC", "") if mine else ""
        self.watchdog_seconds = int(usec) / 1e6 if usec.isdigit() and int(usec) else None
        """Without a sign of life for so long the service is killed; None for no such watch."""

    def tell(self, **fields: str | int) -> None:
        """``tell(READY=1, STATUS="two cameras")``; that nobody hears it is no error."""
        if not self._address:
            return
        message = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), self._address)
        except OSError as error:
            log.debug("systemd.not_told", errno=error.errno)

    async def live(self, status: Callable[[], str]) -> None:
        """Signs of life for ever, and the status with them; returns at once where nobody watches."""
        if not self._address:
            return
        pause = min(5.0, (self.watchdog_seconds or 10.0) / 2)
        while True:
            if self.watchdog_seconds is None:
                self.tell(STATUS=status())
            else:
                self.tell(WATCHDOG=1, STATUS=status())
            await asyncio.sleep(pause)
