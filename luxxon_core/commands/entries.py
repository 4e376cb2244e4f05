"""The ledger as lines: what is held, what is on its way, what is on the chain. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from luxxon_core.commands.table import table
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.money import format_usdc
from luxxon_core.kernel.text import plain
from luxxon_core.sessions.schemas import Session
from luxxon_core.settlement.schemas import SettlementView
from luxxon_core.wallet.schemas import OnChainEvent, WalletState

HEADS = ("time", "what", "for", "amount_usdc", "balance_usdc", "state", "session", "block", "transaction")
"""Columns of the file, the same as those of the console's export."""
OPEN = ("REQUESTED", "ASSIGNED", "LIVE")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        what: ``top up``, ``withdrawn``, ``approved``, ``paid``, ``earned``, ``settled``, ``held``.
        amount: µUSDC, signed; of ``settled`` unsigned, since nothing says which way.
        balance: µUSDC in the pool after it; None where that is not known.
        state: ``final``, ``sent``, ``waiting``, ``open``.
    """

    at: datetime
    what: str
    told: str
    amount: int
    balance: int | None = None
    state: str = "final"
    session: str | None = None
    block: str | None = None
    tx: str | None = None


def entries(
    wallet: WalletState,
    events: Sequence[OnChainEvent],
    sessions: Mapping[str, Session],
    owed: Mapping[str, SettlementView],
) -> list[Entry]:
    """What is open, then what is on its way, then what is on the chain, each newest first; the balance runs
    back from the pool.

    Args:
        owed: payments of sessions that are over and not among the events.
    """
    return [
        *_held(wallet, sessions.values()),
        *_owed(wallet, sessions, owed.values()),
        *_final(wallet, events, sessions),
    ]


def _held(wallet: WalletState, sessions: Iterable[Session]) -> Iterator[Entry]:
    for one in sessions:
        if one.state in OPEN and one.consumer_workspace_id == wallet.workspace_id:
            told = f"{_place(one)}up to {one.max_duration_seconds} s"
            yield Entry(one.created_at, "held", told, -int(one.hold_micro_usdc), state="open", session=one.id)


def _owed(
    wallet: WalletState, sessions: Mapping[str, Session], owed: Iterable[SettlementView]
) -> Iterator[Entry]:
    for one in owed:
        session = sessions[one.session_id]
        paid = session.consumer_workspace_id == wallet.workspace_id
        earned = 0 if one.payload is None else int(one.payload.to_amount_micro_usdc)
        yield Entry(
            session.ended_at or session.created_at,
            "paid" if paid else "earned",
            _clean(session),
            -int(session.charged_micro_usdc) if paid else earned,
            state="sent" if one.state in ("SUBMITTED", "CONFIRMED") else "waiting",
            session=session.id,
            tx=one.tx_hash,
        )


def _final(
    wallet: WalletState, events: Iterable[OnChainEvent], sessions: Mapping[str, Session]
) -> Iterator[Entry]:
    balance: int | None = int(wallet.tracked_balance)
    for one in events:
        what, told, amount, change = _moved(wallet, one, sessions.get(one.related_session or ""))
        yield Entry(
            one.confirmed_at,
            what,
            told,
            amount,
            balance,
            session=one.related_session,
            block=one.block_number,
            tx=one.tx_hash,
        )
        balance = None if balance is None or change is None else balance - change


def _moved(
    wallet: WalletState, event: OnChainEvent, session: Session | None
) -> tuple[str, str, int, int | None]:
    """What an event is called, what for, its amount as it is shown, and what it did to the pool."""
    amount = int(event.amount_usdc)
    match event.kind:
        case "DEPOSIT":
            return "top up", "from the wallet", amount, amount
        case "WITHDRAWAL":
            return "withdrawn", "to the wallet", -amount, -amount
        case "APPROVAL":
            return "approved", "for the pool to take", amount, 0
    if session is None:
        return "settled", "", amount, None
    if session.consumer_workspace_id == wallet.workspace_id:
        return "paid", _clean(session), -amount, -amount
    return "earned", _clean(session), amount, 0  # it is paid out to the wallet itself


def _clean(session: Session) -> str:
    return f"{_place(session)}{session.clean_seconds} s"


def _place(session: Session) -> str:
    lat, lng = session.requested_lat, session.requested_lng
    return "" if lat is None or lng is None else f"{lat:.4f}, {lng:.4f}, "


def csv_of(lines: Iterable[Entry]) -> str:
    """RFC 4180: instants ISO 8601, amounts decimal USDC."""
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(HEADS)
    for one in lines:
        cells = (iso(one.at), one.what, one.told, format_usdc(one.amount), _balance(one), one.state)
        rows.writerow(map(plain, (*cells, one.session or "", one.block or "", one.tx or "")))
    return file.getvalue()


def table_of(lines: Iterable[Entry]) -> str:
    """For people: without the transactions, which are long."""
    rows = [
        (
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            one.what,
            one.told,
            format_usdc(one.amount),
            _balance(one) or "–",
            one.state,
            one.session or "–",
        )
        for one in lines
    ]
    head = ("TIME (UTC)", "WHAT", "FOR", "USDC", "POOL", "STATE", "SESSION")
    return table(head, rows, right=frozenset({3, 4}))


def _balance(one: Entry) -> str:
    return "" if one.balance is None else format_usdc(one.balance)
