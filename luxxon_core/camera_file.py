"""Cameras that somebody has added, in ``luxxon.toml`` of the user's configuration folder; their secrets are
kept apart (:mod:`luxxon_core.plugins.secret_store`).

Those of the current folder's ``luxxon.toml`` are read beside them, and never written.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from luxxon_core.kernel.errors import StartError
from luxxon_core.plugins import secret_store
from luxxon_core.profiles import console_file
from luxxon_core.toml_edit import Value, with_table, with_table_named, without_tables, write_private

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.plugins.secret_fields import Leaf, Path

NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


def name_of(text: str) -> str:
    """A name as the file can have it.

    Raises:
        StartError: there is no letter or digit in it.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text.strip()).strip("-")[:32]
    if not NAME.fullmatch(name):
        raise StartError("camera:name", "a camera's name is made of letters, digits, - and _")
    return name


def own_cameras() -> Mapping[str, Mapping[str, Any]]:
    """The tables of the user's own cameras, by name; references instead of secrets.

    Raises:
        StartError: the file cannot be read.
    """
    found = _read()[1].get("cameras")
    return {name: table for name, table in found.items() if isinstance(table, dict)} if found else {}


def keep_camera(
    name: str, type_key: str, config: BaseModel, place: tuple[float, float] | None = None
) -> Mapping[str, Any]:
    """Write a camera; its table. What it is configured with as it comes by itself is left out.

    Args:
        place: latitude and longitude where it is offered.

    Raises:
        StartError: there is one of that name, the name has other characters than letters, digits, - and _, or
            file or secrets cannot be written.
    """
    if not NAME.fullmatch(name):
        raise StartError("camera:name", "a camera's name is made of letters, digits, - and _")
    text, known = _read()
    if name in known.get("cameras", {}):
        raise StartError("camera:taken", f"there is a camera {name} already")
    table: dict[str, Any] = {"type": type_key}
    kept: list[Mapping[str, str]] = []
    stem = _stem(name, known.get("cameras", {}))

    def leaf(path: Path, plain: Any, secret: bool) -> Any:
        if plain is None or not (secret or _opens(plain)):
            return plain
        kept.append(secret_store.keep(".".join((stem, *map(_part, path))), _text(plain)))
        return kept[-1]

    try:
        table |= _fields(config, leaf)
        text = with_table(text, f"cameras.{name}", table)
        if place is not None:
            operate: dict[str, Value] = {"lat": place[0], "lng": place[1]}
            text = with_table(text, f"cameras.{name}.operate", operate)
            table = {**table, "operate": operate}
        _write(text, known | {"cameras": {**known.get("cameras", {}), name: table}})
    except StartError:
        _forget(kept)
        raise
    return table


def forget_camera(name: str) -> None:
    """Take a camera, and the secrets that were kept for it, away.

    Raises:
        StartError: it is not in the file, or the file cannot be edited.
    """
    text, known = _read()
    cameras = _with(known, name)
    _write(
        without_tables(text, f"cameras.{name}"),
        known | {"cameras": {each: table for each, table in cameras.items() if each != name}},
    )
    _forget(cameras[name])


def rename_camera(name: str, new: str) -> None:
    """Give a camera another name.

    Raises:
        StartError: it is not in the file, the other name is taken or no name, or the file cannot be edited.
    """
    if not NAME.fullmatch(new):
        raise StartError("camera:name", "a camera's name is made of letters, digits, - and _")
    text, known = _read()
    cameras = _with(known, name)
    if new in cameras:
        raise StartError("camera:taken", f"there is a camera {new} already")
    wanted = {new if each == name else each: table for each, table in cameras.items()}
    _write(with_table_named(text, f"cameras.{name}", f"cameras.{new}"), known | {"cameras": wanted})


def _with(known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    cameras: Mapping[str, Any] = known.get("cameras", {})
    if name not in cameras:
        message = f"{name} is not of this console: it is in luxxon.toml of this folder, or was found"
        raise StartError("camera:foreign", message)
    return cameras


def _read() -> tuple[str, dict[str, Any]]:
    path = console_file()
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text, tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path} cannot be read: {error}") from None


def _write(text: str, wanted: Mapping[str, Any]) -> None:
    path = console_file()
    try:
        found = tomllib.loads(text)
        if not wanted.get("cameras"):
            wanted = {key: value for key, value in wanted.items() if key != "cameras"}
        if found != wanted:  # written in a way that these edits do not know
            raise StartError(message=f"{path} cannot be edited: change it by hand")
        write_private(path, text)
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path} cannot be edited: {error}") from None


def _fields(config: BaseModel, leaf: Leaf) -> dict[str, Any]:
    """What differs from the defaults, as TOML has it, with what ``leaf`` makes of each value. None is left
    out: TOML has none.

    Raises:
        StartError: what the plugin makes of them fails, or as ``leaf``.
    """
    from luxxon_core.plugins.secret_fields import in_plain

    try:
        plain = config.model_dump(mode="json", exclude_defaults=True)
    except Exception as error:  # noqa: BLE001 - a plugin's; by its type: its text may be a secret
        message = f"its configuration cannot be written ({type(error).__name__})"
        raise StartError("camera:fields", message) from None
    fields: dict[str, Any] = _without_none(in_plain(config, plain, leaf))
    return fields


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value


def _opens(value: object) -> bool:
    """Whether it may not stand in a settings file, secret or not: an address with a password in it."""
    address = r"[a-z][a-z0-9+.-]*://[^/?#]*:[^/?#]*@"
    return isinstance(value, str) and re.match(address, value, re.IGNORECASE) is not None


def _part(key: str) -> str:
    """A key as a part of a secret's name, which has ``.`` and ``/`` between its parts."""
    return quote(key, safe="").replace(".", "%2E")


def _text(secret: Any) -> str:
    from luxxon_core.plugins.secret_fields import as_text

    text = as_text(secret)
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are none
        raise StartError("camera:secret", "a secret that is no text cannot be kept") from None
    return text


def _stem(name: str, cameras: Mapping[str, Any]) -> str:
    """What the names of a camera's secrets begin with. One that was renamed keeps those of its former name:
    who comes after it under that name has others (no camera's name has a ``~``)."""
    taken, stem, number = tuple(_referred(cameras)), f"cameras.{name}", 1
    while any(each.removeprefix(f"{secret_store.SERVICE}/").startswith(f"{stem}.") for each in taken):
        number += 1
        stem = f"cameras.{name}~{number}"
    return stem


def _referred(value: Any) -> Iterator[str]:
    """What references name, however deep."""
    match value:
        case {"kept": str(name)} | {"keyring": str(name)} if len(value) == 1:
            yield name
        case dict() | list():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _referred(each)


def _forget(value: Any) -> None:
    """Let go of every secret that is referred to, however deep."""
    if isinstance(value, Mapping) and len(value) == 1:  # a reference has nothing beside it
        secret_store.forget(value)
    if isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            _forget(each)
