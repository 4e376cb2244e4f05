"""A console that is left while a session of its own marketplace is LIVE: the session ends, and is paid."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from frames import shows
from scenes import until

from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import HOME
from luxxon_tui.context import ConsoleContext
from luxxon_tui.store import Readiness

pytestmark = pytest.mark.alone

START = 120.0


def opened(profile: ProfileTable) -> ConsoleApp:
    return ConsoleApp(facts=ConsoleContext(), profile=profile, profile_name="embedded", first="live")


async def ready(app: ConsoleApp) -> None:
    await until(lambda: app.store.readiness.value in (Readiness.READY, Readiness.FAILED), START)
    assert app.store.failure.value is None


async def test_leaving_ends_the_session_and_the_next_start_has_it_paid(tmp_path: Path) -> None:
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    app = opened(profile)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app)
        api = app.api
        assert api is not None
        async with asyncio.timeout(30):
            while not await api.coverage.list():  # the camera goes online by itself
                await asyncio.sleep(0.2)
        asked = await api.sessions.create(lat=HOME[0], lng=HOME[1], max_duration_seconds=300)
        await api.sessions.dispatch(asked.id)
        await until(lambda: app.store.sessions.value[asked.id].clean_seconds >= 1, 40)
        await shows(app, "testcard")  # the operator's name, not its identifier
        await pilot.press("q")
        await shows(app, "stops with the console")
        await pilot.press("enter")
    await app.server.parted()
    app = opened(profile)
    async with app.run_test(size=(80, 24)):
        await ready(app)
        assert app.store.sessions.value[asked.id].state == "ENDED"
        await until(lambda: app.store.sessions.value[asked.id].settlement == "CONFIRMED", 60)
        session = app.store.sessions.value[asked.id]
        assert session.charged_micro == session.clean_seconds * session.rate_micro > 0
