"""What the people who run a server look at: /metrics and /ready."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import httpx
import pytest
from aiohttp import web
from frame_server import Desk, Served, framed, serving
from prometheus_client.parser import text_string_to_metric_families

from luxxon_core.http import metrics as module
from luxxon_core.http.metrics import Exporter, Figure, RequestMetrics
from luxxon_core.http.operations import expose, own_port
from luxxon_core.http.system import Readiness
from luxxon_core.kernel.errors import ExternalError, NotReady, StartError

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


class Parts:
    """A source of figures that can be counted and made to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def figures(self) -> Sequence[Figure]:
        self.asked += 1
        if self.fails:
            raise ExternalError("chain:down")
        return [
            Figure("luxxon_things", "Things", [({"state": "LIVE"}, 2.0), ({"state": "REQUESTED"}, 0.0)]),
            Figure("luxxon_done", "Done", [({}, 7.0)], "counter"),
        ]


async def good() -> Sequence[Figure]:
    return [Figure("luxxon_good", "Good", [({}, 1.0)])]


def measured(desk: Desk, *, direct: bool = True, parts: Parts | None = None) -> web.Application:
    requests = RequestMetrics({"luxxon_notes": ("POST", "/notes")})
    app = framed(desk, metrics=requests)
    sources = [good] if parts is None else [parts.figures, good]
    expose(app, Exporter(requests, sources), direct=direct)
    return app


async def scraped(served: Served) -> Samples:
    response = await served("GET", "/metrics", bearer=None)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return samples(response.text)


async def test_requests_are_counted_by_pattern_never_by_path(desk: Desk) -> None:
    async with serving(measured(desk)) as served:
        for number in range(3):
            await served("GET", f"/api/v1/sessions/{number}/look")
        await served("GET", "/nothing/here")
        await served("GET", "/busy")
        await served("PROPFIND", "/look")
        await served("POST", "/notes", json={"text": "a"})
        await served("POST", "/notes", json={})
        found = await scraped(served)
    place = {"method": "GET", "route": "/sessions/{session_id}/look", "status": "200"}
    assert value(found, "luxxon_http_request_duration_seconds_count", **place) == 3
    assert value(found, "luxxon_http_request_duration_seconds_bucket", **place, le="10.0") == 3
    assert value(found, "luxxon_http_request_duration_seconds_bucket", **place, le="+Inf") == 3
    assert 0 < value(found, "luxxon_http_request_duration_seconds_sum", **place) < 3
    busy = {"method": "GET", "route": "/busy", "status": "503", "code": "UNAVAILABLE"}
    assert value(found, "luxxon_http_answers_total", **busy) == 1
    nowhere = {"method": "GET", "route": "unmatched", "status": "404", "code": "NOT_FOUND"}
    assert value(found, "luxxon_http_answers_total", **nowhere) == 1
    assert value(found, "luxxon_notes_total", outcome="OK") == 1
    assert value(found, "luxxon_notes_total", outcome="INVALID_INPUT") == 1
    methods = {dict(labels).get("method") for _, labels in found}
    assert methods == {"GET", "POST", "OTHER", None}
    assert not [labels for _, labels in found if "nothing" in str(labels)]


async def test_requests_in_flight_and_the_event_loop_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAG_SECONDS", 0.01)
    desk.gate.clear()
    async with serving(measured(desk)) as served:
        waiting = asyncio.create_task(served("GET", "/slow"))
        await asyncio.wait_for(desk.entered.wait(), 5)
        assert value(await scraped(served), "luxxon_http_requests_in_flight") == 2  # and the scrape itself
        desk.gate.set()
        await waiting
        async with asyncio.timeout(5):
            while not value(found := await scraped(served), "luxxon_event_loop_lag_seconds_count"):
                await asyncio.sleep(0.01)
        assert value(found, "luxxon_http_requests_in_flight") == 1
        assert value(found, "process_resident_memory_bytes") > 0


async def test_parts_are_asked_now_and_then_and_may_fail(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts()
    async with serving(measured(desk, parts=parts)) as served:
        found = await scraped(served)
        assert value(found, "luxxon_things", state="LIVE") == 2
        assert value(found, "luxxon_done_total") == 7
        await asyncio.gather(*(scraped(served) for _ in range(10)))
        assert parts.asked == 1
        monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
        parts.fails = True
        found = await scraped(served)
        assert ("luxxon_done_total", frozenset()) not in found
        assert value(found, "luxxon_good") == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_figures_are_not_for_the_public(desk: Desk, header: str) -> None:
    async with serving(measured(desk)) as served:
        response = await served("GET", "/metrics", headers={header: "for=198.51.100.1"})
        assert response.json()["code"] == "NOT_FOUND"
    async with serving(measured(desk, direct=False)) as served:
        assert (await served("GET", "/metrics")).json()["code"] == "NOT_FOUND"


async def test_figures_may_have_a_port_of_their_own(desk: Desk) -> None:
    exporter = Exporter(RequestMetrics(), [good])
    async with own_port(exporter, "127.0.0.1", 0) as port, httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"http://127.0.0.1:{port}/metrics", headers={"Via": "1.1 x"})
        assert value(samples(response.text), "luxxon_good") == 1
        assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 404


async def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    exporter = Exporter(RequestMetrics(), [good])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = own_port(exporter, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(StartError, match="cannot listen on 127"):
            await refused.__aenter__()


# -- readiness --------------------------------------------------------------------------------------------


async def passes() -> None:
    return None


async def fails() -> None:
    raise ExternalError("chain:down")


async def hangs() -> None:
    await asyncio.Event().wait()


async def test_ready_when_every_part_is() -> None:
    ready = await Readiness({"database": passes, "chain": passes}).ready()
    assert (ready.ready, ready.checks) == (True, {"database": True, "chain": True})


async def test_what_is_not_ready_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luxxon_core.http.system.CHECK_SECONDS", 0.05)
    readiness = Readiness({"database": passes, "chain": fails, "authorization": hangs})
    with pytest.raises(NotReady) as caught:
        await readiness.ready()
    assert (caught.value.status, caught.value.detail) == (503, "ready:chain:authorization")


async def test_asking_often_costs_one_look() -> None:
    looks = []

    async def look() -> None:
        looks.append(1)

    readiness = Readiness({"database": look})
    await asyncio.gather(*(readiness.ready() for _ in range(100)))
    assert len(looks) == 1


async def test_a_server_that_ends_is_not_ready() -> None:
    readiness = Readiness({"database": passes})
    await readiness.ready()
    readiness.drain()
    with pytest.raises(NotReady, match="ready:draining"):
        await readiness.ready()
