"""A server answers for pictures whose stream another server's edge holds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from edge_peers import connect, peer, send_h264, serving

from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import VideoError


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


async def test_an_edge_that_is_gone_or_knows_nothing_has_no_picture() -> None:
    async with serving(name="two") as two:
        async with serving(name="one") as one:
            live_input = await one.edge.create()
            unknown = replace(live_input, whep_url=live_input.whep_url[:-4] + "AAAA")
            assert await two.edge.frame(unknown) is None
        assert await two.edge.frame(live_input) is None


async def test_an_edge_serves_its_own_live_inputs_only() -> None:
    async with serving(name="one") as one, serving(name="two") as two:
        live_input = await one.edge.create()
        later = utc_now() + timedelta(seconds=1)
        assert one.edge.serving(later) == {live_input.uid}
        assert one.edge.serving(later - timedelta(hours=1)) == frozenset()
        with pytest.raises(VideoError):
            await two.edge.restore(live_input)
        assert two.edge.serving(later) == frozenset()
        await one.edge.delete(live_input)
        assert one.edge.serving(later) == frozenset()
