"""Webhooks: who is to be told of what, what has to be sent to them, and how it went."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Interval,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from luxxon_core.adapters.postgres.tables.base import metadata, moment

webhook = Table(
    "webhook",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("kinds", ARRAY(Text), nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="encrypted"),
    Column("former_secret", LargeBinary, comment="encrypted; signs beside the other"),
    moment("former_until"),
    Column("after_position", BigInteger, nullable=False, comment="of the log, what was before is not told"),
    moment("created_at", nullable=False),
    Column("failing_since", DateTime(timezone=True), comment="null: the newest answer was good"),
    Column("failed_at", DateTime(timezone=True), comment="the newest attempt that failed, to about 10 s"),
    Column(
        "untried",
        Interval,
        nullable=False,
        server_default=text("'0'::interval"),
        comment="of the time since failing_since, that in which nothing was attempted",
    ),
    moment("succeeded_at"),
    Column("held_until", DateTime(timezone=True), comment="the receiver's Retry-After"),
    moment("disabled_at"),
    Column("disabled_reason", Text),
    CheckConstraint("(disabled_at is null) = (disabled_reason is null)", name="disabled"),
    CheckConstraint("(former_secret is null) = (former_until is null)", name="former"),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True, comment="their order"),
    Column("id", Uuid, nullable=False, unique=True, comment="webhook-id"),
    Column("webhook_id", ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("lane", Uuid, nullable=False, comment="the session; what is of one lane is sent one by one"),
    Column("cause", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_id", BigInteger, comment="no foreign key: the log is purged"),
    Column("body", Text, nullable=False, comment="what is signed and sent, to the byte"),
    Column("state", Text, nullable=False),
    moment("created_at", nullable=False),
    moment("finished_at"),
    moment("next_attempt_at"),
    Column("attempts", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    CheckConstraint("state in ('PENDING', 'SUCCEEDED', 'FAILED')", name="state"),
    CheckConstraint("cause in ('EVENT', 'REPLAY', 'TEST')", name="cause"),
    CheckConstraint("(state = 'PENDING') = (finished_at is null)", name="finished"),
    Index("webhook_delivery_page_idx", "webhook_id", "number"),
    # none holds what a delivery's end changes, not even in a condition: the end writes no index
    Index("webhook_delivery_lane_idx", "webhook_id", "lane", "number"),
    Index("webhook_delivery_event_idx", "webhook_id", "event_id"),
)

webhook_lane = Table(
    "webhook_lane",
    metadata,
    Column("webhook_id", ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True),
    Column("lane", Uuid, primary_key=True),
    Column("due_at", DateTime(timezone=True), nullable=False, comment="of its first delivery, or of a lease"),
    Column("lease", Uuid, comment="of the server that is sending"),
    Column("head", BigInteger, nullable=False, comment="no delivery before this number is pending"),
    Index("webhook_lane_due_idx", "webhook_id", "due_at"),
)

webhook_tip = Table(
    "webhook_tip",
    metadata,
    Column("lone", Boolean, primary_key=True, server_default=text("true")),
    Column("position", BigInteger, nullable=False, comment="of the log, made into deliveries"),
    CheckConstraint("lone", name="lone"),
)
