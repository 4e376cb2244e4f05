"""Quotes, idempotency, events, telemetry, the chain's ledger; live inputs that can move to another edge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "chain_block",
        sa.Column(
            "contract", sa.Text(), nullable=False, comment="chain id and address of the settlement contract"
        ),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("contract", "number", name=op.f("chain_block_pkey")),
        comment="the newest blocks that the watcher has consumed; another hash is a reorganisation",
    )
    op.create_table(
        "chain_cursor",
        sa.Column(
            "contract", sa.Text(), nullable=False, comment="chain id and address of the settlement contract"
        ),
        sa.Column("block_number", sa.BigInteger(), nullable=False, comment="the highest block consumed"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contract", name=op.f("chain_cursor_pkey")),
    )
    op.create_table(
        "chain_pool",
        sa.Column(
            "contract", sa.Text(), nullable=False, comment="chain id and address of the settlement contract"
        ),
        sa.Column("wallet_address", sa.Text(), nullable=False),
        sa.Column("balance_uusdc", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contract", "wallet_address", name=op.f("chain_pool_pkey")),
    )
    op.create_table(
        "idempotency",
        sa.Column(
            "caller", sa.Text(), nullable=False, comment="key, wallet or address that sent the request"
        ),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the Idempotency-Key"),
        sa.Column(
            "fingerprint", sa.LargeBinary(), nullable=False, comment="sha256 of method, path, query and body"
        ),
        sa.Column(
            "answer",
            sa.LargeBinary(),
            nullable=True,
            comment="encrypted with a key made from the Idempotency-Key",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "lease_until", sa.DateTime(timezone=True), nullable=False, comment="while the first request runs"
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key_hash", name=op.f("idempotency_pkey")),
    )
    op.create_index(op.f("idempotency_expires_at_idx"), "idempotency", ["expires_at"], unique=False)
    op.create_table(
        "chain_event",
        sa.Column("id", sa.Uuid(), nullable=False, comment="made of contract, transaction, log and wallet"),
        sa.Column(
            "contract", sa.Text(), nullable=False, comment="chain id and address of the settlement contract"
        ),
        sa.Column(
            "wallet_address", sa.Text(), nullable=False, comment="seen by every workspace of the wallet"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column(
            "confirmed_at", sa.DateTime(timezone=True), nullable=False, comment="the block's timestamp"
        ),
        sa.Column("amount_uusdc", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column(
            "pool_change_uusdc",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="their sum is the wallet's pool",
        ),
        sa.Column("related_session", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "kind in ('DEPOSIT', 'WITHDRAWAL', 'SETTLE', 'APPROVAL')", name=op.f("chain_event_kind_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("chain_event_pkey")),
        sa.UniqueConstraint(
            "contract",
            "tx_hash",
            "log_index",
            "wallet_address",
            name=op.f("chain_event_contract_tx_hash_log_index_wallet_address_key"),
        ),
    )
    op.create_index("chain_event_block_idx", "chain_event", ["contract", "block_number"], unique=False)
    op.create_index(
        "chain_event_page_idx",
        "chain_event",
        ["wallet_address", "contract", "block_number", "log_index"],
        unique=False,
    )
    op.create_table(
        "relationship_outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("wallet_address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("relationship_outbox_workspace_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("relationship_outbox_pkey")),
    )
    op.create_index("relationship_outbox_workspace_idx", "relationship_outbox", ["workspace_id", "id"])
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "position",
            sa.BigInteger(),
            nullable=True,
            comment="its place in the log; null until it is published",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "session_id",
            sa.Uuid(),
            nullable=False,
            comment="no foreign key: its check would cost every writer",
        ),
        sa.Column("consumer_workspace_id", sa.Uuid(), nullable=False),
        sa.Column("operator_workspace_id", sa.Uuid(), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("event_pkey")),
    )
    op.create_index(
        "event_unpublished_idx",
        "event",
        ["id"],
        unique=False,
        postgresql_where=sa.text("position is null"),
    )
    op.create_index(
        "event_position_key",
        "event",
        ["position"],
        unique=True,
        postgresql_where=sa.text("position is not null"),
    )
    op.create_index(
        "event_session_idx",
        "event",
        ["session_id", "position"],
        unique=False,
        postgresql_where=sa.text("position is not null"),
    )
    op.create_index(
        "event_consumer_idx",
        "event",
        ["consumer_workspace_id", "position"],
        unique=False,
        postgresql_where=sa.text("position is not null"),
    )
    op.create_index(
        "event_operator_idx",
        "event",
        ["operator_workspace_id", "position"],
        unique=False,
        postgresql_where=sa.text("position is not null"),
    )
    op.create_index(
        "event_one_sample_a_second_key",
        "event",
        ["session_id", sa.text("date_trunc('second'::text, (at AT TIME ZONE 'UTC'::text))")],
        unique=True,
        postgresql_where=sa.text("kind = 'telemetry.sample'"),
    )
    op.create_table(
        "event_tip",
        sa.Column("lone", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="the last that was given to an event"),
        sa.CheckConstraint("lone", name=op.f("event_tip_lone_check")),
        sa.PrimaryKeyConstraint("lone", name=op.f("event_tip_pkey")),
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lng", sa.Double(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("base_rate_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("supply_bps", sa.Integer(), nullable=False),
        sa.Column("demand_bps", sa.Integer(), nullable=False),
        sa.Column("corridor_bps", sa.Integer(), nullable=False),
        sa.Column("rate_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_by_session", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["used_by_session"], ["session.id"], name=op.f("quote_used_by_session_fkey")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name=op.f("quote_workspace_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quote_pkey")),
        sa.UniqueConstraint("used_by_session", name=op.f("quote_used_by_session_key")),
    )
    op.create_index(op.f("quote_expires_at_idx"), "quote", ["expires_at"], unique=False)
    op.create_table(
        "telemetry_sample",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lng", sa.Double(), nullable=False),
        sa.Column("accuracy_m", sa.REAL(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False, comment="the signature is the operator's wallet's"),
        sa.Column("sensors", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["session.id"], name=op.f("telemetry_sample_session_id_fkey")
        ),
        sa.PrimaryKeyConstraint("session_id", "captured_at", name=op.f("telemetry_sample_pkey")),
    )
    op.add_column(
        "live_input",
        sa.Column(
            "last_event_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the newest notification of an outside edge happened; older ones are ignored",
        ),
    )
    op.drop_constraint(op.f("live_input_session_id_key"), "live_input", type_="unique")
    op.create_index(
        "live_input_one_per_session_key",
        "live_input",
        ["session_id"],
        unique=True,
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.drop_constraint(op.f("workspace_coverage_whole_check"), "workspace")
    op.create_check_constraint(
        op.f("workspace_coverage_whole_check"),
        "workspace",
        "availability <> 'ONLINE' or num_nulls(coverage_lat, coverage_lng, coverage_radius_m) = 0",
    )


def downgrade() -> None:
    # what the older constraints do not allow: circles half known, and live inputs that moved to another edge
    op.execute(
        "update workspace set coverage_lat = null, coverage_lng = null, coverage_radius_m = null"
        " where num_nulls(coverage_lat, coverage_lng, coverage_radius_m) in (1, 2)"
    )
    op.execute(
        "delete from live_input l where l.deleted_at is not null and exists (select from live_input k"
        " where k.session_id = l.session_id"
        " and (k.deleted_at is null or (k.deleted_at, k.uid) > (l.deleted_at, l.uid)))"
    )
    op.drop_constraint(op.f("workspace_coverage_whole_check"), "workspace")
    op.create_check_constraint(
        op.f("workspace_coverage_whole_check"),
        "workspace",
        "num_nulls(coverage_lat, coverage_lng, coverage_radius_m) in (0, 3)",
    )
    op.drop_index(
        "live_input_one_per_session_key",
        table_name="live_input",
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.create_unique_constraint(op.f("live_input_session_id_key"), "live_input", ["session_id"])
    op.drop_column("live_input", "last_event_at")
    op.drop_table("telemetry_sample")
    op.drop_index(op.f("quote_expires_at_idx"), table_name="quote")
    op.drop_table("quote")
    op.drop_table("event_tip")
    op.drop_table("event")
    op.drop_index("relationship_outbox_workspace_idx", table_name="relationship_outbox")
    op.drop_table("relationship_outbox")
    op.drop_index("chain_event_page_idx", table_name="chain_event")
    op.drop_index("chain_event_block_idx", table_name="chain_event")
    op.drop_table("chain_event")
    op.drop_index(op.f("idempotency_expires_at_idx"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("chain_pool")
    op.drop_table("chain_cursor")
    op.drop_table("chain_block")
