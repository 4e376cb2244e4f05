"""No index of busy suppliers: each dispatch paid for it, and open sessions tell who they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("workspace_busy_idx", table_name="workspace")


def downgrade() -> None:
    op.create_index(
        "workspace_busy_idx",
        "workspace",
        ["coverage_lat"],
        unique=False,
        postgresql_where=sa.text("availability = 'BUSY'"),
    )
