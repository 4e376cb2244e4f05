"""What a server and its shards say to each other: MessagePack behind four bytes of length.

The channel is one end of a socket pair that nobody else can open. It is where the secrets of live inputs
pass, and where a shard finds its settings: command lines and environments can be read by others.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from struct import Struct as Layout
from typing import Any

import msgspec

from luxxon_core.adapters.aiortc_edge.doors import Door
from luxxon_core.adapters.aiortc_edge.edge import EdgeStats
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent

MAX_MESSAGE = 1 << 26
PULSE_SECONDS = 0.25
"""How often a shard says when media last came."""

_LENGTH = Layout("!I")


class Begin(msgspec.Struct, tag=True, frozen=True):
    """The first message, once: be this edge.

    Attributes:
        log_level: of ``logging``; what is below it is not said at all.
        options: further arguments of ``AiortcEdge``.
    """

    name: str
    public_url: str
    log_level: int
    options: dict[str, Any]


class Open(msgspec.Struct, tag=True, frozen=True):
    """Take requests from now on: who came too early has waited in the listener's queue."""

    call: int


class Create(msgspec.Struct, tag=True, frozen=True):
    call: int


class Reopen(msgspec.Struct, tag=True, frozen=True):
    """Serve a live input again."""

    call: int
    uid: str
    doors: tuple[Door, Door]


class Delete(msgspec.Struct, tag=True, frozen=True):
    call: int
    uid: str


class Look(msgspec.Struct, tag=True, frozen=True):
    """Give the latest frame, unless it is still the one of digest ``known``."""

    call: int
    uid: str
    known: str


class Announce(msgspec.Struct, tag=True, frozen=True):
    call: int


Call = Open | Create | Reopen | Delete | Look | Announce
"""Executed in the order in which they are sent; each has one answer, ``Done`` or ``Refused``."""


class Begun(msgspec.Struct, tag=True, frozen=True):
    """The answer to ``Begin``.

    Attributes:
        refused: why it cannot, as a detail and a sentence.
        loop: which event loop it runs on.
    """

    refused: tuple[str | None, str] | None = None
    loop: str = ""


class Done(msgspec.Struct, tag=True, frozen=True):
    call: int
    live_input: LiveInput | None = None
    frame: Frame | None = None
    captured_at: datetime | None = None
    """After ``Look``: the latest has the bytes of the one known, and was captured then."""


class Refused(msgspec.Struct, tag=True, frozen=True):
    call: int
    detail: str | None
    message: str


class Happened(msgspec.Struct, tag=True, frozen=True):
    event: MediaEvent


class Pulse(msgspec.Struct, tag=True, frozen=True):
    """Sent all the time.

    Attributes:
        media: when the last media came of each live input that has media, by uid.
    """

    media: dict[str, datetime]
    stats: EdgeStats


Report = Begun | Done | Refused | Happened | Pulse

_encoder = msgspec.msgpack.Encoder()
_down = msgspec.msgpack.Decoder(Begin | Call)
_up = msgspec.msgpack.Decoder(Report)


def framed(message: Begin | Call | Report) -> bytes:
    """A message as it goes over the channel."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


async def next_call(reader: asyncio.StreamReader) -> Begin | Call | None:
    """What the server says next; None when it is gone."""
    body = await _body(reader)
    return None if body is None else _down.decode(body)


async def next_report(reader: asyncio.StreamReader) -> Report | None:
    """What a shard says next; None when it is gone."""
    body = await _body(reader)
    return None if body is None else _up.decode(body)


async def _body(reader: asyncio.StreamReader) -> bytes | None:
    try:
        (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if size > MAX_MESSAGE:
            return None
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
