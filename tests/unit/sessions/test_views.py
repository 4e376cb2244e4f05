"""What each side of a session is shown of it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import msgspec
import pytest
from marketplace import FEE_BPS, GRAND_PLACE, NOON, at

from luxxon_core.kernel.wire import encode
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Session, State, Terms
from luxxon_core.sessions.schemas import Session as Shown
from luxxon_core.sessions.schemas import SessionStarted

CONSUMER, OPERATOR, OTHER = (UUID(int=n) for n in (1, 2, 3))
INPUT = LiveInput("ab" * 16, "memory", "https://edge.test/whip/s3cret", "https://edge.test/whep/s3cret")
ASSIGNED = Session(
    UUID(int=9),
    CONSUMER,
    GRAND_PLACE,
    Terms(1000, 60, 300, FEE_BPS, 500.0),
    NOON,
    State.ASSIGNED,
    OPERATOR,
    assigned_at=at(1),
    live_input=INPUT,
)
LIVE = replace(ASSIGNED, state=State.LIVE, started_at=at(2))
ENDED = replace(LIVE, state=State.ENDED, ended_at=at(9))


@pytest.mark.parametrize(
    ("session", "viewer", "urls"),
    [
        (ASSIGNED, CONSUMER, set()),
        (ASSIGNED, OPERATOR, set()),
        (LIVE, CONSUMER, {"whepUrl"}),
        (LIVE, OTHER, {"whepUrl"}),
        (LIVE, OPERATOR, {"whepUrl", "whipUrl"}),
        (replace(LIVE, operator_workspace_id=CONSUMER), CONSUMER, {"whepUrl", "whipUrl"}),
        (ENDED, CONSUMER, set()),
        (ENDED, OPERATOR, set()),
    ],
)
def test_urls_are_shown_while_live_and_the_publish_url_to_its_operator(
    session: Session, viewer: UUID, urls: set[str]
) -> None:
    shown = msgspec.json.decode(encode(Shown.of(session, viewer)))
    assert {name for name in shown if name.endswith("Url")} == urls
    assert shown["videoBackendRef"] == INPUT.uid


def test_start_tells_the_operator_both() -> None:
    told = msgspec.json.decode(encode(SessionStarted.of(ASSIGNED, OPERATOR)))
    assert (told["whipUrl"], told["whepUrl"]) == (INPUT.whip_url, INPUT.whep_url)


def test_a_session_in_a_log_shows_no_secret() -> None:
    assert "s3cret" not in repr(LIVE)
    assert "s3cret" not in str(LIVE)
