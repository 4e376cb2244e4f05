"""For all tests of the console."""

from __future__ import annotations

import pytest

from luxxon_tui.screens import pane
from luxxon_tui.widgets.header import Tab

NAMES = ("Map", "Live", "Sessions", "Cameras", "Wallet", "Activity", "Workspace")


@pytest.fixture(autouse=True)
def _seven_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers in pictures are the same whichever screens there are."""
    tabs = [Tab(str(number), name) for number, name in enumerate(NAMES, 1)]
    monkeypatch.setattr(pane, "tabs", lambda: tabs)
