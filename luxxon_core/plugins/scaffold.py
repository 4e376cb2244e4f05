"""Writes the package of a new plugin: something that works, to be changed into something that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from luxxon_core import __version__
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.plugins.loading import KEY

TEMPLATE = Path(__file__).with_name("template")
FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "LICENSE.txt": "LICENSE",
    "gitignore.txt": ".gitignore",
    "src/init.py.txt": "src/@module@/__init__.py",
    "src/source.py.txt": "src/@module@/source.py",
    "tests/test_conformance.py.txt": "tests/test_conformance.py",
}
"""The names end in ``.txt`` so that no tool takes them for code."""


def write(name: str, directory: Path) -> list[Path]:
    """Write the package for plugin ``name``; the files, in the order in which one reads them.

    Raises:
        StartError: the name is none or taken, or there is something in the directory.
    """
    words = _words(name)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StartError(message=f"{directory} is not empty")
    written: list[Path] = []
    try:
        for path, text in _files(words):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            written.append(target)
    except OSError as error:
        raise StartError(message=f"cannot write {directory}: {error.strerror}") from error
    return written


def _words(name: str) -> dict[str, str]:
    if not KEY.fullmatch(name) or name.endswith("-") or "--" in name:
        raise StartError(message=f"{name!r} is no name: lower-case letters, digits and single hyphens")
    module = f"luxxon_{name.replace('-', '_')}"
    if find_spec(module) is not None:
        raise StartError(message=f"there is a module {module} already")
    parts = [part.capitalize() for part in name.split("-")]
    return {
        "name": name,
        "module": module,
        "distribution": f"luxxon-{name}",
        "Class": "".join(parts),
        "title": " ".join(parts),
        "luxxon": __version__,
        "year": str(utc_now().year),
    }


def _files(words: dict[str, str]) -> Iterator[tuple[str, str]]:
    for source, target in FILES.items():
        yield _filled(target, words), _filled((TEMPLATE / source).read_text(encoding="utf-8"), words)


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
