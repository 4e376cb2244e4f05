"""A server answers for pictures whose stream another server's edge holds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from edge_peers import connect, peer, send_h264, serving
from loopback import served

from luxxon_core.adapters.aiortc_edge import elsewhere
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import LiveInput
from luxxon_core.media.schemas import CAPTURED_AT, SIZE


async def test_a_picture_of_another_edge_is_fetched_there() -> None:
    async with serving(name="one") as one, serving(name="two") as two:
        live_input = await one.edge.create()
        assert live_input.edge == "one"
        assert await two.edge.frame(live_input) is None  # before there is any
        async with peer() as pc:
            send_h264(pc)
            await connect(one.http, pc, live_input.whip_url)
            await one.first_frame(live_input)
            here, there = await asyncio.gather(one.edge.frame(live_input), two.edge.frame(live_input))
        assert here is not None
        assert there is not None
        assert there.jpeg.startswith(b"\xff\xd8")
        assert (there.width, there.height) == (here.width, here.height) == (320, 240)
        assert abs(there.captured_at - here.captured_at).total_seconds() < 5
        async with one.http.get(live_input.whep_url + "/frame") as first:
            assert first.content_type == "image/jpeg" and first.headers["Cache-Control"] == "no-store"
            tag = first.headers["ETag"]
        async with one.http.get(live_input.whep_url + "/frame", headers={"If-None-Match": tag}) as same:
            assert (same.status, await same.read()) == (304, b"")
            assert same.headers["ETag"] == tag and int(same.headers["Age"]) >= 0
        # nobody publishes any more: the picture stays as it is, and is not sent a second time
        one_more = await two.edge.frame(live_input)
        assert one_more is not None and one_more == await two.edge.frame(live_input)
        assert one_more.jpeg is (await two.edge.frame(live_input) or there).jpeg


async def test_an_edge_that_is_gone_or_knows_nothing_has_no_picture() -> None:
    async with serving(name="two") as two:
        async with serving(name="one") as one:
            live_input = await one.edge.create()
            unknown = replace(live_input, whep_url=live_input.whep_url[:-4] + "AAAA")
            assert await two.edge.frame(unknown) is None
        assert await two.edge.frame(live_input) is None


async def test_an_answer_without_end_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, so that no header says how much is to come."""
    monkeypatch.setattr(elsewhere, "MAX_BYTES", 100_000)
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={SIZE: "1x1", CAPTURED_AT: "2026-05-13T12:00:00Z"})
        await response.prepare(request)
        while sent < 50_000_000:
            await response.write(bytes(10_000))
            sent += 10_000
        return response

    app = web.Application()
    app.router.add_get("/whep/x/frame", endless)
    async with served(app) as url:
        frames = elsewhere.ElsewhereFrames()
        assert await frames.frame(LiveInput("0" * 32, "one", "", f"{url}/whep/x")) is None
        await frames.close()
    assert sent < 20_000_000


async def test_an_edge_serves_its_own_live_inputs_only() -> None:
    async with serving(name="one") as one, serving(name="two") as two:
        live_input = await one.edge.create()
        later = utc_now() + timedelta(seconds=1)
        assert one.edge.serving(later) == {live_input.uid: "one"}
        assert one.edge.serving(later - timedelta(hours=1)) == {}
        with pytest.raises(VideoError):
            await two.edge.restore(live_input)
        assert two.edge.serving(later) == {}
        await one.edge.delete(live_input)
        assert one.edge.serving(later) == {}
