"""Which schema a database has, and how it gets to the one this code needs.

Alembic owns the history. An empty database gets ``migrations/head.sql``, the same statements written down for
both flavours of geography, and one that is up to date is left alone: neither pays for importing Alembic and
SQLAlchemy. A test holds the file against the migrations; ``python -m luxxon_core.adapters.postgres.schema``
writes it anew. Whoever changes a schema holds an advisory lock, so that servers may start side by side.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxxon_core.adapters.postgres.geography import COVERS, MARK, UP, Flavour
from luxxon_core.kernel.errors import StartError

if TYPE_CHECKING:
    import asyncpg
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD_SQL = MIGRATIONS / "head.sql"
AUTO = "auto"
"""Geography by PostGIS where the server has it, else by earthdistance."""
_REVISION = "-- revision: "
_LOCK = "select pg_advisory_lock(hashtextextended('luxxon schema', 0))"


class Age(Enum):
    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database has; both None where it has nothing of ours."""

    revision: str | None
    flavour: Flavour | None

    @property
    def age(self) -> Age:
        if self.revision is None:
            return Age.EMPTY
        if self.revision == head():
            return Age.CURRENT
        return Age.OLDER if self.revision in _revisions() else Age.NEWER


@cache
def head() -> str:
    """The revision that this code needs: the first line of ``head.sql``."""
    with HEAD_SQL.open(encoding="utf-8") as file:
        return file.readline().removeprefix(_REVISION).strip()


@cache
def _revisions() -> frozenset[str]:
    """Those this code knows, by the names of their files."""
    return frozenset(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))


async def look(dsn: str) -> Schema:
    """What the database has.

    Raises:
        StartError: unreachable.
    """
    async with _opened(dsn) as connection:
        return await _look(connection)


async def prepare(dsn: str, *, external: bool, geography: str = AUTO) -> None:
    """Make the database ready for a server. One that is empty is set up; an older schema is upgraded in a
    database of our own, and in an ``external`` one left to its owner, whose other servers may still need it.

    Raises:
        StartError: unreachable, older and external, newer than this code knows, of another flavour than
            ``geography`` asks for, or a migration failed.
    """
    found = await look(dsn)
    if found.age is Age.CURRENT:
        _refuse_other(found.flavour, geography)
    elif found.age is Age.OLDER and external:
        raise StartError(
            message=f"the database has schema {found.revision}, this version of luxxon needs {head()}:"
            " run luxxon db upgrade"
        )
    else:
        await upgrade(dsn, geography)


async def upgrade(dsn: str, geography: str = AUTO) -> Schema:
    """Bring the database to :func:`head` and return what it had before.

    Raises:
        StartError: see :func:`prepare`.
    """
    async with _changing(dsn) as (connection, found):
        flavour = await _choose(connection, found.flavour, geography)
        if found.age is Age.CURRENT:
            return found
        if not await _has_history(connection):
            async with connection.transaction():
                await connection.execute(script(flavour))
        else:
            await run(dsn, lambda opened: _migrate(opened, flavour, "upgrade", "head"))
        return found


async def downgrade(dsn: str, revision: str) -> Schema:
    """Take the database back to ``revision`` (``base``: to nothing) and return what it had before.

    Raises:
        StartError: unreachable, newer than this code knows, no such revision, or a migration failed.
    """
    async with _changing(dsn) as (connection, found):
        flavour = await _choose(connection, found.flavour, AUTO)
        await run(dsn, lambda opened: _migrate(opened, flavour, "downgrade", revision))
        return found


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    import asyncpg

    try:
        try:
            connection = await asyncpg.connect(dsn)
        except (asyncpg.InterfaceError, ValueError) as error:
            # the text of these may repeat the address, password included
            raise StartError(message="the database URL is not one of PostgreSQL") from error
        try:
            yield connection
        finally:
            await connection.close()
    except (asyncpg.PostgresError, OSError) as error:
        raise StartError(message=f"cannot prepare the database: {error}") from error


@asynccontextmanager
async def _changing(dsn: str) -> AsyncIterator[tuple[asyncpg.Connection[Any], Schema]]:
    """A connection that keeps others from changing the schema, and what is there."""
    async with _opened(dsn) as connection:
        await connection.execute(_LOCK)
        found = await _look(connection)
        if found.age is Age.NEWER:
            raise StartError(
                message=f"the database has schema {found.revision}, newer than this version of luxxon"
                f" knows ({head()})"
            )
        yield connection, found


async def _has_history(connection: asyncpg.Connection[Any]) -> bool:
    return bool(await connection.fetchval("select to_regclass('alembic_version') is not null"))


async def _look(connection: asyncpg.Connection[Any]) -> Schema:
    if not await _has_history(connection):
        return Schema(None, None)
    revision = await connection.fetchval("select version_num from alembic_version")
    row = await connection.fetchrow(
        "select f is not null, obj_description(f, 'pg_proc') from to_regprocedure($1) f", COVERS
    )
    made, comment = row
    if not made:
        return Schema(revision, None)
    # what has no comment is from before there were two flavours
    named = (comment or "").removeprefix(MARK) or Flavour.EARTHDISTANCE
    return Schema(revision, Flavour(named))


def _refuse_other(flavour: Flavour | None, geography: str) -> None:
    if flavour is not None and geography not in (AUTO, flavour):
        raise StartError(
            message=f"the database computes distances by {flavour}, the setting geography says {geography}"
        )


async def _choose(connection: asyncpg.Connection[Any], has: Flavour | None, geography: str) -> Flavour:
    _refuse_other(has, geography)
    if has is not None:
        return has
    postgis = await connection.fetchval(
        "select exists (select from pg_available_extensions where name = 'postgis')"
    )
    if geography != AUTO:
        if geography == Flavour.POSTGIS and not postgis:
            raise StartError(
                message="the database server has no PostGIS, which the setting geography asks for"
            )
        return Flavour(geography)
    return Flavour.POSTGIS if postgis else Flavour.EARTHDISTANCE


async def run(dsn: str, work: Callable[[Connection], None]) -> None:
    """Call ``work`` with a SQLAlchemy connection, in one transaction."""
    import asyncpg
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    except (SQLAlchemyError, OSError) as error:
        said = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else None
        raise StartError(message=f"cannot prepare the database: {said or type(error).__name__}") from error
    finally:
        await engine.dispose()


def config(
    connection: Connection | None = None, flavour: Flavour | None = None, output: io.StringIO | None = None
) -> Config:
    """Alembic's configuration for our migrations, on a connection or, for both flavours, into a text."""
    from alembic.config import Config

    made = Config(output_buffer=output)
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    made.attributes["geography"] = flavour
    return made


def _migrate(connection: Connection, flavour: Flavour, step: str, revision: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        getattr(command, step)(config(connection, flavour), revision)
    except CommandError as error:
        raise StartError(message=f"cannot {step} the database: {error}") from error


def script(flavour: Flavour) -> str:
    """``head.sql`` for one flavour."""
    return re.sub(
        rf"^-- {MARK}(\w+);$",
        lambda found: "\n\n".join(f"{statement};" for statement in UP[found[1]][flavour]),
        HEAD_SQL.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )


def written() -> str:
    """All migrations as one script for an empty database, as ``head.sql`` holds it."""
    from alembic import command
    from alembic.script import ScriptDirectory

    output = io.StringIO()
    configured = config(output=output)
    revision = ScriptDirectory.from_config(configured).get_current_head()
    command.upgrade(configured, "head", sql=True)
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    return f"{_REVISION}{revision}\n" + "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    HEAD_SQL.write_text(written(), encoding="utf-8")
