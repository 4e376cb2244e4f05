"""What the operator's device lets others do with its camera, and what it does for people's privacy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "session",
        sa.Column(
            "controls",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="what the operator's device lets others do with its camera",
        ),
    )
    op.add_column(
        "session",
        sa.Column(
            "policy", postgresql.JSONB(), nullable=True, comment="what the device does for people's privacy"
        ),
    )


def downgrade() -> None:
    op.drop_column("session", "policy")
    op.drop_column("session", "controls")
