"""Picks in a crowd and signed transactions that cost less.

With PostGIS the index of coverage keeps boxes that circles share, so that crowds lie in it by idleness. It is
built anew, which takes 20 s for a million suppliers; nobody goes ONLINE or is picked meanwhile.

Signed transactions are stored as they are: to compress those of batches was a good part of the database's
work for a payment, and they are dropped once they are final.
"""

from __future__ import annotations

from alembic import context, op

from luxxon_core.adapters.postgres import geography

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for statement in geography.up(revision, context.config.attributes["geography"]):
        op.execute(statement)
    op.execute("alter table settlement_tx_version alter column raw set storage external")


def downgrade() -> None:
    op.execute("alter table settlement_tx_version alter column raw set storage extended")
    for statement in geography.DOWN[revision][context.config.attributes["geography"]]:
        op.execute(statement)
