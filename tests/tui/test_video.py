"""The session's own frames while WHEP cannot be had: what is waited out, and what ends the picture."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from uuid import UUID

import httpx
import pytest
from scenes import picture

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui import video as videos
from luxxon_tui.video import SessionVideo

SESSION_ID = UUID("1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21")


def jpeg() -> bytes:
    file = BytesIO()
    picture().save(file, "JPEG")
    return file.getvalue()


def refusal(status: int) -> httpx.Response:
    body = {"status": "error", "code": "X", "message": "No", "detail": "session:no", "requestId": "r"}
    return httpx.Response(status, json=body)


async def frame_after(*answers: httpx.Response) -> tuple[int, int]:
    """Size of the first frame when ``/frame`` gives ``answers`` one after the other; no WHEP at all."""
    left: Iterator[httpx.Response] = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        return next(left) if request.url.path.endswith("/frame") else refusal(503)

    url, transport = "http://market.test/api/v1", httpx.MockTransport(answer)
    async with Luxxon(url, api_key="lxxn_test_k", transport=transport) as api, asyncio.timeout(10):
        video = SessionVideo(api, SESSION_ID)
        try:
            source = await video.frame()
        finally:
            await video.close()
    return source.width, source.height


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "STILL_INTERVAL", 0.01)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(status: int) -> None:
    good = httpx.Response(200, content=jpeg())
    assert await frame_after(refusal(status), refusal(status), good) == (320, 180)


@pytest.mark.parametrize("broken", [b"", b"no picture", jpeg()[:2000]], ids=["empty", "text", "cut"])
async def test_a_broken_picture_is_left_out(broken: bytes) -> None:
    good = httpx.Response(200, content=jpeg())
    assert await frame_after(httpx.Response(200, content=broken), good) == (320, 180)


async def test_a_refusal_ends_the_picture() -> None:
    with pytest.raises(LuxxonError):
        await frame_after(refusal(403))
