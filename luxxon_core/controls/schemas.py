"""Wire types of controls; ours, the published contract has none.

The order is one union, told apart by ``command``. Names and spaces are ONVIF's (PTZ service, generic spaces)
and MAVLink's (CAMERA_ZOOM_TYPE, gimbal manager).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from luxxon_core.controls.domain import Command, Executed, Outcome, Result, Verb
from luxxon_core.kernel.wire import Timestamp, Uuid, to_builtins

LONGEST_MOVE = 5.0
"""Seconds that a continuous move may go on without being asked for again."""

Velocity = Annotated[float, Meta(ge=-1, le=1, description="-1 to 1, the sign is the direction; 0 stays")]
Position = Annotated[float, Meta(ge=-1, le=1, description="-1 to 1 of the whole range")]
Depth = Annotated[float, Meta(ge=0, le=1, description="0 is wide, 1 is tele")]
Seconds = Annotated[
    float, Meta(ge=0.05, le=LONGEST_MOVE, description="after which the camera stops by itself")
]
Degrees = Annotated[float, Meta(ge=-360, le=360, description="degrees")]
Token = Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,64}$", description="the camera's name for a preset")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _Order(msgspec.Struct, frozen=True, rename="camel", tag_field="command"):
    pass


class ContinuousMove(_Order, frozen=True, rename="camel", tag="continuous_move"):
    """Move until ``timeout`` is over, another order comes, or the sender is lost."""

    pan: Velocity = 0.0
    tilt: Velocity = 0.0
    zoom: Velocity = 0.0
    timeout: Seconds = 1.0


class RelativeMove(_Order, frozen=True, rename="camel", tag="relative_move"):
    pan: Position = 0.0
    tilt: Position = 0.0
    zoom: Position = 0.0


class AbsoluteMove(_Order, frozen=True, rename="camel", tag="absolute_move"):
    pan: Position
    tilt: Position
    zoom: Depth = 0.0


class Stop(_Order, frozen=True, rename="camel", tag="stop"):
    """End every movement."""


class GotoPreset(_Order, frozen=True, rename="camel", tag="goto_preset"):
    token: Token


class SetPreset(_Order, frozen=True, rename="camel", tag="set_preset"):
    """Keep where the camera looks now; the operator alone may. With a token, in place of that preset."""

    name: Name
    token: Token | None = None


class GotoHome(_Order, frozen=True, rename="camel", tag="goto_home"):
    pass


class GetPresets(_Order, frozen=True, rename="camel", tag="get_presets"):
    pass


class GetStatus(_Order, frozen=True, rename="camel", tag="get_status"):
    pass


class SetZoom(_Order, frozen=True, rename="camel", tag="set_zoom"):
    """STEP: steps; CONTINUOUS: a velocity of -1 to 1, until ``timeout`` is over; RANGE: 0 to 100 percent;
    FOCAL_LENGTH: millimetres."""

    kind: Literal["STEP", "CONTINUOUS", "RANGE", "FOCAL_LENGTH"]
    value: Annotated[float, Meta(ge=-1000, le=10_000)]
    timeout: Seconds = 1.0


class SetPitchYaw(_Order, frozen=True, rename="camel", tag="set_pitch_yaw"):
    """Angles of the gimbal; a negative pitch looks down. Yaw is of the vehicle, or of the compass."""

    pitch: Degrees
    yaw: Degrees
    frame: Literal["VEHICLE", "EARTH"] = "VEHICLE"


Order = (
    ContinuousMove
    | RelativeMove
    | AbsoluteMove
    | Stop
    | GotoPreset
    | SetPreset
    | GotoHome
    | GetPresets
    | GetStatus
    | SetZoom
    | SetPitchYaw
)


def verb_of(order: Order) -> Verb:
    return Verb(str(type(order).__struct_config__.tag))


class PtzPosition(msgspec.Struct, frozen=True, rename="camel"):
    pan: float
    tilt: float
    zoom: float


class PtzStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where the camera looks, where it knows, and whether it moves."""

    moving: bool
    position: PtzPosition | None = None


class PtzPreset(msgspec.Struct, frozen=True, rename="camel"):
    token: Annotated[str, Meta(max_length=64)]
    name: Annotated[str, Meta(max_length=64)]


MOST_PRESETS = 300
Presets = Annotated[list[PtzPreset], Meta(max_length=MOST_PRESETS)]


class PtzResult(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the device made of a command, and what was asked of it."""

    outcome: Outcome
    label: Annotated[str, Meta(pattern="^[a-z][A-Za-z]{0,31}$")] | None = None
    """What exactly was wrong: ``ptz:<label>`` is the caller's detail."""
    status: PtzStatus | None = None
    presets: Presets | None = None
    token: Token | None = None
    """Of the preset that was made."""

    def result(self) -> Result:
        told = to_builtins(self)
        answer = {name: told[name] for name in ("status", "presets", "token") if name in told}
        return Result(self.outcome, self.label, answer)


class PtzResultTaken(msgspec.Struct, frozen=True, rename="camel"):
    accepted: bool = True


class PtzAnswer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The device took the command; where it was not ``executed``, a newer one came before it.

    ``latencyMs`` is from the call to the device's answer, in milliseconds."""

    command_id: Uuid
    accepted: bool
    executed: bool
    latency_ms: float
    status: PtzStatus | None = None
    presets: list[PtzPreset] | None = None
    token: str | None = None

    @classmethod
    def of(cls, executed: Executed) -> PtzAnswer:
        told = msgspec.convert(executed.result.answer, PtzResultAnswer)
        return cls(
            command_id=str(executed.command_id),
            accepted=True,
            executed=executed.result.outcome is Outcome.EXECUTED,
            latency_ms=round(executed.seconds * 1000, 1),
            status=told.status,
            presets=told.presets,
            token=told.token,
        )


class PtzResultAnswer(msgspec.Struct, frozen=True, rename="camel"):
    status: PtzStatus | None = None
    presets: list[PtzPreset] | None = None
    token: str | None = None


class PtzCommand(msgspec.Struct, frozen=True, rename="camel"):
    """The operator's device is to move its camera, now: after ``expiresAt`` no more. It answers at
    ``POST /sessions/{id}/ptz/{commandId}/result``. A stream tells of it once, when it is given, and it has no
    id to resume after."""

    session_id: Uuid
    command_id: Uuid
    at: Timestamp
    expires_at: Timestamp
    order: Order

    @classmethod
    def of(cls, command: Command) -> PtzCommand:
        return cls(
            session_id=str(command.session_id),
            command_id=str(command.id),
            at=Timestamp.of(command.issued_at),
            expires_at=Timestamp.of(command.expires_at),
            order=msgspec.convert(command.order, Order),
        )


def plain(order: Order) -> dict[str, Any]:
    """The order as a command carries it."""
    found = msgspec.to_builtins(order)
    assert isinstance(found, dict)
    return found


__all__ = [
    "LONGEST_MOVE",
    "MOST_PRESETS",
    "AbsoluteMove",
    "ContinuousMove",
    "GetPresets",
    "GetStatus",
    "GotoHome",
    "GotoPreset",
    "Order",
    "Outcome",
    "PtzAnswer",
    "PtzCommand",
    "PtzPosition",
    "PtzPreset",
    "PtzResult",
    "PtzResultTaken",
    "PtzStatus",
    "RelativeMove",
    "SetPitchYaw",
    "SetPreset",
    "SetZoom",
    "Stop",
]
