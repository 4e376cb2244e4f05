"""The page for phones in Chromium, against the whole server: film on one, watch on another."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chromium import Browser, Page, connected
from viewing import GREEN, colour_of, decodes, sees

from luxxon_core.server import running
from luxxon_core.settings import load
from tests.api.api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 3, "mobile": True}
OBSERVED = """
  const Plain = RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Plain {
    constructor(...rest) { super(...rest); globalThis.peer = this; }
  };
"""
"""The page keeps its connection to itself; the test wants to read its statistics."""
STATS = """
  globalThis.stats = async (type, kind) => {
    const report = await globalThis.peer?.getStats();
    for (const entry of report?.values() ?? [])
      if (entry.type === type && entry.kind === kind)
        return { ...entry, codec: report.get(entry.codecId)?.mimeType };
    return null;
  };
"""
apart = itertools.count()


@dataclass
class Scene:
    """A session that a supplier has accepted, and both sides' links."""

    wire: Wire
    session: str
    place: Place
    consumer: Tenant
    film_url: str
    watch_url: str

    async def state(self) -> dict[str, Any]:
        return dict(await self.wire.data("GET", f"/sessions/{self.session}", auth=self.consumer))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    """The running server; not below pytest's own folder, for the reason that ``dsn`` gives."""
    with tempfile.TemporaryDirectory(prefix="luxxon-page-") as directory:
        settings = load(data_dir=Path(directory) / "data", durable=False, port=0, udp_port=0, rpc_port=0)
        async with running(settings) as server, httpx.AsyncClient(trust_env=False, timeout=20) as http:
            yield Wire(server, http)


@pytest_asyncio.fixture(loop_scope="module")
async def browsing(chromium: str) -> AsyncIterator[Browser]:
    async with connected(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def scene(wire: Wire) -> Scene:
    place = Place(50.8467, 4.3525 + next(apart) * 0.1)  # out of reach of the suppliers of other tests
    consumer, supplier = await wire.tenant("CONSUMER", funded=True), await wire.supplier_at(place)
    session = (await wire.create(consumer, place))["id"]
    await wire.data("POST", f"/sessions/{session}/dispatch", auth=consumer)
    links = [
        (await wire.data("POST", f"/sessions/{session}/link", auth=side, json={}))["url"]
        for side in (supplier, consumer)
    ]
    return Scene(wire, session, place, consumer, *links)


async def phone(browser: Browser, url: str, scene: Scene) -> Page:
    """A telephone at the place of the session, with the page open."""
    page = await browser.page("about:blank")
    await page.command("Emulation.setDeviceMetricsOverride", **PHONE)
    await page.command(
        "Emulation.setGeolocationOverride", latitude=scene.place.lat, longitude=scene.place.lng, accuracy=8
    )
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=OBSERVED + STATS)
    await page.load(url)
    return page


async def shows(page: Page, status: str, seconds: float = 20) -> None:
    """Wait for the page's status."""
    try:
        await page.until(f"document.body.dataset.status === '{status}'", seconds)
    except TimeoutError:
        seen = await page.evaluate("document.body.dataset.status + ': ' + document.body.innerText")
        told = f"{status!r} never came; the page shows {seen}; console: {page.console}"
        raise AssertionError(told) from None


async def tap(page: Page, button: str) -> None:
    """Touch the middle of a button, as a finger does: it must be there and not be covered."""
    await page.until(f"document.getElementById('{button}').checkVisibility()")
    x, y = await page.evaluate(
        f"""(() => {{
          const button = document.getElementById('{button}');
          button.scrollIntoView({{ block: 'nearest' }});
          const {{ left, top, width, height }} = button.getBoundingClientRect();
          return [left + width / 2, top + height / 2];
        }})()"""
    )
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        await page.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)


def allow(browser: Browser, scene: Scene) -> Any:
    return browser.grant(scene.wire.server.url, "videoCapture", "audioCapture", "geolocation")


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_one_films_and_the_other_watches(browsing: Browser, scene: Scene, codec: str) -> None:
    await allow(browsing, scene)
    films = await phone(browsing, f"{scene.film_url}#codec={codec.lower()}", scene)
    watches = await phone(browsing, scene.watch_url, scene)
    await shows(films, "ready")
    await shows(watches, "waiting")

    await tap(films, "go")
    await shows(films, "live")
    await shows(watches, "live")
    await sees(watches, GREEN)
    assert (await decodes(watches))["codec"] == f"video/{codec}"
    async with asyncio.timeout(20):
        while (told := await scene.state())["state"] != "LIVE":
            await asyncio.sleep(0.1)
    assert told["startedAt"]
    await watches.until("Number(document.getElementById('money').innerText.split(' ')[0]) > 0")

    await tap(films, "stop")
    await tap(films, "sure-yes")
    await shows(films, "ended")
    await shows(watches, "ended")
    assert (await scene.state())["state"] == "ENDED"
    for page in (films, watches):
        assert page.console == []


async def test_both_pages_connect_again_by_themselves(browsing: Browser, scene: Scene) -> None:
    await allow(browsing, scene)
    films = await phone(browsing, scene.film_url, scene)
    watches = await phone(browsing, scene.watch_url, scene)
    await shows(films, "ready")
    await tap(films, "go")
    await shows(watches, "live")
    await sees(watches, GREEN)

    await watches.evaluate("globalThis.former = globalThis.peer, null")
    for channel in scene.wire.server.deployment.parts.media.embedded._channels.values():
        for peer in list(channel.sessions.values()):
            peer.close()
    await watches.until("globalThis.peer !== globalThis.former", 30)
    await shows(films, "live")
    await shows(watches, "live")
    await decodes(watches)


async def test_another_phone_goes_on_where_the_first_one_left(browsing: Browser, scene: Scene) -> None:
    await allow(browsing, scene)
    films = await phone(browsing, scene.film_url, scene)
    watches = await phone(browsing, scene.watch_url, scene)
    await shows(films, "ready")
    await tap(films, "go")
    await shows(watches, "live")
    await sees(watches, GREEN)

    await films.close()
    second = await phone(browsing, scene.film_url, scene)
    await shows(second, "ready")
    assert await second.evaluate("document.getElementById('go').innerText") == "Go on filming"
    await tap(second, "go")
    await shows(second, "live")
    await decodes(watches, 25)
    assert await colour_of(watches) is not None


async def test_a_phone_that_another_took_over_from_gives_way_until_it_is_asked_again(
    browsing: Browser, scene: Scene
) -> None:
    await allow(browsing, scene)
    first = await phone(browsing, scene.film_url, scene)
    await shows(first, "ready")
    await tap(first, "go")
    await shows(first, "live")

    second = await phone(browsing, scene.film_url, scene)
    await shows(second, "ready")
    await tap(second, "go")
    await shows(first, "failed")
    assert await first.evaluate("document.getElementById('note').innerText") == "Another device films now."
    await shows(second, "live")

    await tap(first, "go")
    await shows(second, "failed")
    await shows(first, "live")


async def test_a_refused_camera_is_told_and_may_be_tried_again(browsing: Browser, scene: Scene) -> None:
    origin = scene.wire.server.url
    await browsing.deny(origin, "camera")
    films = await phone(browsing, scene.film_url, scene)
    await shows(films, "ready")
    await tap(films, "go")
    await shows(films, "denied")
    await allow(browsing, scene)
    await tap(films, "go")
    await shows(films, "live")
