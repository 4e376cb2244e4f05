"""One server for all tests of the wire: the application as ``luxxon serve`` runs it, every part embedded."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire, numbers

from luxxon_core.server import running
from luxxon_core.settings import load


@pytest.fixture
def place() -> Place:
    """Somewhere of its own for each test, so that no other test's supplier covers it."""
    number = next(numbers)
    return Place(-60 + number * 0.5 % 120, -170 + number * 3.0 % 340)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def wire() -> AsyncIterator[Wire]:
    """The running server; not below pytest's own folder, for the reason that ``dsn`` gives."""
    with tempfile.TemporaryDirectory(prefix="luxxon-api-") as directory:
        settings = load(
            data_dir=Path(directory) / "data",
            durable=False,
            port=0,
            udp_port=0,
            rpc_port=0,
            origins=frozenset({"https://console.luxxon.dev"}),
            video_webhook_token="path-secret-of-the-tests",
            video_webhook_auth="header-secret-of-the-tests",
            webhook_networks="127.0.0.0/8",
            webhook_http=True,
            rate_limit_key=1_000_000,
            rate_limit_wallet=1_000_000,
            rate_limit_address=1_000_000,
            rate_limit_failures=1_000_000,
        )
        async with running(settings) as server, httpx.AsyncClient(trust_env=False, timeout=20) as http:
            yield Wire(server, http)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def consumer(wire: Wire) -> Tenant:
    """With a pool that never runs dry."""
    return await wire.tenant("CONSUMER", funded=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stranger(wire: Wire) -> Tenant:
    """On neither side of any session of others; both roles, no pool."""
    return await wire.tenant("CONSUMER", "SUPPLIER")


@pytest.fixture
def nowhere() -> str:
    """The id of nothing."""
    return str(UUID(int=0xDEAD_BEEF))
