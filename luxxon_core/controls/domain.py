"""Commands to the camera of a LIVE session, and what comes of them.

A command lives for seconds and is kept nowhere: a camera that moves because of what somebody wanted a while
ago is worse than one that does not move.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from luxxon_core.kernel.errors import (
    Conflict,
    DeviceTimeout,
    ExternalError,
    InvalidInput,
    InvalidState,
    LuxxonError,
    NotAuthorized,
)
from luxxon_core.sessions.domain import Control, Session, State

EXPIRES_AFTER = timedelta(seconds=2)
"""How old a command may be when the device begins with it."""
ANSWER_WITHIN = timedelta(seconds=5)
"""How long a caller waits for the device."""


class Verb(StrEnum):
    """What a camera can be told: the operations of ONVIF's PTZ service and of MAVLink's camera and gimbal
    protocols; the value is the command's name on the wire."""

    CONTINUOUS_MOVE = "continuous_move"
    RELATIVE_MOVE = "relative_move"
    ABSOLUTE_MOVE = "absolute_move"
    STOP = "stop"
    GOTO_PRESET = "goto_preset"
    SET_PRESET = "set_preset"
    GOTO_HOME = "goto_home"
    GET_PRESETS = "get_presets"
    GET_STATUS = "get_status"
    SET_ZOOM = "set_zoom"
    SET_PITCH_YAW = "set_pitch_yaw"


OPERATOR_ONLY = frozenset({Verb.SET_PRESET})


class Outcome(StrEnum):
    """What the device made of a command."""

    EXECUTED = "executed"
    SUPERSEDED = "superseded"
    """A newer one was there before it could begin."""
    UNSUPPORTED = "unsupported"
    NOT_ALLOWED = "notAllowed"
    REJECTED = "rejected"
    """The camera refused its arguments."""
    FAILED = "failed"
    EXPIRED = "expired"
    """It came too late and was not begun."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command on its way to the operator's device.

    Attributes:
        order: what the camera is to do, as on the wire.
        expires_at: afterwards the device must not begin with it.
    """

    id: UUID
    session_id: UUID
    operator_workspace_id: UUID
    order: dict[str, Any] = field(repr=False)
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What the device answered.

    Attributes:
        label: what exactly was wrong, where the outcome alone does not say it.
        answer: what was asked for: status, presets, the token of one that was made; as on the wire.
    """

    outcome: Outcome
    label: str | None = None
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Executed:
    """What a command came to; ``seconds`` from the call to the device's answer."""

    command_id: UUID
    result: Result
    seconds: float


def needed(verb: Verb) -> frozenset[Control]:
    """The controls of which the device must allow one."""
    if verb is Verb.STOP:  # whatever moves
        return frozenset(Control)
    if verb is Verb.SET_ZOOM:
        return frozenset({Control.ZOOM})
    if verb is Verb.SET_PITCH_YAW:
        return frozenset({Control.GIMBAL})
    return frozenset({Control.PTZ})


def admit(session: Session, workspace_id: UUID, verb: Verb) -> UUID:
    """Whether the workspace may tell the session's camera so; the operator's workspace.

    Raises:
        InvalidState: ``ptz:state:<STATE>``: the session is not LIVE.
        NotAuthorized: ``session:notOperator``: the operator alone may.
        Conflict: ``ptz:notAllowed``: the camera has no such control, or the operator's device does not allow
            it: the session knows of the controls that are allowed, and of no others.
    """
    operator = session.operator_workspace_id
    if session.state is not State.LIVE or operator is None:
        raise InvalidState(f"ptz:state:{session.state}")
    if verb in OPERATOR_ONLY and workspace_id != operator:
        raise NotAuthorized("session:notOperator")
    if needed(verb).isdisjoint(session.controls or ()):
        message = "This camera has no such control, or its operator does not allow it"
        raise Conflict("ptz:notAllowed", message)
    return operator


def refusal(result: Result) -> LuxxonError | None:
    """The error that a result is to the caller; None where the device took the command."""
    match result.outcome:
        case Outcome.EXECUTED | Outcome.SUPERSEDED:
            return None
        case Outcome.UNSUPPORTED:
            return Conflict("ptz:unsupported", "This camera cannot do that")
        case Outcome.NOT_ALLOWED:
            return Conflict("ptz:notAllowed", "The operator's device does not allow this")
        case Outcome.REJECTED:
            return InvalidInput(f"ptz:{result.label or 'rejected'}", "The camera refuses these arguments")
        case Outcome.EXPIRED:
            return DeviceTimeout("ptz:expired", "The command reached the camera too late and was dropped")
        case Outcome.FAILED:
            return ExternalError(f"ptz:{result.label or 'failed'}", "The camera failed to do that")
