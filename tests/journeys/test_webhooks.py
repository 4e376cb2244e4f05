"""Webhooks of a whole server: a receiver that does all that receivers do, and servers that die."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiohttp import web
from conftest import Run
from prometheus_client.parser import text_string_to_metric_families
from webhook_receiver import Hit, Receiver, receiving

from luxxon_core.client import Luxxon
from luxxon_core.webhooks.schemas import Delivery

HERE = Path(__file__).parent
SETTINGS = {
    "LUXXON_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "LUXXON_WEBHOOK_HTTP": "true",
    "LUXXON_WEBHOOK_TIMEOUT_S": "4",
    "LUXXON_WEBHOOK_RETRY_S": "0.2",
    "LUXXON_DURABLE": "false",
}
SESSIONS = 24
HERE_AND_THERE = 50.8467, 4.3525
FAULTS = (
    "no answer within 4 s",
    "HTTP 302: redirects are not followed",
    "HTTP 500",
    "HTTP 503",
    "the connection failed",
)


@dataclass
class Served:
    process: asyncio.subprocess.Process
    told: dict[str, str]

    @property
    def couriers(self) -> list[psutil.Process]:
        """The processes that send."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if "luxxon_core.bootstrap.courier" in one.cmdline()]

    async def courier(self) -> psutil.Process:
        async with asyncio.timeout(20):
            while not (found := self.couriers):
                await asyncio.sleep(0.05)
        return found[0]


