"""JSON as the wire has it: camelCase structs, instants with milliseconds and ``Z``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from luxxon_core.kernel.clock import iso

T = TypeVar("T")


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
        return None if moment is None else cls.fromisoformat(iso(moment))


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


def convert(value: object, kind: type[T]) -> T:
    """A decoded JSON value as ``kind``.

    Raises:
        msgspec.ValidationError: it does not fit; the message names the path.
    """
    return msgspec.convert(value, kind, dec_hook=_decode_hook)


def to_builtins(value: object) -> Any:
    """Structs as dictionaries of plain JSON values."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)
