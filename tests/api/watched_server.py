"""A server as a process, the secrets it was told or told us, and the search for them in what it shows."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psutil
from api_wire import Wire

from luxxon_core.server import Server

SHORTEST = 16
"""Characters of a secret that are looked for."""


@dataclass
class Watched:
    """A running server and the secrets that it was told or told us."""

    process: asyncio.subprocess.Process
    data_dir: Path
    wire: Wire
    output: bytes = b""
    secrets: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    def secret(self, name: str, value: str) -> str:
        """Remember it; of one that has parts, also the parts that are secret alone."""
        assert len(value) >= SHORTEST, name
        self.secrets[name] = value
        return value

    async def refused(self, method: str, path: str, **request: Any) -> int:
        response = await self.wire(method, path, **request)
        assert not response.is_success, (path, response.text)
        self.refusals.append(f"{response.text}\n{response.headers}")
        return response.status_code

    def found_in(self, text: str) -> list[str]:
        """The names of secrets that show in a text."""
        return [name for name, value in self.secrets.items() if any(one in text for one in forms(value))]


def forms(secret: str) -> set[str]:
    """How a secret could be written down: as it is, its halves, encoded, and cut as logs do."""
    raw = secret.encode()
    encoded = {raw.hex(), base64.b64encode(raw).decode().rstrip("="), repr(raw)[2:-1]}
    bare = secret.removeprefix("0x")
    return {secret, bare[:40], bare[-40:], *encoded}


@asynccontextmanager
async def serving(directory: Path, **environment: str) -> AsyncIterator[Watched]:
    data_dir = directory / "data"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luxxon_core", "--log-level", "debug"),
        *("serve", "--port", "0", "--data-dir", str(data_dir)),
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1", "LUXXON_DURABLE": "false", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        said = b""
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=30) as http:
            while (match := re.search(rb"(http://127\.0\.0\.1:\d+)/api/v1", said)) is None:
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
            url = match[1].decode()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            server = cast(Server, SimpleNamespace(url=url, api_url=f"{url}/api/v1"))
            watched = Watched(process, data_dir, Wire(server, http), said)
            reading = asyncio.create_task(process.stdout.read())
            try:
                yield watched
            finally:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    watched.output += await reading
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def what_processes_show(server: Watched) -> tuple[str, str]:
    """Arguments of the server and all that it started, and the environment of the latter."""
    own = psutil.Process(server.process.pid)
    children = own.children(recursive=True)
    assert children
    arguments = [" ".join(process.cmdline()) for process in (own, *children)]
    return "\n".join(arguments), "\n".join(str(child.environ()) for child in children)


def assert_nothing_shows(server: Watched, arguments: str, environment: str) -> None:
    output = server.output.decode(errors="replace")
    assert server.found_in(arguments) == []
    assert server.found_in(environment) == []
    assert server.found_in(output) == []
    answers = "\n".join(server.refusals)
    assert server.found_in(answers) == []
