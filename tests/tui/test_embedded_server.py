"""The console against a marketplace of its own: from nothing to a picture, and to money that has moved."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from frames import shows, text_of
from scenes import until
from watchdog import watched

from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import HOME, TEST_POOL
from luxxon_tui.context import ConsoleContext
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.picture import Picture

pytestmark = pytest.mark.alone

START = 120.0
TOLERATED = 0.15
"""Seconds: the first picture's peer connection, and Textual arranging what a card leaves."""


async def test_a_marketplace_of_ones_own(tmp_path: Path) -> None:
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    facts = ConsoleContext(save_folder=tmp_path)
    app = ConsoleApp(facts=facts, profile=profile, profile_name="embedded", first="live")
    app.alone = True
    async with app.run_test(size=(120, 36)) as pilot:
        store = app.store
        await until(lambda: store.readiness.value in (Readiness.READY, Readiness.FAILED), START)
        assert store.failure.value is None and store.pool_micro == TEST_POOL
        await shows(app, "home")
        assert "20.00 USDC" in text_of(app) and "nothing live yet" in text_of(app)
        api, who = app.api, store.who.value
        assert api is not None and who is not None and who.role == "OWNER"
        async with asyncio.timeout(30):
            while not await api.coverage.list():  # the camera goes online by itself
                await asyncio.sleep(0.2)
        async with watched() as standstills:
            asked = await api.sessions.create(lat=HOME[0], lng=HOME[1], max_duration_seconds=60)
            await api.sessions.dispatch(asked.id)
            await until(lambda: app.screen.query_one(Picture).latest is not None, 30)
            await until(lambda: store.sessions.value[asked.id].clean_seconds >= 2, 30)
            await shows(app, "LIVE")
            await pilot.press("e", "enter")
            await until(lambda: store.sessions.value[asked.id].settlement == "CONFIRMED", 30)
            await shows(app, "CONFIRMED")
        session = store.sessions.value[asked.id]
        assert session.charged_micro == session.clean_seconds * session.rate_micro
        await until(lambda: store.pool_micro == TEST_POOL - session.charged_micro, 30)
        assert standstills.worst < TOLERATED, standstills
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_server_that_is_killed_is_started_again_and_the_view_goes_on(tmp_path: Path) -> None:
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="embedded", first="sessions")
    async with app.run_test(size=(120, 36)):
        store = app.store
        await until(lambda: store.readiness.value in (Readiness.READY, Readiness.FAILED), START)
        api = app.api
        assert api is not None and store.failure.value is None
        async with asyncio.timeout(30):
            while not await api.coverage.list():
                await asyncio.sleep(0.2)
        before = await api.sessions.create(lat=HOME[0], lng=HOME[1], max_duration_seconds=60)
        await until(lambda: before.id in store.sessions.value)
        servers = [one for one in psutil.Process().children() if "serve" in one.cmdline()]
        assert len(servers) == 1
        servers[0].kill()
        await until(lambda: any("your marketplace has ended" in one.message for one in app._notifications))
        await until(lambda: store.offline is not None)
        assert before.id in store.sessions.value, "what was loaded stays"
        await until(lambda: any("is back" in one.message for one in app._notifications), START)
        await until(lambda: store.offline is None and store.readiness.value is Readiness.READY, 30)
        assert app.api is api, "the same client, the same address"
        async with asyncio.timeout(60):
            while not await api.coverage.list():  # the camera comes back, too
                await asyncio.sleep(0.2)
        again = await api.sessions.create(lat=HOME[0], lng=HOME[1], max_duration_seconds=60)
        await until(lambda: again.id in store.sessions.value, 30)
        await api.sessions.dispatch(again.id)
        assert (await api.sessions.wait_for(again.id, "LIVE", timeout=30)).state == "LIVE"


async def test_a_marketplace_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "server").write_text("in the way")
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="embedded", first="live")
    async with app.run_test():
        await until(lambda: app.store.readiness.value is Readiness.FAILED, START)
        failure = app.store.failure.value
        assert failure is not None and failure.title
        await shows(app, failure.title[:20])
        assert "r" in failure.remedy


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
