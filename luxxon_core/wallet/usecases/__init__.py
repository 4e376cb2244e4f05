"""Balances and history for people, the watcher that keeps both, its audit, and sponsored deposits."""

from luxxon_core.wallet.usecases.books import Audit, Books
from luxxon_core.wallet.usecases.deposits import SponsoredDeposits
from luxxon_core.wallet.usecases.reading import MAX_PAGE, PAGE, Wallets
from luxxon_core.wallet.usecases.watching import HEARTBEAT, REMEMBERED, TAIL, Watch

__all__ = [
    "HEARTBEAT",
    "MAX_PAGE",
    "PAGE",
    "REMEMBERED",
    "TAIL",
    "Audit",
    "Books",
    "SponsoredDeposits",
    "Wallets",
    "Watch",
]
