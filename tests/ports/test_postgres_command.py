"""``luxxon db`` as a person runs it: a process, its output and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.system import locked
from tests.journeys import conftest
from tests.journeys.conftest import Command, Run
from tests.ports.test_postgres import empty_database

luxxon = conftest.luxxon
HEAD = schema.head()


@pytest.fixture
async def external(dsn: str) -> AsyncIterator[str]:
    """The address of an empty database of the user's own, with a password that no output may show."""
    async with empty_database(dsn, "commanded") as other:
        yield other.replace("//luxxon@", "//luxxon:hunter2@")


def db_command(run: Run, **environment: str) -> Command:
    return Command(run, "db", hidden="hunter2", **environment)


@pytest.fixture
def db(luxxon: Run, external: str) -> Command:
    return db_command(luxxon, LUXXON_DATABASE_URL=external)


async def test_from_nothing_to_the_newest_and_back(db: Command, external: str) -> None:
    assert await db("check") == 1
    assert db.out.split() == ["revision", "none", "head", HEAD, "geography", "none"]
    assert await db("upgrade") == 0
    assert db.out == f"the database has schema {HEAD}, from nothing\n"
    assert await db("check") == 0
    flavour = (await schema.look(external)).flavour
    assert db.out.split() == ["revision", HEAD, "head", HEAD, "geography", flavour]
    assert await db("upgrade") == 0
    assert db.out == f"the database has schema {HEAD}, as it was\n"
    assert await db("downgrade", "0001", "--yes") == 0
    assert db.out == f"the database has schema 0001, from {HEAD}\n"
    assert await db("check") == 1
    assert await db("upgrade") == 0
    assert db.out == f"the database has schema {HEAD}, from 0001\n"
    assert await db("downgrade", "base", "--yes") == 0
    assert await db("check") == 1


async def test_a_downgrade_must_be_confirmed(db: Command, external: str) -> None:
    await schema.upgrade(external)
    assert await db("downgrade") == 130
    assert (await schema.look(external)).revision == HEAD
    assert await db("downgrade", "nonsense", "--yes") == 2
    assert len(db.err.splitlines()) == 1
    assert (await schema.look(external)).revision == HEAD


async def test_a_newer_schema_is_told(db: Command, external: str) -> None:
    await schema.upgrade(external)
    opened = await asyncpg.connect(external)
    await opened.execute("update alembic_version set version_num = '9999'")
    await opened.close()
    assert await db("check") == 2
    assert "9999" in db.out
    for command in (["upgrade"], ["downgrade", "0001", "--yes"]):
        assert await db(*command) == 2
        assert (
            db.err
            == f"luxxon: the database has schema 9999, newer than this version of luxxon knows ({HEAD})\n"
        )


@pytest.mark.parametrize("dsn", ["earthdistance"], indirect=True)
async def test_what_cannot_be_reached_is_one_line(luxxon: Run, dsn: str) -> None:
    for address in ("postgresql://u:hunter2@127.0.0.1:1/db", "mysql://u:hunter2@h/db", "garbage hunter2"):
        unreachable = db_command(luxxon, LUXXON_DATABASE_URL=address)
        for command in ("check", "upgrade"):
            assert await unreachable(command) == 2
            assert len(unreachable.err.splitlines()) == 1, unreachable.err


async def test_the_embedded_database(luxxon: Run, tmp_path: Path) -> None:
    db = db_command(luxxon, LUXXON_DURABLE="false")
    where = ("--data-dir", str(tmp_path / "data"))
    assert await db("check", *where) == 2
    assert "there is no database" in db.err
    assert not (tmp_path / "data").exists()
    assert await db("upgrade", *where) == 0, db.err
    assert await db("check", *where) == 0
    assert db.out.split()[-1] == "earthdistance"
    assert await db("downgrade", "--yes", *where) == 0
    assert await db("check", *where) == 1
    with locked(tmp_path / "data"):
        assert await db("check", *where) == 2
        assert "in use by another luxxon" in db.err


async def test_a_server_on_an_older_or_newer_schema_says_so_and_stops(
    luxxon: Run,
    external: str,
    tmp_path: Path,
) -> None:
    await schema.upgrade(external)
    await schema.downgrade(external, "0002")
    for said in (
        f"has schema 0002, this version of luxxon needs {HEAD}: run luxxon db upgrade",
        "9999, newer",
    ):
        process = await luxxon(
            "serve", "--port", "0", "--data-dir", str(tmp_path / "data"), LUXXON_DATABASE_URL=external
        )
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2, err
        lines = [line for line in err.decode().splitlines() if line.startswith("luxxon: ")]
        assert len(lines) == 1, err
        assert said in lines[0]
        opened = await asyncpg.connect(external)
        await opened.execute("update alembic_version set version_num = '9999'")
        await opened.close()
