"""Coverage by PostGIS or earthdistance: who is idle for longest from the index, open sessions by place."""

from __future__ import annotations

from alembic import context, op

from luxxon_core.adapters.postgres import geography

revision = "0003"
down_revision = "0002"

STORAGE = {
    "fillfactor": "80",
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_threshold": "500",
}
"""Room for a new version of a row beside the old one; and the index rid of claimed suppliers soon, which a
pick has to pass over until they are vacuumed away."""


def upgrade() -> None:
    op.execute(f"alter table workspace set ({', '.join(' = '.join(one) for one in STORAGE.items())})")
    for statement in geography.up(revision, context.config.attributes["geography"]):
        op.execute(statement)


def downgrade() -> None:
    for statement in geography.DOWN[revision][context.config.attributes["geography"]]:
        op.execute(statement)
    op.execute(f"alter table workspace reset ({', '.join(STORAGE)})")
