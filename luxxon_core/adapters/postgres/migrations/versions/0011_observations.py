"""Observations: one frame of a place each, sold as a session of one unit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column(
        "session",
        sa.Column(
            "unit",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="sold as a whole: all of it is charged when something is delivered, else nothing",
        ),
    )
    op.create_table(
        "observation",
        sa.Column("id", sa.Uuid(), nullable=False, comment="that of its session, too"),
        sa.Column("consumer_workspace_id", sa.Uuid(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lng", sa.Double(), nullable=False),
        sa.Column("max_price_uusdc", sa.BigInteger(), nullable=False),
        sa.Column(
            "max_width", sa.Integer(), nullable=True, comment="of the frame, in pixels; null: as it comes"
        ),
        sa.Column("rate_uusdc", sa.BigInteger(), nullable=False),
        sa.Column(
            "unit_s", sa.Integer(), nullable=False, comment="the price is the rate for so many seconds"
        ),
        _moment("created_at", nullable=False),
        _moment("deadline", nullable=False),
        _moment("look_at", nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True, comment="null: it was never asked for"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="of a FAILED one"),
        _moment("finished_at"),
        _moment("captured_at"),
        sa.Column("position_lat", sa.Double(), nullable=True),
        sa.Column("position_lng", sa.Double(), nullable=True),
        sa.Column("position_accuracy_m", sa.Double(), nullable=True),
        sa.Column("position_source", sa.Text(), nullable=True),
        _moment("position_at"),
        sa.CheckConstraint("status in ('PENDING', 'READY', 'FAILED')", name=op.f("observation_status_check")),
        sa.CheckConstraint(
            "(status = 'PENDING') = (finished_at is null)", name=op.f("observation_finished_check")
        ),
        sa.CheckConstraint(
            "(status = 'FAILED') = (reason is not null)", name=op.f("observation_reason_check")
        ),
        sa.CheckConstraint(
            "(status = 'READY') = (captured_at is not null)", name=op.f("observation_captured_check")
        ),
        sa.CheckConstraint(
            "status = 'FAILED' or rate_uusdc * unit_s <= max_price_uusdc",
            name=op.f("observation_price_check"),
        ),
        sa.ForeignKeyConstraint(
            ["consumer_workspace_id"],
            ["workspace.id"],
            name=op.f("observation_consumer_workspace_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("observation_session_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("observation_pkey")),
    )
    op.create_index(
        "observation_due_idx",
        "observation",
        ["look_at"],
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "observation_frame",
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("jpeg", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        _moment("expires_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["observation_id"], ["observation.id"], name=op.f("observation_frame_observation_id_fkey")
        ),
        sa.PrimaryKeyConstraint("observation_id", name=op.f("observation_frame_pkey")),
    )
    op.create_index("observation_frame_expires_at_idx", "observation_frame", ["expires_at", "observation_id"])


def downgrade() -> None:
    op.drop_table("observation_frame")
    op.drop_table("observation")
    op.drop_column("session", "unit")
