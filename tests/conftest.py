"""Shared parts of the tests: one private PostgreSQL for the run, an empty database for each test."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from marketplace import Marketplace

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres

settings.register_profile("luxxon", deadline=None)
settings.load_profile("luxxon")
os.environ.pop("NO_COLOR", None)  # it would strip the colours that snapshots record


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A migrated embedded PostgreSQL, shared by the whole run.

    Not below pytest's own folder: a second run beside this one takes back the permissions on that, and with
    them the cluster from the database's user.
    """

    async def start(directory: Path) -> EmbeddedPostgres:
        server = await EmbeddedPostgres.start(directory / "cluster", durable=False)
        await schema.upgrade(server.dsn)
        return server

    with tempfile.TemporaryDirectory(prefix="luxxon-tests-") as directory:
        server = asyncio.run(start(Path(directory)))
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


@pytest.fixture
def marketplace(database: Database) -> Marketplace:
    """The use cases on the empty database, with an edge and pools in memory."""
    return Marketplace(database)
