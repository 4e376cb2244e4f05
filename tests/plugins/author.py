"""A plugin author's machine: an environment with pip and luxxon, and a shell that remembers where it is."""

from __future__ import annotations

import os
import site
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Author:
    """Attributes:
    environment: a virtual environment of its own, which sees what the tests' environment has.
    home: where the shell begins; what it changes of its directory and variables, it keeps.
    """

    environment: Path
    home: Path

    @classmethod
    def at(cls, folder: Path) -> Author:
        environment, home = folder / "venv", folder / "home"
        venv.create(environment, with_pip=True, symlinks=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        paths = [*site.getsitepackages(), str(ROOT), str(ROOT / "plugins")]
        (packages / "outer.pth").write_text("\n".join(paths))
        program = environment / "bin" / "luxxon"
        program.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m luxxon_core "$@"\n')
        program.chmod(0o755)
        home.mkdir()
        return cls(environment, home)

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def folder(self) -> Path:
        """Where the shell is now."""
        saved = self.home / ".folder"
        return Path(saved.read_text()) if saved.exists() else self.home

    def shell(self, script: str, seconds: float = 180) -> str:
        """Run lines of a shell; what they print. Fails with them."""
        variables = self.home / ".variables"
        lines = [
            "set -eu",
            f'[ ! -e "{variables}" ] || . "{variables}"',
            f'cd "{self.folder}"',
            script,
            f'export -p > "{variables}"',
            f'pwd | tr -d "\\n" > "{self.home / ".folder"}"',
        ]
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            env=self._variables(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def _variables(self) -> dict[str, str]:
        """pip builds with what is there and fetches nothing."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "LUXXON_"))}
        return kept | {
            "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.environment),
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say yes here
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
