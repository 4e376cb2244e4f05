"""Quotes, payments, and what is known of the chain."""

from __future__ import annotations

from sqlalchemy import (
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
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from luxxon_core.adapters.postgres.tables.base import metadata, moment

_CONTRACT = "chain id and address of the settlement contract"

settlement_tx = Table(
    "settlement_tx",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("signer", Text, nullable=False, comment="address whose nonce it uses"),
    Column("nonce", BigInteger, comment="null: somebody else's"),
    moment("created_at", nullable=False),
    Column("signed_at", DateTime(timezone=True), nullable=False, comment="the newest version"),
    Column("waiting_since", DateTime(timezone=True), comment="null: a block has it"),
    moment("next_look_at", nullable=False),
    Column("closed_at", DateTime(timezone=True), comment="final"),
    UniqueConstraint("chain_id", "signer", "nonce"),
    Index("settlement_tx_due_idx", "next_look_at", postgresql_where=text("closed_at is null")),
)

settlement_tx_version = Table(
    "settlement_tx_version",
    metadata,
    Column("tx_id", ForeignKey("settlement_tx.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("tx_hash", Text, nullable=False),
    Column("raw", LargeBinary, comment="signed transaction, stored before it is broadcast"),
    Column("max_fee", BigInteger, comment="wei for a gas"),
    Column("priority_fee", BigInteger, comment="wei for a gas"),
    Column("cancels", Boolean, nullable=False, comment="pays nobody"),
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
    Column("tx_hash", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    moment("next_attempt_at", nullable=False),
    Column("last_error", Text),
    moment("created_at", nullable=False),
    moment("submitted_at"),
    moment("confirmed_at"),
    Column("block_number", BigInteger),
    Column("waits_for", Text),
    Column("short_at_block", BigInteger),
    Column("tx_id", ForeignKey("settlement_tx.id"), index=True),
    moment("final_at"),
    CheckConstraint("state in ('PENDING', 'SUBMITTED', 'CONFIRMED')", name="state"),
    CheckConstraint("waits_for in ('DEPOSIT', 'FEES', 'OPERATOR')", name="waits"),
    CheckConstraint("to_amount_uusdc + fee_amount_uusdc = rate_uusdc * chargeable_seconds", name="amount"),
    CheckConstraint("state <> 'SUBMITTED' or tx_hash is not null", name="submitted"),
    Index("settlement_unpaid_idx", "consumer_wallet", postgresql_where=text("state <> 'CONFIRMED'")),
    Index(
        "settlement_paid_idx",
        "consumer_wallet",
        "block_number",
        postgresql_where=text("state = 'CONFIRMED'"),
    ),
    Index("settlement_due_idx", "next_attempt_at", postgresql_where=text("state = 'PENDING'")),
    Index(
        "settlement_waits_idx",
        "waits_for",
        "consumer_wallet",
        postgresql_where=text("waits_for is not null"),
    ),
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
    moment("created_at", nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("used_by_session", ForeignKey("session.id"), unique=True),
)

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
    moment("updated_at", nullable=False),
)

chain_cursor = Table(
    "chain_cursor",
    metadata,
    Column("contract", Text, primary_key=True, comment=_CONTRACT),
    Column("block_number", BigInteger, nullable=False, comment="the highest block consumed"),
    moment("updated_at", nullable=False),
)
