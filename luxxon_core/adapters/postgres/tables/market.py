"""Workspaces, sessions, media, events, and what requests leave behind."""

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
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from luxxon_core.adapters.postgres.tables.base import metadata, moment

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
    moment("idle_since"),
    moment("last_seen_at"),
    Column("last_sequence", BigInteger),
    Column("last_lat", Double),
    Column("last_lng", Double),
    Column("last_accuracy_m", REAL),
    Column("last_speed_mps", REAL),
    moment("created_at", nullable=False),
    Column("created_by_wallet", Text, nullable=False),
    moment("deleted_at"),
    CheckConstraint("availability in ('OFFLINE', 'ONLINE', 'BUSY')", name="availability"),
    CheckConstraint("wished_availability in ('OFFLINE', 'ONLINE')", name="wished"),
    CheckConstraint(
        "availability <> 'ONLINE' or num_nulls(coverage_lat, coverage_lng, coverage_radius_m) = 0",
        name="coverage_whole",
    ),
)

workspace_member = Table(
    "workspace_member",
    metadata,
    Column("workspace_id", ForeignKey("workspace.id"), primary_key=True),
    Column("wallet_address", Text, primary_key=True, index=True),
    Column("role", Text, nullable=False),
    moment("created_at", nullable=False),
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
    moment("last_used_at"),
    moment("revoked_at"),
    moment("grace_period_end"),
    moment("created_at", nullable=False),
    Column("created_by_wallet", Text, nullable=False),
    Column(
        "daily_cap_uusdc",
        BigInteger,
        comment="what sessions created on one UTC day may cost; null: no cap",
    ),
    Column("session_cap_uusdc", BigInteger, comment="what one session may cost; null: no cap"),
    Column("areas", JSONB, comment="circles that its requests must lie in; null: anywhere"),
    CheckConstraint("daily_cap_uusdc >= 0 and session_cap_uusdc >= 0", name="caps"),
)

challenge = Table(
    "challenge",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("wallet_address", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("message", Text, nullable=False),
    moment("expires_at", nullable=False),
    moment("used_at"),
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
    moment("assigned_at"),
    moment("started_at"),
    moment("ended_at"),
    Column("clean_seconds", Integer, nullable=False, server_default="0"),
    Column("charged_uusdc", BigInteger, nullable=False, server_default="0"),
    Column("controls", ARRAY(Text), comment="what the operator's device lets others do with its camera"),
    Column("policy", JSONB, comment="what the device does for people's privacy"),
    Column(
        "unit",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="sold as a whole: all of it is charged when something is delivered, else nothing",
    ),
    Column(
        "budget_key_id",
        ForeignKey("api_key.id"),
        comment="the API key whose budget it counts against; null: none",
    ),
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
    Index(
        "session_budget_idx",
        "budget_key_id",
        "created_at",
        postgresql_where=text("budget_key_id is not null"),
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
    moment("created_at", nullable=False),
    moment("deleted_at"),
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
    moment("opened_at", nullable=False),
    moment("closed_at"),
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

picture_fault = Table(
    "picture_fault",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", ForeignKey("session.id"), nullable=False, index=True),
    Column("fault", Text, nullable=False),
    moment("opened_at", nullable=False),
    moment("closed_at"),
    CheckConstraint("fault in ('BLACK', 'FROZEN', 'UNDECODED')", name="fault"),
    CheckConstraint("closed_at >= opened_at", name="order"),
    Index(
        "picture_fault_one_open_key",
        "session_id",
        "fault",
        unique=True,
        postgresql_where=text("closed_at is null"),
    ),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", Text, primary_key=True, comment="key, wallet or address that sent the request"),
    Column("key_hash", LargeBinary, primary_key=True, comment="sha256 of the Idempotency-Key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="sha256 of method, path, query and body"),
    Column("answer", LargeBinary, comment="encrypted with a key made from the Idempotency-Key"),
    moment("created_at", nullable=False),
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
    moment("created_at", nullable=False),
    Index("relationship_outbox_workspace_idx", "workspace_id", "id"),
)

telemetry_sample = Table(
    "telemetry_sample",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True),
    Column("captured_at", DateTime(timezone=True), primary_key=True),
    moment("received_at", nullable=False),
    Column("lat", Double, nullable=False),
    Column("lng", Double, nullable=False),
    Column("accuracy_m", REAL, nullable=False),
    Column("source", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("signed", Boolean, nullable=False, comment="the signature is the operator's wallet's"),
    Column("sensors", JSONB),
)
