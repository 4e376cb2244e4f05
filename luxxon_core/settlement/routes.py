"""Endpoints of settlements and receipts (api-contract §6.8)."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.errors import NotAuthorized, SessionNotFound
from luxxon_core.sessions.routes import ONE, READ, session_id
from luxxon_core.settlement.schemas import Receipt, SettlementView
from luxxon_core.settlement.usecases import Receipts


def operations(receipts: Receipts) -> list[Operation]:
    async def settlement(call: Call[None]) -> SettlementView:
        one = session_id(call)
        return SettlementView.of(one, await receipts.settlement_of(one, call.acting))

    async def receipt(call: Call[None]) -> Receipt:
        return Receipt.of(await receipts.receipt_of(session_id(call), call.acting, call.now), call.now)

    access, missing = Access.WORKSPACE, (SessionNotFound, NotAuthorized("session:viewDenied"))
    scopes: tuple[Scope, ...] = READ
    return [
        Operation(
            method="GET",
            path="/settlements/{session_id}",
            handler=settlement,
            access=access,
            out=SettlementView,
            tag="Settlements",
            summary="How far a session has been paid",
            scopes=scopes,
            errors=missing,
        ),
        Operation(
            method="GET",
            path=ONE + "/receipt",
            handler=receipt,
            access=access,
            out=Receipt,
            tag="Settlements",
            summary="The bill of a session, also while it is LIVE",
            scopes=scopes,
            errors=missing,
        ),
    ]
