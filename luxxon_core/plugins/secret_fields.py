"""Secrets in a plugin's configuration, however deep: which fields have them, what they are, and what may be
said of an error. A secret is pydantic's ``SecretStr``, ``SecretBytes`` or ``Secret``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr
from pydantic_core import ErrorDetails, to_jsonable_python
from pydantic_core.core_schema import ErrorType

from luxxon_core.source import without_userinfo

SECRETS = (SecretStr, SecretBytes, Secret)
NOT_TAKEN = "not taken"
OF_VALIDATORS = ("value_error", "assertion_error")
"""Kinds of error whose text a plugin has written."""
OF_PYDANTIC = frozenset(get_args(ErrorType)) - {*OF_VALIDATORS}
"""Kinds whose text has no value in it."""
Path = tuple[str, ...]
Leaf = Callable[[Path, Any, bool], Any]


def holds_secrets(annotation: Any) -> bool:
    """Whether a field of this type is a secret, or may have one in it."""
    waiting, seen = [annotation], list[Any]()
    while waiting:
        one = waiting.pop()
        if any(one is each for each in seen):  # some types contain themselves
            continue
        seen.append(one)
        of = get_origin(one) or one
        if isinstance(of, type) and issubclass(of, SECRETS):
            return True
        waiting += (*get_args(one), *_parts(of))
    return False


def _parts(kind: Any) -> Iterable[Any]:
    """The types of what a type consists of."""
    try:
        if hasattr(kind, "__value__"):  # ``type Token = SecretStr``
            return [kind.__value__]
        if not isinstance(kind, type):
            return []
        if issubclass(kind, BaseModel):
            return [info.annotation for info in kind.model_fields.values()]
        if dataclasses.is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "_fields"):
            return [*get_type_hints(kind, include_extras=True).values()]
    except Exception:  # noqa: BLE001 - a plugin's; what it consists of cannot be told, so it is hidden
        return [SecretStr]
    return []


def in_plain(value: Any, plain: Any, leaf: Leaf, path: Path = (), secret: bool = False) -> Any:
    """``plain``, which is what pydantic makes of ``value`` for JSON, with secrets instead of their asterisks.

    Args:
        leaf: gives what stands for a text, a number or none: it is told where that is, and whether it is
            secret.
    """
    while isinstance(value, RootModel):
        value = value.root
    if isinstance(value, SECRETS):
        inner = value.get_secret_value()
        return in_plain(inner, _jsonable(inner), leaf, path, True)
    if isinstance(plain, Mapping):
        members = _members(value, plain)
        return {
            key: in_plain(members.get(key), one, leaf, (*path, key), secret) for key, one in plain.items()
        }
    if isinstance(plain, list):
        same = (
            isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) == len(plain)
        )
        items = list(value) if same else [None] * len(plain)
        return [
            in_plain(item, one, leaf, (*path, str(number)), secret)
            for number, (item, one) in enumerate(zip(items, plain, strict=True))
        ]
    return leaf(path, plain, secret)


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return to_jsonable_python(value, fallback=str)


def _members(value: Any, plain: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        known = dict(value)
        fields = type(value).model_fields.items()
        return known | {
            info.serialization_alias: known.get(name) for name, info in fields if info.serialization_alias
        }
    if dataclasses.is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping) and len(value) == len(plain):  # its keys may be no texts
        return dict(zip(plain, value.values(), strict=True))
    return {}


def revealed(value: Any) -> tuple[Any, bool]:
    """A value as JSON has it, with its secrets; and whether there are some in it."""
    found: list[bool] = []

    def leaf(_path: Path, plain: Any, secret: bool) -> Any:
        found.append(secret)
        return plain

    return in_plain(value, _jsonable(value), leaf), any(found)


def as_text(plain: Any) -> str:
    """A secret as it can be typed and kept."""
    return plain if isinstance(plain, str) else json.dumps(plain)


def secret_inputs(config: type[BaseModel], values: Mapping[str, Any]) -> list[str]:
    """What is given, perhaps wrongly, for fields that hold secrets."""
    fields = [name for name, info in config.model_fields.items() if holds_secrets(info.annotation)]
    return [text for name in fields for text in _texts(values.get(name))]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, SECRETS):
        yield from _texts(_jsonable(value.get_secret_value()))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def without_secrets(config: type[BaseModel], error: ErrorDetails, text: str, secrets: Iterable[str]) -> str:
    """What an error says, ``text``; or only that something is not taken, where that may tell a secret.

    Args:
        secrets: what may not be told, such as :func:`secret_inputs`.
    """
    if error["type"] not in OF_PYDANTIC and error["loc"]:  # as the validator has it, perhaps in other letters
        info = config.model_fields.get(str(error["loc"][0]))
        fields = [info] if info is not None else config.model_fields.values()
        if any(holds_secrets(one.annotation) for one in fields):
            return NOT_TAKEN
    told = text.casefold()
    for secret in secrets:
        bare = secret.strip().casefold()
        if bare and (bare in told or repr(bare)[1:-1] in told):
            return NOT_TAKEN
    return without_userinfo(text)
