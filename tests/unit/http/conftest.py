"""The operations that the frame is tested with."""

from __future__ import annotations

import pytest
from frame_server import Desk


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.gate.set()
    return made
