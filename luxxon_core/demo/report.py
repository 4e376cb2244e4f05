"""What a demo tells in the end: the session, the payment, and the chain's balances before and after."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from luxxon_core.kernel.clock import iso, milliseconds
from luxxon_core.kernel.money import format_usdc
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.sessions.schemas import Session
from luxxon_core.settlement.schemas import Receipt, SettlementView


class Balances(msgspec.Struct, frozen=True):
    """µUSDC read from the chain: the consumer's pool, the operator's and the platform's wallets."""

    pool: int
    operator: int
    fee: int


class Timings(msgspec.Struct, rename="camel"):
    """Milliseconds; None for what was not reached."""

    server_ready_ms: int | None = None
    """From the command's begin until the API answers."""
    assign_ms: int | None = None
    """From the request until ASSIGNED."""
    first_frame_ms: int | None = None
    """From the WHIP POST until LIVE."""
    settle_ms: int | None = None
    """From ENDED until the settlement was seen CONFIRMED."""


class FrameInfo(msgspec.Struct, frozen=True):
    """The picture that was taken; ``path`` is None when it was not to be kept."""

    path: str | None
    width: int
    height: int
    bytes: int


@dataclass
class Report:
    timings: Timings = field(default_factory=Timings)
    before: Balances | None = None
    after: Balances | None = None
    frame: FrameInfo | None = None
    session: Session | None = None
    settlement: SettlementView | None = None
    receipt: Receipt | None = None
    confirmed_at: datetime | None = None

    @property
    def ok(self) -> bool:
        """Confirmed on the chain, and the chain moved exactly what the bill says, to the last µUSDC."""
        if self.receipt is None or self.settlement is None or self.before is None or self.after is None:
            return False
        charged, to_amount, fee_amount = (
            int(self.receipt.charged_micro_usdc),
            int(self.receipt.to_amount_micro_usdc),
            int(self.receipt.fee_amount_micro_usdc),
        )
        return (
            self.settlement.state == "CONFIRMED"
            and charged == to_amount + fee_amount
            and charged == self.receipt.clean_seconds * int(self.receipt.rate_per_second_micro_usdc)
            and self.before.pool - self.after.pool == charged
            and self.after.operator - self.before.operator == to_amount
            and self.after.fee - self.before.fee == fee_amount
        )

    def complete(self) -> None:
        """Fill in what follows from the rest."""
        if self.receipt is not None and self.receipt.ended_at is not None and self.confirmed_at is not None:
            self.timings.settle_ms = max(0, milliseconds(self.confirmed_at - self.receipt.ended_at))

    def timeline(self) -> list[dict[str, str]]:
        """The states that were reached, each with its ISO time."""
        if self.receipt is None:
            return []
        receipt = self.receipt
        moments = [
            ("REQUESTED", receipt.created_at),
            ("ASSIGNED", receipt.assigned_at),
            ("LIVE", receipt.started_at),
            ("ENDED", receipt.ended_at),
            ("SETTLED", self.confirmed_at),
        ]
        return [{"state": state, "at": iso(at)} for state, at in moments if at is not None]

    def to_json(self) -> bytes:
        """The one object that ``--json`` prints."""
        fields: dict[str, Any] = {
            "ok": self.ok,
            "timeline": self.timeline(),
            "session": self.session,
            "settlement": self.settlement,
            "balances": {"before": self.before, "after": self.after},
            "frame": self.frame,
            "timings": self.timings,
        }
        return msgspec.json.encode(to_builtins(fields))

    def to_text(self) -> str:
        """The same for people."""
        rows = [f"{step['at'][11:23]}  {step['state']}" for step in self.timeline()]
        if self.receipt is not None and self.settlement is not None:
            receipt = self.receipt
            rows += [
                "",
                f"clean {receipt.clean_seconds} s, lost {receipt.lost_milliseconds / 1000:.1f} s",
                f"charged  {format_usdc(int(receipt.charged_micro_usdc))} USDC",
                f"operator {format_usdc(int(receipt.to_amount_micro_usdc))} USDC",
                f"platform {format_usdc(int(receipt.fee_amount_micro_usdc))} USDC",
                f"settlement {self.settlement.state} {self.settlement.tx_hash or ''}".rstrip(),
            ]
        if self.frame is not None and self.frame.path is not None:
            rows.append(f"frame {self.frame.width}x{self.frame.height} in {self.frame.path}")
        rows.append("paid to the last micro-unit" if self.ok else "NOT paid as billed")
        return "\n".join(rows)

    def show(self, *, as_json: bool) -> None:
        sys.stdout.write((self.to_json().decode() if as_json else self.to_text()) + "\n")
        sys.stdout.flush()
