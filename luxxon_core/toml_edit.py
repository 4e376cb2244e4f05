"""Changes a TOML file that people write, too: a table or a value, and nothing else, comments included."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

Value = str | bool | float | Mapping[str, "Value"] | Sequence["Value"]
"""What stands behind a key; a mapping is written in one line."""


def with_key(text: str, key: str, value: object) -> str:
    """The text with a value before its first table."""
    line = f"{key} = {value_of(value)}"
    head, tables = _split(text)
    head, found = re.subn(rf"(?m)^{re.escape(key)}[ \t]*=.*$", lambda _: line, head, count=1)
    return (head if found else f"{line}\n{head}") + tables


def _split(text: str) -> tuple[str, str]:
    """What stands before the first table, and the rest."""
    first = re.search(r"(?m)^[ \t]*\[", text)
    at = first.start() if first else len(text)
    return text[:at], text[at:]


def with_table(text: str, name: str, values: Mapping[str, Value]) -> str:
    """The text with a table, in the place of one of its name; tables below that stay."""
    body = "".join(f"{_key(key)} = {value_of(value)}\n" for key, value in values.items())
    table = f"[{name}]\n{body}"
    start = re.search(rf"(?m)^[ \t]*\[[ \t]*{re.escape(name)}[ \t]*\].*\n?", text)
    if start is None:
        return f"{text.rstrip()}\n\n{table}" if text.strip() else table
    after = re.search(r"(?m)^[ \t]*\[", text[start.end() :])
    end = start.end() + after.start() if after else len(text)
    return text[: start.start()] + table + ("\n" if after else "") + text[end:]


def without_tables(text: str, name: str) -> str:
    """The text without a table and those below it."""
    head = rf"\[[ \t]*{re.escape(name)}[ \t]*(?:\.[^\]]*)?\]"
    return re.sub(rf"(?m)^[ \t]*{head}.*\n?(?:(?![ \t]*\[).*\n?)*", "", text)


def with_table_named(text: str, name: str, new: str) -> str:
    """The text with a table, and those below it, under another name."""
    return re.sub(rf"(?m)^([ \t]*\[[ \t]*){re.escape(name)}(?=[ \t]*[.\]])", rf"\g<1>{new}", text)


def value_of(value: object) -> str:
    """A value; JSON's strings, numbers and booleans are TOML's, but for the one character DEL."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {value_of(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_of, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value_of(key)


def write_private(path: Path, text: str) -> None:
    """All at once, and for nobody else to read: it may hold keys.

    Raises:
        OSError: it cannot be written.
    """
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
