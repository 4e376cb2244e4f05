"""Workspaces, keys, sessions, windows, settlements; coverage by earthdistance where that is the flavour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from luxxon_core.adapters.postgres import geography

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "challenge",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("wallet_address", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("nonce", name=op.f("challenge_pkey")),
    )
    op.create_table(
        "edge_alive",
        sa.Column("edge", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), nullable=False, comment="when the edge was last being served"
        ),
        sa.PrimaryKeyConstraint("edge", name=op.f("edge_alive_pkey")),
    )
    op.create_table(
        "workspace",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("wallet_address", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("availability", sa.Text(), server_default="OFFLINE", nullable=False),
        sa.Column(
            "wished_availability", sa.Text(), nullable=True, comment="what a BUSY supplier asked to return to"
        ),
        sa.Column("coverage_lat", sa.Double(), nullable=True),
        sa.Column("coverage_lng", sa.Double(), nullable=True),
        sa.Column("coverage_radius_m", sa.Double(), nullable=True),
        sa.Column("device_kind", sa.Text(), nullable=True),
        sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sequence", sa.BigInteger(), nullable=True),
        sa.Column("last_lat", sa.Double(), nullable=True),
        sa.Column("last_lng", sa.Double(), nullable=True),
        sa.Column("last_accuracy_m", sa.REAL(), nullable=True),
        sa.Column("last_speed_mps", sa.REAL(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by_wallet", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "availability in ('OFFLINE', 'ONLINE', 'BUSY')", name=op.f("workspace_availability_check")
        ),
        sa.CheckConstraint(
            "wished_availability in ('OFFLINE', 'ONLINE')", name=op.f("workspace_wished_check")
        ),
        sa.CheckConstraint(
            "num_nulls(coverage_lat, coverage_lng, coverage_radius_m) in (0, 3)",
            name=op.f("workspace_coverage_whole_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("workspace_pkey")),
        sa.UniqueConstraint("slug", name=op.f("workspace_slug_key")),
    )
    op.create_index(op.f("workspace_wallet_address_idx"), "workspace", ["wallet_address"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="sha256 of the plaintext"),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grace_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by_wallet", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name=op.f("api_key_workspace_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_key_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_key_hash_key")),
    )
    op.create_index(op.f("api_key_workspace_id_idx"), "api_key", ["workspace_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("consumer_workspace_id", sa.Uuid(), nullable=False),
        sa.Column("operator_workspace_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_lat", sa.Double(), nullable=False),
        sa.Column("requested_lng", sa.Double(), nullable=False),
        sa.Column("geofence_radius_m", sa.Double(), nullable=False),
        sa.Column("max_duration_s", sa.Integer(), nullable=False),
        sa.Column("wait_timeout_s", sa.Integer(), nullable=False),
        sa.Column("rate_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("hold_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("platform_fee_bps", sa.Integer(), nullable=False),
        sa.Column("dispatched", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clean_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("charged_uusdc", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "(state in ('ENDED', 'EXPIRED', 'CANCELLED')) = (ended_at is not null)",
            name=op.f("session_ended_check"),
        ),
        sa.CheckConstraint(
            "state in ('REQUESTED', 'ASSIGNED', 'LIVE', 'PAUSED', 'ENDED', 'EXPIRED', 'CANCELLED')",
            name=op.f("session_state_check"),
        ),
        sa.CheckConstraint("charged_uusdc = clean_seconds * rate_uusdc", name=op.f("session_charge_check")),
        sa.CheckConstraint("clean_seconds between 0 and max_duration_s", name=op.f("session_clean_check")),
        sa.ForeignKeyConstraint(
            ["consumer_workspace_id"], ["workspace.id"], name=op.f("session_consumer_workspace_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["operator_workspace_id"], ["workspace.id"], name=op.f("session_operator_workspace_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
    )
    op.create_index(
        op.f("session_consumer_workspace_id_idx"), "session", ["consumer_workspace_id"], unique=False
    )
    op.create_index(
        "session_open_idx",
        "session",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state in ('REQUESTED', 'ASSIGNED', 'LIVE')"),
    )
    op.create_index(
        op.f("session_operator_workspace_id_idx"), "session", ["operator_workspace_id"], unique=False
    )
    op.create_table(
        "workspace_member",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("wallet_address", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role in ('OWNER', 'ADMIN', 'VIEWER')", name=op.f("workspace_member_role_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("workspace_member_workspace_id_fkey")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "wallet_address", name=op.f("workspace_member_pkey")),
    )
    op.create_index(
        op.f("workspace_member_wallet_address_idx"), "workspace_member", ["wallet_address"], unique=False
    )
    op.create_table(
        "disconnect_window",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "reason in ('NETWORK_ERROR', 'STALE_TELEMETRY', 'OUTSIDE_GEOFENCE')",
            name=op.f("disconnect_window_reason_check"),
        ),
        sa.CheckConstraint("closed_at >= opened_at", name=op.f("disconnect_window_order_check")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["session.id"], name=op.f("disconnect_window_session_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("disconnect_window_pkey")),
    )
    op.create_index(
        "disconnect_window_one_open_key",
        "disconnect_window",
        ["session_id", "reason"],
        unique=True,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index(
        op.f("disconnect_window_session_id_idx"), "disconnect_window", ["session_id"], unique=False
    )
    op.create_table(
        "live_input",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("edge", sa.Text(), nullable=False),
        sa.Column("whip_url", sa.Text(), nullable=False),
        sa.Column("whep_url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("live_input_session_id_fkey")),
        sa.PrimaryKeyConstraint("uid", name=op.f("live_input_pkey")),
        sa.UniqueConstraint("session_id", name=op.f("live_input_session_id_key")),
    )
    op.create_table(
        "settlement",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("consumer_wallet", sa.Text(), nullable=False),
        sa.Column("operator_wallet", sa.Text(), nullable=False),
        sa.Column("rate_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("chargeable_seconds", sa.Integer(), nullable=False),
        sa.Column("to_amount_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("fee_amount_uusdc", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=True, comment="address whose nonce the transaction uses"),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column(
            "raw_tx",
            sa.LargeBinary(),
            nullable=True,
            comment="signed transaction, stored before it is broadcast",
        ),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state <> 'SUBMITTED' or tx_hash is not null", name=op.f("settlement_submitted_check")
        ),
        sa.CheckConstraint(
            "state in ('PENDING', 'SUBMITTED', 'CONFIRMED')", name=op.f("settlement_state_check")
        ),
        sa.CheckConstraint(
            "to_amount_uusdc + fee_amount_uusdc = rate_uusdc * chargeable_seconds",
            name=op.f("settlement_amount_check"),
        ),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("settlement_session_id_fkey")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("settlement_pkey")),
    )
    op.create_index(
        "settlement_due_idx",
        "settlement",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state <> 'CONFIRMED'"),
    )
    op.create_index(
        "settlement_signer_nonce_key",
        "settlement",
        ["signer", "nonce"],
        unique=True,
        postgresql_where=sa.text("state = 'SUBMITTED'"),
    )
    for statement in geography.up(revision, context.config.attributes["geography"]):
        op.execute(statement)


def downgrade() -> None:
    for statement in geography.DOWN[revision][context.config.attributes["geography"]]:
        op.execute(statement)
    op.drop_index(
        "settlement_signer_nonce_key",
        table_name="settlement",
        postgresql_where=sa.text("state = 'SUBMITTED'"),
    )
    op.drop_index(
        "settlement_due_idx", table_name="settlement", postgresql_where=sa.text("state <> 'CONFIRMED'")
    )
    op.drop_table("settlement")
    op.drop_table("live_input")
    op.drop_index(op.f("disconnect_window_session_id_idx"), table_name="disconnect_window")
    op.drop_index(
        "disconnect_window_one_open_key",
        table_name="disconnect_window",
        postgresql_where=sa.text("closed_at is null"),
    )
    op.drop_table("disconnect_window")
    op.drop_index(op.f("workspace_member_wallet_address_idx"), table_name="workspace_member")
    op.drop_table("workspace_member")
    op.drop_index(op.f("session_operator_workspace_id_idx"), table_name="session")
    op.drop_index(
        "session_open_idx",
        table_name="session",
        postgresql_where=sa.text("state in ('REQUESTED', 'ASSIGNED', 'LIVE')"),
    )
    op.drop_index(op.f("session_consumer_workspace_id_idx"), table_name="session")
    op.drop_table("session")
    op.drop_index(op.f("api_key_workspace_id_idx"), table_name="api_key")
    op.drop_table("api_key")
    op.drop_index(op.f("workspace_wallet_address_idx"), table_name="workspace")
    op.drop_table("workspace")
    op.drop_table("edge_alive")
    op.drop_table("challenge")
