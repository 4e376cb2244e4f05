"""For all tests of the console."""

from __future__ import annotations

import pytest

from luxxon_tui import paced
from luxxon_tui.screens import pane
from luxxon_tui.widgets.header import Tab

NAMES = ("Map", "Live", "Sessions", "Cameras", "Wallet", "Activity", "Workspace")


@pytest.fixture(autouse=True)
def _seven_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers in pictures are the same whichever screens there are."""
    tabs = [Tab(str(number), name) for number, name in enumerate(NAMES, 1)]
    monkeypatch.setattr(pane, "tabs", lambda: tabs)


@pytest.fixture(autouse=True)
def _quick_fingers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests press the next key at once, and mean it; those of held keys are marked ``held_keys``."""
    if request.node.get_closest_marker("held_keys") is None:
        monkeypatch.setattr(paced, "HELD_SECONDS", 0.0)
        monkeypatch.setattr(paced, "REPEAT_SECONDS", 0.0)
