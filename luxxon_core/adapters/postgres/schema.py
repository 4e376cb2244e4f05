"""Which schema a database has, and how it gets to the one this code needs.

Alembic owns the history. An empty database gets ``migrations/head.sql``, the same statements written down,
and one that is up to date is left alone: neither pays for importing Alembic and SQLAlchemy. A test holds the
file against the migrations; ``python -m luxxon_core.adapters.postgres.schema`` writes it anew.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import StartError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD_SQL = MIGRATIONS / "head.sql"
_REVISION = "-- revision: "


@cache
def head() -> str:
    """The revision that this code needs: the first line of ``head.sql``."""
    with HEAD_SQL.open(encoding="utf-8") as file:
        return file.readline().removeprefix(_REVISION).strip()


async def upgrade(dsn: str) -> None:
    """Bring the database to :func:`head`.

    Raises:
        StartError: unreachable, its schema is newer than this code knows, or a migration failed.
    """
    import asyncpg

    try:
        connection = await asyncpg.connect(dsn)
        try:
            known = await connection.fetchval("select to_regclass('alembic_version') is not null")
            current = await connection.fetchval("select version_num from alembic_version") if known else None
            if current == head():
                return
            if not known:
                async with connection.transaction():
                    await connection.execute(HEAD_SQL.read_text(encoding="utf-8"))
                return
        finally:
            await connection.close()
    except (asyncpg.PostgresError, OSError) as error:
        raise StartError(message=f"cannot prepare the database: {error}") from error
    except (asyncpg.InterfaceError, ValueError) as error:
        # the text of these may repeat the address, password included
        raise StartError(message="the database URL is not one of PostgreSQL") from error
    await run(dsn, lambda opened: _upgrade(opened, current))


async def run(dsn: str, work: Callable[[Connection], None]) -> None:
    """Call ``work`` with a SQLAlchemy connection, in one transaction."""
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    except (SQLAlchemyError, OSError) as error:
        raise StartError(message=f"cannot prepare the database: {type(error).__name__}") from error
    finally:
        await engine.dispose()


def config(connection: Connection | None = None, output: io.StringIO | None = None) -> Config:
    """Alembic's configuration for our migrations, on a connection or into a text."""
    from alembic.config import Config

    made = Config(output_buffer=output)
    made.set_main_option("script_location", str(MIGRATIONS))
    if connection is not None:
        made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection, current: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    configured = config(connection)
    try:
        if current is not None:  # None: a database that was downgraded to nothing
            ScriptDirectory.from_config(configured).get_revision(current)
    except CommandError as error:
        raise StartError(
            message=f"the database has schema {current}, newer than this version of luxxon knows ({head()})"
        ) from error
    command.upgrade(configured, "head")


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
