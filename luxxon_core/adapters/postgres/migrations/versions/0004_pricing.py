"""Indexes for prices, for lists of sessions by page, for what of a pool is spoken for and who is at work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

OPEN = sa.text("state in ('REQUESTED', 'ASSIGNED', 'LIVE')")


def upgrade() -> None:
    op.create_index(
        "workspace_busy_idx",
        "workspace",
        ["coverage_lat"],
        unique=False,
        postgresql_where=sa.text("availability = 'BUSY'"),
    )
    op.drop_index(op.f("session_consumer_workspace_id_idx"), table_name="session")
    op.drop_index(op.f("session_operator_workspace_id_idx"), table_name="session")
    op.create_index(
        "session_consumer_idx", "session", ["consumer_workspace_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "session_operator_idx", "session", ["operator_workspace_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "session_consumer_open_idx",
        "session",
        ["consumer_workspace_id"],
        unique=False,
        postgresql_where=OPEN,
    )
    op.create_index(
        "session_operator_open_idx",
        "session",
        ["operator_workspace_id"],
        unique=False,
        postgresql_where=sa.text("state in ('ASSIGNED', 'LIVE')"),
    )
    op.create_index(op.f("session_created_at_idx"), "session", ["created_at"], unique=False)
    op.create_index(
        "settlement_unpaid_idx",
        "settlement",
        ["consumer_wallet"],
        unique=False,
        postgresql_where=sa.text("state <> 'CONFIRMED'"),
    )
    op.create_index(
        "settlement_paid_idx",
        "settlement",
        ["consumer_wallet", "block_number"],
        unique=False,
        postgresql_where=sa.text("state = 'CONFIRMED'"),
    )


def downgrade() -> None:
    for name in ("settlement_paid_idx", "settlement_unpaid_idx"):
        op.drop_index(name, table_name="settlement")
    for name in (
        "session_created_at_idx",
        "session_operator_open_idx",
        "session_consumer_open_idx",
        "session_operator_idx",
        "session_consumer_idx",
    ):
        op.drop_index(name, table_name="session")
    op.create_index(
        op.f("session_operator_workspace_id_idx"), "session", ["operator_workspace_id"], unique=False
    )
    op.create_index(
        op.f("session_consumer_workspace_id_idx"), "session", ["consumer_workspace_id"], unique=False
    )
    op.drop_index("workspace_busy_idx", table_name="workspace")
