"""Sessions in each state: what they show to each side, what can be done (api-contract §5.1, §7)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire
from contract_tables import SESSION_FIELDS

from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOWN = """
            | operatorWorkspaceId videoBackendRef startedAt endedAt | whepUrl     whipUrl
REQUESTED   | null                null            null      null    | -           -
ASSIGNED    | there               null            null      null    | -           -
STARTED     | there               there           null      null    | -           -
LIVE        | there               there           there     null    | both        operator
ENDED       | there               null            there     there   | -           -
OVERTIME    | there               null            there     there   | -           -
CANCELLED   | null                null            null      there   | -           -
GIVEN_BACK  | there               null            null      there   | -           -
EXPIRED     | null                null            null      there   | -           -
"""
"""``-`` is no such field; ``both`` and ``operator`` are the sides that have it."""
REFUSED = """
              REQUESTED ASSIGNED STARTED  LIVE ENDED OVERTIME CANCELLED GIVEN_BACK EXPIRED
dispatch      .         ASSIGNED ASSIGNED LIVE ENDED EXPIRED  CANCELLED CANCELLED  EXPIRED
accept        .         ASSIGNED ASSIGNED LIVE ENDED EXPIRED  CANCELLED CANCELLED  EXPIRED
start         REQUESTED .        .        .    ENDED EXPIRED  .         CANCELLED  .
end           REQUESTED ASSIGNED ASSIGNED .    ENDED EXPIRED  CANCELLED CANCELLED  EXPIRED
cancel        .         .        .        LIVE ENDED EXPIRED  CANCELLED CANCELLED  EXPIRED
viewerToken   REQUESTED ASSIGNED .        .    ENDED EXPIRED  CANCELLED CANCELLED  EXPIRED
producerToken .         ASSIGNED .        .    ENDED EXPIRED  .         CANCELLED  .
"""
"""``<STATE>`` is 409 INVALID_STATE ``session:<operation>:<STATE>``; ``.`` is allowed, or has no operator."""
CALLS = {
    "dispatch": ("POST", "/dispatch", "consumer"),
    "accept": ("POST", "/accept", "supplier"),
    "start": ("POST", "/start", "supplier"),
    "end": ("POST", "/end", "consumer"),
    "cancel": ("DELETE", "", "consumer"),
    "viewerToken": ("GET", "/viewer-token", "consumer"),
    "producerToken": ("GET", "/producer-token", "supplier"),
}
MAX_SECONDS = 40


@dataclass
class Gallery:
    """One session in each state, all of one consumer; those that have an operator are of one supplier."""

    consumer: Tenant
    supplier: Tenant
    place: Place
    sessions: dict[str, str] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gallery(wire: Wire, consumer: Tenant) -> Gallery:
    place = Place(-77.7, 7.7)
    made = Gallery(consumer, await wire.supplier_at(place), place)
    for name in ("LIVE", "ENDED", "OVERTIME"):
        made.sessions[name] = (await _started(wire, made, live=True))["session"]["id"]
    made.sessions["STARTED"] = (await _started(wire, made))["session"]["id"]
    for name in ("ASSIGNED", "GIVEN_BACK"):
        made.sessions[name] = await _accepted(wire, made)
    for name in ("REQUESTED", "CANCELLED", "EXPIRED"):
        made.sessions[name] = (await wire.create(consumer, place))["id"]
    of = made.sessions
    await wire.data("POST", f"/sessions/{of['ENDED']}/end", auth=consumer)
    for name in ("CANCELLED", "GIVEN_BACK"):
        await wire.data("DELETE", f"/sessions/{of[name]}", auth=consumer)
    late = "update session set {0} = {0} - interval '400 s' where id = $1"
    await wire.rows(late.format("created_at"), of["EXPIRED"])
    await wire.rows(late.format("started_at"), of["OVERTIME"])
    async with asyncio.timeout(20):
        for name in ("EXPIRED", "OVERTIME"):
            while (await _read(wire, made, name))["state"] != "EXPIRED":
                await asyncio.sleep(0.05)
    return made


async def _accepted(wire: Wire, made: Gallery) -> str:
    session = await wire.create(made.consumer, made.place, maxDurationSeconds=MAX_SECONDS)
    await wire.data("POST", f"/sessions/{session['id']}/accept", auth=made.supplier, json={})
    return str(session["id"])


async def _started(wire: Wire, made: Gallery, *, live: bool = False) -> dict[str, Any]:
    session_id = await _accepted(wire, made)
    started = await wire.data("POST", f"/sessions/{session_id}/start", auth=made.supplier)
    if live:
        await wire.first_frame(started)
    return dict(started)


async def _read(wire: Wire, made: Gallery, name: str) -> dict[str, Any]:
    return dict(await wire.data("GET", f"/sessions/{made.sessions[name]}", auth=made.consumer))


def rows(table: str) -> dict[str, list[str]]:
    """Cells by the name of the row; the head has none."""
    lines = [line.replace("|", " ").split() for line in table.splitlines() if line.strip()]
    return {"": lines[0]} | {line[0]: line[1:] for line in lines[1:]}


@pytest.mark.parametrize("side", ["consumer", "operator"])
@pytest.mark.parametrize("name", list(rows(SHOWN))[1:])
async def test_a_session_shows_what_its_state_and_the_side_allow(
    wire: Wire, gallery: Gallery, name: str, side: str
) -> None:
    tenant = gallery.consumer if side == "consumer" else gallery.supplier
    table = rows(SHOWN)
    wanted = dict(zip(table[""], table[name], strict=True))
    if side == "operator" and wanted["operatorWorkspaceId"] == "null":
        found = await wire.refused("GET", f"/sessions/{gallery.sessions[name]}", auth=tenant)
        assert found == (403, "NOT_AUTHORIZED", "session:viewDenied")
        return
    one = await wire.data("GET", f"/sessions/{gallery.sessions[name]}", auth=tenant)
    urls = {url for url in ("whepUrl", "whipUrl") if wanted[url] in ("both", side)}
    assert set(one) == SESSION_FIELDS | urls
    for name_, there in wanted.items():
        if there in ("null", "there"):
            assert (one[name_] is None) == (there == "null"), name_
    listed = await wire.data("GET", "/sessions", auth=tenant)
    (same,) = (found for found in listed if found["id"] == one["id"])
    for found in (one, same):
        found["settlementTxHash"] = None  # it may come in between
    assert same == one
    assert one["authorized"] is False
    assert (one["requestedLat"], one["requestedLng"]) == (gallery.place.lat, gallery.place.lng)
    if one["state"] not in ("ENDED", "EXPIRED"):
        assert (one["cleanSeconds"], one["chargedMicroUsdc"]) == (0, "0")


async def test_a_session_that_ran_out_is_billed_to_its_last_second(wire: Wire, gallery: Gallery) -> None:
    one = await _read(wire, gallery, "OVERTIME")
    span = datetime.fromisoformat(one["endedAt"]) - datetime.fromisoformat(one["startedAt"])
    assert span == timedelta(seconds=MAX_SECONDS), "not when the sweep came by"
    assert one["cleanSeconds"] == MAX_SECONDS
    assert one["chargedMicroUsdc"] == one["holdMicroUsdc"] == str(MAX_SECONDS * 1000)


@pytest.mark.parametrize("operation", list(rows(REFUSED))[1:])
async def test_what_a_state_does_not_allow_is_refused_with_the_state(
    wire: Wire, gallery: Gallery, operation: str
) -> None:
    table = rows(REFUSED)
    method, path, side = CALLS[operation]
    tenant = gallery.consumer if side == "consumer" else gallery.supplier
    found, wanted = {}, {}
    for name, state in zip(table[""], table[operation], strict=True):
        if state != ".":
            wanted[name] = (409, "INVALID_STATE", f"session:{operation}:{state}")
            url = f"/sessions/{gallery.sessions[name]}{path}"
            found[name] = await wire.refused(method, url, auth=tenant)
    assert found == wanted


async def test_a_settlement_is_not_ready_until_there_is_a_bill(wire: Wire, gallery: Gallery) -> None:
    """An exact answer, never a 404: of who is on a side."""
    for name, session_id in gallery.sessions.items():
        view = await wire.data("GET", f"/settlements/{session_id}", auth=gallery.consumer)
        if name not in ("ENDED", "OVERTIME"):
            assert view == {"sessionId": session_id, "state": "NOT_READY"}
            continue
        assert view["state"] in ("PENDING", "SUBMITTED", "CONFIRMED")
        assert set(view["payload"]) == {
            "sessionId",
            "consumerWalletAddress",
            "operatorWalletAddress",
            "ratePerSecondMicroUsdc",
            "chargeableSeconds",
            "toAmountMicroUsdc",
            "feeAmountMicroUsdc",
        }
        assert None not in view.values()


async def test_a_session_is_wherever_it_is_told_the_same(wire: Wire, gallery: Gallery) -> None:
    """What accept, start, end and cancel answer is what a read finds."""
    session = await wire.create(gallery.consumer, gallery.place)
    path = f"/sessions/{session['id']}"
    accepted = await wire.data("POST", f"{path}/accept", auth=gallery.supplier, json={})
    assert accepted == await wire.data("GET", path, auth=gallery.supplier)
    started = await wire.data("POST", f"{path}/start", auth=gallery.supplier)
    assert set(started) == {"session", "videoBackendRef", "whipUrl", "whepUrl"}
    assert started["session"] == await wire.data("GET", path, auth=gallery.supplier)
    assert started["session"]["videoBackendRef"] == started["videoBackendRef"]
    assert started["whipUrl"] != started["whepUrl"]
    for url in (started["whipUrl"], started["whepUrl"]):
        assert url.startswith("http")
    await wire.first_frame(started)
    ended = await wire.data("POST", f"{path}/end", auth=gallery.supplier)
    assert ended == await wire.data("GET", path, auth=gallery.supplier)
    assert ended["videoBackendRef"] is None, "torn down"
    cancelled = f"/sessions/{(await _started(wire, gallery))['session']['id']}"
    answer = await wire.data("DELETE", cancelled, auth=gallery.consumer)
    assert answer == await wire.data("GET", cancelled, auth=gallery.consumer)


# -- pictures ---------------------------------------------------------------------------------------------


async def test_a_frame_is_the_picture_and_nothing_else(
    wire: Wire, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIVE only: a picture that is left over is not shown."""
    jpeg = b"\xff\xd8\xff\xe0 a picture \xff\xd9"

    async def frame(*_: object) -> Frame:
        return Frame(jpeg, 2, 2, utc_now())

    edge = wire.server.deployment.cases.sessions.edge
    monkeypatch.setattr(type(edge), "frame", frame)
    path = f"/sessions/{gallery.sessions['LIVE']}/frame"
    for tenant in (gallery.consumer, gallery.supplier):
        answer = await wire("GET", path, auth=tenant, headers={"Accept": "image/jpeg"})
        assert (answer.status_code, answer.content) == (200, jpeg)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
    head = await wire("HEAD", path, auth=gallery.consumer)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "image/jpeg", b"")
    for name, session_id in gallery.sessions.items():
        if name != "LIVE":
            refused = await wire.refused("GET", f"/sessions/{session_id}/frame", auth=gallery.consumer)
            assert refused == (404, "FRAME_NOT_AVAILABLE", None), name


async def test_errors_of_a_frame_are_envelopes_whatever_is_accepted(
    wire: Wire, gallery: Gallery, stranger: Tenant, nowhere: str
) -> None:
    live = f"/sessions/{gallery.sessions['LIVE']}/frame"
    for path, auth, wanted in (
        (live, gallery.consumer.as_key(), (404, "FRAME_NOT_AVAILABLE", None)),
        (live, stranger.as_key(), (403, "NOT_AUTHORIZED", "session:viewDenied")),
        (live, {}, (401, "NOT_AUTHENTICATED", None)),
        (f"/sessions/{nowhere}/frame", gallery.consumer.as_key(), (404, "SESSION_NOT_FOUND", None)),
    ):
        for accepted in ("image/jpeg", "application/xml;q=0.9", ""):
            assert await wire.refused("GET", path, auth=auth, headers={"Accept": accepted}) == wanted
