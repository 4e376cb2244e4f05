"""Endpoints of settlements and receipts (api-contract §6.8)."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.errors import SessionNotFound
from luxxon_core.sessions.routes import ONE, READ, session_id
from luxxon_core.settlement.schemas import Receipt, SettlementView
from luxxon_core.settlement.usecases import Receipts


def operations(receipts: Receipts) -> list[Operation]:
    async def settlement(call: Call[None]) -> SettlementView:
        one = session_id(call)
        return SettlementView.of(one, await receipts.settlement_of(one, call.acting))

    async def receipt(call: Call[None]) -> Receipt:
        return Receipt.of(await receipts.receipt_of(session_id(call), call.acting, call.now), call.now)

    access, missing = Access.WORKSPACE, (SessionNotFound,)
    scopes: tuple[Scope, ...] = READ
    return [
        Operation(
            "GET",
            "/settlements/{session_id}",
            settlement,
            access,
            SettlementView,
            scopes=scopes,
            errors=missing,
        ),
        Operation("GET", ONE + "/receipt", receipt, access, Receipt, scopes=scopes, errors=missing),
    ]
