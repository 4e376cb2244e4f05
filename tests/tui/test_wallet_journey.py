"""Money and keys against a marketplace of one's own: screens say what chain and server did."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from frames import pane, shows, text_of
from scenes import until
from watchdog import watched

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import NotAuthenticated
from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import TEST_POOL
from luxxon_tui.context import ConsoleContext
from luxxon_tui.screens.wallet import WalletScreen
from luxxon_tui.screens.workspace import WorkspaceScreen
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.row_list import RowList

pytestmark = pytest.mark.alone

START = 120.0
USDC = 1_000_000


async def test_top_up_withdraw_mint_and_revoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    monkeypatch.chdir(tmp_path)
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = ConsoleApp(
        facts=ConsoleContext(save_folder=tmp_path), profile=profile, profile_name="embedded", first="wallet"
    )
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        store = app.store
        await until(lambda: store.readiness.value in (Readiness.READY, Readiness.FAILED), START)
        assert store.failure.value is None and store.pool_micro == TEST_POOL
        async with asyncio.timeout(30):
            while "80.000000" not in text_of(app) or "top up" not in text_of(app):
                await asyncio.sleep(0.05)
        screen = pane(app)
        assert isinstance(screen, WalletScreen)
        async with watched() as standstills:
            await pilot.press("right", "t")
            await shows(app, "Top up 50 USDC?")
            await pilot.press("enter")
            await until(lambda: store.pool_micro == TEST_POOL + 50 * USDC, 30)
            await shows(app, "+50.000000")
            move = screen._topping
            assert move is not None and [bool(step.tx) for step in move.steps] == [True, True]

            await pilot.press("w", *"12.5", "enter")
            await shows(app, "Withdraw 12.5 USDC?")
            await pilot.press("enter")
            await until(lambda: store.pool_micro == TEST_POOL + 37_500_000, 30)
            await shows(app, "−12.500000")
            await shows(app, "42.500000")
            await pilot.press("m")
            await shows(app, "142.500000")
        assert standstills.worst < 0.25, standstills
        final = [line for line in screen.lines() if line.state == "final"]
        assert sum(line.change or 0 for line in final) == store.pool_micro
        assert (tmp_path / "contracts.json").exists()

        await pilot.press("7")
        await until(lambda: isinstance(app.screen, WorkspaceScreen))
        await shows(app, "no keys yet")
        await pilot.press("m", *"notebook", "tab", "enter")
        await shows(app, "The key of notebook")
        await pilot.press("c")
        plaintext = app.clipboard
        await pilot.press("enter")
        await shows(app, "API keys 1")
        assert app.api is not None
        async with Luxxon(app.api.base_url, api_key=plaintext) as program:
            await program.sessions.list()
            await pilot.press("x")
            await shows(app, "Revoke the key?")
            await pilot.press("enter")
            await shows(app, "works for 0:5")
            await program.sessions.list()  # in its grace
        async with Luxxon(app.api.base_url, api_key=plaintext[:-2] + "zz") as stranger:
            with pytest.raises(NotAuthenticated):
                await stranger.sessions.list()

        await pilot.press("n")
        await shows(app, "Rename the workspace")
        await pilot.press("ctrl+u", *"north roofs", "enter")
        await shows(app, "north roofs")
        app.screen.set_focus(app.screen.query_one("#members", RowList))
        await pilot.press("a", *("0x" + "4" * 40), "enter")
        await shows(app, "Role of 0x4444")
        await pilot.press("enter")
        await shows(app, "Members 2")
        await pilot.press("q")
    assert app.return_code == 0
