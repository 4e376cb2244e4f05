"""Plugins on disk for tests: modules of a plugins directory, and packages as an installer leaves them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

CAMERA = """
from luxxon_core.plugins import hookimpl
from luxxon_core.testing import FakeSourceType

@hookimpl
def luxxon_register_sources(register, config):
    register(FakeSourceType(key=config.get("key", "{key}")))
"""


def module(directory: Path, name: str, text: str) -> Path:
    """A module ``name`` of a plugins directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.py"
    path.write_text(dedent(text))
    path.chmod(0o644)
    directory.chmod(0o755)
    return path


def package(
    site: Path, name: str, text: str, *, version: str = "1.2.3", commands: tuple[str, ...] = ()
) -> Path:
    """What pip leaves of a package ``name`` with one module, which is the plugin of that name."""
    code = module(site, name, text)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = f"[luxxon]\n{name} = {name}\n"
    if commands:
        points += "[luxxon.commands]\n" + "".join(f"{command} = {name}\n" for command in commands)
    (info / "entry_points.txt").write_text(points)
    (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    return code


@contextmanager
def imports_forgotten(*names: str) -> Iterator[None]:
    """Take back what tests put into ``sys.modules`` and ``sys.path``."""
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [one for one in sys.modules if one.partition(".")[0] in names]:
            del sys.modules[name]
