"""What a source sends, going on over its failures: opened anew, on one time line, given up with patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.source import AudioPacket, EncodedPacket, SourceAuthError, SourceConfigError, SourceNotReady

RETRY = (0.2, 0.5)
"""Seconds before a source that failed is asked again, doubling: every one of them is a second unpaid."""
STALL_SECONDS = 8.0
"""A source that sends nothing for this long, and does not say why, is asked anew."""


class SourceChanged(SourceNotReady):
    """A source sends something else than was agreed: connect anew."""

    code, default_message = "SOURCE_CHANGED", "The camera sends something else now"


class SourceSwitched(SourceNotReady):
    """Another profile of the source is wanted: it is no fault, and nobody waits."""

    code, default_message = "SOURCE_SWITCHED", "Another profile is wanted now"


PacketT = TypeVar("PacketT", EncodedPacket, AudioPacket)


class SourceLost(SourceNotReady):
    """A source has failed for longer than anybody wanted to wait; opening it anew may help."""

    code, default_message = "SOURCE_LOST", "The camera did not come back"


@dataclass
class Feed:
    """Makes endless packets out of iterators that fail.

    Attributes:
        failed: is told of each failure, :attr:`healed` when a packet comes after one.
        patience: seconds of failure in one go after which SourceLost is raised; None for ever.
    """

    failed: Callable[[Exception], None]
    healed: Callable[[], None]
    patience: float | None = None
    failing_since: float | None = None

    async def packets(
        self, opened: Callable[[], AsyncGenerator[PacketT, None]]
    ) -> AsyncGenerator[PacketT, None]:
        """The packets of ``opened()``, and of what it returns after each failure, until the source ends.

        Raises:
            SourceAuthError, SourceConfigError: as the source, if nothing has come since it was opened.
            SourceChanged: as ``opened``.
            SourceLost: the patience is at its end.
        """
        line, delay = _TimeLine(), RETRY[0]
        while True:
            came = False
            try:
                async with aclosing(opened()) as packets:
                    while True:
                        try:
                            async with asyncio.timeout(STALL_SECONDS):
                                packet = await anext(packets)
                        except StopAsyncIteration:
                            return
                        if not came:
                            came, delay = True, RETRY[0]
                            self._came()
                        yield line.placed(packet)
            except TimeoutError:
                self._failed(SourceNotReady("source:stalled", f"no picture for {STALL_SECONDS:g} s"))
            except SourceChanged:
                raise
            except SourceSwitched:
                line.interrupted()
                continue
            except (SourceAuthError, SourceConfigError) as error:
                if not came:
                    raise
                self._failed(error)  # it has changed while it was open: as from now on
            except Exception as error:  # noqa: BLE001 - a plugin's, told; the next attempt may work
                self._failed(error)
            line.interrupted()
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY[1])

    def _came(self) -> None:
        if self.failing_since is not None:
            self.failing_since = None
            self.healed()

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        if self.failing_since is None:
            self.failing_since = now
        self.failed(error)
        if self.patience is not None and now - self.failing_since >= self.patience:
            said = error.message if isinstance(error, LuxxonError) else f"it failed ({type(error).__name__})"
            raise SourceLost("source:lost", said) from None


class _TimeLine:
    """Time stamps that go on where a source was opened anew: RTP's clock does not go back (RFC 3550 §5.1)."""

    def __init__(self) -> None:
        self._offset: Fraction | None = Fraction(0)
        """Seconds; none as long as it is not known."""
        self._last: EncodedPacket | AudioPacket | None = None
        """The newest as it was placed, and when it came."""
        self._at = 0.0

    def interrupted(self) -> None:
        if self._last is not None:
            self._offset = None

    def placed(self, packet: PacketT) -> PacketT:
        now = time.monotonic()
        if self._offset is None:
            assert self._last is not None
            passed = Fraction(max(0.001, now - self._at)).limit_denominator(90_000)
            last = self._last.pts * self._last.time_base
            self._offset = last + passed - packet.pts * packet.time_base
        if self._offset:
            packet = replace(packet, pts=packet.pts + round(self._offset / packet.time_base))
        self._last, self._at = packet, now
        return packet
