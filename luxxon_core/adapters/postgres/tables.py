"""The schema, for Alembic and for people. Requests run the statements of ``sql/`` instead.

Both flavours share these tables; what differs (functions and indexes over geography) is made by the
migrations behind the same names, ``lx_covers`` first of all.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def _moment(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


workspace = Table(
    "workspace",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("wallet_address", Text, nullable=False, index=True),
    Column("roles", ARRAY(Text), nullable=False),
    Column("availability", Text, nullable=False, server_default="OFFLINE"),
    Column("wished_availability", Text, comment="what a BUSY supplier asked to return to"),
    Column("coverage_lat", Double),
    Column("coverage_lng", Double),
    Column("coverage_radius_m", Double),
    Column("device_kind", Text),
    _moment("idle_since"),
    _moment("last_seen_at"),
    Column("last_sequence", BigInteger),
    Column("last_lat", Double),
    Column("last_lng", Double),
    Column("last_accuracy_m", REAL),
    Column("last_speed_mps", REAL),
    _moment("created_at", nullable=False),
    Column("created_by_wallet", Text, nullable=False),
    _moment("deleted_at"),
    CheckConstraint("availability in ('OFFLINE', 'ONLINE', 'BUSY')", name="availability"),
    CheckConstraint("wished_availability in ('OFFLINE', 'ONLINE')", name="wished"),
    CheckConstraint(
        "availability <> 'ONLINE' or num_nulls(coverage_lat, coverage_lng, coverage_radius_m) = 0",
        name="coverage_whole",
    ),
    Index("workspace_busy_idx", "coverage_lat", postgresql_where=text("availability = 'BUSY'")),
)

workspace_member = Table(
    "workspace_member",
    metadata,
    Column("workspace_id", ForeignKey("workspace.id"), primary_key=True),
    Column("wallet_address", Text, primary_key=True, index=True),
    Column("role", Text, nullable=False),
    _moment("created_at", nullable=False),
    CheckConstraint("role in ('OWNER', 'ADMIN', 'VIEWER')", name="role"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="sha256 of the plaintext"),
    Column("prefix", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _moment("last_used_at"),
    _moment("revoked_at"),
    _moment("grace_period_end"),
    _moment("created_at", nullable=False),
    Column("created_by_wallet", Text, nullable=False),
)

challenge = Table(
    "challenge",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("wallet_address", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("message", Text, nullable=False),
    _moment("expires_at", nullable=False),
    _moment("used_at"),
)

session = Table(
    "session",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("consumer_workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("operator_workspace_id", ForeignKey("workspace.id")),
    Column("state", Text, nullable=False),
    Column("requested_lat", Double, nullable=False),
    Column("requested_lng", Double, nullable=False),
    Column("geofence_radius_m", Double, nullable=False),
    Column("max_duration_s", Integer, nullable=False),
    Column("wait_timeout_s", Integer, nullable=False),
    Column("rate_uusdc", BigInteger, nullable=False),
    Column("hold_uusdc", BigInteger, nullable=False),
    Column("platform_fee_bps", Integer, nullable=False),
    Column("dispatched", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
    _moment("assigned_at"),
    _moment("started_at"),
    _moment("ended_at"),
    Column("clean_seconds", Integer, nullable=False, server_default="0"),
    Column("charged_uusdc", BigInteger, nullable=False, server_default="0"),
    CheckConstraint(
        "state in ('REQUESTED', 'ASSIGNED', 'LIVE', 'PAUSED', 'ENDED', 'EXPIRED', 'CANCELLED')", name="state"
    ),
    CheckConstraint("charged_uusdc = clean_seconds * rate_uusdc", name="charge"),
    CheckConstraint("clean_seconds between 0 and max_duration_s", name="clean"),
    CheckConstraint("(state in ('ENDED', 'EXPIRED', 'CANCELLED')) = (ended_at is not null)", name="ended"),
    Index("session_open_idx", "state", postgresql_where=text("state in ('REQUESTED', 'ASSIGNED', 'LIVE')")),
    Index("session_consumer_idx", "consumer_workspace_id", "created_at", "id"),
    Index("session_operator_idx", "operator_workspace_id", "created_at", "id"),
    Index(
        "session_operator_open_idx",
        "operator_workspace_id",
        postgresql_where=text("state in ('ASSIGNED', 'LIVE')"),
    ),
    Index(
        "session_consumer_open_idx",
        "consumer_workspace_id",
        postgresql_where=text("state in ('REQUESTED', 'ASSIGNED', 'LIVE')"),
    ),
)

live_input = Table(
    "live_input",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("session_id", ForeignKey("session.id"), nullable=False),
    Column("edge", Text, nullable=False),
    Column("whip_url", Text, nullable=False),
    Column("whep_url", Text, nullable=False),
    _moment("created_at", nullable=False),
    _moment("deleted_at"),
    Column(
        "last_event_at",
        DateTime(timezone=True),
        comment="when the newest notification of an outside edge happened; older ones are ignored",
    ),
    Index(
        "live_input_one_per_session_key",
        "session_id",
        unique=True,
        postgresql_where=text("deleted_at is null"),
    ),
)

edge_alive = Table(
    "edge_alive",
    metadata,
    Column("edge", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, comment="when the edge was last being served"),
)

disconnect_window = Table(
    "disconnect_window",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", ForeignKey("session.id"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    _moment("opened_at", nullable=False),
    _moment("closed_at"),
    CheckConstraint("reason in ('NETWORK_ERROR', 'STALE_TELEMETRY', 'OUTSIDE_GEOFENCE')", name="reason"),
    CheckConstraint("closed_at >= opened_at", name="order"),
    Index(
        "disconnect_window_one_open_key",
        "session_id",
        "reason",
        unique=True,
        postgresql_where=text("closed_at is null"),
    ),
)

settlement = Table(
    "settlement",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True),
    Column("state", Text, nullable=False, server_default="PENDING"),
    Column("consumer_wallet", Text, nullable=False),
    Column("operator_wallet", Text, nullable=False),
    Column("rate_uusdc", BigInteger, nullable=False),
    Column("chargeable_seconds", Integer, nullable=False),
    Column("to_amount_uusdc", BigInteger, nullable=False),
    Column("fee_amount_uusdc", BigInteger, nullable=False),
    Column("signer", Text, comment="address whose nonce the transaction uses"),
    Column("nonce", BigInteger),
    Column("raw_tx", LargeBinary, comment="signed transaction, stored before it is broadcast"),
    Column("tx_hash", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _moment("next_attempt_at", nullable=False),
    Column("last_error", Text),
    _moment("created_at", nullable=False),
    _moment("submitted_at"),
    _moment("confirmed_at"),
    Column("block_number", BigInteger),
    CheckConstraint("state in ('PENDING', 'SUBMITTED', 'CONFIRMED')", name="state"),
    CheckConstraint("to_amount_uusdc + fee_amount_uusdc = rate_uusdc * chargeable_seconds", name="amount"),
    CheckConstraint("state <> 'SUBMITTED' or tx_hash is not null", name="submitted"),
    Index(
        "settlement_signer_nonce_key",
        "signer",
        "nonce",
        unique=True,
        postgresql_where=text("state = 'SUBMITTED'"),
    ),
    Index("settlement_unpaid_idx", "consumer_wallet", postgresql_where=text("state <> 'CONFIRMED'")),
    Index(
        "settlement_paid_idx",
        "consumer_wallet",
        "block_number",
        postgresql_where=text("state = 'CONFIRMED'"),
    ),
    Index("settlement_due_idx", "next_attempt_at", postgresql_where=text("state <> 'CONFIRMED'")),
)

quote = Table(
    "quote",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("lat", Double, nullable=False),
    Column("lng", Double, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("base_rate_uusdc", BigInteger, nullable=False),
    Column("supply_bps", Integer, nullable=False),
    Column("demand_bps", Integer, nullable=False),
    Column("corridor_bps", Integer, nullable=False),
    Column("rate_uusdc", BigInteger, nullable=False),
    _moment("created_at", nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("used_by_session", ForeignKey("session.id"), unique=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", Text, primary_key=True, comment="key, wallet or address that sent the request"),
    Column("key_hash", LargeBinary, primary_key=True, comment="sha256 of the Idempotency-Key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="sha256 of method, path, query and body"),
    Column("answer", LargeBinary, comment="encrypted with a key made from the Idempotency-Key"),
    _moment("created_at", nullable=False),
    Column("lease_until", DateTime(timezone=True), nullable=False, comment="while the first request runs"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("position", BigInteger, comment="its place in the log; null until it is published"),
    Column("kind", Text, nullable=False),
    Column("session_id", Uuid, nullable=False, comment="no foreign key: its check would cost every writer"),
    Column("consumer_workspace_id", Uuid, nullable=False),
    Column("operator_workspace_id", Uuid),
    Column("data", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("event_unpublished_idx", "id", postgresql_where=text("position is null")),
    Index("event_position_key", "position", unique=True, postgresql_where=text("position is not null")),
    Index("event_session_idx", "session_id", "position", postgresql_where=text("position is not null")),
    Index(
        "event_consumer_idx",
        "consumer_workspace_id",
        "position",
        postgresql_where=text("position is not null"),
    ),
    Index(
        "event_operator_idx",
        "operator_workspace_id",
        "position",
        postgresql_where=text("position is not null"),
    ),
    Index(
        "event_one_sample_a_second_key",
        "session_id",
        text("date_trunc('second'::text, (at AT TIME ZONE 'UTC'::text))"),
        unique=True,
        postgresql_where=text("kind = 'telemetry.sample'"),
    ),
)

event_tip = Table(
    "event_tip",
    metadata,
    Column("lone", Boolean, primary_key=True, server_default=text("true")),
    Column("position", BigInteger, nullable=False, comment="the last that was given to an event"),
    CheckConstraint("lone", name="lone"),
)

relationship_outbox = Table(
    "relationship_outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("wallet_address", Text, nullable=False),
    _moment("created_at", nullable=False),
    Index("relationship_outbox_workspace_idx", "workspace_id", "id"),
)

telemetry_sample = Table(
    "telemetry_sample",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True),
    Column("captured_at", DateTime(timezone=True), primary_key=True),
    _moment("received_at", nullable=False),
    Column("lat", Double, nullable=False),
    Column("lng", Double, nullable=False),
    Column("accuracy_m", REAL, nullable=False),
    Column("source", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("signed", Boolean, nullable=False, comment="the signature is the operator's wallet's"),
    Column("sensors", JSONB),
)

_CONTRACT = "chain id and address of the settlement contract"

chain_event = Table(
    "chain_event",
    metadata,
    Column("id", Uuid, primary_key=True, comment="made of contract, transaction, log and wallet"),
    Column("contract", Text, nullable=False, comment=_CONTRACT),
    Column("wallet_address", Text, nullable=False, comment="seen by every workspace of the wallet"),
    Column("kind", Text, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("confirmed_at", DateTime(timezone=True), nullable=False, comment="the block's timestamp"),
    Column("amount_uusdc", Numeric(78, 0), nullable=False),
    Column("pool_change_uusdc", Numeric(78, 0), nullable=False, comment="their sum is the wallet's pool"),
    Column("related_session", Uuid),
    CheckConstraint("kind in ('DEPOSIT', 'WITHDRAWAL', 'SETTLE', 'APPROVAL')", name="kind"),
    UniqueConstraint("contract", "tx_hash", "log_index", "wallet_address"),
    Index("chain_event_page_idx", "wallet_address", "contract", "block_number", "log_index"),
    Index("chain_event_block_idx", "contract", "block_number"),
)

chain_block = Table(
    "chain_block",
    metadata,
    Column("contract", Text, primary_key=True, comment=_CONTRACT),
    Column("number", BigInteger, primary_key=True),
    Column("hash", Text, nullable=False),
    comment="the newest blocks that the watcher has consumed; another hash is a reorganisation",
)

chain_pool = Table(
    "chain_pool",
    metadata,
    Column("contract", Text, primary_key=True, comment=_CONTRACT),
    Column("wallet_address", Text, primary_key=True),
    Column("balance_uusdc", Numeric(78, 0), nullable=False),
    Column("block_number", BigInteger, nullable=False),
    _moment("updated_at", nullable=False),
)

chain_cursor = Table(
    "chain_cursor",
    metadata,
    Column("contract", Text, primary_key=True, comment=_CONTRACT),
    Column("block_number", BigInteger, nullable=False, comment="the highest block consumed"),
    _moment("updated_at", nullable=False),
)
