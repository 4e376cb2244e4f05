"""Several server processes on one database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from marketplace import Marketplace

from luxxon_core.adapters.postgres.database import Database


@pytest.fixture
async def markets(dsn: str, marketplace: Marketplace) -> AsyncIterator[list[Marketplace]]:
    """Three server processes, as far as the database can tell, with one edge."""
    others = [await Database.connect(dsn) for _ in range(2)]
    yield [marketplace, *(Marketplace(other, marketplace.edge, marketplace.pools) for other in others)]
    for other in others:
        await other.close()
