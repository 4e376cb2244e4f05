"""JSON as the wire has it: camelCase structs, instants with milliseconds and ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar, overload

import msgspec
from msgspec import Meta

from luxxon_core.kernel.clock import iso

T = TypeVar("T")

Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees north, WGS84")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees east, WGS84")]

# Forms of text that the documents name; what is asked of a request is checked where it is used.
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Digits = Annotated[str, Meta(extra_json_schema={"pattern": "^(0|[1-9][0-9]*)$"})]
MicroUsdc = Annotated[str, Meta(extra_json_schema={"pattern": "^(0|[1-9][0-9]*)$"}, description="µUSDC")]
Address = Annotated[str, Meta(extra_json_schema={"pattern": "^0[xX][0-9a-fA-F]{40}$"})]
"""Checksummed (EIP-55) in answers; a request may write it in any letter case."""
TxHash = Annotated[str, Meta(extra_json_schema={"pattern": "^0x[0-9a-fA-F]{64}$"})]
Printable = Annotated[
    str,
    Meta(
        extra_json_schema={
            "maxLength": 80,
            "pattern": r"^\p{Zs}*[\p{L}\p{M}\p{N}\p{P}\p{S}][\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}\u200C\u200D]*$",
        },
        description="1 to 80 printable characters beside spaces at the ends",
    ),
]


def one_of(kind: type[StrEnum], *names: str) -> Meta:
    """What the documents say of a text that is one of an enumeration's values, or of ``names`` of them."""
    return Meta(extra_json_schema={"enum": [one.value for one in kind if not names or one.name in names]})


class Timestamp(datetime):
    """An instant in a wire struct; a subclass, so that msgspec asks us for its text form."""

    @overload
    @classmethod
    def of(cls, moment: datetime) -> Timestamp: ...
    @overload
    @classmethod
    def of(cls, moment: None) -> None: ...
    @classmethod
    def of(cls, moment: datetime | None) -> Timestamp | None:
        if moment is None:
            return None
        utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
        millisecond = utc.microsecond // 1000 * 1000
        return cls(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, millisecond, UTC)


def _encode_hook(value: object) -> object:
    if isinstance(value, Timestamp):
        return iso(value)
    raise TypeError(f"{type(value).__name__} has no wire form")


def _decode_hook(kind: type, value: object) -> object:
    if kind is Timestamp and isinstance(value, str):
        return Timestamp.fromisoformat(value)
    raise ValueError(f"{kind.__name__} cannot be read from {type(value).__name__}")


def encode(value: object) -> bytes:
    """JSON bytes of structs, lists and plain values."""
    return msgspec.json.encode(value, enc_hook=_encode_hook)


def convert(value: object, kind: type[T], *, strict: bool = True) -> T:
    """A decoded JSON value as ``kind``; without ``strict``, text that reads as a number is one.

    Raises:
        msgspec.ValidationError: it does not fit; the message names the path.
    """
    return msgspec.convert(value, kind, strict=strict, dec_hook=_decode_hook)


def to_builtins(value: object) -> Any:
    """Structs as dictionaries of plain JSON values."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)
