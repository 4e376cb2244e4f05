"""Webhooks: who is to be told of what, what has to be sent to them, and how it went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="encrypted"),
        sa.Column(
            "former_secret", sa.LargeBinary(), nullable=True, comment="encrypted; signs beside the other"
        ),
        sa.Column("former_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "after_position",
            sa.BigInteger(),
            nullable=False,
            comment="of the log, what was before is not told",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: the newest answer was good",
        ),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "held_until", sa.DateTime(timezone=True), nullable=True, comment="the receiver's Retry-After"
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(disabled_at is null) = (disabled_reason is null)", name=op.f("webhook_disabled_check")
        ),
        sa.CheckConstraint(
            "(former_secret is null) = (former_until is null)", name=op.f("webhook_former_check")
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name=op.f("webhook_workspace_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_pkey")),
    )
    op.create_index(op.f("webhook_workspace_id_idx"), "webhook", ["workspace_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="their order"),
        sa.Column("id", sa.Uuid(), nullable=False, comment="webhook-id"),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column(
            "lane", sa.Uuid(), nullable=False, comment="the session; what is of one lane is sent one by one"
        ),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True, comment="no foreign key: the log is purged"),
        sa.Column("body", sa.Text(), nullable=False, comment="what is signed and sent, to the byte"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.CheckConstraint(
            "state in ('PENDING', 'SUCCEEDED', 'FAILED')", name=op.f("webhook_delivery_state_check")
        ),
        sa.CheckConstraint("cause in ('EVENT', 'REPLAY', 'TEST')", name=op.f("webhook_delivery_cause_check")),
        sa.CheckConstraint(
            "(state = 'PENDING') = (finished_at is null)", name=op.f("webhook_delivery_finished_check")
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name=op.f("webhook_delivery_webhook_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("webhook_delivery_pkey")),
        sa.UniqueConstraint("id", name=op.f("webhook_delivery_id_key")),
    )
    op.create_index("webhook_delivery_page_idx", "webhook_delivery", ["webhook_id", "number"], unique=False)
    op.create_index(
        "webhook_delivery_lane_idx",
        "webhook_delivery",
        ["webhook_id", "lane", "number"],
        unique=False,
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "webhook_delivery_event_idx", "webhook_delivery", ["webhook_id", "event_id"], unique=False
    )
    op.create_index(
        "webhook_delivery_finished_idx",
        "webhook_delivery",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("state <> 'PENDING'"),
    )
    op.create_table(
        "webhook_lane",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.Uuid(), nullable=False),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="of its first delivery, or of a lease",
        ),
        sa.Column("lease", sa.Uuid(), nullable=True, comment="of the server that is sending"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("webhook_lane_webhook_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("webhook_id", "lane", name=op.f("webhook_lane_pkey")),
    )
    op.create_index("webhook_lane_due_idx", "webhook_lane", ["webhook_id", "due_at"], unique=False)
    op.create_table(
        "webhook_tip",
        sa.Column("lone", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="of the log, made into deliveries"),
        sa.CheckConstraint("lone", name=op.f("webhook_tip_lone_check")),
        sa.PrimaryKeyConstraint("lone", name=op.f("webhook_tip_pkey")),
    )


def downgrade() -> None:
    for name in ("webhook_tip", "webhook_lane", "webhook_delivery", "webhook"):
        op.drop_table(name)
