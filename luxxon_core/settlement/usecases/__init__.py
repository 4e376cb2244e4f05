"""Queue a finished session's payment, carry it to the chain exactly once, and show it."""

from luxxon_core.settlement.usecases.desk import Desk, Shown
from luxxon_core.settlement.usecases.queue import QueueSettlement, SettleSession
from luxxon_core.settlement.usecases.receipts import Bill, GetSettlement, Receipts
from luxxon_core.settlement.usecases.relay import Relay
from luxxon_core.settlement.usecases.steps import Policy

__all__ = [
    "Bill",
    "Desk",
    "GetSettlement",
    "Policy",
    "QueueSettlement",
    "Receipts",
    "Relay",
    "SettleSession",
    "Shown",
]
