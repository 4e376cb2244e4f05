"""The Python client in a whole day's work against the real server: both sides, streams, and lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from api_wire import Place, Tenant, Wire, sign
from eth_account import Account

from luxxon_core.client import ConnectionFailed, LiveOutcome, Luxxon
from luxxon_core.events.schemas import End, Ready, SessionMeter, SessionState, SettlementState
from luxxon_core.kernel.clock import iso, utc_now
from luxxon_core.kernel.errors import (
    Conflict,
    InvalidState,
    NoCoverage,
    NotFound,
    QuoteExpired,
)
from luxxon_core.telemetry.schemas import Position, TelemetryRequest

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def of(wire: Wire, tenant: Tenant) -> AsyncIterator[Luxxon]:
    async with Luxxon(wire.server.api_url, api_key=tenant.key) as api:
        yield api


async def test_the_deployment_tells_about_itself(wire: Wire) -> None:
    async with Luxxon(wire.server.api_url) as api:
        assert (await api.health.ready()).ready
        newer, older = await api.documents.openapi(), await api.documents.docs_json()
        assert (newer["openapi"], older["openapi"]) == ("3.1.0", "3.0.0")
        assert list(newer["paths"]) == list(older["paths"])
        assert "<html" in (await api.documents.page()).lower()
        assert "sessions" in await api.documents.llms_txt()
        assert isinstance(await api.demand.heatmap(), list)
        with pytest.raises(NotFound):
            await api.raw("GET", "/nothing/here")


async def test_an_owner_invites_and_removes_a_member(wire: Wire, stranger: Tenant) -> None:
    guest = Account.create()
    async with Luxxon(wire.server.api_url, cookie=stranger.cookie) as api:
        me = await api.me.get()
        assert me.__struct_config__.tag == "wallet_session"
        one = stranger.workspace_id
        before = {member.wallet_address: member.role for member in await api.workspaces.members(one)}
        assert before[stranger.account.address] == "OWNER"
        assert (await api.workspaces.put_member(one, guest.address, "VIEWER")).role == "VIEWER"
        listed = {member.wallet_address: member.role for member in await api.workspaces.members(one)}
        assert listed == {**before, guest.address: "VIEWER"}
        assert (await api.workspaces.remove_member(one, guest.address)).removed
        with pytest.raises(NotFound):
            await api.workspaces.remove_member(one, guest.address)
        with pytest.raises(Conflict):
            await api.workspaces.remove_member(one, stranger.account.address)


async def test_a_quote_locks_the_price_of_one_session(wire: Wire, consumer: Tenant, place: Place) -> None:
    async with of(wire, consumer) as api:
        quote = await api.pricing.quote(lat=place.lat, lng=place.lng, duration_seconds=30)
        made = await api.sessions.create(
            lat=place.lat, lng=place.lng, max_duration_seconds=30, quote_id=quote.quote_id
        )
        assert made.rate_per_second_micro_usdc == quote.rate_per_second_micro_usdc
        with pytest.raises(QuoteExpired):
            await api.sessions.create(
                lat=place.lat, lng=place.lng, max_duration_seconds=30, quote_id=quote.quote_id
            )
        assert (await api.sessions.cancel(made.id)).state == "CANCELLED"
        with pytest.raises(InvalidState):
            await api.sessions.cancel(made.id)


async def test_a_supplier_finds_and_accepts_and_tells_where_it_is(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    operator = await wire.supplier_at(place)
    session = await wire.create(consumer, place)
    async with of(wire, operator) as api:
        assert [one.id for one in await api.sessions.open()] == [session["id"]]
        assert (await api.sessions.accept(session["id"], operator.workspace_id)).state == "ASSIGNED"
        started = await api.sessions.start(session["id"])
        await wire.first_frame({"videoBackendRef": started.video_backend_ref})
        sample = TelemetryRequest(iso(utc_now()), Position(place.lat, place.lng), 5, "gnss", "0x00")
        text = sample.beacon(started.session.id).text()  # type: ignore[arg-type]
        taken = await api.sessions.telemetry(
            session["id"],
            captured_at=sample.captured_at,
            lat=place.lat,
            lng=place.lng,
            accuracy_meters=5,
            source="gnss",
            signature=sign(operator.account, text),
        )
        assert taken.accepted
        assert (await api.sessions.end(session["id"])).state == "ENDED"


async def test_lists_come_in_pages_and_can_be_asked_for_a_part(
    wire: Wire, stranger: Tenant, place: Place
) -> None:
    consumer = await wire.tenant("CONSUMER", funded=True)
    made = [(await wire.create(consumer, place, maxDurationSeconds=1))["id"] for _ in range(5)]
    async with of(wire, consumer) as api:
        await api.sessions.cancel(made[0])
        found = [session.id async for session in api.sessions.iterate(page=2)]
        assert found == made[::-1]
        assert [one.id for one in await api.sessions.list(state="CANCELLED", side="consumer")] == [made[0]]
        assert await api.sessions.list(side="operator") == []
        await wire.wallet_events(consumer, 2)
        assert len([one async for one in api.wallet.iterate(page=1)]) == len(await api.wallet.events()) == 2


async def test_both_streams_follow_a_session_until_it_is_paid(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    operator = await wire.supplier_at(place)
    everything: list[object] = []
    async with of(wire, consumer) as api, of(wire, operator) as supplier, asyncio.timeout(30):
        async with supplier.events() as stream:
            assert isinstance((await anext(stream)).data, Ready)
            session = await api.sessions.create(lat=place.lat, lng=place.lng, max_duration_seconds=30)
            await api.sessions.dispatch(session.id)
            assigned = (await anext(stream)).data
            assert isinstance(assigned, SessionState)
            assert (assigned.session_id, assigned.session.state) == (session.id, "ASSIGNED")
        started = await supplier.sessions.start(session.id)
        async with api.sessions.events(session.id) as stream:
            async for event in stream:
                everything.append(event.data)
                if isinstance(event.data, Ready):
                    await wire.first_frame({"videoBackendRef": started.video_backend_ref})
                if isinstance(event.data, SessionMeter) and event.data.clean_seconds >= 1:
                    with_end = await supplier.sessions.end(session.id)
    assert isinstance(everything[-1], End)
    states = [one.session.state for one in everything if isinstance(one, SessionState)]
    assert states[0] == "ASSIGNED"
    assert states[-2:] == ["LIVE", "ENDED"]
    paid = [one for one in everything if isinstance(one, SettlementState)]
    assert paid[-1].state == "CONFIRMED"
    assert paid[-1].charged_micro_usdc == with_end.charged_micro_usdc


async def test_a_live_view_in_one_call(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator = await wire.supplier_at(place)

    async def operate(supplier: Luxxon) -> None:
        async with supplier.events() as stream:
            async for event in stream:
                if isinstance(event.data, SessionState) and event.data.session.state == "ASSIGNED":
                    started = await supplier.sessions.start(event.data.session_id)
                    await wire.first_frame({"videoBackendRef": started.video_backend_ref})
                    return

    async with of(wire, consumer) as api, of(wire, operator) as supplier:
        operating = asyncio.create_task(operate(supplier))
        try:
            view = await api.request_live_view(
                lat=place.lat, lng=place.lng, max_duration_seconds=30, timeout=10
            )
        finally:
            operating.cancel()
            await asyncio.gather(operating, return_exceptions=True)
        assert view.outcome is LiveOutcome.LIVE
        assert view.viewer is not None
        assert view.viewer.whep_url == view.session.whep_url
        await api.sessions.end(view.session.id)
        nobody = await api.request_live_view(
            lat=-place.lat, lng=place.lng, max_duration_seconds=30, cancel=True
        )
        assert nobody.outcome is LiveOutcome.NOT_DISPATCHED
        assert isinstance(nobody.refusal, NoCoverage)
        assert nobody.session.state == "CANCELLED"


class Forgetful(httpx.AsyncHTTPTransport):
    """Passes every request on, and loses the first answers."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if self.lost > 0:
            self.lost -= 1
            await response.aread()
            raise httpx.ReadError("lost")
        return response


async def test_a_lost_answer_makes_no_second_session(wire: Wire, place: Place) -> None:
    consumer = await wire.tenant("CONSUMER", funded=True)
    transport = Forgetful(2)
    async with Luxxon(wire.server.api_url, api_key=consumer.key, transport=transport) as api:
        made = await api.sessions.create(lat=place.lat, lng=place.lng, max_duration_seconds=30)
        assert [one.id for one in await api.sessions.list()] == [made.id]
        transport.lost = 1
        with pytest.raises(ConnectionFailed):
            await api.sessions.cancel(made.id)
        assert (await api.sessions.get(made.id)).state == "CANCELLED"
