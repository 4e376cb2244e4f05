"""What the console keeps between two starts: profiles, theme, keys, in ``luxxon.toml`` of the user's
configuration folder.

Not in that of the current folder: whoever puts a file there must not turn the user's keys to a server of
theirs.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import msgspec

from luxxon_core.kernel.errors import StartError
from luxxon_core.toml_edit import Value, with_key, with_table, write_private

NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
URL = re.compile(r"https?://[^/ ?#@]+/?")
_EDITING = Lock()
"""One edit at a time: each reads the file, and writes all of it."""


class ProfileTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[profiles.NAME]``: a marketplace, and who one is there.

    Attributes:
        embedded: one of the console's own, on this machine, with test money.
        data_dir: where that keeps its data.
        camera: what its own operator shows, as ``luxxon operate`` takes it; a test card when not given.
        url: a server's, without ``/api/v1``.
        api_key: a key's plaintext, which ``repr`` does not show; the other way in is a wallet.
        wallet: the keystore of the wallet that signs in.
        workspace: the id of the workspace to act for; the wallet's only one, or a choice, when not given.
    """

    embedded: bool = False
    data_dir: Path | None = None
    camera: str | None = None
    url: str | None = None
    api_key: str | None = None
    wallet: Path | None = None
    workspace: str | None = None

    def __post_init__(self) -> None:
        if self.embedded == (self.url is not None):
            raise ValueError("needs a url, or embedded = true")
        if self.url is not None and not URL.fullmatch(self.url):
            raise ValueError("url: needs http:// or https://, a host, and nothing behind it")

    def __repr__(self) -> str:
        return f"ProfileTable({'embedded' if self.embedded else self.url})"

    @property
    def api_url(self) -> str:
        """Of the API; of a server by URL."""
        return f"{(self.url or '').rstrip('/')}/api/v1"


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the console opens. ``LUXXON_PROFILE``, ``LUXXON_THEME`` … in the environment win over the file."""

    profile: str | None = None
    """The one that ``luxxon`` opens."""
    profiles: dict[str, ProfileTable] = {}
    theme: str = "luxxon-dark"
    keymap: dict[str, str] = {}
    """Keys by action, several with commas."""
    unlock_minutes: Annotated[float, msgspec.Meta(ge=0)] = 15
    """How long a wallet stays open after it was last used; 0 until the console is left."""
    save_folder: Path | None = None
    """Where frames and receipts go."""
    preview: Literal["auto", "cells", "half-blocks", "kitty", "kitty-placed", "sixel"] = "auto"
    """How live pictures are drawn; ``auto`` asks the terminal."""


def console_file() -> Path:
    """The file: ``LUXXON_CONSOLE_FILE``, or ``luxxon.toml`` in the user's configuration folder."""
    import platformdirs

    named = os.environ.get("LUXXON_CONSOLE_FILE")
    return Path(named) if named else platformdirs.user_config_path("luxxon", appauthor=False) / "luxxon.toml"


def load_console() -> ConsoleSettings:
    """The console's settings from the environment, then the file.

    Without pydantic, whose import takes as long as the console has for half of its start.

    Raises:
        StartError: a value does not fit; names the first such field, never its value.
    """
    path = console_file()
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path} cannot be read: {error}") from None
    fields = {field.name: field.type for field in msgspec.structs.fields(ConsoleSettings)}
    values = {name: value for name, value in values.items() if name in fields}
    environment = {name.upper(): value for name, value in os.environ.items()}
    for name in fields:
        if (text := environment.get(f"LUXXON_{name.upper()}")) is not None:
            values[name] = _parsed(name, text) if name in ("profiles", "keymap") else text
    tables = values.pop("profiles", {})
    if not isinstance(tables, dict):
        raise StartError(message="setting profiles: must be tables")
    profiles = {name: _fitting(f"profiles.{name}", table, ProfileTable) for name, table in tables.items()}
    rest = {name: _fitting(name, value, fields[name]) for name, value in values.items()}
    return ConsoleSettings(profiles=profiles, **rest)


def _parsed(name: str, text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise StartError(message=f"setting {name}: must be JSON") from None


def _fitting(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise StartError(message=f"setting {name}: {str(error).replace('$.', '').lower()}") from None


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str):
        raise ValueError("expected a path")
    return Path(value)


def keep_profile(name: str, profile: ProfileTable, *, chosen: bool = True) -> None:
    """Write a profile, in the place of one of its name; ``chosen`` opens it from now on.

    Raises:
        StartError: the name has other characters than letters, digits, - and _, or the file cannot be edited.
    """
    if not NAME.fullmatch(name):
        raise StartError(message="a profile's name is made of letters, digits, - and _")
    values: dict[str, Value] = {}
    for field in ProfileTable.__struct_fields__:
        value = getattr(profile, field)
        if value is not None and value is not False:
            values[field] = value if isinstance(value, bool) else str(value)
    _edit({"profiles": {name: values}} | ({"profile": name} if chosen else {}))


def keep(**values: Value) -> None:
    """Write settings that are single values, such as ``theme``.

    Raises:
        StartError: the file cannot be edited.
    """
    _edit(values)


def _edit(changes: Mapping[str, object]) -> None:
    """Change a few values of the file and nothing else, comments included."""
    path = console_file()
    with _EDITING:
        _edited(path, changes)


def _edited(path: Path, changes: Mapping[str, object]) -> None:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = tomllib.loads(text)
        for key, value in changes.items():
            if isinstance(value, Mapping):
                for name, table in value.items():
                    text = with_table(text, f"{key}.{name}", table)
                    wanted.setdefault(key, {})[name] = table
            else:
                text = with_key(text, key, value)
                wanted[key] = value
        if tomllib.loads(text) != wanted:  # written in a way that these edits do not know
            raise StartError(message=f"{path} cannot be edited: change it by hand")
        write_private(path, text)
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path} cannot be edited: {error}") from None
