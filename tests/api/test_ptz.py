"""Orders to the camera of a LIVE session: who may give them, what is refused, and what the device is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from api_wire import Place, Tenant, Wire, refusal

from luxxon_core.client import Luxxon
from luxxon_core.controls.schemas import (
    ContinuousMove,
    Outcome,
    PtzCommand,
    PtzPosition,
    PtzResult,
    PtzStatus,
)
from luxxon_core.events.schemas import SessionState
from luxxon_core.kernel.errors import DeviceTimeout

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXECUTED = PtzResult(Outcome.EXECUTED)
MOVE = {"command": "continuous_move", "pan": 0.5, "timeout": 1}
Device = Callable[[PtzCommand], PtzResult | None]


async def moving(
    wire: Wire, consumer: Tenant, place: Place, controls: list[str] | None = None
) -> tuple[Tenant, str]:
    """A LIVE session whose device allows controls, by default all of them, and its operator."""
    supplier = await wire.supplier_at(place)
    session = await wire.create(consumer, place)
    path = f"/sessions/{session['id']}"
    await wire.data("POST", f"{path}/dispatch", auth=consumer)
    said = {"controls": ["ptz", "zoom", "gimbal"] if controls is None else controls}
    started = await wire.data("POST", f"{path}/start", auth=supplier, json=said)
    await wire.first_frame(started)
    return supplier, session["id"]


@asynccontextmanager
async def device(wire: Wire, operator: Tenant, answer: Device) -> AsyncIterator[list[PtzCommand]]:
    """The operator's device on its event stream; ``answer`` says what it makes of each command."""
    heard: list[PtzCommand] = []
    ready = asyncio.Event()
    async with Luxxon(wire.server.api_url, api_key=operator.key) as api:

        async def listen() -> None:
            async with api.events() as stream:
                async for event in stream:
                    if event.name == "ready":
                        ready.set()
                    if isinstance(event.data, PtzCommand):
                        heard.append(event.data)
                        if (result := answer(event.data)) is not None:
                            await api.sessions.ptz_result(
                                event.data.session_id, event.data.command_id, result
                            )

        listening = asyncio.create_task(listen())
        try:
            await asyncio.wait_for(ready.wait(), 10)
            yield heard
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_both_sides_move_the_camera_and_are_told_what_came_of_it(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    operator, session_id = await moving(wire, consumer, place)
    told = PtzResult(Outcome.EXECUTED, status=PtzStatus(moving=True, position=PtzPosition(0.5, 0, 0.1)))
    async with device(wire, operator, lambda _: told) as heard:
        for who in (consumer, operator):
            async with Luxxon(wire.server.api_url, api_key=who.key) as api:
                answer = await api.sessions.ptz(session_id, ContinuousMove(pan=0.5, timeout=0.5))
            assert (answer.accepted, answer.executed) == (True, True)
            assert 0 < answer.latency_ms < 5000
            assert answer.status == told.status
    assert [one.order for one in heard] == [ContinuousMove(0.5, 0, 0, 0.5)] * 2
    assert {one.session_id for one in heard} == {session_id}
    for one in heard:
        assert 1 < (one.expires_at - one.at).total_seconds() <= 5


async def test_only_the_operators_stream_has_the_command(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator, session_id = await moving(wire, consumer, place)
    names: list[str] = []
    ready = asyncio.Event()
    async with Luxxon(wire.server.api_url, api_key=consumer.key) as api:

        async def watch() -> None:
            async with api.sessions.events(session_id) as stream:
                async for event in stream:
                    names.append(event.name)
                    if event.name == "ready":
                        ready.set()

        watching = asyncio.create_task(watch())
        await asyncio.wait_for(ready.wait(), 10)
        async with device(wire, operator, lambda _: EXECUTED):
            await api.sessions.ptz(session_id, "stop")
            await api.sessions.end(session_id)
            async with asyncio.timeout(10):
                while names.count("session.state") < 2:
                    await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert "ptz.command" not in names


async def test_a_command_is_not_told_again_to_who_comes_back(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """A camera that moved a minute late would be worse than one that did not move."""
    operator, session_id = await moving(wire, consumer, place)
    async with (
        device(wire, operator, lambda _: EXECUTED),
        Luxxon(wire.server.api_url, api_key=consumer.key) as api,
    ):
        assert (await api.sessions.ptz(session_id, "goto_home")).executed
    async with Luxxon(wire.server.api_url, api_key=operator.key) as api:
        names = []
        async with api.events(last_event_id="0", reconnect=False) as stream:
            async for event in stream:
                names.append(event.name)
                if event.name == "ready":
                    break
    assert "session.state" in names
    assert "ptz.command" not in names


@pytest.mark.parametrize(
    ("outcome", "label", "expected"),
    [
        ("unsupported", None, (409, "CONFLICT", "ptz:unsupported")),
        ("notAllowed", None, (409, "CONFLICT", "ptz:notAllowed")),
        ("rejected", "preset", (400, "INVALID_INPUT", "ptz:preset")),
        ("failed", None, (502, "EXTERNAL_ERROR", "ptz:failed")),
        ("expired", None, (504, "EXTERNAL_ERROR", "ptz:expired")),
    ],
)
async def test_what_the_camera_cannot_do_is_an_error_of_its_own(
    wire: Wire,
    consumer: Tenant,
    place: Place,
    outcome: str,
    label: str | None,
    expected: tuple[int, str, str],
) -> None:
    operator, session_id = await moving(wire, consumer, place)
    async with device(wire, operator, lambda _: PtzResult(Outcome(outcome), label)):
        body = {"command": "goto_preset", "token": "7"}
        assert await wire.refused("POST", f"/sessions/{session_id}/ptz", auth=consumer, json=body) == expected


async def test_a_newer_command_may_leave_one_undone(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator, session_id = await moving(wire, consumer, place)
    async with device(wire, operator, lambda _: PtzResult(Outcome.SUPERSEDED)):
        answer = await wire.data("POST", f"/sessions/{session_id}/ptz", auth=consumer, json=MOVE)
    assert (answer["accepted"], answer["executed"]) == (True, False)


async def test_a_device_that_does_not_answer_is_waited_for_in_vain(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    operator, session_id = await moving(wire, consumer, place)
    controls = wire.server.deployment.cases.controls
    object.__setattr__(controls, "seconds", 0.3)
    try:
        async with device(wire, operator, lambda _: None) as heard:
            async with Luxxon(wire.server.api_url, api_key=consumer.key) as api:
                with pytest.raises(DeviceTimeout) as caught:
                    await api.sessions.ptz(session_id, "continuous_move", pan=1)
            assert (caught.value.status, caught.value.detail) == (504, "ptz:timeout")
            assert len(heard) == 1, "sent again, it would move a second time"
            path = f"/sessions/{session_id}/ptz/{heard[0].command_id}/result"
            late = await wire.data("POST", path, auth=operator, json={"outcome": "executed"})
            assert late == {"accepted": True}
    finally:
        object.__setattr__(controls, "seconds", 5.0)


async def test_no_device_answers_for_another_session(wire: Wire, consumer: Tenant, place: Place) -> None:
    """Not even one that knows the command's id."""
    operator, session_id = await moving(wire, consumer, place)
    other, other_id = await moving(wire, consumer, Place(place.lat + 0.2, place.lng + 1.5))
    async with (
        device(wire, operator, lambda _: None) as heard,
        Luxxon(wire.server.api_url, api_key=consumer.key) as api,
    ):
        asked = asyncio.create_task(api.sessions.ptz(session_id, "goto_home"))
        async with asyncio.timeout(5):
            while not heard:
                await asyncio.sleep(0.01)
        lie, truth = {"outcome": "unsupported"}, {"outcome": "executed"}
        command_id = heard[0].command_id
        for path, who, told in (
            (f"/sessions/{other_id}/ptz/{command_id}/result", other, lie),
            (f"/sessions/{session_id}/ptz/{command_id}/result", operator, truth),
        ):
            assert await wire.data("POST", path, auth=who, json=told) == {"accepted": True}
        assert (await asked).executed


async def test_who_may_not(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place, nowhere: str
) -> None:
    operator, session_id = await moving(wire, consumer, place, ["ptz"])
    path = f"/sessions/{session_id}/ptz"

    async def refused(auth: Tenant | dict[str, str], body: dict[str, Any], to: str = path) -> object:
        return await wire.refused("POST", to, auth=auth, json=body)

    assert await refused(stranger, MOVE) == (403, "NOT_AUTHORIZED", "session:viewDenied")
    assert await refused(consumer, MOVE, f"/sessions/{nowhere}/ptz") == (404, "SESSION_NOT_FOUND", None)
    naming = {"command": "set_preset", "name": "door"}
    assert await refused(consumer, naming) == (403, "NOT_AUTHORIZED", "session:notOperator")
    zoom = {"command": "set_zoom", "kind": "RANGE", "value": 50}
    assert await refused(consumer, zoom) == (409, "CONFLICT", "ptz:notAllowed")
    result = {"outcome": "executed"}
    to = f"{path}/{uuid4()}/result"
    assert await refused(consumer, result, to) == (403, "NOT_AUTHORIZED", "session:notOperator")
    assert await refused(stranger, result, to) == (403, "NOT_AUTHORIZED", "session:viewDenied")
    assert await refused(operator, result, f"{path}/none/result") == (404, "NOT_FOUND", None)
    for scopes, told in (
        (("sessions:read",), (403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:operate")),
        (("sessions:create",), (400, "INVALID_INPUT", "ptz:command")),
    ):
        made = await wire.mint(consumer.cookie, consumer.workspace_id, *scopes)
        assert await refused({"Authorization": f"Bearer {made['plaintext']}"}, {}) == told
    async with device(wire, operator, lambda _: EXECUTED):
        assert (await wire.data("POST", path, auth=operator, json=naming))["executed"]


async def test_only_a_live_session_has_a_camera(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place)
    path = f"/sessions/{session['id']}/ptz"
    assert await wire.refused("POST", path, auth=consumer, json=MOVE) == (
        409,
        "INVALID_STATE",
        "ptz:state:REQUESTED",
    )
    operator, session_id = await moving(wire, consumer, Place(place.lat + 0.1, place.lng))
    await wire.data("POST", f"/sessions/{session_id}/end", auth=operator)
    assert await wire.refused("POST", f"/sessions/{session_id}/ptz", auth=operator, json=MOVE) == (
        409,
        "INVALID_STATE",
        "ptz:state:ENDED",
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "command"),
        ({"command": "explode"}, "command"),
        ({"command": "continuous_move", "pan": 1.01}, "pan"),
        ({"command": "continuous_move", "pan": "left"}, "pan"),
        ({"command": "continuous_move", "pan": 1, "timeout": 5.01}, "timeout"),
        ({"command": "continuous_move", "pan": 1, "timeout": 0}, "timeout"),
        ({"command": "absolute_move", "pan": 0, "tilt": 0, "zoom": -0.1}, "zoom"),
        ({"command": "absolute_move", "pan": 0}, "tilt"),
        ({"command": "goto_preset"}, "token"),
        ({"command": "goto_preset", "token": ""}, "token"),
        ({"command": "goto_preset", "token": "a\u0000"}, "token"),
        ({"command": "set_preset", "name": "x" * 65}, "name"),
        ({"command": "set_zoom", "kind": "STEPS", "value": 1}, "kind"),
        ({"command": "set_pitch_yaw", "pitch": 1e308, "yaw": 0}, "pitch"),
    ],
)
async def test_what_is_malformed_never_reaches_the_device(
    wire: Wire, consumer: Tenant, nowhere: str, body: dict[str, Any], field: str
) -> None:
    path = f"/sessions/{nowhere}/ptz"
    assert await wire.refused("POST", path, auth=consumer, json=body) == (
        400,
        "INVALID_INPUT",
        f"ptz:{field}",
    )


async def test_commands_are_limited_and_stopping_is_not(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator, session_id = await moving(wire, consumer, place)
    path = f"/sessions/{session_id}/ptz"
    async with device(wire, operator, lambda _: EXECUTED):

        async def send(body: dict[str, Any]) -> tuple[int, str | None]:
            response = await wire("POST", path, auth=consumer, json=body)
            return (200, None) if response.is_success else refusal(response)[::2]

        async def many(body: dict[str, Any]) -> list[tuple[int, str | None]]:
            sending: list[Awaitable[tuple[int, str | None]]] = [send(body) for _ in range(60)]
            return await asyncio.gather(*sending)

        assert (429, "rate:ptz") in await many({"command": "get_status"})
        assert set(await many({"command": "stop"})) == {(200, None)}


async def test_long_answers_arrive_whole(wire: Wire, consumer: Tenant, place: Place) -> None:
    """More than one notification of the database holds."""
    operator, session_id = await moving(wire, consumer, place)
    presets = [{"token": str(number), "name": "Bürgersteig " * 5} for number in range(300)]
    async with device(wire, operator, lambda _: None) as heard:
        asking = asyncio.create_task(
            wire.data("POST", f"/sessions/{session_id}/ptz", auth=consumer, json={"command": "get_presets"})
        )
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
        path = f"/sessions/{session_id}/ptz/{heard[0].command_id}/result"
        result = {"outcome": "executed", "presets": presets}
        await wire.data("POST", path, auth=operator, json=result)
        assert (await asking)["presets"] == presets
        too_many = {"outcome": "executed", "presets": [*presets, presets[0]]}
        refused = await wire.refused("POST", path, auth=operator, json=too_many)
        assert refused == (400, "INVALID_INPUT", "ptz:presets")


# -- what the device says at the start --------------------------------------------------------------------


async def test_a_start_without_a_body_is_as_it_was(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator, started = await wire.started(consumer, place)
    session_id = started["session"]["id"]
    assert not {"controls", "policy"} & set(started["session"])
    await wire.first_frame(started)
    found = await wire.data("GET", f"/sessions/{session_id}", auth=consumer)
    assert not {"controls", "policy"} & set(found)
    assert await wire.refused("POST", f"/sessions/{session_id}/ptz", auth=operator, json=MOVE) == (
        409,
        "CONFLICT",
        "ptz:notAllowed",
    )


async def test_what_the_device_says_is_kept_until_it_says_otherwise(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    operator, started = await wire.started(consumer, place)
    session_id = started["session"]["id"]
    policy = {"masks": {"cover": "blurred", "always": 2}}

    async def seen() -> tuple[Any, Any]:
        found = await wire.data("GET", f"/sessions/{session_id}", auth=consumer)
        return found.get("controls"), found.get("policy")

    async with Luxxon(wire.server.api_url, api_key=operator.key) as api:
        first = await api.sessions.start(session_id, ["zoom", "ptz", "ptz"], policy)
        assert first.session.controls == ["ptz", "zoom"]
        assert await seen() == (["ptz", "zoom"], policy)
        assert (await api.sessions.start(session_id)).whip_url == first.whip_url
        assert await seen() == (["ptz", "zoom"], policy)
        await wire.first_frame(started)
        async with (
            Luxxon(wire.server.api_url, api_key=consumer.key) as other,
            other.sessions.events(session_id) as stream,
            asyncio.timeout(10),
        ):
            async for event in stream:
                if event.name == "ready":
                    await api.sessions.start(session_id, controls=[])
                elif isinstance(event.data, SessionState) and event.data.session.controls == []:
                    break
    assert await seen() == ([], policy)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"controls": ["flight"]}, "controls"),
        ({"controls": "ptz"}, "controls"),
        ({"controls": ["ptz"] * 9}, "controls"),
        ({"policy": ["none"]}, "policy"),
        ({"policy": {"x": "y" * 4096}}, "policy"),
        ({"policy": {"x": "\u0000"}}, "policy"),
    ],
)
async def test_what_a_device_cannot_say(
    wire: Wire, consumer: Tenant, place: Place, said: dict[str, Any], field: str
) -> None:
    operator, started = await wire.started(consumer, place)
    path = f"/sessions/{started['session']['id']}/start"
    assert await wire.refused("POST", path, auth=operator, json=said) == (
        400,
        "INVALID_INPUT",
        f"session:{field}",
    )
