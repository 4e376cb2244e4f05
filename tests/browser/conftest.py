"""Chromium for the run, and for each test a connection to it and a page of WHIP and WHEP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from chromium import INSTALL, Browser, connected, program, running
from services import missing
from viewing import serving_peer_page

from tests.running_edge import edge, until

__all__ = ["edge", "until"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """Where the run's Chromium is spoken to."""
    executable = program()
    if executable is None:
        missing("Chromium", INSTALL)
    with running(executable) as endpoint:
        yield endpoint


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A browser context for one test."""
    async with connected(chromium) as browser:
        yield browser


@pytest.fixture
async def peer_page() -> AsyncIterator[str]:
    """URL of the page that runs ``peer.js``, on an origin of its own."""
    async with serving_peer_page() as url:
        yield url
