"""The ledger's lines: what each is called, and the pool after it."""

from __future__ import annotations

from typing import Any

from luxxon_core.commands.entries import Entry, csv_of, entries, table_of
from luxxon_core.kernel.wire import convert
from luxxon_core.sessions.schemas import Session
from luxxon_core.settlement.schemas import SettlementView
from luxxon_core.wallet.schemas import OnChainEvent, WalletState

ME, OTHER = "me", "other"
AT = "2026-05-13T12:00:00.000Z"
HASH = "0x" + "ab" * 32
POOL = 5_000_000


def wallet() -> WalletState:
    told = {"workspaceId": ME, "walletAddress": "0x1", "trackedBalance": str(POOL)}
    return convert({**told, "lastSyncBlock": "9", "updatedAt": AT}, WalletState)


def event(kind: str, amount: int, session: str | None = None) -> OnChainEvent:
    told: dict[str, Any] = {"id": f"{kind} {amount}", "workspaceId": ME, "kind": kind, "txHash": HASH}
    told |= {"blockNumber": "7", "confirmedAt": AT, "amountUsdc": str(amount), "relatedSession": session}
    return convert(told, OnChainEvent)


def session(id_: str, state: str = "ENDED", *, consumer: str = ME, charged: int = 2000) -> Session:
    told: dict[str, Any] = {"id": id_, "consumerWorkspaceId": consumer, "operatorWorkspaceId": None}
    told |= {"state": state, "maxDurationSeconds": 60, "waitTimeoutSeconds": 60}
    told |= {"ratePerSecondMicroUsdc": "1000", "holdMicroUsdc": "60000", "startedAt": AT, "endedAt": AT}
    told |= {"cleanSeconds": 2, "chargedMicroUsdc": str(charged), "settlementTxHash": None}
    told |= {"videoBackendRef": None, "createdAt": AT, "requestedLat": 50.8466, "requestedLng": -4.3528}
    return convert(told, Session)


def payment(id_: str, state: str, amount: int | None = None) -> SettlementView:
    told: dict[str, Any] = {"sessionId": id_, "state": state}
    if amount is not None:
        told["payload"] = {"sessionId": id_, "consumerWalletAddress": "0x1", "operatorWalletAddress": "0x2"}
        told["payload"] |= {"ratePerSecondMicroUsdc": "1000", "chargeableSeconds": 2}
        told["payload"] |= {"toAmountMicroUsdc": str(amount), "feeAmountMicroUsdc": "1"}
    return convert(told, SettlementView)


def known(*sessions: Session) -> dict[str, Session]:
    return {one.id: one for one in sessions}


def told(found: list[Entry]) -> list[tuple[str, int, int | None, str]]:
    return [(one.what, one.amount, one.balance, one.state) for one in found]


def test_the_pool_runs_back_from_what_it_is_now() -> None:
    events = [
        event("SETTLEMENT", 2000, "a"),
        event("SETTLEMENT", 900, "b"),
        event("WITHDRAWAL", 1_000_000),
        event("DEPOSIT", 6_000_000),
        event("APPROVAL", 6_000_000),
    ]
    found = entries(wallet(), events, known(session("a"), session("b", consumer=OTHER)), {})
    assert told(found) == [
        ("paid", -2000, POOL, "final"),
        ("earned", 900, POOL + 2000, "final"),
        ("withdrawn", -1_000_000, POOL + 2000, "final"),
        ("top up", 6_000_000, POOL + 1_002_000, "final"),
        ("approved", 6_000_000, POOL - 4_998_000, "final"),
    ]


def test_what_went_nobody_knows_where_leaves_the_pool_before_it_unknown() -> None:
    found = entries(wallet(), [event("SETTLEMENT", 2000, "x"), event("DEPOSIT", 5)], {}, {})
    assert told(found) == [("settled", 2000, POOL, "final"), ("top up", 5, None, "final")]
    assert table_of(found).splitlines()[2].split()[-3:] == ["–", "final", "–"]


def test_what_is_held_and_what_is_owed_come_first() -> None:
    sessions = known(
        session("open", "LIVE"),
        session("others", "LIVE", consumer=OTHER),
        session("sent"),
        session("mined"),
        session("served", consumer=OTHER),
    )
    owed = [payment("sent", "SUBMITTED"), payment("mined", "CONFIRMED"), payment("served", "PENDING", 1900)]
    found = entries(wallet(), [event("DEPOSIT", 5)], sessions, {one.session_id: one for one in owed})
    assert told(found) == [
        ("held", -60_000, None, "open"),
        ("paid", -2000, None, "sent"),
        ("paid", -2000, None, "sent"),
        ("earned", 1900, None, "waiting"),
        ("top up", 5, POOL, "final"),
    ]
    assert found[0].told == "50.8466, -4.3528, up to 60 s"


def test_the_file_quotes_what_has_commas() -> None:
    head, line, rest = csv_of(
        entries(wallet(), [event("SETTLEMENT", 2000, "a")], known(session("a")), {})
    ).split("\r\n")
    assert (head.split(",")[:4], rest) == (["time", "what", "for", "amount_usdc"], "")
    assert line == f'{AT},paid,"50.8466, -4.3528, 2 s",-0.002000,5.000000,final,a,7,{HASH}'
