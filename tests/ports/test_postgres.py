"""PostgreSQL: schema and migrations, every statement, the unit of work."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from marketplace import Marketplace, at
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import luxxon_core.adapters.postgres as adapter
from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.adapters.postgres.sessions import PgSessions
from luxxon_core.adapters.postgres.tables import metadata
from luxxon_core.kernel.errors import Conflict, DatabaseError
from luxxon_core.sessions.domain import State, end

SQL_FILES = sorted(path.stem for path in (Path(adapter.__file__).parent / "sql").glob("*.sql"))
STATEMENTS = [(file, name) for file in SQL_FILES for name in statements(file)]
GEOGRAPHIC = {"workspace_coverage_idx", "session_place_idx"}
"""Made by the migration for its flavour, so not in ``tables.py``."""
POSTGIS = {"spatial_ref_sys", "geometry_columns", "geography_columns"}
"""What the extension brings into the schema."""


@asynccontextmanager
async def empty_database(dsn: str, name: str) -> AsyncIterator[str]:
    """A database of its own beside the migrated one."""
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"drop database if exists {name}")
    await admin.execute(f"create database {name}")
    try:
        yield re.sub(r"/postgres\?", f"/{name}?", dsn)
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def on_sqlalchemy(dsn: str, work: Callable[[Connection], Any]) -> Any:
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    try:
        async with engine.begin() as opened:
            return await opened.run_sync(work)
    finally:
        await engine.dispose()


# -- schema -----------------------------------------------------------------------------------------------


async def test_the_migrated_schema_is_that_of_the_tables(dsn: str) -> None:
    def differences(opened: Connection) -> list[Any]:
        context = MigrationContext.configure(
            opened,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, _kind, _: name not in GEOGRAPHIC | POSTGIS,
            },
        )
        return list(compare_metadata(context, metadata))

    found = await on_sqlalchemy(dsn, differences)
    assert [one for one in found if "alembic_version" not in str(one)] == []


CATALOG = """
select 'column', table_name || '.' || column_name,
       concat_ws(' ', data_type, udt_name, is_nullable, column_default)
from information_schema.columns where table_schema = 'public'
union all
select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace and conrelid <> 0
union all
select 'index', tablename || '.' || indexname, indexdef from pg_indexes where schemaname = 'public'
"""


async def catalog(dsn: str) -> set[tuple[str, str, str]]:
    opened = await asyncpg.connect(dsn)
    try:
        rows = {tuple(row) for row in await opened.fetch(CATALOG)}
    finally:
        await opened.close()
    left_out = GEOGRAPHIC | POSTGIS | {"alembic_version"}
    return {row for row in rows if not left_out & set(row[1].split("."))}


async def test_the_tables_make_the_same_catalog_as_the_migrations(dsn: str) -> None:
    """Beyond what Alembic compares: check constraints, foreign keys and the predicates of partial indexes."""
    async with empty_database(dsn, "from_tables") as other:
        await on_sqlalchemy(other, metadata.create_all)
        assert await catalog(other) == await catalog(dsn)


GEOGRAPHY = """
select pg_get_functiondef(oid) from pg_proc where proname like 'lx\\_%'
union all select indexdef from pg_indexes where indexname = any ($1)
union all select array_to_string(reloptions, ' ') from pg_class where relname = 'workspace'
"""


async def geography(dsn: str) -> set[str]:
    """Functions and indexes of the flavour, and how the table is stored."""
    opened = await asyncpg.connect(dsn)
    try:
        return {row[0] for row in await opened.fetch(GEOGRAPHY, list(GEOGRAPHIC))}
    finally:
        await opened.close()


async def test_down_to_nothing_and_up_again(dsn: str) -> None:
    flavour = (await schema.look(dsn)).flavour
    async with empty_database(dsn, "up_and_down") as other:
        await schema.run(other, lambda opened: command.upgrade(schema.config(opened, flavour), "head"))
        assert await catalog(other) == await catalog(dsn)
        assert await geography(other) == await geography(dsn)
        await schema.run(other, lambda opened: command.downgrade(schema.config(opened, flavour), "base"))
        assert (await catalog(other), await geography(other)) == (set(), set())
        await schema.upgrade(other)
        await schema.upgrade(other)  # and once more changes nothing
        assert await catalog(other) == await catalog(dsn)
        assert await geography(other) == await geography(dsn)


def test_the_written_script_is_what_the_migrations_do() -> None:
    """``python -m luxxon_core.adapters.postgres.schema`` writes it anew."""
    assert schema.HEAD_SQL.read_text(encoding="utf-8") == schema.written()
    assert schema.head() == ScriptDirectory.from_config(schema.config()).get_current_head()


async def test_the_database_itself_refuses_a_wrong_charge(marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    session = await marketplace.live(consumer, supplier)
    over = end(session, at(10), [])
    for wrong in (
        replace(over, charged_uusdc=over.charged_uusdc + 1),
        replace(over, clean_seconds=601, charged_uusdc=601_000),
        replace(over, clean_seconds=-1, charged_uusdc=-1000),
        replace(over, ended_at=None),
        replace(session, ended_at=at(10)),
    ):
        with pytest.raises(DatabaseError):
            async with marketplace.database.begin() as tx:
                await PgSessions().swap(tx, State.LIVE, wrong)
    assert await marketplace.sessions.get(session.id, consumer) == session


async def test_the_migrated_database_knows_its_revision(dsn: str) -> None:
    found = await on_sqlalchemy(
        dsn, lambda opened: opened.execute(text("select version_num from alembic_version")).scalar()
    )
    assert found == schema.head()


# -- statements -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "name"), STATEMENTS, ids=[".".join(one) for one in STATEMENTS])
async def test_a_statement_is_prepared_against_the_schema(database: Database, file: str, name: str) -> None:
    async with database.read() as tx:
        await connection(tx).prepare(statements(file)[name])


def test_every_statement_is_used() -> None:
    code = "".join(path.read_text() for path in Path(adapter.__file__).parent.glob("*.py"))
    quoted = set(re.findall(r'"(\w+)"', code))
    assert [one for one in STATEMENTS if one[1] not in quoted] == []


# -- unit of work -----------------------------------------------------------------------------------------


async def test_an_exception_rolls_everything_back(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    with pytest.raises(Conflict):
        async with marketplace.database.begin() as tx:
            await connection(tx).execute("update workspace set name = 'changed' where id = $1", consumer)
            raise Conflict("test:refused")
    assert (await marketplace.look(consumer)).name == "workspace"


async def test_a_failing_database_is_one_error_without_its_words(database: Database) -> None:
    with pytest.raises(DatabaseError) as caught:
        async with database.begin() as tx:
            await connection(tx).execute("select secret from nowhere")
    assert str(caught.value) == "Database failure (database:failed)"
    assert isinstance(caught.value.__cause__, asyncpg.UndefinedTableError)


async def test_a_killed_connection_is_a_database_error_and_the_pool_recovers(database: Database) -> None:
    with pytest.raises(DatabaseError):
        async with database.begin() as tx:
            await connection(tx).execute("select pg_terminate_backend(pg_backend_pid())")
    async with database.read() as tx:
        assert await connection(tx).fetchval("select 1") == 1


async def test_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as caught:
        await Database.connect(f"postgresql://nobody@/none?host={tmp_path}")
    assert caught.value.detail == "database:connect"
