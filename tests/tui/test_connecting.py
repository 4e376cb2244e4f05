"""The console against a server by its URL: a wallet that signs in, and a server that dies and comes back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import shows, text_of
from scenes import until

from luxxon_core.client import Luxxon, keystore
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import StartError
from luxxon_core.profiles import ProfileTable, keep_profile
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.embedded import Child
from luxxon_tui.connect.profiles import EMBEDDED, ENVIRONMENT, chosen
from luxxon_tui.connect.signing import found
from luxxon_tui.context import ConsoleContext
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.ask import Ask

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LUXXON_API_KEY", "LUXXON_URL", "LUXXON_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "config" / "luxxon.toml"))
    yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def serving(port: int, data_dir: Path) -> Child:
    arguments = ("serve", "--port", str(port), "--data-dir", str(data_dir / "server"))
    child = await Child.start(*arguments, told=lambda _line: None, where=data_dir, environment={})
    await child.event("serving")
    return child


async def test_a_wallet_signs_in_and_a_server_that_was_lost_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    url, path = f"http://127.0.0.1:{port}", tmp_path / "wallet.json"
    server = await serving(port, tmp_path)
    try:
        wallet = await asyncio.to_thread(LocalWallet.create)
        await asyncio.to_thread(keystore.write, path, wallet, PASSPHRASE)
        async with Luxxon(f"{url}/api/v1") as api:
            for slug in ("first", "second"):
                await found(api, wallet, slug=slug, name=slug, roles=["CONSUMER"])
        profile = ProfileTable(url=url, wallet=path, workspace="first")
        app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="mine", first="sessions")
        async with app.run_test(size=(120, 36)) as pilot:
            await until(lambda: isinstance(app.screen, Ask))
            await pilot.press(*"wrong", "enter")
            await shows(app, "That does not open it")
            await pilot.press(*PASSPHRASE.replace(" ", "_"), "enter")  # "_" is no space: wrong once more
            await shows(app, "That does not open it")
            await pilot.press(*("space" if letter == " " else letter for letter in PASSPHRASE), "enter")
            await until(lambda: app.store.readiness.value is Readiness.READY, 30)
            await shows(app, "no sessions yet")
            assert "first ▾" in text_of(app) and PASSPHRASE not in text_of(app)

            await server.close()
            await shows(app, "▲ offline  what you see is from")
            assert "no sessions yet" in text_of(app), "what was loaded stays"
            server = await serving(port, tmp_path)
            await pilot.press("r")
            await until(lambda: app.store.offline is None, 30)
            await pilot.pause()
            assert "offline" not in text_of(app)

            who = app.store.who.value
            assert who is not None and {name for _, name, _ in who.memberships} == {"first", "second"}
            await pilot.click("#header", offset=(14, 0))
            await shows(app, "Workspace: second")
            await pilot.press("enter", "enter")
            await shows(app, "second ▾")
            vault = app.connected.vault if app.connected else None
            assert vault is not None and not vault.locked.value
            vault.lock()
            assert vault.wallet() is None and app.store.readiness.value is Readiness.READY
    finally:
        await server.close()


async def test_a_passphrase_that_is_not_given_leaves_a_console_that_can_ask_again(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    await asyncio.to_thread(keystore.write, path, await asyncio.to_thread(LocalWallet.create), PASSPHRASE)
    profile = ProfileTable(url=f"http://127.0.0.1:{free_port()}", wallet=path)
    app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="mine", first="sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press("escape")
        await shows(app, "The wallet is locked")
        await pilot.press("r")
        await until(lambda: isinstance(app.screen, Ask))


async def test_a_key_that_is_refused_says_what_can_be_done(tmp_path: Path) -> None:
    port = free_port()
    server = await serving(port, tmp_path)
    try:
        profile = ProfileTable(url=f"http://127.0.0.1:{port}", api_key="lxxn_test_no")
        app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="bad", first="sessions")
        async with app.run_test(size=(80, 24)):
            await until(lambda: app.store.readiness.value is Readiness.FAILED, 30)
            await shows(app, "check the API key")
    finally:
        await server.close()


def test_which_profile_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    name, profile, context = chosen(None)
    assert name == EMBEDDED and profile.embedded and context.fresh
    keep_profile("acme", ProfileTable(url="https://acme.test"))
    name, profile, context = chosen(None)
    assert name == "acme" and profile.url == "https://acme.test" and not context.fresh
    assert chosen(EMBEDDED)[1].embedded
    monkeypatch.setenv("LUXXON_API_KEY", "lxxn_test_k")
    monkeypatch.setenv("LUXXON_URL", "http://127.0.0.1:9")
    assert chosen(None)[0] == ENVIRONMENT and chosen("acme")[0] == "acme"
    with pytest.raises(StartError, match="acme"):
        chosen("nobody")
