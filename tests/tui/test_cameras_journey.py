"""An operator at the console, against a real marketplace: accepts, publishes, is moved, and earns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filmed import OPERATE, Cameras
from frames import shows, text_of
from scenes import until

from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party, fund, party
from luxxon_core.operator.config import operate_table
from luxxon_core.plugins import load_plugins
from luxxon_core.server import Server, running
from luxxon_core.settings import load
from luxxon_core.source import PtzVector
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.operate.finding import FoundCamera, Told
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.store import Readiness

pytestmark = pytest.mark.alone

START = 60.0
AT = (50.8466, 4.3528)


class WithTestcard(Cameras):
    """The test card of the built-in plugin, and a camera that turns."""

    async def find(self, told: Told) -> None:
        kind, config = load_plugins().configure("testcard")
        table = operate_table("card", {**OPERATE, "controls": ["ptz"]})
        told(FoundCamera("card", "card", kind.title, kind.key, kind, config, table, True))
        self.found = ("ptz",)
        await super().find(told)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    # Not below pytest's own folder: another run takes back the permissions on that.
    with TemporaryDirectory(prefix="luxxon-cameras-") as folder:
        async with running(load(data_dir=Path(folder) / "data", durable=False, port=0)) as opened:
            yield opened


@pytest.fixture
async def people(server: Server) -> AsyncIterator[tuple[Party, Party]]:
    """A consumer with money, and an operator."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        consumer = await enter(party(server.api_url, "viewer", "CONSUMER", CONSUMER_SCOPES))
        supplier = await enter(party(server.api_url, "roofs", "SUPPLIER", SUPPLIER_SCOPES))
        chain = await enter(ChainClient(server.deployment.config))
        await fund(server, chain, consumer, 600)
        yield consumer, supplier


async def test_an_operator_accepts_publishes_and_earns(
    people: tuple[Party, Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, supplier = people
    cameras = WithTestcard()
    monkeypatch.setattr(CamerasScreen, "FINDER", lambda: cameras)
    app = ConsoleApp(supplier.api, facts=ConsoleContext(), first="cameras")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.store.readiness.value is Readiness.READY, START)
        await until(lambda: isinstance(app.screen_stack[0], CamerasScreen), START)
        screen = app.screen_stack[0]
        assert isinstance(screen, CamerasScreen)
        desk = screen.desk
        await until(lambda: "ptz" in desk.links and all(link.seen for link in desk.links.values()), START)
        await until(lambda: not any(link.is_open for link in desk.links.values()), START)
        await pilot.press("enter", "space")
        await until(lambda: "card" in desk.operations and desk.operations["card"].online, START)
        async with asyncio.timeout(30):
            while not await consumer.api.coverage.list():
                await asyncio.sleep(0.1)
        asked = await consumer.api.sessions.create(lat=AT[0], lng=AT[1], max_duration_seconds=60)
        await consumer.api.sessions.dispatch(asked.id)
        await shows(app, "Incoming assignment")
        assert "0 m of 500" in text_of(app) and "1:00 at most" in text_of(app)
        await pilot.press("a")
        live = await consumer.api.sessions.wait_for(asked.id, "LIVE", timeout=30)
        assert live.state == "LIVE"
        await until(lambda: app.store.sessions.value[asked.id].clean_seconds >= 2, 30)
        await shows(app, "LIVE")
        await until(lambda: max(desk.operations["card"].rates, default=0) > 0, 20)
        assert (await consumer.api.sessions.frame(asked.id)).startswith(b"\xff\xd8")

        await pilot.press("escape", "down", "enter")
        ptz = desk.links["ptz"]
        await until(lambda: ptz.is_open)
        await pilot.press("left")
        await until(lambda: bool(cameras.told("stop")))
        assert cameras.told("continuous_move")[0].arguments[0] == PtzVector(-0.5)
        assert desk.links["card"].is_open, "what publishes stays open"
        await pilot.press("space")
        await shows(app, "✕ not online")
        assert "one camera online" in ptz.trouble, "an API key is of one workspace"
        await pilot.press("escape", "up")

        await consumer.api.sessions.end(asked.id)
        await shows(app, "waits for an assignment")
        await until(lambda: desk.operations["card"].status is not None)
        await pilot.press("space")
        await until(lambda: not desk.operations, 20)
    receipt = await consumer.api.sessions.receipt(asked.id)
    assert int(receipt.charged_micro_usdc) > 0
    assert not await consumer.api.coverage.list(), "offline"
