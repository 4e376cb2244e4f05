"""Alembic's entry: runs on the connection that ``schema`` opened, or writes the statements down."""

from __future__ import annotations

from alembic import context

from luxxon_core.adapters.postgres.tables import metadata

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=metadata, transactional_ddl=False)
else:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
