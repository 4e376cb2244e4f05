"""GET /sessions/:id/frame: asking again only for what is new, and for no more than is needed."""

from __future__ import annotations

import io
from datetime import timedelta
from email.utils import parsedate_to_datetime

import numpy as np
import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire
from PIL import Image

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame

pytestmark = pytest.mark.asyncio(loop_scope="session")


def jpeg(level: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((360, 640, 3), level, np.uint8)).save(out, "JPEG")
    return out.getvalue()


class Screen:
    """What the edge shows of one session."""

    def __init__(self, session_id: str, supplier: Tenant) -> None:
        self.session_id, self.supplier = session_id, supplier
        self.path = f"/sessions/{session_id}/frame"
        self.frame: Frame | None = None

    def show(self, level: int, age_s: float = 0.0) -> None:
        self.frame = Frame(jpeg(level), 640, 360, utc_now() - timedelta(seconds=age_s))


@pytest_asyncio.fixture(loop_scope="session")
async def screen(wire: Wire, consumer: Tenant, place: Place, monkeypatch: pytest.MonkeyPatch) -> Screen:
    supplier, started = await wire.live(consumer, place)
    shown = Screen(started["session"]["id"], supplier)

    async def frame(*_: object) -> Frame | None:
        return shown.frame

    monkeypatch.setattr(type(wire.server.deployment.cases.sessions.edge), "frame", frame)
    return shown


async def test_what_is_here_already_is_not_sent_again(wire: Wire, consumer: Tenant, screen: Screen) -> None:
    screen.show(80, age_s=2.5)
    first = await wire("GET", screen.path, auth=consumer)
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    tag, captured = first.headers["etag"], first.headers["x-luxxon-captured-at"]
    assert tag.startswith('"') and first.headers["cache-control"] == "no-store"
    assert first.headers["age"] == "2" and first.headers["x-luxxon-size"] == "640x360"
    modified = parsedate_to_datetime(first.headers["last-modified"])
    assert timedelta(seconds=2) < utc_now() - modified < timedelta(seconds=5)

    again = await wire("GET", screen.path, auth=consumer, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert (again.headers["etag"], again.headers["x-luxxon-captured-at"]) == (tag, captured)
    assert again.headers["cache-control"] == "no-store"

    screen.show(81)
    news = await wire("GET", screen.path, auth=consumer, headers={"If-None-Match": tag})
    assert news.status_code == 200 and news.headers["etag"] != tag and news.headers["age"] == "0"
    head = await wire("HEAD", screen.path, auth=consumer)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", news.headers["etag"])


async def test_a_condition_opens_no_door(
    wire: Wire, consumer: Tenant, stranger: Tenant, screen: Screen
) -> None:
    """304 would tell that there is a picture: it comes after every check."""
    screen.show(80)
    headers = {"If-None-Match": "*"}
    assert (await wire("GET", screen.path, auth=consumer, headers=headers)).status_code == 304
    refused = await wire.refused("GET", screen.path, auth=stranger, headers=headers)
    assert refused == (403, "NOT_AUTHORIZED", "session:viewDenied")
    assert (await wire.refused("GET", screen.path, headers=headers))[0] == 401
    screen.frame = None
    refused = await wire.refused("GET", screen.path, auth=consumer, headers=headers)
    assert refused == (404, "FRAME_NOT_AVAILABLE", None)
    screen.show(80)
    await wire.data("POST", f"/sessions/{screen.session_id}/end", auth=screen.supplier)
    refused = await wire.refused("GET", screen.path, auth=consumer, headers=headers)
    assert refused == (404, "FRAME_NOT_AVAILABLE", None)


async def test_a_smaller_picture(wire: Wire, consumer: Tenant, screen: Screen) -> None:
    screen.show(120)
    whole = await wire("GET", screen.path, auth=consumer)
    small = await wire("GET", f"{screen.path}?maxWidth=160", auth=consumer)
    image = Image.open(io.BytesIO(small.content))
    assert image.size == (160, 90) and small.headers["x-luxxon-size"] == "160x90"
    assert small.headers["content-type"] == "image/jpeg"
    assert small.headers["etag"] != whole.headers["etag"]
    again = await wire(
        "GET",
        f"{screen.path}?maxWidth=160",
        auth=consumer,
        headers={"If-None-Match": small.headers["etag"]},
    )
    assert again.status_code == 304
    wide = await wire("GET", f"{screen.path}?maxWidth=4096", auth=consumer)
    assert wide.content == whole.content, "never larger than it is"


@pytest.mark.parametrize("width", ["15", "4097", "0", "-1", "1e3x", "", "null", "160&maxWidth=170"])
async def test_widths_that_are_none(wire: Wire, consumer: Tenant, screen: Screen, width: str) -> None:
    screen.show(120)
    refused = await wire.refused("GET", f"{screen.path}?maxWidth={width}", auth=consumer)
    assert refused == (400, "INVALID_INPUT", "frame:maxWidth")


async def test_the_sdk_asks_so(wire: Wire, consumer: Tenant, screen: Screen) -> None:
    async with Luxxon(wire.server.api_url, api_key=consumer.key) as api:
        screen.show(60)
        picture = await api.sessions.frame(screen.session_id)
        assert picture[:2] == b"\xff\xd8" and isinstance(picture, bytes)
        assert picture.etag is not None and picture.captured_at is not None
        assert abs(utc_now() - picture.captured_at) < timedelta(seconds=5)
        assert await api.sessions.frame(screen.session_id, etag=picture.etag) is None
        screen.show(61)
        newer = await api.sessions.frame(screen.session_id, etag=picture.etag, max_width=64)
        assert newer is not None and newer.etag not in (None, picture.etag)
        assert Image.open(io.BytesIO(newer)).width == 64
