"""What ``luxxon plugins new`` writes works untouched, and so does everything on the page for authors."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from author import Author
from PIL import Image

from luxxon_core.client.whep import WhepViewer
from luxxon_core.plugins import load_plugins
from luxxon_core.settings import PluginSettings
from tests.running_edge import edge, until

__all__ = ["edge", "until"]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
Until = Callable[..., Awaitable[None]]


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author.at(tmp_path)


PUBLISH = """
import asyncio, sys
from luxxon_core.operator.publisher import Publisher
from luxxon_core.plugins import load_plugins

async def main():
    source_type, config = load_plugins().configure("pond", {"width": 320, "height": 180})
    async with await source_type.open(config) as source:
        await Publisher(source).publish(sys.argv[1])

asyncio.run(main())
"""


async def test_a_new_package_untouched_installs_is_listed_passes_and_publishes(
    author: Author, edge: Any, until: Until
) -> None:
    await asyncio.to_thread(
        author.shell,
        "luxxon plugins new pond here/luxxon-pond\npip install ./here/luxxon-pond",
    )
    listed = json.loads(author.shell("luxxon plugins list --json"))["plugins"]
    (mine,) = [one for one in listed if one["name"] == "pond"]
    assert (mine["distribution"], mine["version"], mine["from"]) == ("luxxon-pond", "0.1.0", "package")
    assert "python -m pytest" in (author.home / "here/luxxon-pond/README.md").read_text()
    told = await asyncio.to_thread(
        author.shell, "cd here/luxxon-pond && python -m pytest -q -p no:cacheprovider tests"
    )
    assert re.search(r"\d+ passed", told)

    live_input = await edge.create()
    camera = await asyncio.create_subprocess_exec(author.python, "-c", PUBLISH, live_input.whip_url)
    viewer = WhepViewer()
    try:
        await until(lambda: edge.publishers, 30)
        await asyncio.wait_for(viewer.open(live_input.whep_url), 10)
        async with asyncio.timeout(15):
            pictures = [(await viewer.frame()).to_ndarray(format="gray") for _ in range(15)]
    finally:
        await viewer.close()
        camera.terminate()
        await camera.wait()
    assert pictures[-1].shape == (180, 320)
    # The bar is where its frame's number says, up to what the encoder blurs: a picture that moves.
    bars = [int(np.argmax(picture.astype(int).sum(axis=0))) for picture in pictures]
    assert len(set(bars)) > 5
    assert int(pictures[-1][:, bars[-1]].mean()) > 200


def test_what_is_written_is_clean_and_its_like_is_refused(author: Author) -> None:
    author.shell("luxxon plugins new north-gate")
    made = author.home / "luxxon-north-gate"
    assert not re.search(r"@\w+@", "".join(one.read_text() for one in made.rglob("*") if one.is_file()))
    for path in made.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    ruff = ["-m", "ruff", "check", "--isolated", "--line-length", "110", "--select", "E,F,W,UP,B,PTH,SIM"]
    subprocess.run([author.python, *ruff, "--no-cache", made], check=True, timeout=60)
    for arguments, reason in [
        ("north-gate", "is not empty"),
        ("webcam elsewhere", "there is a module luxxon_webcam already"),
        ("North-Gate", "is no name"),
        ("../up", "is no name"),
    ]:
        told = author.shell(f"luxxon plugins new {arguments} 2>&1 || echo status $?")
        assert reason in told
        assert "status 2" in told
        assert len(told.splitlines()) == 2


# -- the page ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snippet:
    language: str
    text: str

    @property
    def path(self) -> str | None:
        """The file that it is, or belongs to."""
        named = re.match(r"# ([\w./]+\.(?:py|toml))\n", self.text)
        return named[1] if named else None


SNIPPETS = [Snippet(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)]
HOOKS = [one for one in SNIPPETS if one.language == "python" and one.path is None]


def test_every_snippet_is_of_a_kind_that_is_run() -> None:
    assert PAGE.count("```") == 2 * len(SNIPPETS)
    assert {one.language for one in SNIPPETS} == {"sh", "python", "toml"}
    assert all(one.path for one in SNIPPETS if one.language == "toml")


@contextlib.contextmanager
def gate_camera() -> Iterator[str]:
    """The camera of the page, in motion; its address."""
    numbers = iter(range(10**9))

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            picture = io.BytesIO()
            Image.new("RGB", (320, 180), (next(numbers) * 8 % 256, 90, 40)).save(picture, "JPEG")
            known = self.headers["Authorization"] == "Basic Z2F0ZTpodW50ZXIy"
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(picture.getvalue())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/snapshot.jpg"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_page_from_the_empty_folder_to_the_package(author: Author) -> None:
    printed: dict[str, str] = {}
    with gate_camera() as url:
        for snippet in SNIPPETS:
            text = snippet.text.replace("http://192.0.2.7/snapshot.jpg", url)
            if snippet.language == "sh":
                printed[snippet.text] = author.shell(text)
            elif snippet.path is not None and snippet.path != "pyproject.toml":
                (author.folder / snippet.path).write_text(text)

    def told(part: str) -> str:
        return next(output for script, output in printed.items() if part in script)

    assert "luxxon-gatecam" in told("plugins list")
    assert "good: " in told("check gatecam\n")
    assert "settlement CONFIRMED" in told("demo --headless")
    assert " passed" in told("python -m pytest")
    assert "good: " in told("--camera gate")
    assert "an open source keeps secrets" in told("--camera gate")
    assert (author.folder / "dist/luxxon_gatecam-0.1.0-py3-none-any.whl").exists()
    assert "gatecam: JPEG over HTTP" in told("plugins info")
    assert "hunter2" not in "".join(printed.values())
    # The last luxxon.toml of the page switches the plugin off.
    listed = json.loads(author.shell("luxxon plugins list --json"))["plugins"]
    assert {one["name"]: one["enabled"] for one in listed}["gatecam"] is False


def test_the_command_of_the_page(author: Author) -> None:
    (command,) = [one.text for one in HOOKS if "luxxon_register_commands" in one.text]
    (index,) = [one.text for one in SNIPPETS if one.path == "pyproject.toml"]
    author.shell("luxxon plugins new gatecam && cd luxxon-gatecam")
    for path, added in (("src/luxxon_gatecam/__init__.py", command), ("pyproject.toml", index)):
        with (author.folder / path).open("a") as file:
            file.write(f"\n{added}")
    author.shell("pip install .")
    assert re.search(r"open-gate +\(of luxxon-gatecam 0\.1\.0\)", author.shell("luxxon --help"))
    assert author.shell("luxxon open-gate --wide") == "the gate is wide open\n"
    assert "names its commands" in author.shell("luxxon plugins check gatecam --set width=64 --set height=36")


@pytest.mark.parametrize("snippet", HOOKS, ids=lambda one: re.findall(r"luxxon_register_\w+", one.text)[0])
def test_a_hook_of_the_page_registers(snippet: Snippet) -> None:
    namespace: dict[str, Any] = {}
    exec(compile(snippet.text, "docs/plugins.md", "exec"), namespace)
    entry = SimpleNamespace(name="page", load=lambda: SimpleNamespace(**namespace))
    table = {"region": "eu", "token": "s3cret", "slot": 1}
    registry = load_plugins([entry], settings=PluginSettings(plugins={"page": table}))
    assert not registry.failures
    assert len(registry.plugins["page"]) == 1
