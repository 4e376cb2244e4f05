"""Shared parts of the tests: private PostgreSQL servers for the run, an empty database for each test."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, getsignal, signal

import postgis
import pytest
from hypothesis import settings
from marketplace import Marketplace
from services import missing
from turns import turn

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres

settings.register_profile("luxxon", deadline=None)
settings.load_profile("luxxon")
os.environ.pop("NO_COLOR", None)  # it would strip the colours that snapshots record


FLAVOURS = ("earthdistance", "postgis")
ON_EVERY_FLAVOUR = ("test_postgres", "test_settlement_store")
"""Test modules that run on both kinds of database, unless a test names one."""


ALONE = tuple(Path(__file__).parent / name for name in ("browser", "docs", "journeys"))
"""Where every test has the machine to itself; elsewhere those marked ``alone``."""


@pytest.fixture(scope="session", autouse=True)
def _signals() -> None:
    """Programs under test hear what a terminal sends, also where ``nohup`` or ``&`` keeps it from the tests:
    what is ignored stays so in children, what has a handler does not."""
    for number in (SIGHUP, SIGINT):
        if getsignal(number) is SIG_IGN:
            signal(number, lambda *_: None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turn(alone=any(map(item.path.is_relative_to, ALONE)) or bool(item.get_closest_marker("alone"))):
        return (yield)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    named = any(mark.args[0] == "dsn" for mark in metafunc.definition.iter_markers("parametrize"))
    if "dsn" in metafunc.fixturenames and module.startswith(ON_EVERY_FLAVOUR) and not named:
        metafunc.parametrize("dsn", FLAVOURS, indirect=True, scope="session")


@pytest.fixture(scope="session")
def dsn(request: pytest.FixtureRequest) -> str:
    """A migrated database, shared by the whole run: the embedded one where a test does not ask otherwise."""
    flavour = getattr(request, "param", "earthdistance")
    found: str = request.getfixturevalue(f"{flavour}_dsn")
    return found


@pytest.fixture(scope="session")
def earthdistance_dsn() -> Iterator[str]:
    """The embedded PostgreSQL.

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


@pytest.fixture(scope="session")
def postgis_dsn() -> Iterator[str]:
    """The distribution's PostgreSQL with PostGIS, in a cluster of its own."""
    binaries = postgis.programs()
    if binaries is None:
        missing("PostgreSQL with PostGIS", postgis.INSTALL)
    with postgis.cluster(binaries) as server:
        asyncio.run(schema.upgrade(server))
        yield server


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The migrated database with every table of ours empty."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            """
            select relname from pg_class
            where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'alembic_version'
              and not exists (select from pg_depend d where d.objid = pg_class.oid and d.deptype = 'e')
            """
        )
        await connection.execute("truncate " + ", ".join(row["relname"] for row in names) + " cascade")
    finally:
        await connection.close()
    opened = await Database.connect(dsn)
    yield opened
    await opened.close()


@pytest.fixture
def marketplace(database: Database) -> Marketplace:
    """The use cases on the empty database, with an edge and pools in memory."""
    return Marketplace(database)
