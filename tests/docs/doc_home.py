"""A plain machine for a page: a home, a checkout to stand in, and a shell that remembers what it has done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from doc_pages import ROOT

NOT_HANDED_ON = ("LUXXON_", "XDG_", "MAKE", "MFLAGS", "ARGS", "PROCESSES", "PYTEST")
"""Variables of this machine, and of a make that runs the tests."""
INSTALLED = """\
#!/bin/sh
exec "{python}" {what} "$@"
"""
LINKED = ("Makefile", "contracts", "deploy", "examples", "pyproject.toml", "requirements.lock")


@dataclass
class Home:
    """Attributes:
    checkout: where the shell begins: the project as one has it after ``git clone`` and ``make``, by links.
    environment: of everything that is started.
    """

    folder: Path
    environment: dict[str, str]
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path, given: Mapping[str, str]) -> Home:
        """Make it in an empty folder.

        Args:
            given: variables that this machine has beside PATH and HOME.
        """
        checkout, programs = folder / "luxxon", folder / "luxxon" / ".venv" / "bin"
        programs.mkdir(parents=True)
        for one in LINKED:
            (checkout / one).symlink_to(ROOT / one)
        for name, what in (("luxxon", "-m luxxon_core"), ("python", ""), ("python3", "")):
            (programs / name).write_text(INSTALLED.format(python=sys.executable, what=what))
            (programs / name).chmod(0o755)
        (programs.parent / ".ready").touch()  # what make would install is there
        (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
        kept = {name: text for name, text in os.environ.items() if not name.startswith(NOT_HANDED_ON)}
        environment = kept | {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "share"),  # else root's data would lie in /var/lib
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            **given,
        }
        return cls(folder, environment)

    @property
    def checkout(self) -> Path:
        return self.folder / "luxxon"

    @property
    def now(self) -> Path:
        """Where the shell is."""
        saved = self.folder / ".folder"
        return Path(saved.read_text()) if saved.exists() else self.checkout

    def variables(self) -> dict[str, str]:
        """What the shell has set by now."""
        saved = self.folder / ".variables"
        lines = saved.read_bytes().split(b"\0") if saved.exists() else []
        found = dict(line.decode().split("=", 1) for line in lines if b"=" in line)
        return self.environment | found

    def _script(self, text: str) -> list[str]:
        lines = [
            "set -eao pipefail",
            text,
            f'env -0 > "{self.folder}/.variables"',
            f'pwd | tr -d "\\n" > "{self.folder}/.folder"',
        ]
        return ["bash", "-c", "\n".join(lines)]

    async def start(self, text: str) -> asyncio.subprocess.Process:
        """Lines of a shell, in a group of processes of their own."""
        process = await asyncio.create_subprocess_exec(
            *self._script(text),
            cwd=self.now,
            env=self.variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=2**20,
        )
        self.running.append(process)
        return process

    async def run(self, text: str, seconds: float = 90) -> str:
        """Lines of a shell until they end well; what they print. Fails with it otherwise."""
        process = await self.start(text)
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
        assert process.returncode == 0, f"exit code {process.returncode} of\n{text}\n{out.decode()[-3000:]}"
        return out.decode()

    async def serve(self, text: str, ready: str, seconds: float = 60) -> str:
        """Lines that go on running; returns the line with the words ``ready``."""
        process = await self.start(text)
        assert process.stdout is not None
        said = []
        async with asyncio.timeout(seconds):
            async for line in process.stdout:
                said.append(line.decode())
                if ready in said[-1]:
                    self._reading(process)
                    return said[-1]
        raise AssertionError(f"ended without saying {ready!r}:\n{''.join(said)[-3000:]}")

    def _reading(self, process: asyncio.subprocess.Process) -> None:
        """Go on reading, so that the program is never held up by what it prints."""
        assert process.stdout is not None
        self._readers = [*getattr(self, "_readers", []), asyncio.ensure_future(process.stdout.read())]

    async def close(self) -> None:
        """End what still runs, newest first, as ``Ctrl-C`` in its terminal would."""
        for process in reversed(self.running):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                try:
                    await asyncio.wait_for(process.wait(), 20)
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        await asyncio.gather(*getattr(self, "_readers", []), return_exceptions=True)


@contextlib.asynccontextmanager
async def home_at(folder: Path, **given: str) -> AsyncIterator[Home]:
    home = Home.at(folder, given)
    try:
        yield home
    finally:
        await home.close()
