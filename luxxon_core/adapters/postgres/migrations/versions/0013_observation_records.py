"""Observations are deleted some time after they have finished, and found by that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index(
        "observation_asked_idx",
        "observation",
        ["finished_at"],
        postgresql_where=sa.text("session_id is not null"),
    )
    op.create_index(
        "observation_refused_idx",
        "observation",
        ["finished_at"],
        postgresql_where=sa.text("session_id is null"),
    )


def downgrade() -> None:
    op.drop_index("observation_refused_idx", table_name="observation")
    op.drop_index("observation_asked_idx", table_name="observation")
