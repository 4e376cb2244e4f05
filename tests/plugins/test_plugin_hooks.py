"""Every hook does what its page says: each has a section and a test, and the host uses what comes."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_files import CAMERA, imports_forgotten, module, package

from luxxon_core.bootstrap.edges import edges
from luxxon_core.bootstrap.parts import _chain
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.plugins import load_plugins
from luxxon_core.plugins.hooks import HOOKS, HookSpecifications
from luxxon_core.settings import PluginSettings, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:1"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_described(hook: str) -> None:
    arguments = [*inspect.signature(getattr(HookSpecifications, hook)).parameters][1:]
    heading = f"### `{hook}({', '.join(arguments)})`"
    assert heading in PAGE.splitlines()
    section = PAGE.partition(heading)[2].partition("\n##")[0]
    assert f"def {hook}(register" in section, "no example"
    assert (getattr(HookSpecifications, hook).__doc__ or "").strip()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_tested(hook: str) -> None:
    assert any(name.startswith(f"test_{hook}_") for name in globals()), f"no test named test_{hook}_…"


def test_no_section_is_of_a_hook_that_is_not() -> None:
    assert set(re.findall(r"^### `(luxxon_\w+)\(", PAGE, re.MULTILINE)) == set(HOOKS)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with imports_forgotten("gate_plugin"):
        yield tmp_path / "plugins"


def test_luxxon_register_sources_gives_cameras(directory: Path) -> None:
    module(directory, "gate_plugin", CAMERA.format(key="gate"))
    settings = PluginSettings(plugins_dir=directory, plugins={"gate_plugin": {"key": "renamed"}})
    source_type, config = load_plugins(settings=settings).configure("renamed", {"width": 64})
    assert source_type.key == "renamed"
    assert config.model_dump()["width"] == 64


# -- edges ------------------------------------------------------------------------------------------------

EDGE = """
from contextlib import asynccontextmanager
from luxxon_core.plugins import EdgeType, hookimpl
from tests.marketplace import MemoryEdge

opened = []

@hookimpl
def luxxon_register_edges(register, config):
    @asynccontextmanager
    async def sfu(context):
        if config.get("broken"):
            raise OSError("the SFU is away")
        edge = MemoryEdge(config.get("name") or f"sfu-{context.server}")
        opened.append((context, edge))
        yield edge
        await edge.close()
        opened.clear()

    register(EdgeType(key="sfu", title="SFU", api_version=1, open=sfu, pictures=True))
"""


def server(directory: Path, tmp_path: Path, **given: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data", plugins_dir=directory, **given)


@pytest.fixture
def sfu(directory: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    module(directory, "gate_plugin", EDGE)
    return directory


async def test_luxxon_register_edges_gives_the_edge_that_mints(sfu: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        media = await edges(stack, server(sfu, tmp_path, media_edge="sfu"), URL, utc_now)
        made = await media.all.create()
        ((context, _),) = sys.modules["gate_plugin"].opened
        assert made.edge == f"sfu-{context.server}"
        assert (context.public_url, context.data_dir) == (URL, tmp_path / "data")
        await media.all.delete(made)
    assert sys.modules["gate_plugin"].opened == []


async def test_luxxon_register_edges_gives_one_that_serves_on(sfu: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        media = await edges(stack, server(sfu, tmp_path, plugins={"gate_plugin": {}}), URL, utc_now)
        assert (await media.all.create()).edge.startswith("embedded-")
        assert {name.partition("-")[0] for name in media.all.names} == {"embedded", "sfu"}


async def test_a_server_without_need_imports_no_plugin(sfu: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        await edges(stack, server(sfu, tmp_path), URL, utc_now)
    assert "gate_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("table", "chosen", "told"),
    [
        ({"broken": True}, "sfu", "media edge sfu: OSError: the SFU is away"),
        ({"name": "other"}, "sfu", "its name is 'other'"),
        ({}, "turbo", "there is no edge 'turbo'; available: embedded, cloudflare, mediamtx, sfu"),
        ({"enabled": False}, "sfu", "switched off: gate_plugin"),
    ],
)
async def test_the_edge_that_is_chosen_must_start(
    sfu: Path, tmp_path: Path, table: dict[str, Any], chosen: str, told: str
) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError) as refused:
            settings = server(sfu, tmp_path, media_edge=chosen, plugins={"gate_plugin": table})
            await edges(stack, settings, URL, utc_now)
    assert told in refused.value.message


async def test_another_edge_that_cannot_start_is_left_out(sfu: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = server(sfu, tmp_path, plugins={"gate_plugin": {"broken": True}})
        media = await edges(stack, settings, URL, utc_now)
        assert {name.partition("-")[0] for name in media.all.names} == {"embedded"}


# -- signers ----------------------------------------------------------------------------------------------

SIGNER = """
from contextlib import asynccontextmanager
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.plugins import SignerType, hookimpl

@hookimpl
def luxxon_register_signers(register, config):
    @asynccontextmanager
    async def vault():
        yield LocalSigner(bytes.fromhex(config["key"].get_secret_value()))

    register(SignerType(key="vault", title="Vault", api_version=1, open=vault))
