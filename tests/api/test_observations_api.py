"""POST /observations and what follows, on the wire."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire
from PIL import Image

from luxxon_core.events.domain import Kind
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.observations.domain import Status

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRICE = 10_000
ASYNC = {"Prefer": "respond-async"}
CONNECTED = Kind.VIDEO_CONNECTED.value


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((360, 640, 3), 90, np.uint8)).save(out, "JPEG")
    return out.getvalue()


class Camera:
    """What the edge shows of one live input."""

    def __init__(self) -> None:
        self.uid, self.shows = "", True

    async def frame(self, live_input: LiveInput) -> Frame | None:
        if live_input.uid != self.uid or not self.shows:
            return None
        return Frame(jpeg(), 640, 360, utc_now())


@pytest_asyncio.fixture(loop_scope="session")
async def camera(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Camera:
    made = Camera()

    async def frame(_: object, live_input: LiveInput) -> Frame | None:
        return await made.frame(live_input)

    monkeypatch.setattr(type(wire.server.deployment.cases.sessions.edge), "frame", frame)
    return made


async def asked(wire: Wire, consumer: Tenant, place: Place, **fields: Any) -> dict[str, Any]:
    body = {**place.json, "maxPriceMicroUsdc": str(PRICE), "maxWaitSeconds": 20, **fields}
    response = await wire("POST", "/observations", auth=consumer, json=body, headers=ASYNC)
    assert response.status_code == 202, response.text
    assert response.headers["preference-applied"] == "respond-async"
    data = dict(response.json()["data"])
    assert response.headers["location"] == f"{wire.server.api_url}/observations/{data['id']}"
    assert response.json()["statusCode"] == 202 and data["status"] == "PENDING"
    return data


async def assigned(wire: Wire, supplier: Tenant, session_id: str) -> dict[str, Any]:
    """The operator publishes as soon as it is its turn."""
    async with asyncio.timeout(10):
        while True:
            response = await wire("POST", f"/sessions/{session_id}/start", auth=supplier)
            if response.is_success:
                return dict(response.json()["data"])
            await asyncio.sleep(0.05)


async def finished(wire: Wire, consumer: Tenant, observation_id: str) -> dict[str, Any]:
    path = f"/observations/{observation_id}"
    response = await wire("GET", path, auth=consumer, headers={"Prefer": "wait=15"})
    assert response.headers["preference-applied"] == "wait=15"
    data = dict(response.json()["data"])
    assert data["status"] != "PENDING"
    return data


async def test_from_the_request_to_the_frame(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place, camera: Camera
) -> None:
    supplier = await wire.supplier_at(place)
    made = await asked(wire, consumer, place)
    assert (made["priceMicroUsdc"], made["unitSeconds"], made["sessionId"]) == (str(PRICE), 10, made["id"])
    started = await assigned(wire, supplier, made["id"])
    assert started["session"]["unit"] is True, "its operator knows that a unit is sold"
    camera.uid = started["videoBackendRef"]
    await wire.first_frame(started)
    found = await finished(wire, consumer, made["id"])
    assert (found["status"], found["reason"]) == ("READY", None)
    assert found["operatorWorkspaceId"] == supplier.workspace_id
    receipt = found["receipt"]
    assert (receipt["cleanSeconds"], receipt["chargedMicroUsdc"]) == (10, str(PRICE))
    assert int(receipt["toAmountMicroUsdc"]) + int(receipt["feeAmountMicroUsdc"]) == PRICE
    assert receipt == await wire.data("GET", f"/sessions/{made['id']}/receipt", auth=consumer) | {
        "settlement": receipt["settlement"]
    }
    frame, url = found["frame"], found["frame"]["url"]
    assert url == f"{wire.server.api_url}/observations/{made['id']}/frame"
    fetched = await wire("GET", url, auth=consumer)
    assert (fetched.content, fetched.headers["content-type"]) == (jpeg(), "image/jpeg")
    assert (frame["bytes"], frame["width"], frame["height"]) == (len(jpeg()), 640, 360)
    assert fetched.headers["x-luxxon-captured-at"] == found["capturedAt"] >= receipt["startedAt"]
    again = await wire("GET", url, auth=consumer, headers={"If-None-Match": fetched.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await wire("GET", url, auth=supplier)).content == jpeg(), "it is on the other side"
    assert (await wire.refused("GET", url, auth=stranger))[0] == 403
    assert (await wire.refused("GET", url))[0] == 401
    reader = await wire.mint(consumer.cookie, consumer.workspace_id, "wallet:read")
    refused = await wire.refused("GET", url, auth={"Authorization": f"Bearer {reader['plaintext']}"})
    assert refused[2] == "apiKey:scope:sessions:read"


async def test_a_frame_is_what_is_sold_and_no_live_view(
    wire: Wire, consumer: Tenant, place: Place, camera: Camera
) -> None:
    """Else one could look, give up, and pay nothing."""
    supplier = await wire.supplier_at(place)
    made = await asked(wire, consumer, place)
    started = await assigned(wire, supplier, made["id"])
    camera.uid, camera.shows = started["videoBackendRef"], False
    await wire.first_frame(started)
    path = f"/sessions/{made['id']}"
    seen = await wire.data("GET", path, auth=consumer)
    assert seen["state"] == "LIVE" and "whepUrl" not in seen and seen["unit"] is True
    assert seen["videoBackendRef"] is None, "some edges' playback URLs are made of it"
    shown = await wire.data("GET", path, auth=supplier)
    assert (shown["whepUrl"], shown["videoBackendRef"]) == (started["whepUrl"], camera.uid)
    news = MediaEvent(MediaEventKind.CONNECTED, camera.uid, utc_now())
    await wire.server.deployment.cases.media(news, utc_now())
    told = await wire.rows(
        "select data from event where session_id = $1 and kind = $2", UUID(made["id"]), CONNECTED
    )
    assert told and camera.uid not in str(told), "both sides get these"
    for what in ("/viewer-token", "/frame"):
        assert (await wire.refused("GET", path + what, auth=consumer))[::2] == (403, "session:unit")
    camera.shows = True
    assert (await wire("GET", path + "/frame", auth=supplier)).status_code in {200, 404}
    found = await finished(wire, consumer, made["id"])
    assert found["status"] == "READY"


async def test_links_of_its_consumer_show_nothing(
    wire: Wire, consumer: Tenant, place: Place, camera: Camera
) -> None:
    supplier = await wire.supplier_at(place)
    made = await asked(wire, consumer, place)
    started = await assigned(wire, supplier, made["id"])
    camera.shows = False
    await wire.first_frame(started)
    link = await wire.data("POST", f"/sessions/{made['id']}/link", auth=consumer, json={})
    token = link["url"].rsplit("/", 1)[1]
    standing = await wire.data("GET", "/link", auth={"Authorization": f"Bearer {token}"})
    assert standing["state"] == "LIVE" and "whepUrl" not in standing
    ended = await wire.data("POST", f"/sessions/{made['id']}/end", auth=consumer)
    assert (ended["state"], ended["chargedMicroUsdc"]) == ("ENDED", "0")
    found = await finished(wire, consumer, made["id"])
    assert (found["status"], found["reason"], found["frame"]) == ("FAILED", "CANCELLED", None)


async def test_how_long_an_answer_may_wait(wire: Wire, consumer: Tenant, place: Place) -> None:
    body = {**place.json, "maxPriceMicroUsdc": str(PRICE), "maxWaitSeconds": 2}
    loop = asyncio.get_running_loop()
    began = loop.time()
    short = await wire("POST", "/observations", auth=consumer, json=body, headers={"Prefer": "wait=1"})
    assert (short.status_code, short.headers["preference-applied"]) == (202, "wait=1")
    assert 0.9 < loop.time() - began < 2
    whole = await wire("POST", "/observations", auth=consumer, json=body)
    assert whole.status_code == 201 and "preference-applied" not in whole.headers
    data = whole.json()["data"]
    assert (data["status"], data["reason"]) == ("FAILED", "NO_OPERATOR")
    assert data["receipt"]["chargedMicroUsdc"] == "0"
    assert (await wire.refused("GET", f"/observations/{data['id']}/frame", auth=consumer)) == (
        404,
        "FRAME_NOT_AVAILABLE",
        "observation:FAILED",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", 91),
        ("lng", "x"),
        ("maxPriceMicroUsdc", None),
        ("maxPriceMicroUsdc", 10_000),
        ("maxPriceMicroUsdc", "0"),
        ("maxPriceMicroUsdc", "-1"),
        ("maxPriceMicroUsdc", "1.5"),
        ("maxPriceMicroUsdc", "9" * 16),
        ("maxWaitSeconds", 0),
        ("maxWaitSeconds", 1.5),
        ("maxWaitSeconds", 3601),
        ("maxWidth", 15),
        ("maxWidth", 16.5),
    ],
)
async def test_what_cannot_be_asked(
    wire: Wire, consumer: Tenant, place: Place, field: str, value: object
) -> None:
    body = {**place.json, "maxPriceMicroUsdc": str(PRICE), field: value}
    refused = await wire.refused("POST", "/observations", auth=consumer, json=body)
    assert refused == (400, "INVALID_INPUT", f"observation:{field}")


async def test_who_cannot_pay_asks_for_nothing(wire: Wire, stranger: Tenant, place: Place) -> None:
    body = {**place.json, "maxPriceMicroUsdc": str(PRICE)}
    refused = await wire.refused("POST", "/observations", auth=stranger, json=body)
    assert refused == (400, "INSUFFICIENT_CREDIT", "session:insufficientCredit")
    rows = await wire.rows(
        "select count(*) from observation where consumer_workspace_id = $1", stranger.workspace_id
    )
    assert rows[0][0] == 0


async def test_a_budget_holds_for_observations(wire: Wire, consumer: Tenant, place: Place) -> None:
    """The key's own: what sessions are refused for, observations are."""
    path = f"/workspaces/{consumer.workspace_id}/api-keys"
    body = {
        "label": "little",
        "environment": "TEST",
        "scopes": ["sessions:create", "sessions:read"],
        "budget": {"sessionCapMicroUsdc": str(PRICE - 1)},
    }
    key = await wire.data("POST", path, auth=consumer.as_cookie(), json=body)
    headers = {"Authorization": f"Bearer {key['plaintext']}"}
    wanted = {**place.json, "maxPriceMicroUsdc": str(PRICE)}
    refused = await wire.refused("POST", "/observations", auth=headers, json=wanted)
    assert refused[1] == "NOT_AUTHORIZED" and str(refused[2]).startswith("apiKey:sessionCap")


async def test_a_server_that_stops_keeps_nobody_waiting(wire: Wire, consumer: Tenant, place: Place) -> None:
    cases = wire.server.deployment.cases.observations
    made = await asked(wire, consumer, place)
    one = await cases.get(UUID(made["id"]), UUID(consumer.workspace_id))
    waiting = asyncio.create_task(cases.wait(one, 30))
    await asyncio.sleep(0)
    try:
        await cases.stop()
        found = await asyncio.wait_for(waiting, 5)
    finally:
        cases._waiters._closed = False  # the server of all tests goes on
    assert found.status is Status.PENDING
    await wire.data("DELETE", f"/sessions/{made['id']}", auth=consumer)
