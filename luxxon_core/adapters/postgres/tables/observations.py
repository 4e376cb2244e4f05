"""Observations and their frames."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from luxxon_core.adapters.postgres.tables.base import metadata, moment

observation = Table(
    "observation",
    metadata,
    Column("id", Uuid, primary_key=True, comment="that of its session, too"),
    Column("consumer_workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("lat", Double, nullable=False),
    Column("lng", Double, nullable=False),
    Column("max_price_uusdc", BigInteger, nullable=False),
    Column("max_width", Integer, comment="of the frame, in pixels; null: as it comes"),
    Column("rate_uusdc", BigInteger, nullable=False),
    Column("unit_s", Integer, nullable=False, comment="the price is the rate for so many seconds"),
    moment("created_at", nullable=False),
    moment("deadline", nullable=False),
    moment("look_at", nullable=False),
    Column("session_id", ForeignKey("session.id"), comment="null: it was never asked for"),
    Column("status", Text, nullable=False),
    Column("reason", Text, comment="of a FAILED one"),
    moment("finished_at"),
    moment("captured_at"),
    Column("position_lat", Double),
    Column("position_lng", Double),
    Column("position_accuracy_m", Double),
    Column("position_source", Text),
    moment("position_at"),
    CheckConstraint("status in ('PENDING', 'READY', 'FAILED')", name="status"),
    CheckConstraint("(status = 'PENDING') = (finished_at is null)", name="finished"),
    CheckConstraint("(status = 'FAILED') = (reason is not null)", name="reason"),
    CheckConstraint("(status = 'READY') = (captured_at is not null)", name="captured"),
    CheckConstraint("status = 'FAILED' or rate_uusdc * unit_s <= max_price_uusdc", name="price"),
    Index("observation_due_idx", "look_at", postgresql_where=text("status = 'PENDING'")),
    Index("observation_asked_idx", "finished_at", postgresql_where=text("session_id is not null")),
    Index("observation_refused_idx", "finished_at", postgresql_where=text("session_id is null")),
)

observation_frame = Table(
    "observation_frame",
    metadata,
    Column("observation_id", ForeignKey("observation.id"), primary_key=True),
    Column("jpeg", LargeBinary, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    moment("expires_at", nullable=False),
    Index("observation_frame_expires_at_idx", "expires_at", "observation_id"),
)
