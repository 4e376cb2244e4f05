"""Shared parts of the tests: one private PostgreSQL for the run, an empty database for each test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres

os.environ.pop("NO_COLOR", None)  # it would strip the colours that snapshots record


@pytest.fixture(scope="session")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated embedded PostgreSQL, shared by the whole run."""
    directory: Path = tmp_path_factory.mktemp("postgres")

    async def start() -> EmbeddedPostgres:
        server = await EmbeddedPostgres.start(directory / "cluster", durable=False)
        await schema.upgrade(server.dsn)
        return server

    server = asyncio.run(start())
    yield server.dsn
    asyncio.run(server.close())


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The migrated database with every table empty."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'"
        )
        await connection.execute("truncate " + ", ".join(row["tablename"] for row in names) + " cascade")
    finally:
        await connection.close()
    opened = await Database.connect(dsn)
    yield opened
    await opened.close()


def missing(service: str, install: str) -> None:
    """Skip a test whose real part is not installed, telling how to get it; in CI that is a failure."""
    reason = f"service missing: {service}; install it with: {install}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
