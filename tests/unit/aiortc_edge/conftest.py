from __future__ import annotations

from collections.abc import AsyncIterator

import aioice.ice
import pytest
from edge_peers import Service, serving


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback addresses out."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service
