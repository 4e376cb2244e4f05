"""Lanes of webhooks know where their pending deliveries begin; and how long a receiver went untried.

No index holds what a delivery's end changes: the new version of the row lies beside the old one, and no index
is written for it (a HOT update).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

FILLFACTOR = 50
"""Each delivery is written twice, as a rule."""


def upgrade() -> None:
    op.add_column(
        "webhook",
        sa.Column(
            "failed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the newest attempt that failed, to about 10 s",
        ),
    )
    op.add_column(
        "webhook",
        sa.Column(
            "untried",
            sa.Interval(),
            server_default=sa.text("'0'::interval"),
            nullable=False,
            comment="of the time since failing_since, that in which nothing was attempted",
        ),
    )
    op.execute("update webhook set failed_at = now() where failing_since is not null")
    op.add_column(
        "webhook_lane",
        sa.Column(
            "head", sa.BigInteger(), nullable=True, comment="no delivery before this number is pending"
        ),
    )
    op.execute(
        "update webhook_lane l set head = coalesce((select min(d.number) from webhook_delivery d"
        " where d.webhook_id = l.webhook_id and d.lane = l.lane and d.state = 'PENDING'), 0)"
    )
    op.alter_column("webhook_lane", "head", nullable=False)
    # what came while its webhook was being disabled has lost its lane, and would be pending for ever
    op.execute(
        "insert into webhook_lane (webhook_id, lane, due_at, head)"
        " select webhook_id, lane, now(), min(number) from webhook_delivery where state = 'PENDING'"
        " group by webhook_id, lane on conflict (webhook_id, lane) do nothing"
    )
    op.drop_index("webhook_delivery_finished_idx", table_name="webhook_delivery")
    op.drop_index("webhook_delivery_lane_idx", table_name="webhook_delivery")
    op.create_index("webhook_delivery_lane_idx", "webhook_delivery", ["webhook_id", "lane", "number"])
    op.execute(f"alter table webhook_delivery set (fillfactor = {FILLFACTOR})")


def downgrade() -> None:
    op.execute("alter table webhook_delivery reset (fillfactor)")
    op.drop_index("webhook_delivery_lane_idx", table_name="webhook_delivery")
    op.create_index(
        "webhook_delivery_lane_idx",
        "webhook_delivery",
        ["webhook_id", "lane", "number"],
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "webhook_delivery_finished_idx",
        "webhook_delivery",
        ["finished_at"],
        postgresql_where=sa.text("state <> 'PENDING'"),
    )
    op.drop_column("webhook_lane", "head")
    op.drop_column("webhook", "untried")
    op.drop_column("webhook", "failed_at")
