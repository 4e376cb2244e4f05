"""What the console keeps between two starts: profiles, theme, keys, in ``luxxon.toml`` of the user's
configuration folder.

Not in that of the current folder: whoever puts a file there must not turn the user's keys to a server of
theirs.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import _loaded

NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
Value = str | bool | float


class ProfileTable(BaseModel):
    """``[profiles.NAME]``: a marketplace, and who one is there.

    Attributes:
        embedded: one of the console's own, on this machine, with test money.
        data_dir: where that keeps its data.
        url: a server's, without ``/api/v1``.
        api_key: a key's plaintext; the other way in is a wallet.
        wallet: the keystore of the wallet that signs in.
        workspace: the id of the workspace to act for; the wallet's only one, or a choice, when not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    embedded: bool = False
    data_dir: Path | None = None
    url: str | None = Field(default=None, pattern="^https?://[^/ ?#@]+/?$")
    api_key: SecretStr | None = None
    wallet: Path | None = None
    workspace: str | None = None

    @model_validator(mode="after")
    def _one_market(self) -> ProfileTable:
        if self.embedded == (self.url is not None):
            raise ValueError("needs a url, or embedded = true")
        return self

    @property
    def api_url(self) -> str:
        """Of the API; of a server by URL."""
        return f"{(self.url or '').rstrip('/')}/api/v1"


class ConsoleSettings(BaseSettings):
    """How the console opens. ``LUXXON_PROFILE``, ``LUXXON_THEME`` … in the environment win over the file."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    profile: str | None = None
    """The one that ``luxxon`` opens."""
    profiles: dict[str, ProfileTable] = Field(default_factory=dict)
    theme: str = "luxxon-dark"
    keymap: dict[str, str] = Field(default_factory=dict)
    """Keys by action, several with commas."""
    unlock_minutes: float = Field(default=15, ge=0)
    """How long a wallet stays open after it was last used; 0 until the console is left."""
    save_folder: Path | None = None
    """Where frames and receipts go."""
    preview: Literal["auto", "cells", "half-blocks", "kitty", "kitty-placed", "sixel"] = "auto"
    """How live pictures are drawn; ``auto`` asks the terminal."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=console_file())


def console_file() -> Path:
    """The file: ``LUXXON_CONSOLE_FILE``, or ``luxxon.toml`` in the user's configuration folder."""
    import platformdirs

    named = os.environ.get("LUXXON_CONSOLE_FILE")
    return Path(named) if named else platformdirs.user_config_path("luxxon", appauthor=False) / "luxxon.toml"


def load_console(**given: object) -> ConsoleSettings:
    """The console's settings from arguments, then environment, then the file.

    Raises:
        StartError: a value does not fit.
    """
    return _loaded(ConsoleSettings, given)


def keep_profile(name: str, profile: ProfileTable, *, chosen: bool = True) -> None:
    """Write a profile, in the place of one of its name; ``chosen`` opens it from now on.

    Raises:
        StartError: the name has other characters than letters, digits, - and _, or the file cannot be edited.
    """
    if not NAME.fullmatch(name):
        raise StartError(message="a profile's name is made of letters, digits, - and _")
    values: dict[str, Value] = {}
    for field in ProfileTable.model_fields:
        value = getattr(profile, field)
        if isinstance(value, SecretStr):
            values[field] = value.get_secret_value()
        elif value is not None and value is not False:
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
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = tomllib.loads(text)
        for key, value in changes.items():
            if isinstance(value, Mapping):
                for name, table in value.items():
                    text = _with_table(text, f"{key}.{name}", table)
                    wanted.setdefault(key, {})[name] = table
            else:
                text = _with_key(text, key, value)
                wanted[key] = value
        if tomllib.loads(text) != wanted:  # written in a way that these edits do not know
            raise StartError(message=f"{path} cannot be edited: change it by hand")
        _write(path, text)
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path} cannot be edited: {error}") from None


def _with_key(text: str, key: str, value: object) -> str:
    line = f"{key} = {_toml(value)}"
    head, tables = _split(text)
    head, found = re.subn(rf"(?m)^{re.escape(key)}[ \t]*=.*$", lambda _: line, head, count=1)
    return (head if found else f"{line}\n{head}") + tables


def _split(text: str) -> tuple[str, str]:
    """What stands before the first table, and the rest."""
    first = re.search(r"(?m)^[ \t]*\[", text)
    at = first.start() if first else len(text)
    return text[:at], text[at:]


def _with_table(text: str, name: str, values: Mapping[str, Value]) -> str:
    body = "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
    table = f"[{name}]\n{body}"
    start = re.search(rf"(?m)^[ \t]*\[[ \t]*{re.escape(name)}[ \t]*\].*\n?", text)
    if start is None:
        return f"{text.rstrip()}\n\n{table}" if text.strip() else table
    after = re.search(r"(?m)^[ \t]*\[", text[start.end() :])
    end = start.end() + after.start() if after else len(text)
    return text[: start.start()] + table + ("\n" if after else "") + text[end:]


def _toml(value: object) -> str:
    """A value; JSON's strings, numbers and booleans are TOML's, but for the one character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    """All at once, and for nobody else to read: it may hold keys."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
