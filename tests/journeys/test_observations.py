"""One frame of a place on the running marketplace: bought, kept and paid; left, killed, and nobody there."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from luxxon_testcard import testcard
from PIL import Image
from test_killed_server import server as killable

from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party, fund, operating, party
from luxxon_core.kernel.errors import FrameNotAvailable, NotAuthorized
from luxxon_core.kernel.geo import Point
from luxxon_core.observations.schemas import Observation
from luxxon_core.server import Server, running
from luxxon_core.settings import load

pytestmark = pytest.mark.asyncio(loop_scope="module")

BRUSSELS, NOWHERE = {"lat": 50.8466, "lng": 4.3528}, {"lat": -60.0, "lng": -120.0}
SMALL = testcard.TestcardConfig(width=320, height=180, fps=15)
RATE, UNIT_S = 1000, 10
PRICE = RATE * UNIT_S
DOCUMENT = Path(__file__).parents[2] / "docs" / "observations.md"


@dataclass
class Scene:
    server: Server
    consumer: Party
    supplier: Party
    stranger: Party

    async def idle(self) -> None:
        """Nothing is open any more, for either side."""
        open_ = ("REQUESTED", "ASSIGNED", "LIVE")
        for one in (self.consumer, self.supplier):
            assert await one.api.sessions.list(state=open_) == []

    async def paid(self, observation: Observation) -> None:
        assert observation.session_id is not None
        async with asyncio.timeout(30):
            while True:
                settlement = await self.consumer.api.settlements.get(observation.session_id)
                if settlement.state == "CONFIRMED":
                    break
                await asyncio.sleep(0.1)

    async def free(self) -> None:
        """The operator has no session any more, so that the next one can be given to it."""
        async with asyncio.timeout(20):
            while True:
                if await self.supplier.api.coverage.list():  # of those who are ONLINE
                    return
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="luxxon-observations-") as folder:
        settings = load(data_dir=Path(folder), durable=False, port=0, udp_port=0, rpc_port=0)
        async with (
            running(settings) as server,
            party(server.api_url, "c", "CONSUMER", CONSUMER_SCOPES) as consumer,
            party(server.api_url, "s", "SUPPLIER", SUPPLIER_SCOPES) as supplier,
            party(server.api_url, "x", "CONSUMER", CONSUMER_SCOPES) as stranger,
            ChainClient(server.deployment.config) as chain,
        ):
            await fund(server, chain, consumer, 600)
            source = testcard.TestcardSource(SMALL)
            async with operating(supplier, source, Point(BRUSSELS["lat"], BRUSSELS["lng"])):
                yield Scene(server, consumer, supplier, stranger)


async def test_a_frame_is_bought_kept_and_paid(scene: Scene) -> None:
    await scene.free()
    api = scene.consumer.api
    seen: list[Observation] = []
    found = await api.observations.observe(
        **BRUSSELS, max_price_micro_usdc=PRICE, max_wait_seconds=30, asked=seen.append
    )
    assert (seen[0].status, found.status, found.reason) == ("PENDING", "READY", None)
    assert found.frame is not None and found.captured_at is not None and found.receipt is not None
    receipt = found.receipt
    assert receipt.started_at is not None and receipt.started_at <= found.captured_at
    assert (receipt.state, receipt.clean_seconds, receipt.charged_micro_usdc) == ("ENDED", UNIT_S, str(PRICE))
    assert receipt.elapsed_milliseconds < UNIT_S * 1000, "its operator is free as soon as there is a frame"
    position = found.position
    assert position is not None and position.source in {"TELEMETRY", "COVERAGE"}
    assert abs(position.lat - BRUSSELS["lat"]) < 0.01 and abs(position.lng - BRUSSELS["lng"]) < 0.01

    await scene.paid(found)
    again = await api.observations.get(found.id)
    assert again.receipt is not None and again.receipt.settlement.state == "CONFIRMED"
    payload = again.receipt.settlement.payload
    assert payload is not None
    assert int(payload.to_amount_micro_usdc) + int(payload.fee_amount_micro_usdc) == PRICE
    await scene.idle()

    picture = await api.observations.frame(found.id)  # long after the session
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        assert image.size == (found.frame.width, found.frame.height) == (320, 180)
        assert len({pixel for _, pixel in image.getcolors(1 << 20) or []}) > 100, "a picture of something"
    assert len(picture) == found.frame.bytes and picture.captured_at == found.captured_at
    headers = {"Authorization": f"Bearer {scene.consumer.api_key}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(found.frame.url)).status_code == 401
        fetched = await http.get(found.frame.url, headers=headers)
        assert (fetched.status_code, fetched.content) == (200, bytes(picture))
    assert await scene.supplier.api.observations.frame(found.id) == picture
    for call in (scene.stranger.api.observations.get, scene.stranger.api.observations.frame):
        with pytest.raises(NotAuthorized):
            await call(found.id)
    with pytest.raises(NotAuthorized):
        await scene.supplier.api.observations.get(found.id)


async def test_one_call_answers_with_the_frame(scene: Scene) -> None:
    """As curl would: 201, a Location, and everything about it."""
    await scene.free()
    headers = {"Authorization": f"Bearer {scene.consumer.api_key}", "Idempotency-Key": "twice"}
    body = {**BRUSSELS, "maxPriceMicroUsdc": str(PRICE), "maxWaitSeconds": 30, "maxWidth": 160}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        url = f"{scene.server.api_url}/observations"
        first, second = await asyncio.gather(*(http.post(url, json=body, headers=headers) for _ in "12"))
        assert {first.status_code, second.status_code} == {201}
        data = first.json()["data"]
        assert data == second.json()["data"] and data["status"] == "READY"
        assert first.headers["location"] == f"{url}/{data['id']}"
        assert (data["frame"]["width"], data["frame"]["height"]) == (160, 90)
        assert data["receipt"]["chargedMicroUsdc"] == str(PRICE)
        jpeg = await http.get(data["frame"]["url"], headers=headers)
        with Image.open(io.BytesIO(jpeg.content)) as image:
            assert image.size == (160, 90)
    found = await scene.consumer.api.observations.get(data["id"])
    await scene.paid(found)
    await scene.idle()


async def test_who_leaves_in_the_middle_leaves_nothing_running(scene: Scene) -> None:
    """The connection breaks while the server waits: the work goes on, ends, and is found by the same key."""
    await scene.free()
    headers = {"Authorization": f"Bearer {scene.consumer.api_key}", "Idempotency-Key": "left"}
    body = {**BRUSSELS, "maxPriceMicroUsdc": str(PRICE), "maxWaitSeconds": 30}
    url = f"{scene.server.api_url}/observations"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        calling = asyncio.create_task(http.post(url, json=body, headers=headers))
        async with asyncio.timeout(10):
            while not await scene.consumer.api.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE")):
                await asyncio.sleep(0.02)
        calling.cancel()
        await asyncio.wait((calling,))
    (session,) = await scene.consumer.api.sessions.list(limit=1)
    async with asyncio.timeout(30):
        while (found := await scene.consumer.api.observations.get(session.id, wait=10)).status == "PENDING":
            pass
    assert found.status == "READY"
    await scene.idle()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        repeated = await http.post(url, json=body, headers=headers)
    assert repeated.json()["data"]["id"] == session.id, "not bought twice"


async def test_who_gives_up_pays_nothing(scene: Scene) -> None:
    await scene.free()
    api, asked = scene.consumer.api, asyncio.Event()
    seen: list[Observation] = []

    def note(one: Observation) -> None:
        seen.append(one)
        asked.set()

    observing = asyncio.create_task(
        api.observations.observe(**BRUSSELS, max_price_micro_usdc=PRICE, max_wait_seconds=30, asked=note)
    )
    await asyncio.wait_for(asked.wait(), 10)
    observing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await observing
    found = await api.observations.get(seen[0].id, wait=10)
    assert (found.status, found.reason) == ("FAILED", "CANCELLED")
    assert found.receipt is not None and found.receipt.charged_micro_usdc == "0"
    await scene.idle()


async def test_nobody_there_costs_nothing(scene: Scene) -> None:
    api = scene.consumer.api
    found = await api.observations.observe(**NOWHERE, max_price_micro_usdc=PRICE, max_wait_seconds=2)
    assert (found.status, found.reason, found.frame) == ("FAILED", "NO_OPERATOR", None)
    assert found.receipt is not None
    assert (found.receipt.state, found.receipt.charged_micro_usdc) == ("CANCELLED", "0")
    with pytest.raises(FrameNotAvailable):
        await api.observations.frame(found.id)
    await scene.idle()


async def test_what_costs_too_much_is_not_asked_for(scene: Scene) -> None:
    found = await scene.consumer.api.observations.observe(
        **BRUSSELS, max_price_micro_usdc=PRICE - 1, max_wait_seconds=30
    )
    assert (found.status, found.reason) == ("FAILED", "PRICE_ABOVE_MAX")
    assert (found.session_id, found.receipt, found.price_micro_usdc) == (None, None, str(PRICE))


async def test_the_command(scene: Scene, tmp_path: Path) -> None:
    await scene.free()
    target = tmp_path / "frame.jpg"
    environment = {**os.environ, "LUXXON_URL": scene.server.url, "LUXXON_API_KEY": scene.consumer.api_key}

    async def observe(*arguments: str) -> tuple[int | None, dict[str, object]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "luxxon_core", "observe", *arguments, "--json"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return process.returncode, json.loads(out)

    code, told = await observe("50.8466", "4.3528", "--max-price", "0.01", "--out", str(target))
    assert (code, told["status"], told["priceMicroUsdc"]) == (0, "READY", str(PRICE))
    with Image.open(target) as image:
        assert image.size == (320, 180)
    code, told = await observe("-60", "-120", "--max-price", "0.01", "--max-wait", "1")
    assert (code, told["reason"]) == (1, "NO_OPERATOR")


@asynccontextmanager
async def filming(url: str, told: dict[str, str]) -> AsyncIterator[None]:
    """The operator's agent, which goes on when the server is away."""
    from luxxon_core.operator.agent import Location, OperatorAgent

    async with Luxxon(url, api_key=told["supplier"]) as api:
        source = testcard.TestcardSource(SMALL)
        place = Location(BRUSSELS["lat"], BRUSSELS["lng"])
        agent = OperatorAgent(api, source, told["workspace"], place, device_kind="FIXED")
        task = asyncio.create_task(agent.run(), name="operator")
        try:
            await asyncio.wait_for(agent.online.wait(), 20)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_server_that_is_killed_in_the_middle() -> None:
    """The operator is gone with the server: the observation ends after the restart, for nothing."""
    with tempfile.TemporaryDirectory(prefix="luxxon-observed-") as folder:
        data_dir = Path(folder) / "data"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        async with killable(data_dir, port, "new") as first:
            told = first.told
            async with (
                Luxxon(told["url"], api_key=told["consumer"]) as consumer,
                filming(told["url"], told),
            ):
                asked = await consumer.observations.create(
                    **BRUSSELS, max_price_micro_usdc=PRICE, max_wait_seconds=8
                )
                await consumer.sessions.wait_for(asked.id, "ASSIGNED", timeout=10)
                await first.kill()
        async with (
            killable(data_dir, port) as second,
            Luxxon(second.told["url"], api_key=told["consumer"]) as consumer,
        ):
            async with asyncio.timeout(30):
                while (found := await consumer.observations.get(asked.id, wait=10)).status == "PENDING":
                    pass
            assert found.status == "FAILED" and found.reason in {"NO_VIDEO", "NO_PICTURE"}
            assert found.receipt is not None and found.receipt.charged_micro_usdc == "0"
            assert await consumer.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE")) == []
