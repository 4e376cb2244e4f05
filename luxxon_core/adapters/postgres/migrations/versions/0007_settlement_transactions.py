"""Transactions of their own that pay settlements: several sessions each, and several versions of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CARRY_OVER = (
    """
    insert into settlement_tx (chain_id, signer, nonce, created_at, signed_at, waiting_since, next_look_at)
    select coalesce((
               select split_part(contract, ':', 1)::bigint from chain_cursor order by updated_at desc limit 1
           ), 0), signer, nonce, submitted_at, submitted_at, submitted_at, submitted_at
    from settlement where state = 'SUBMITTED'
    """,
    """
    insert into settlement_tx_version (tx_id, number, tx_hash, raw, cancels)
    select t.id, 0, s.tx_hash, s.raw_tx, false
    from settlement s join settlement_tx t on t.signer = s.signer and t.nonce = s.nonce
    where s.state = 'SUBMITTED'
    """,
    """
    update settlement s set tx_id = t.id
    from settlement_tx t
    where s.state = 'SUBMITTED' and t.signer = s.signer and t.nonce = s.nonce
    """,
    "update settlement set final_at = confirmed_at where state = 'CONFIRMED'",
)

CARRY_BACK = """
    update settlement s set signer = t.signer, nonce = t.nonce, raw_tx = v.raw, tx_hash = v.tx_hash
    from settlement_tx t join lateral (
        select raw, tx_hash from settlement_tx_version where tx_id = t.id order by number desc limit 1
    ) v on true
    where s.tx_id = t.id and s.state = 'SUBMITTED'
      and (select count(*) from settlement o where o.tx_id = t.id) = 1
"""

SEND_AGAIN = """
    update settlement set state = 'PENDING', tx_hash = null, submitted_at = null
    where state = 'SUBMITTED' and raw_tx is null
"""
"""Of a batch: older servers know none. They read ``settled(id)`` first."""


def upgrade() -> None:
    op.create_table(
        "settlement_tx",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=False, comment="address whose nonce it uses"),
        sa.Column("nonce", sa.BigInteger(), nullable=True, comment="null: somebody else's"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False, comment="the newest version"),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True, comment="null: a block has it"),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True, comment="final"),
        sa.PrimaryKeyConstraint("id", name=op.f("settlement_tx_pkey")),
        sa.UniqueConstraint(
            "chain_id", "signer", "nonce", name=op.f("settlement_tx_chain_id_signer_nonce_key")
        ),
    )
    op.create_index(
        "settlement_tx_due_idx",
        "settlement_tx",
        ["next_look_at"],
        unique=False,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_table(
        "settlement_tx_version",
        sa.Column("tx_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column(
            "raw",
            sa.LargeBinary(),
            nullable=True,
            comment="signed transaction, stored before it is broadcast",
        ),
        sa.Column("max_fee", sa.BigInteger(), nullable=True, comment="wei for a gas"),
        sa.Column("priority_fee", sa.BigInteger(), nullable=True, comment="wei for a gas"),
        sa.Column("cancels", sa.Boolean(), nullable=False, comment="pays nobody"),
        sa.ForeignKeyConstraint(
            ["tx_id"], ["settlement_tx.id"], name=op.f("settlement_tx_version_tx_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tx_id", "number", name=op.f("settlement_tx_version_pkey")),
    )
    op.add_column("settlement", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("settlement", sa.Column("short_at_block", sa.BigInteger(), nullable=True))
    op.add_column("settlement", sa.Column("tx_id", sa.BigInteger(), nullable=True))
    op.add_column("settlement", sa.Column("final_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(op.f("settlement_tx_id_fkey"), "settlement", "settlement_tx", ["tx_id"], ["id"])
    op.create_check_constraint(
        op.f("settlement_waits_check"), "settlement", "waits_for in ('DEPOSIT', 'FEES', 'OPERATOR')"
    )
    op.create_index(op.f("settlement_tx_id_idx"), "settlement", ["tx_id"], unique=False)
    op.create_index(
        "settlement_waits_idx",
        "settlement",
        ["waits_for", "consumer_wallet"],
        unique=False,
        postgresql_where=sa.text("waits_for is not null"),
    )
    for statement in CARRY_OVER:
        op.execute(statement)
    op.drop_index("settlement_signer_nonce_key", table_name="settlement")
    op.drop_index("settlement_due_idx", table_name="settlement")
    op.create_index(
        "settlement_due_idx",
        "settlement",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    for name in ("signer", "nonce", "raw_tx"):
        op.drop_column("settlement", name)


def downgrade() -> None:
    op.add_column(
        "settlement",
        sa.Column("signer", sa.Text(), nullable=True, comment="address whose nonce the transaction uses"),
    )
    op.add_column("settlement", sa.Column("nonce", sa.BigInteger(), nullable=True))
    op.add_column(
        "settlement",
        sa.Column(
            "raw_tx",
            sa.LargeBinary(),
            nullable=True,
            comment="signed transaction, stored before it is broadcast",
        ),
    )
    op.execute(CARRY_BACK)
    op.execute(SEND_AGAIN)
    op.drop_index("settlement_due_idx", table_name="settlement")
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
    op.drop_index("settlement_waits_idx", table_name="settlement")
    op.drop_index(op.f("settlement_tx_id_idx"), table_name="settlement")
    op.drop_constraint(op.f("settlement_waits_check"), "settlement")
    op.drop_constraint(op.f("settlement_tx_id_fkey"), "settlement")
    for name in ("waits_for", "short_at_block", "tx_id", "final_at"):
        op.drop_column("settlement", name)
    op.drop_table("settlement_tx_version")
    op.drop_table("settlement_tx")
