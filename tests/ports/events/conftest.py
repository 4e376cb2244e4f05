"""Two server processes on one database, as far as events are concerned."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from newsroom import Newsroom, newsroom

from luxxon_core.adapters.postgres.database import Database


@pytest.fixture
async def room(database: Database, dsn: str) -> AsyncIterator[Newsroom]:
    async with newsroom(dsn) as opened:
        yield opened


@pytest.fixture
async def other(database: Database, dsn: str) -> AsyncIterator[Newsroom]:
    """A second server process on the same database."""
    async with newsroom(dsn) as opened:
        yield opened