"""
KEY = "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Settings]:
    """The embedded chain, looked at as somebody else's."""
    from luxxon_core.adapters.chain.embedded_process import ChainProcess

    process = await ChainProcess.start(tmp_path / "chain", 0)
    try:
        yield Settings(
            data_dir=tmp_path / "data",
            plugins_dir=tmp_path / "plugins",
            rpc_url=process.rpc_url,
            settlement_address=process.settlement_address,
            relayer_signer="vault",
            plugins={"gate_plugin": {"key": {"env": "GATE_VAULT_KEY"}}},
        )
    finally:
        await process.close()


async def test_luxxon_register_signers_gives_the_relayers_key(
    directory: Path, chain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eth_keys.datatypes import Signature as EthSignature

    monkeypatch.setenv("GATE_VAULT_KEY", KEY)
    module(directory, "gate_plugin", SIGNER)
    async with AsyncExitStack() as stack:
        _, rpc, relays = await _chain(stack, chain)
        assert relays
        signer = rpc._signer
        assert signer is not None
        assert signer.address == ADDRESS
        signature = await signer.sign_digest(b"\1" * 32)
        vrs = (signature.y_parity, signature.r, signature.s)
        key = EthSignature(vrs=vrs).recover_public_key_from_msg_hash(b"\1" * 32)
        assert key.to_checksum_address() == ADDRESS


async def test_a_signer_that_is_not_there_stops_the_start(directory: Path, chain: Settings) -> None:
    module(directory, "gate_plugin", SIGNER)
    cases = [
        (chain, "gate_plugin not loaded: SourceConfigError: the environment has no variable GATE_VAULT_KEY"),
        (chain.model_copy(update={"relayer_key": Settings(relayer_key=KEY).relayer_key}), "another key"),
    ]
    for settings, told in cases:
        async with AsyncExitStack() as stack:
            with pytest.raises(StartError, match="relayer_signer") as refused:
                await _chain(stack, settings)
        assert told in refused.value.message
        assert KEY not in refused.value.message


# -- commands ---------------------------------------------------------------------------------------------

COMMANDS = """
import click
from luxxon_core.plugins import hookimpl

@click.command("open-gate")
@click.option("--wide", is_flag=True)
@click.pass_obj
def open_gate(log_level, wide):
    \"\"\"Open the gate.\"\"\"
    click.echo(f"the gate is {'wide ' if wide else ''}open, {log_level}")

@click.command("serve")
def serve():
    click.echo("not the server")

@hookimpl
def luxxon_register_commands(register):
    register(open_gate)
    register(serve)
"""


def luxxon(cwd: Path, *arguments: str, path: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command line."""
    tree = [str(path)] if path is not None else []
    environment["PYTHONPATH"] = os.pathsep.join([*tree, str(ROOT), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-m", "luxxon_core", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_luxxon_register_commands_gives_commands_of_packages(tmp_path: Path) -> None:
    site = tmp_path / "site"
    code = package(site, "gate_plugin", COMMANDS, commands=("open-gate", "serve"))
    assert luxxon(tmp_path, "open-gate", "--wide", path=site) == (0, "the gate is wide open, warning\n", "")
    assert "Open the gate." in luxxon(tmp_path, "open-gate", "--help", path=site)[1]
    assert "marketplace" in luxxon(tmp_path, "serve", "--help", path=site)[1]  # our own
    code.write_text("raise SystemExit('imported')")
    status, out, err = luxxon(tmp_path, "--help", path=site)  # lists it without importing it
    assert (status, err) == (0, "")
    assert re.search(r"open-gate +\(of gate_plugin 1\.2\.3\)", out)
    status, out, err = luxxon(tmp_path, "open-gate", path=site)
    assert (status, out) == (2, "")
    assert err == "luxxon: no command 'open-gate'; gate_plugin not loaded: SystemExit: imported\n"
    (tmp_path / "luxxon.toml").write_text("[plugins.gate_plugin]\nenabled = false\n")
    assert "switched off: gate_plugin" in luxxon(tmp_path, "open-gate", path=site)[2]


def test_luxxon_register_commands_gives_commands_of_the_directory(tmp_path: Path) -> None:
    module(tmp_path / "plugins", "gate_plugin", COMMANDS)
    module(tmp_path / "plugins", "gate_other", "raise SystemExit('imported')")
    here = {"LUXXON_PLUGINS_DIR": str(tmp_path / "plugins")}
    assert luxxon(tmp_path, "open-gate", **here) == (0, "the gate is open, warning\n", "")
    status, _, err = luxxon(tmp_path, "close-gate", **here)
    assert (status, err) == (2, "luxxon: No such command 'close-gate'.\n")


# -- panels -----------------------------------------------------------------------------------------------

PANEL = """
from luxxon_core.plugins import PanelType, hookimpl

@hookimpl
def luxxon_register_panels(register):
    def weather(context):
        from textual.widgets import Static
        return Static(f"fine at {context}")

    register(PanelType(key="weather", title="Weather", api_version=1, screen="live", widget=weather))
"""


def test_luxxon_register_panels_gives_widgets(directory: Path) -> None:
    from textual.widgets import Static

    module(directory, "gate_plugin", PANEL)
    registry = load_plugins(settings=PluginSettings(plugins_dir=directory))
    panel = registry.panels["weather"]
    assert (panel.title, panel.screen) == ("Weather", "live")
    assert isinstance(panel.widget("the gate"), Static)
    assert registry.plugins["gate_plugin"] == ("weather",)
    assert replace(panel, screen="map").screen == "map"
