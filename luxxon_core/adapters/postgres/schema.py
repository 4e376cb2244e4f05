"""Which schema a database has, and how it gets to the one this code needs (Alembic)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import StartError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def head() -> str:
    """The revision that this code needs."""
    from alembic.script import ScriptDirectory

    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


async def upgrade(dsn: str) -> None:
    """Bring the database to :func:`head`.

    Raises:
        StartError: its schema is newer than this code knows, or a migration failed.
    """
    await _run(dsn, _upgrade)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    current = MigrationContext.configure(connection).get_current_revision()
    if current == head():
        return
    if current is not None:
        try:
            ScriptDirectory.from_config(_config()).get_revision(current)
        except CommandError as error:
            raise StartError(
                message=f"the database has schema {current}, newer than this version of luxxon knows ({head()})"
            ) from error
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _run(dsn: str, work: object) -> None:
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)  # type: ignore[arg-type]
    except (SQLAlchemyError, OSError) as error:
        raise StartError(message=f"cannot prepare the database: {type(error).__name__}") from error
    finally:
        await engine.dispose()
