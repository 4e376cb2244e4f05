"""Where the marketplace believes a camera to be: circles that follow it, hours, and signed samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from luxxon_core.client import ConnectionFailed
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import Conflict, InvalidState, LuxxonError, RevokedApiKey, SessionNotFound
from luxxon_core.operator import beacons as beacon_module
from luxxon_core.operator import presence as presences
from luxxon_core.operator.beacons import Beacons
from luxxon_core.operator.calls import Trouble
from luxxon_core.operator.presence import Fix, Location, Presence
from luxxon_core.operator.rules import Hours, Rules
from luxxon_core.source import FixType, GeoPose
from luxxon_core.telemetry.schemas import Position, TelemetryRequest
from tests.running_edge import until as until  # noqa: PLC0414 - a fixture

Until = Callable[..., Coroutine[Any, Any, None]]
SESSION = "0192b5b0-0000-7000-8000-000000000001"
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
HERE = Location(50.8466, 4.3528, 5.0)


@dataclass
class Api:
    """Of the marketplace what a presence and its beacons call."""

    patches: list[dict[str, Any]] = field(default_factory=list)
    availability: list[str] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    refusal: LuxxonError | None = None

    async def update(self, _: str, /, **said: Any) -> None:
        self.patches.append(said)

    async def set_availability(self, _: str, availability_state: str, /) -> None:
        self.availability.append(availability_state)

    async def heartbeat(self, _: str, /, **said: Any) -> None:
        self.beats.append(said)

    async def telemetry(self, session_id: str, /, **said: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.samples.append({"session": session_id, **said})


@dataclass
class Flight:
    """A camera that knows its place."""

    pose: asyncio.Queue[GeoPose] = field(default_factory=asyncio.Queue)

    def at(self, lat: float, lng: float, fix: FixType = FixType.FIX_3D) -> None:
        self.pose.put_nowait(GeoPose(lat, lng, None, None, 3.0, fix, datetime.now(UTC)))

    async def poses(self) -> Any:
        while True:
            yield await self.pose.get()


def presence_of(api: Api, location: Location | None = HERE, **more: Any) -> Presence:
    given: dict[str, Any] = {
        "workspaces": api,
        "workspace_id": "w",
        "location": location,
        "coverage_radius_meters": 1000.0,
        "device_kind": "DRONE",
        "rules": Rules(),
        "clock": lambda: datetime.now(UTC),
        "trouble": Trouble(),
        "heartbeat_seconds": 0.02,
    }
    return Presence(**given | more)


@asynccontextmanager
async def doing(*work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_circle_follows_the_camera_when_it_has_gone_a_tenth_of_the_radius(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presences, "COVERAGE_SECONDS", 0.1)
    api, flight = Api(), Flight()
    presence = presence_of(api, None)
    async with doing(presence.follow(flight), presence.go_online()):
        await asyncio.sleep(0.05)
        assert api.patches == [], "nobody knows where it is"
        flight.at(0.0, 0.0, FixType.NO_FIX)
        flight.at(50.0, 4.0)
        await until(lambda: api.patches)
        assert (api.patches[0]["availability_state"], api.patches[0]["coverage_lat"]) == ("ONLINE", 50.0)
        async with doing(presence.keep_covering()):
            flight.at(50.0008, 4.0)  # 89 m
            await asyncio.sleep(0.3)
            assert len(api.patches) == 1
            flight.at(50.001, 4.0)  # 111 m
            await until(lambda: len(api.patches) == 2)
            flight.at(50.01, 4.0)
            flight.at(50.02, 4.0)
            await until(lambda: api.patches[-1]["coverage_lat"] == 50.02)
            assert len(api.patches) == 3, "at most one in each period"
    assert api.patches[-1]["availability_state"] is None, "BUSY stays BUSY"


async def test_a_camera_that_has_lost_its_place_sends_no_heartbeats(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presences, "FIX_SECONDS", 0.3)
    api, flight = Api(), Flight()
    presence = presence_of(api, None)
    flight.at(50.0, 4.0)
    async with doing(presence.follow(flight)):
        await presence.go_online()
        async with doing(presence.beat()):
            await until(lambda: len(api.beats) > 2)
            await until(lambda: presence.fix is None)
            sent = len(api.beats)
            await asyncio.sleep(0.2)
            assert len(api.beats) <= sent + 1
            flight.at(50.5, 4.0)
            await until(lambda: api.beats[-1]["lat"] == 50.5)


async def test_outside_its_hours_it_is_offline(until: Until) -> None:
    now = NOON
    api = Api()
    hours = Rules(hours=Hours(time(8), time(12, 30), UTC))
    presence = presence_of(api, rules=hours, clock=lambda: now)
    await presence.go_online()
    async with doing(presence.beat()):
        await until(lambda: api.beats)
        now = NOON + timedelta(hours=1)
        await until(lambda: api.availability == ["OFFLINE"])
        sent = len(api.beats)
        await asyncio.sleep(0.1)
        assert len(api.beats) == sent
        presence.serving = (SESSION, "LIVE")  # one that had begun before goes on
        await until(lambda: len(api.beats) > sent)
        presence.serving = None
        now = NOON + timedelta(hours=21)
        await until(lambda: len(api.patches) == 2)
    assert [one["availability_state"] for one in api.patches] == ["ONLINE", "ONLINE"]


async def test_it_does_not_go_online_at_night(until: Until) -> None:
    api = Api()
    hours = Rules(hours=Hours(time(8), time(11), UTC))
    presence = presence_of(api, rules=hours, clock=lambda: NOON)
    await presence.go_online()
    assert api.patches == []


def beacons_of(api: Api, wallet: LocalWallet, fix: Callable[[], Fix | None]) -> Beacons:
    return Beacons(api, wallet.sign_message, fix, lambda: datetime.now(UTC), Trouble())  # type: ignore[arg-type]


async def test_samples_are_signed_by_the_wallet_and_more_than_one_a_second(until: Until) -> None:
    api, wallet = Api(), LocalWallet.create()
    beacons = beacons_of(api, wallet, lambda: Fix(HERE))
    async with doing(beacons.send(SESSION)):
        await until(lambda: len(api.samples) >= 4)
    times = [datetime.fromisoformat(one["captured_at"]) for one in api.samples]
    assert times == sorted(set(times))
    assert (len(times) - 1) / (times[-1] - times[0]).total_seconds() >= 1
    sent = api.samples[-1]
    assert (sent["source"], sent["lat"], sent["accuracy_meters"]) == ("fixed", HERE.lat, 5.0)
    text = TelemetryRequest(
        sent["captured_at"], Position(sent["lat"], sent["lng"]), sent["accuracy_meters"], sent["source"], ""
    )
    signed = encode_defunct(text=text.beacon(UUID(SESSION)).text())
    assert Account.recover_message(signed, signature=sent["signature"]) == wallet.address


async def test_a_receivers_samples_carry_its_time_and_none_is_sent_twice(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon_module, "PERIOD_SECONDS", 0.02)
    api, at = Api(), datetime.now(UTC)
    fix: Fix | None = Fix(HERE, at)
    async with doing(beacons_of(api, LocalWallet.create(), lambda: fix).send(SESSION)):
        await until(lambda: api.samples)
        await asyncio.sleep(0.1)
        assert len(api.samples) == 1, "it has measured nothing new"
        fix = Fix(HERE, at + timedelta(seconds=1))
        await until(lambda: len(api.samples) == 2)
        fix = None
        await asyncio.sleep(0.1)
    assert [one["source"] for one in api.samples] == ["gps", "gps"]
    assert len(api.samples) == 2


@pytest.mark.parametrize("refusal", [Conflict("telemetry:capturedAt"), InvalidState(), ConnectionFailed()])
async def test_a_refused_sample_is_followed_by_the_next(
    until: Until, monkeypatch: pytest.MonkeyPatch, refusal: LuxxonError
) -> None:
    monkeypatch.setattr(beacon_module, "PERIOD_SECONDS", 0.02)
    api = Api(refusal=refusal)
    beacons = beacons_of(api, LocalWallet.create(), lambda: Fix(HERE))
    async with doing(beacons.send(SESSION)):
        await until(lambda: beacons.trouble.last)
        api.refusal = None
        await until(lambda: beacons.sent)


async def test_samples_end_with_the_session_and_with_the_credential() -> None:
    api = Api(refusal=SessionNotFound())
    await asyncio.wait_for(beacons_of(api, LocalWallet.create(), lambda: Fix(HERE)).send(SESSION), 5)
    api.refusal = RevokedApiKey()
    with pytest.raises(RevokedApiKey):
        await asyncio.wait_for(beacons_of(api, LocalWallet.create(), lambda: Fix(HERE)).send(SESSION), 5)
