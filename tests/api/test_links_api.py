"""Links to the page for phones: what they let their holders do, and nothing else."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from access_table import bearer
from api_wire import Place, Tenant, Wire, refusal
from linked import assigned, link

from luxxon_core.http.principal import LinkPrincipal
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import InvalidToken
from luxxon_core.links.domain import seal, unseal
from luxxon_core.links.usecases import Links
from luxxon_core.sessions.domain import Side

pytestmark = pytest.mark.asyncio(loop_scope="session")

DENIED = (401, "INVALID_TOKEN", None)


def cases(wire: Wire) -> Links:
    return wire.server.deployment.cases.links


# -- making -----------------------------------------------------------------------------------------------


async def test_a_link_is_of_the_side_of_its_maker(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    for maker, side in ((consumer, "consumer"), (supplier, "operator")):
        for body in ({}, {"side": side}):
            made = await wire.data("POST", f"/sessions/{session}/link", auth=maker, json=body)
            assert made["side"] == side
            assert re.fullmatch(re.escape(wire.server.url) + "/s/[A-Za-z0-9_-]{71}", made["url"])
            left = datetime.fromisoformat(made["expiresAt"]) - datetime.now(UTC)
            assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    for maker, side, refused in (
        (consumer, "operator", "session:notOperator"),
        (supplier, "consumer", "session:notConsumer"),
    ):
        response = await wire("POST", f"/sessions/{session}/link", auth=maker, json={"side": side})
        assert refusal(response) == (403, "NOT_AUTHORIZED", refused)


async def test_who_is_on_no_side_gets_none(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place, nowhere: str
) -> None:
    _, session = await assigned(wire, consumer, place)
    response = await wire("POST", f"/sessions/{session}/link", auth=stranger, json={})
    assert refusal(response) == (403, "NOT_AUTHORIZED", "session:viewDenied")
    response = await wire("POST", f"/sessions/{nowhere}/link", auth=consumer, json={})
    assert refusal(response) == (404, "SESSION_NOT_FOUND", None)


async def test_no_key_hands_out_more_than_it_has(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)

    async def asked(maker: Tenant, *scopes: str) -> tuple[int, str, str | None]:
        key = (await wire.mint(maker.cookie, maker.workspace_id, *scopes))["plaintext"]
        response = await wire("POST", f"/sessions/{session}/link", auth=bearer(key), json={})
        return (200, "", None) if response.is_success else refusal(response)

    lacks = "apiKey:scope:sessions:"
    assert await asked(consumer, "sessions:read") == (403, "INSUFFICIENT_SCOPE", lacks + "operate")
    assert await asked(consumer, "sessions:create") == (403, "INSUFFICIENT_SCOPE", lacks + "read")
    assert await asked(consumer, "sessions:read", "sessions:operate") == (
        403,
        "INSUFFICIENT_SCOPE",
        lacks + "create",
    )
    assert await asked(supplier, "sessions:read", "sessions:create") == (
        403,
        "INSUFFICIENT_SCOPE",
        lacks + "operate",
    )
    assert await asked(consumer, "sessions:read", "sessions:create") == (200, "", None)
    assert await asked(supplier, "sessions:operate") == (200, "", None)


async def test_a_session_that_is_over_gets_no_link(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = (await wire.create(consumer, place))["id"]
    await wire.data("DELETE", f"/sessions/{session}", auth=consumer)
    response = await wire("POST", f"/sessions/{session}/link", auth=consumer, json={})
    assert refusal(response) == (409, "INVALID_STATE", "session:link:CANCELLED")


# -- what it opens ----------------------------------------------------------------------------------------


async def test_the_operator_starts_locates_and_stops(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    auth = await link(wire, session, supplier)
    told = await wire.data("GET", "/link", auth=auth)
    assert (told["sessionId"], told["side"], told["state"]) == (session, "operator", "ASSIGNED")
    assert (told["lat"], told["lng"], told["maxDurationSeconds"]) == (place.lat, place.lng, 60)
    assert {"whipUrl", "whepUrl", "token"} & set(told) == set()

    started = await wire.data("POST", "/link/start", auth=auth)
    assert "whepUrl" not in started
    answer = await wire.data("POST", f"/sessions/{session}/start", auth=supplier)
    assert started["whipUrl"] == answer["whipUrl"], "the API's start is the same"
    assert (await wire.data("GET", "/link", auth=auth))["whipUrl"] == started["whipUrl"]

    await wire.first_frame(answer)
    where = {"lat": place.lat, "lng": place.lng, "accuracyMeters": 8.0, "speedMps": 0.5}
    told = await wire.data("POST", "/link/location", auth=auth, json=where)
    assert (told["state"], told["lost"]) == ("LIVE", [])
    workspace = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    assert workspace["lastSeenAt"] is not None
    told = await wire.data("POST", "/link/location", auth=auth, json={**where, "lat": place.lat + 0.1})
    assert told["lost"] == ["OUTSIDE_GEOFENCE"]

    told = await wire.data("POST", "/link/stop", auth=auth)
    assert (told["state"], told["lost"], "whipUrl" in told) == ("ENDED", [], False)
    assert (await wire.data("GET", f"/sessions/{session}", auth=consumer))["state"] == "ENDED"
    assert (await wire.data("POST", "/link/stop", auth=auth))["state"] == "ENDED", "twice is no error"


async def test_the_consumer_watches_and_ends(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = (await wire.create(consumer, place))["id"]
    auth = await link(wire, session, consumer)
    assert (await wire.data("GET", "/link", auth=auth))["state"] == "REQUESTED"
    supplier = await wire.supplier_at(place)
    await wire.data("POST", f"/sessions/{session}/dispatch", auth=consumer)
    started = await wire.data("POST", f"/sessions/{session}/start", auth=supplier)
    told = await wire.data("GET", "/link", auth=auth)
    assert told["whepUrl"] == started["whepUrl"]
    assert "whipUrl" not in told
    await wire.first_frame(started)
    for method, path, body in (
        ("POST", "/link/start", None),
        ("POST", "/link/location", {**place.json, "accuracyMeters": 1}),
    ):
        response = await wire(method, path, auth=auth, json=body)
        assert refusal(response) == (403, "NOT_AUTHORIZED", "session:notOperator")
    assert (await wire.data("POST", "/link/stop", auth=auth))["state"] == "ENDED"


async def test_before_there_is_a_picture_both_sides_can_step_back(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    session = (await wire.create(consumer, place))["id"]
    auth = await link(wire, session, consumer)
    assert (await wire.data("POST", "/link/stop", auth=auth))["state"] == "CANCELLED"
    supplier, session = await assigned(wire, consumer, Place(place.lat, place.lng + 1))
    other = await wire.create(consumer, place)
    auth = await link(wire, session, supplier)
    assert (await wire.data("POST", "/link/stop", auth=auth))["state"] == "CANCELLED"
    assert (await wire.data("GET", f"/sessions/{other['id']}", auth=consumer))["state"] == "REQUESTED"
    workspace = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    assert workspace["availabilityState"] == "ONLINE"


async def test_when_it_is_over_the_link_says_so_and_no_more(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    session = started["session"]["id"]
    auth = await link(wire, session, supplier)
    await wire.data("POST", f"/sessions/{session}/end", auth=consumer)
    told = await wire.data("GET", "/link", auth=auth)
    assert (told["state"], "whipUrl" in told) == ("ENDED", False)
    response = await wire("POST", "/link/start", auth=auth)
    assert refusal(response) == (409, "INVALID_STATE", "session:start:ENDED")
    where = {**place.json, "accuracyMeters": 1}
    response = await wire("POST", "/link/location", auth=auth, json=where)
    assert refusal(response) == (409, "INVALID_STATE", "session:location:ENDED")


async def test_a_location_counts_whatever_numbers_other_senders_use(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, session = await assigned(wire, consumer, place)
    auth = await link(wire, session, supplier)
    where = {**place.json, "accuracyMeters": 1.0}
    path = f"/workspaces/{supplier.workspace_id}/location"
    for sequence in (3, time.time_ns()):
        await wire.data("POST", path, auth=supplier, json={**where, "sequence": sequence})
        await wire.data("POST", "/link/location", auth=auth, json=where)
        await wire.data("POST", path, auth=supplier, json={**where, "sequence": sequence + 2})
    most = 2**63 - 1
    await wire.data("POST", path, auth=supplier, json={**where, "sequence": str(most)})
    await wire.data("POST", "/link/location", auth=auth, json=where)


async def test_a_location_that_is_none_is_refused(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    auth = await link(wire, session, supplier)
    response = await wire(
        "POST", "/link/location", auth=auth, json={"lat": 91, "lng": 0, "accuracyMeters": 1}
    )
    assert refusal(response) == (400, "INVALID_INPUT", "location:lat")


# -- what it does not open --------------------------------------------------------------------------------


async def test_a_link_is_no_key_and_a_key_no_link(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    auth = await link(wire, session, supplier)
    for method, path in (
        ("GET", f"/sessions/{session}"),
        ("POST", f"/sessions/{session}/start"),
        ("POST", f"/sessions/{session}/link"),
        ("GET", f"/workspaces/{supplier.workspace_id}"),
        ("GET", "/me"),
        ("GET", "/wallet"),
    ):
        assert refusal(await wire(method, path, auth=auth)) == DENIED
    assert refusal(await wire("GET", "/link", auth=supplier)) == DENIED
    assert refusal(await wire("GET", "/link", auth=supplier.as_cookie()))[1] == "NOT_AUTHENTICATED"


async def test_what_was_tampered_with_is_refused(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    token = (await link(wire, session, supplier))["Authorization"].removeprefix("Bearer ")
    for at in range(len(token)):
        other = token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :]
        with pytest.raises(InvalidToken):
            unseal(other, utc_now(), cases(wire).keys)
    # the session of one and the seal of another
    _, foreign = await assigned(wire, consumer, Place(place.lat, place.lng + 1))
    watch = (await link(wire, foreign, consumer))["Authorization"].removeprefix("Bearer ")
    for forged in (watch[:40] + token[40:], token[:-1], token + "A", token.swapcase(), "A" * 71, "no"):
        response = await wire("GET", "/link", auth=bearer(forged))
        assert refusal(response) == DENIED


async def test_the_cookies_secret_seals_no_links_as_it_is(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    principal = LinkPrincipal(
        UUID(session), "operator", UUID(supplier.key_id), utc_now() + timedelta(hours=1)
    )
    token = seal(principal, wire.server.deployment.cases.access.cookie_secrets[0])
    assert refusal(await wire("GET", "/link", auth=bearer(token))) == DENIED


async def test_it_is_good_until_it_expires_and_renewed_while_in_use(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, session = await assigned(wire, consumer, place, waitTimeoutSeconds=3600)
    links, now = cases(wire), utc_now()
    made = await links.make(
        UUID(session), UUID(supplier.workspace_id), None, UUID(supplier.key_id), None, now
    )
    opened = await links.by_link(made.token, now + timedelta(seconds=898))
    with pytest.raises(InvalidToken):
        await links.by_link(made.token, now + timedelta(seconds=900))
    assert (await links.standing(opened, now + timedelta(seconds=440))).renewed is None
    later = now + timedelta(seconds=460)
    renewed = (await links.standing(opened, later)).renewed
    assert renewed is not None
    again = await links.by_link(renewed.token, later)
    assert replace(again, expires_at=opened.expires_at) == opened, "the same rights, longer"
    assert timedelta(seconds=899) <= again.expires_at - later <= timedelta(seconds=900)
    expired = seal(replace(opened, expires_at=utc_now() - timedelta(seconds=1)), links.keys[0])
    assert refusal(await wire("GET", "/link", auth=bearer(expired))) == DENIED


async def test_a_session_that_is_over_renews_no_link(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = (await wire.create(consumer, place))["id"]
    links, now = cases(wire), utc_now()
    maker = str(consumer.account.address)
    made = await links.make(UUID(session), UUID(consumer.workspace_id), Side.CONSUMER, maker, None, now)
    await wire.data("DELETE", f"/sessions/{session}", auth=consumer)
    later = now + timedelta(seconds=800)
    assert (await links.standing(await links.by_link(made.token, later), later)).renewed is None


async def test_it_dies_with_its_makers_key(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    key = await wire.mint(supplier.cookie, supplier.workspace_id)
    auth = await link(wire, session, bearer(key["plaintext"]))
    await wire.data("GET", "/link", auth=auth)
    path = f"/workspaces/{supplier.workspace_id}/api-keys/{key['id']}/revoke"
    await wire.data("POST", path, auth=supplier.as_cookie())
    await wire.data("GET", "/link", auth=auth)  # a revoked key has its grace, and so have its links
    ended = "update api_key set grace_period_end = now() - interval '1 s' where id = $1"
    await wire.rows(ended, key["id"])
    assert refusal(await wire("GET", "/link", auth=auth)) == DENIED


async def test_a_dead_link_gets_nothing_whatever_is_asked(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    key = await wire.mint(supplier.cookie, supplier.workspace_id)
    auth = await link(wire, session, bearer(key["plaintext"]))
    once = {"Idempotency-Key": str(uuid4())}
    assert "whipUrl" in await wire.data("POST", "/link/start", auth=auth, headers=once)
    await wire.rows("update api_key set grace_period_end = now() - interval '1 s' where id = $1", key["id"])
    assert refusal(await wire("POST", "/link/start", auth=auth, headers=once)) == DENIED, "not even again"
    assert refusal(await wire("POST", "/link/location", auth=auth, json={"lat": 91})) == DENIED
    assert refusal(await wire("POST", "/link/location", auth=auth, content=b"{")) == DENIED


async def test_it_dies_with_its_makers_membership(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    member = (await wire.tenant("CONSUMER")).account
    body = {"walletAddress": member.address, "role": "ADMIN"}
    members = f"/workspaces/{supplier.workspace_id}/members"
    await wire.data("POST", members, auth=supplier.as_cookie(), json=body)
    cookie = await wire.login(member, supplier.workspace_id)
    auth = await link(wire, session, {"Cookie": f"lx_session={cookie}"})
    assert (await wire.data("GET", "/link", auth=auth))["side"] == "operator"
    await wire.data("DELETE", f"{members}/{member.address}", auth=supplier.as_cookie())
    assert refusal(await wire("GET", "/link", auth=auth)) == DENIED
