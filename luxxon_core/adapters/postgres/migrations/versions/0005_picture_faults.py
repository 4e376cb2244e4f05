"""Stretches of sessions in which the picture was black, frozen or not to be decoded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "picture_fault",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "fault in ('BLACK', 'FROZEN', 'UNDECODED')", name=op.f("picture_fault_fault_check")
        ),
        sa.CheckConstraint("closed_at >= opened_at", name=op.f("picture_fault_order_check")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("picture_fault_session_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("picture_fault_pkey")),
    )
    op.create_index(
        "picture_fault_one_open_key",
        "picture_fault",
        ["session_id", "fault"],
        unique=True,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index(op.f("picture_fault_session_id_idx"), "picture_fault", ["session_id"], unique=False)


def downgrade() -> None:
    op.drop_table("picture_fault")
    # what older servers cannot read
    op.execute("delete from event where kind in ('quality.degraded', 'quality.restored')")
