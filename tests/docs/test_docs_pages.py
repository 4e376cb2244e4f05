"""Every block of README and docs runs, in order, on a plain machine against a real marketplace.

What a page's blocks take for granted (a key, a session's id) is in ``doc_names.py``. A block in a language
that the runner does not know fails; so does one that is not run without a reason.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import yaml
from doc_home import Home, home_at
from doc_market import Market, market_at
from doc_names import NAMES, Names
from doc_pages import ROOT, Block, Page, pages
from mcp import Client, StdioServerParameters
from PIL import Image

from luxxon_core.operator.config import operate_table
from luxxon_core.plugins import load_plugins
from luxxon_core.profiles import ProfileTable
from luxxon_core.settings import Settings, load, load_cameras, load_plugin_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICKSTART = "docs/quickstart.md"
ELSEWHERE = {"docs/plugins.md": "tests/plugins/test_plugin_guide.py"}
"""Pages whose blocks another module runs."""
PAGES = [page for page in pages() if page.blocks and page.name not in {QUICKSTART, *ELSEWHERE}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with market_at(tmp_path_factory.mktemp("market")) as running:
        yield running


@dataclass
class Reader:
    """Somebody who does what a page says."""

    home: Home
    port: int
    monkeypatch: pytest.MonkeyPatch
    names: Names | None = None
    known: dict[str, Any] = field(default_factory=dict)
    printed: str = ""
    cameras: str = ""

    async def read(self, page: Page) -> None:
        for block in page.blocks:
            if block.not_run is None:
                try:
                    await self.follow(block)
                except BaseException as error:
                    error.add_note(f"in the block at {block.where}")
                    raise

    async def follow(self, block: Block) -> None:
        text = block.text.replace("127.0.0.1:3010", f"127.0.0.1:{self.port}")
        if block.file is not None:
            (self.home.now / block.file).write_text(text)
        if block.language == "sh" and block.ready is not None:
            await self.home.serve(text, block.ready)
        elif block.language == "sh":
            self.printed += await self.home.run(text)
        elif block.language == "console":
            await self.typed(text)
        elif block.language == "python" and block.file is None:
            await self.python(text, block)
        elif block.language == "json":
            await self.json(json.loads(text))
        elif block.language == "toml":
            self.toml(text)
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(text), dict)
        else:
            assert block.file is not None, (
                f"what is to be done with {block.language or 'a block without language'}?"
            )

    async def typed(self, text: str) -> None:
        """Lines after ``$`` are typed; the others are what comes, ``…`` for what differs."""
        assert text.startswith("$ "), "what is typed begins with $"
        for command, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            pattern = ".*?".join(re.escape(part) for part in wanted.strip().split("…"))
            pattern = re.sub(r'("cleanSeconds":)\d+', r"\1\\d+", pattern)
            pattern = re.sub(r'("chargedMicroUsdc":)"\d+"', r'\1"\\d+"', pattern)
            told = await self.home.run(command)
            assert re.search(pattern, told, re.DOTALL), f"{told}\nis not as\n{wanted}"

    async def python(self, text: str, block: Block) -> None:
        for name, value in self.home.variables().items():
            if name.startswith("LUXXON_"):
                self.monkeypatch.setenv(name, value)
        self.monkeypatch.chdir(self.home.now)
        if self.names is not None:
            self.known |= await self.names(text)
        code = compile(text, block.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        async with asyncio.timeout(60):
            waiting = eval(code, self.known)
            if inspect.iscoroutine(waiting):
                await waiting
            if "main" in self.known and "def main" in text and "main()" not in text.split("def main", 1)[1]:
                await self.known["main"]()

    async def json(self, content: Any) -> None:
        for server in content.get("mcpServers", {}).values():
            environment = self.home.variables() | server["env"]
            environment["LUXXON_API_KEY"] = self.home.variables()["LUXXON_API_KEY"]
            command = str(self.home.checkout / ".venv" / "bin" / server["command"])
            started = StdioServerParameters(command=command, args=server["args"], env=environment)
            async with asyncio.timeout(60), Client(started) as host:
                seen = await host.call_tool("observe", {"lat": 50.8466, "lng": 4.3528})
                assert not seen.is_error
                assert seen.content[0].type == "image"

    def toml(self, text: str) -> None:
        """A file of settings: each name is one, and the tables are as they must be."""
        content = tomllib.loads(text)
        if "profiles" in content:
            for table in content["profiles"].values():
                ProfileTable(**table)
            return
        self.monkeypatch.chdir(self.home.now)
        if "cameras" in content:
            self.cameras += text  # later blocks add to cameras of earlier ones
            Path("luxxon.toml").write_text(self.cameras)
            for variable in re.findall(r'env = "(\w+)"', self.cameras):
                self.monkeypatch.setenv(variable, "of the test")
            registry = load_plugins(settings=load_plugin_settings())
            for name, camera in load_cameras().cameras.items():
                registry.configure(camera.type, camera.fields)
                operate_table(name, camera.operate)
        else:
            Path("luxxon.toml").write_text(text)
            load()
            assert set(content) <= set(Settings.model_fields)
        Path("luxxon.toml").unlink()


async def test_the_quickstart_from_nothing_to_an_agent(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with home_at(tmp_path, LUXXON_PORT=str(unused_tcp_port), LUXXON_URL=url) as home:
        reader = Reader(home, unused_tcp_port, monkeypatch)
        await reader.read(Page(ROOT / QUICKSTART))
        assert "settlement CONFIRMED" in reader.printed
        assert '"state":"ENDED"' in reader.printed
        for picture in ("one.jpg", "two.jpg", "three.jpg"):
            with Image.open(home.now / picture) as image:
                assert image.format == "JPEG"
        assert re.search(r"\d+ s, \d+ µUSDC\n$", reader.printed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_what_a_page_says_works(
    page: Page, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        given = market.environment(tmp_path)
        home = await stack.enter_async_context(home_at(tmp_path, **given))
        reader = Reader(home, market.port, monkeypatch)
        if page.name in NAMES:
            reader.names = await stack.enter_async_context(
                NAMES[page.name](SimpleNamespace(market=market, home=home))
            )
        await reader.read(page)
        await market.quiet()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "true\nfalse\ntrue\n"),
        ("sh", "luxxon no-such-command | cat\n"),
        ("console", "$ echo one\ntwo\n"),
        ("console", "> false\n"),
        ("console", "told before\n$ true\n"),
        ("python", "assert 1 == 2\n"),
        ("toml", "no_such_setting = 1\n"),
        ("yaml", "- a list\n"),
        ("cobol", "STOP RUN.\n"),
    ],
)
async def test_what_does_not_work_is_seen(
    language: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with home_at(tmp_path) as home:
        reader = Reader(home, 0, monkeypatch)
        with pytest.raises(AssertionError):
            await reader.follow(Block("page.md", 1, language, text, None, None))
