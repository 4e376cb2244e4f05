"""Alembic's entry: runs on the connection that ``schema.upgrade`` opened."""

from __future__ import annotations

from alembic import context

from luxxon_core.adapters.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
