"""Which edges a deployment has, by its settings alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from luxxon_core.bootstrap.edges import edges
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings
from tests.unit.cloudflare.cloudflare_server import ACCOUNT, TOKEN, cloudflare_server
from tests.unit.mediamtx.mediamtx_server import CREDENTIALS, mediamtx_server

URL = "http://127.0.0.1:1"


async def test_the_chosen_edge_mints_and_all_that_are_named_serve(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        mediamtx = await stack.enter_async_context(mediamtx_server())
        cloudflare = await stack.enter_async_context(cloudflare_server())
        named = Settings(
            data_dir=tmp_path,
            media_edge="mediamtx",
            mediamtx_api_url=mediamtx.url,
            mediamtx_url="https://media.test",
            mediamtx_password=CREDENTIALS[1],
            cloudflare_account_id=ACCOUNT,
            cloudflare_api_token=TOKEN,
            cloudflare_api_url=cloudflare.url,
        )
        assert TOKEN not in repr(named)
        media = await edges(stack, named, URL, utc_now)
        kinds = {name.partition("-")[0]: name for name in media.all.names}
        assert set(kinds) == {"embedded", "mediamtx", "cloudflare"}
        assert len({name.partition("-")[2] for name in media.all.names}) == 1  # this server's
        made = await media.all.create()
        assert made.edge == kinds["mediamtx"]
        assert made.whip_url.startswith("https://media.test/")

        former = await media.embedded.create()
        assert media.all.serving(utc_now().replace(year=2999)) == {
            made.uid: kinds["mediamtx"],
            former.uid: kinds["embedded"],
        }
        for one in (made, former):
            await media.all.delete(one)
        assert mediamtx.paths == {}


@pytest.mark.parametrize("kind", ["mediamtx", "cloudflare"])
async def test_an_edge_that_is_chosen_must_be_described(tmp_path: Path, kind: str) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError) as refused:
            await edges(stack, Settings(data_dir=tmp_path, media_edge=kind), URL, utc_now)
        assert "media_edge" in refused.value.message
        assert kind in refused.value.message
