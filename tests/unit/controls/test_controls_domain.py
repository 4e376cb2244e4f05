"""Who may move the camera of a session, and what is said to those who may not."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from luxxon_core.controls.domain import Outcome, Result, Verb, admit, refusal
from luxxon_core.kernel.errors import Conflict
from luxxon_core.kernel.geo import Point
from luxxon_core.sessions.domain import Control, Session, State, Terms

SESSION, CONSUMER, OPERATOR = UUID(int=1), UUID(int=2), UUID(int=3)


def live(*controls: Control) -> Session:
    return Session(
        SESSION,
        CONSUMER,
        Point(50.8466, 4.3528),
        Terms(1000, 600, 60, 0, 100.0),
        datetime(2026, 7, 15, 12, tzinfo=UTC),
        State.LIVE,
        OPERATOR,
        controls=controls or None,
    )


@pytest.mark.parametrize("session", [live(), live(Control.ZOOM)], ids=["none at all", "another one"])
def test_what_a_camera_has_not_and_what_its_operator_does_not_allow_look_the_same(session: Session) -> None:
    """The session knows of what is allowed alone; the message must not name the wrong reason."""
    with pytest.raises(Conflict) as caught:
        admit(session, CONSUMER, Verb.CONTINUOUS_MOVE)
    assert (caught.value.code, caught.value.detail) == ("CONFLICT", "ptz:notAllowed")
    assert "no such control" in caught.value.message
    assert "does not allow" in caught.value.message


def test_a_device_that_has_the_control_and_refuses_it_is_believed() -> None:
    error = refusal(Result(Outcome.NOT_ALLOWED))
    assert isinstance(error, Conflict)
    assert (error.detail, error.message) == ("ptz:notAllowed", "The operator's device does not allow this")


def test_what_is_allowed_is_let_through() -> None:
    assert admit(live(Control.PTZ), CONSUMER, Verb.CONTINUOUS_MOVE) == OPERATOR
