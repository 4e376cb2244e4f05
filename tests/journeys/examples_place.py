"""A marketplace for the examples: a Raspberry Pi as its page has it installed, and programs beside it."""

from __future__ import annotations

import asyncio
import configparser
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

from operating import Operator

from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import Party, fund, party
from luxxon_core.server import Server, running
from luxxon_core.settings import load

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HANGS_SECONDS = 180.0
PLACE = ("50.8466", "4.3528")
"""Where the Pi's camera is, as its settings have it."""
TESTCARD = 'type = "testcard"\nwidth = 320\nheight = 180\nfps = 10\n'
STUBS = {
    # A machine without systemd and without a package index: what the script asks of them is noted.
    "python3": """\
mkdir -p "$3/bin"
printf '#!/bin/sh\\nexec %s "$@"\\n' {python} >"$3/bin/python"
printf '#!/bin/sh\\nexec %s -m luxxon_core "$@"\\n' {python} >"$3/bin/luxxon"
printf '#!/bin/sh\\necho pip "$@" >>%s\\n' {log} >"$3/bin/pip"
chmod +x "$3"/bin/*
""",
    "systemd-creds": '[ "$1" = encrypt ] && exec cp "$3" "$4"\nexec cat "$3"\n',
    "systemctl": 'echo systemctl "$@" >>{log}\n',
}


@dataclass(frozen=True)
class Market:
    server: Server
    consumer: Party
    root: Path
    """The root folder of the Raspberry Pi."""
    log: Path

    def installed(self, *path: str) -> Path:
        return self.root.joinpath(*path)


def clean(**more: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    return {**kept, **more}


async def run(*command: str, cwd: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), HANGS_SECONDS)
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def install(market: Market, checkout: Path, stubs: Path) -> None:
    command = [str(checkout / "examples/raspberry_pi/install.sh"), market.server.url]
    environment = clean(ROOT=str(market.root), PATH=f"{stubs}:{os.environ['PATH']}")
    code, printed = await run(*command, cwd=checkout, environment=environment)
    assert code == 0, printed


@asynccontextmanager
async def served(market: Market) -> AsyncIterator[Operator]:
    """What the installed unit starts, with the environment that it describes."""
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(market.installed("etc/systemd/system/luxxon-operate.service"))
    command = shlex.split(unit["Service"]["ExecStart"])
    assert unit["Service"]["WorkingDirectory"] == "/etc/luxxon"
    etc = market.installed("etc/luxxon")
    told = dict(line.split("=", 1) for line in (etc / "operate.env").read_text().splitlines())
    process = await asyncio.create_subprocess_exec(
        *(f"{market.root}{command[0]}", *command[1:]),
        cwd=etc,
        env=clean(
            **told,
            LUXXON_DATA_DIR=str(market.installed("var/lib/private/luxxon")),
            LUXXON_WALLET=str(etc / "wallet.json"),
            LUXXON_WALLET_PASSPHRASE_FILE=str(etc / "wallet-passphrase.cred"),
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    operator = Operator(process)
    try:
        yield operator
    finally:
        if process.returncode is None:
            process.terminate()
        assert await operator.ends(60) == 0


@asynccontextmanager
async def market_in(folder: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        networks = (ip_network("127.0.0.0/8"),)  # where webhooks may go, beside the world outside
        settings = load(
            data_dir=folder / "data", durable=False, port=0, webhook_http=True, webhook_networks=networks
        )
        server = await enter(running(settings))
        scopes = ("sessions:read", "sessions:create", "pricing:read", "webhooks:write")
        consumer = await enter(party(server.api_url, "inspector", "CONSUMER", scopes))
        chain = await enter(ChainClient(server.deployment.config))
        await fund(server, chain, consumer, 600)
        yield Market(server, consumer, folder / "pi", folder / "log")


@asynccontextmanager
async def pi_in(folder: Path, market: Market) -> AsyncIterator[Operator]:
    """The example's checkout with a test card where its webcam is, installed twice and started."""
    shutil.copytree(EXAMPLES / "raspberry_pi", folder / "examples/raspberry_pi")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    settings = folder / "examples/raspberry_pi/luxxon.toml"
    text, changed = re.subn(
        r"(\[cameras\.window\]\n).*?(?=\n#)", rf"\1{TESTCARD}", settings.read_text(), count=1, flags=re.DOTALL
    )
    assert changed
    settings.write_text(text)
    stubs = folder / "stubs"
    stubs.mkdir()
    for name, script in STUBS.items():
        (stubs / name).write_text(
            script.replace("{python}", sys.executable).replace("{log}", str(market.log))
        )
        (stubs / name).chmod(0o755)
    await install(market, folder, stubs)
    keys = market.installed("var/lib/private/luxxon/operator-keys.json")
    before = keys.read_bytes()
    settings.write_text("")
    await install(market, folder, stubs)
    assert keys.read_bytes() == before, "done again it leaves what is there"
    async with served(market) as operator:
        await operator.logs("agent.online", 120)
        yield operator


class Program:
    """A program under way. It is waited for until it does or ends, however busy the machine is: the seconds
    are for one that hangs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = b""

    async def says(self, words: str) -> None:
        """Until it prints a line with these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(HANGS_SECONDS):
            async for line in self.process.stdout:
                self.printed += line
                if words.encode() in line:
                    return
        raise AssertionError(f"it ended without {words!r}: {self.printed.decode()}")

    async def ends(self) -> int:
        return await asyncio.wait_for(self.process.wait(), HANGS_SECONDS)


class Inspector:
    """The example's program, in a folder of its own."""

    def __init__(self, market: Market, folder: Path) -> None:
        self.market, self.folder = market, folder
        self.environment = clean(
            LUXXON_API_KEY=market.consumer.api_key,
            LUXXON_MCP_URL=f"{market.server.url}/mcp",
            PYTHONPATH=os.pathsep.join([str(folder), *sys.path]),
        )

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, str(EXAMPLES / "inspector" / "inspect_place.py"), *arguments)

    async def run(self, *arguments: str) -> tuple[int, str]:
        return await run(*self.command(*arguments), cwd=self.folder, environment=self.environment)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Program]:
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @property
    def report(self) -> str:
        return (self.folder / "report" / "report.md").read_text()

    async def nothing_runs(self) -> None:
        found = await self.market.consumer.api.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE"))
        assert found == []


def imported(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
