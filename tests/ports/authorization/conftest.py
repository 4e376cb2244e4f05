"""SpiceDB's engine, and the stages on which members are made and asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from authorization_stage import NOON, SpiceStage, Stage, spice_stage
from spicedb_service import SpiceDbService

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.permissions import MemberTable, Rules
from luxxon_core.adapters.spicedb.schema import schema_text


@pytest.fixture(scope="module")
def engine() -> Iterator[SpiceDbService]:
    service = SpiceDbService()
    service.start()
    yield service
    service.kill()


@pytest.fixture
def mortal() -> Iterator[SpiceDbService]:
    """An engine of the test's own, to be killed."""
    service = SpiceDbService()
    service.start()
    yield service
    service.kill()


@pytest_asyncio.fixture
async def spice(database: Database, engine: SpiceDbService) -> AsyncIterator[SpiceStage]:
    async with spice_stage(database, engine.endpoint) as stage:
        await stage.outbox.reconcile(NOON)  # the database is empty: so are the relations then
        yield stage


@pytest_asyncio.fixture(params=["member table", "SpiceDB"])
async def stage(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Stage]:
    if request.param == "member table":
        table = MemberTable(database, Rules.parse(schema_text()))
        yield Stage(database, table, table)
        return
    service: SpiceDbService = request.getfixturevalue("engine")
    async with spice_stage(database, service.endpoint) as made:
        yield made
