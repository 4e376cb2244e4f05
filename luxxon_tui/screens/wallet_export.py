"""The ledger as a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.money import format_usdc
from luxxon_tui.screens.wallet_figures import Line

HEADS = ("time", "what", "for", "amount_usdc", "balance_usdc", "state", "session", "block", "transaction")


def save_ledger(lines: Sequence[Line], where: Path, at: datetime) -> Path:
    """Entries as CSV (RFC 4180): instants ISO 8601, amounts decimal USDC. Blocks: call it in a thread.

    Raises:
        OSError: the file cannot be written.
    """
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"luxxon-ledger-{at:%Y%m%d-%H%M%S}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADS)
        for line in lines:
            balance = "" if line.balance is None else format_usdc(line.balance)
            table.writerow(
                (
                    *(iso(line.at), line.what, line.told, format_usdc(line.amount), balance, line.state),
                    *(line.session or "", line.block or "", line.tx or ""),
                )
            )
    return path
