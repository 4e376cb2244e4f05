"""The schema, for Alembic and for people. Requests run the statements of ``sql/`` instead.

Both flavours share these tables; what differs (functions and indexes over geography) is made by the
migrations behind the same names, ``lx_covers`` first of all.
"""

from luxxon_core.adapters.postgres.tables import market, money, observations, webhooks
from luxxon_core.adapters.postgres.tables.base import metadata

__all__ = ["market", "metadata", "money", "observations", "webhooks"]