@asynccontextmanager
async def serving(folder: Path, *new: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "killed_server.py"), str(folder), "0", *new),
        env={**os.environ, **SETTINGS, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    log: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(90):
            while not (line := await process.stdout.readline()).startswith(b"{"):
                assert line, "it ended"
        log = asyncio.create_task(process.stdout.read())
        yield Served(process, json.loads(line))
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            async with asyncio.timeout(60):
                await process.wait()
        if log is not None:
            log.cancel()
            await asyncio.gather(log, return_exceptions=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def sessions(api: Luxxon, count: int) -> list[str]:
    """Sessions that were requested and cancelled: two events each."""
    made = []
    lat, lng = HERE_AND_THERE
    for _ in range(count):
        session = await api.sessions.create(lat=lat, lng=lng, max_duration_seconds=10)
        await api.sessions.cancel(session.id)
        made.append(session.id)
    return made


async def all_finished(api: Luxxon, webhook_id: str, count: int, seconds: float = 90) -> list[Delivery]:
    async with asyncio.timeout(seconds):
        while True:
            found = [one async for one in api.webhooks.iterate(webhook_id)]
            if len(found) >= count and all(one.state != "PENDING" for one in found):
                return found
            await asyncio.sleep(0.3)


async def faulted(api: Luxxon, webhook_id: str, fault: str) -> None:
    """Until an attempt failed like this."""
    async with asyncio.timeout(90):
        while True:
            async for one in api.webhooks.iterate(webhook_id):
                if fault in {attempt.fault for attempt in one.attempts}:
                    return
            await asyncio.sleep(0.3)


async def figures_until(url: str, true: Callable[[dict[str, float]], bool], seconds: float = 20) -> None:
    """Scrape the figures of webhooks until they are so; they are up to two seconds old."""
    found: dict[str, float] = {}
    address = url.removesuffix("/api/v1") + "/metrics"
    try:
        async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
            while True:
                families = text_string_to_metric_families((await client.get(address)).text)
                samples = [one for family in families for one in family.samples if "webhook" in one.name]
                found = {" ".join([one.name, *one.labels.values()]): one.value for one in samples}
                if found and true(found):
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(found) from None


def nothing_lost_or_repeated(receiver: Receiver, made: list[str], states: list[str]) -> None:
    """Each session's states were taken in order; no webhook-id was sent again after it was."""
    of_session: dict[str, list[str]] = defaultdict(list)
    for hit in receiver.taken:
        of_session[hit.session].append(hit.payload["data"]["session"]["state"])
    assert {one: of_session[one] for one in made} == dict.fromkeys(made, states)
    assert set(receiver.answered.values()) == {1}
    done: set[str] = set()
    for hit in receiver.hits:
        assert hit.id not in done
        if hit in receiver.taken:
            done.add(hit.id)


async def test_a_receiver_that_fails_stalls_redirects_dies_and_comes_back_loses_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    kinds = ["good", "good", "slow", "stall", "redirect", "error", "busy", "cut", "late"]
    moods = cycle(random.Random(7).sample(kinds, len(kinds)))  # each of them comes

    async def moody(hit: Hit) -> web.Response | int | None:
        kind = next(moods)
        if kind in ("slow", "late"):  # well within the time that is waited: else it is sent again by right
            await asyncio.sleep(0.3 if kind == "slow" else 0.7)
        if kind == "stall":
            await hit.hung_up()
            return 500
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": inside.url})
        if kind == "busy":
            return web.Response(status=503, headers={"Retry-After": "1"})
        return {"error": 500, "cut": None}.get(kind, 200)

    async with AsyncExitStack() as stack:
        inside = await stack.enter_async_context(receiving())
        server = await stack.enter_async_context(serving(tmp_path / "data", "new"))
        api = await stack.enter_async_context(Luxxon(server.told["url"], api_key=server.told["consumer"]))
        webhook = await api.webhooks.create(receiver.url, events=["session.state"])
        receiver.behave = moody
        made = await sessions(api, SESSIONS // 2)
        await receiver.until(lambda: len(receiver.taken) >= 4, 60)
        await receiver.quiet()
        await receiver.close()
        made += await sessions(api, SESSIONS // 2)
        await faulted(api, webhook.id, "the connection was refused")
        receiver.behave = moody
        await receiver.open()
        await asyncio.gather(*(faulted(api, webhook.id, fault) for fault in FAULTS))
        receiver.behave = lambda _: 200
        found = await all_finished(api, webhook.id, 2 * SESSIONS)
        assert {one.state for one in found} == {"SUCCEEDED"}
        assert inside.hits == []
        assert all(hit.signed_by(webhook.secret) for hit in receiver.taken[-5:])
        assert (await api.webhooks.get(webhook.id)).failing_since is None
    nothing_lost_or_repeated(receiver, made, ["REQUESTED", "CANCELLED"])


async def test_killed_couriers_and_servers_leave_nothing_behind(tmp_path: Path, receiver: Receiver) -> None:
    release = asyncio.Event()

    async def hang(_: Hit) -> int:
        if release.is_set():
            return 200
        await asyncio.sleep(0.7)
        return 500

    receiver.behave = hang
    async with serving(tmp_path / "data", "new") as server:
        told = server.told
        async with Luxxon(told["url"], api_key=told["consumer"]) as api:
            webhook = await api.webhooks.create(receiver.url, events=["session.state"])
            made = await sessions(api, 6)
            await receiver.until(lambda: receiver.hits, 30)
            (await server.courier()).send_signal(signal.SIGKILL)
            made += await sessions(api, 6)
            courier = await server.courier()
            answered = len(receiver.hits)
            await receiver.until(lambda: len(receiver.hits) > answered, 30)
            await figures_until(
                told["url"],
                lambda told: (
                    told["luxxon_webhook_courier_ends_total"] == 1
                    and told["luxxon_webhook_courier_up"] == 1
                    and told["luxxon_webhook_attempts_total 5xx"] >= 1
                    and told["luxxon_webhook_deliveries_pending"] == 24
                    and told["luxxon_webhook_oldest_pending_seconds"] > 0
                ),
            )
        assert server.process.returncode is None
        server.process.kill()
        await server.process.wait()
        await asyncio.to_thread(courier.wait, 20)  # it ends by itself when its server is gone
    release.set()
    async with (
        serving(tmp_path / "data") as server,
        Luxxon(server.told["url"], api_key=told["consumer"]) as api,
    ):
        found = await all_finished(api, webhook.id, 24)
        assert {one.state for one in found} == {"SUCCEEDED"}
        await figures_until(
            server.told["url"],
            lambda told: (
                told["luxxon_webhook_attempts_total 2xx"] == 24
                and told["luxxon_webhook_deliveries_pending"] == told["luxxon_webhook_under_way"] == 0
                and told["luxxon_webhook_oldest_pending_seconds"] == 0
            ),
        )
    nothing_lost_or_repeated(receiver, made, ["REQUESTED", "CANCELLED"])


async def test_the_command_line_from_create_to_delete(
    tmp_path: Path, receiver: Receiver, luxxon: Run
) -> None:
    async def say(*arguments: str, code: int = 0) -> Any:
        process = await luxxon("webhooks", *arguments, "--json", **environment)
        out, error = await process.communicate()
        assert process.returncode == code, error.decode()
        return json.loads(out)

    async with serving(tmp_path / "data", "new") as server:
        environment = {
            "LUXXON_URL": server.told["url"].removesuffix("/api/v1"),
            "LUXXON_API_KEY": server.told["consumer"],
        }
        made = await say("create", receiver.url, "--event", "session.state", "--description", "mine")
        assert made["secret"].startswith("whsec_")
        assert [one["id"] for one in await say("list")] == [made["id"]]
        assert (await say("test", made["id"]))["state"] == "SUCCEEDED"
        receiver.behave = lambda _: 500
        failed = await say("test", made["id"], code=1)
        receiver.behave = lambda _: 200
        assert await say("replay", made["id"], "--delivery", failed["id"]) == {"count": 1, "complete": True}
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert (await say("replay", made["id"], "--since", "2026-01-01"))["count"] == 0
        assert len(await say("deliveries", made["id"])) == 3
        assert (await say("rotate", made["id"]))["secret"] != made["secret"]
        assert (await say("disable", made["id"]))["enabled"] is False
        assert (await say("enable", made["id"]))["enabled"] is True
        assert (await say("delete", made["id"], "--yes"))["ok"] is True
        assert await say("list") == []
