"""What an API key may spend, a day and a session, and where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"

INDEX = "session_budget_idx"


def upgrade() -> None:
    for name, comment in (
        ("daily_cap_uusdc", "what sessions created on one UTC day may cost; null: no cap"),
        ("session_cap_uusdc", "what one session may cost; null: no cap"),
    ):
        op.add_column("api_key", sa.Column(name, sa.BigInteger(), nullable=True, comment=comment))
    op.add_column(
        "api_key",
        sa.Column(
            "areas",
            postgresql.JSONB(),
            nullable=True,
            comment="circles that its requests must lie in; null: anywhere",
        ),
    )
    op.create_check_constraint(
        op.f("api_key_caps_check"), "api_key", "daily_cap_uusdc >= 0 and session_cap_uusdc >= 0"
    )
    op.add_column(
        "session",
        sa.Column(
            "budget_key_id",
            sa.Uuid(),
            sa.ForeignKey("api_key.id", name=op.f("session_budget_key_id_fkey")),
            nullable=True,
            comment="the API key whose budget it counts against; null: none",
        ),
    )
    op.create_index(
        INDEX,
        "session",
        ["budget_key_id", "created_at"],
        postgresql_where=sa.text("budget_key_id is not null"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="session")
    op.drop_column("session", "budget_key_id")
    op.drop_constraint(op.f("api_key_caps_check"), "api_key", type_="check")
    for name in ("areas", "session_cap_uusdc", "daily_cap_uusdc"):
        op.drop_column("api_key", name)
