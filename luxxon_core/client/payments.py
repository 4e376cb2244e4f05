"""The prepaid pool and what sessions took from it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from luxxon_core.client.paging import paged
from luxxon_core.client.transport import Id, Resource, segment, text
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.settlement.schemas import SettlementView
from luxxon_core.wallet.schemas import DepositAuthorization, DepositSent, OnChainEvent, WalletState

EventList = list[OnChainEvent]
PAGE = 200


class Wallet(Resource):
    async def get(self, workspace_id: Id | None = None) -> WalletState:
        """The pool as last seen on the chain, µUSDC."""
        return await self._transport.call(
            "GET", "/wallet", WalletState, query={"workspaceId": text(workspace_id)}
        )

    async def events(
        self, *, cursor: Id | None = None, limit: int | None = None, workspace_id: Id | None = None
    ) -> EventList:
        """Deposits, withdrawals, settlements and approvals, newest first: those after ``cursor``, an event's
        id; 50 of them unless ``limit``, at most 200, says otherwise."""
        query = {"cursor": text(cursor), "limit": limit, "workspaceId": text(workspace_id)}
        return await self._transport.call("GET", "/wallet/events", EventList, query=query)

    async def deposit(self, authorization: DepositAuthorization) -> DepositSent:
        """Have the platform pay the gas of a deposit that a wallet has signed: see
        :meth:`~luxxon_core.client.wallet.ChainClient.authorize`."""
        return await self._transport.call(
            "POST", "/wallet/deposits", DepositSent, body=to_builtins(authorization)
        )

    async def iterate(
        self, *, page: int = PAGE, workspace_id: Id | None = None
    ) -> AsyncGenerator[OnChainEvent, None]:
        """All of them, newest first, read ``page`` at a time."""

        async def read(cursor: str | None) -> EventList:
            return await self.events(cursor=cursor, limit=page, workspace_id=workspace_id)

        async for event in paged(read, page):
            yield event


class Settlements(Resource):
    async def get(self, session_id: Id) -> SettlementView:
        """How far a session has been paid; NOT_READY before there is something to pay."""
        return await self._transport.call("GET", f"/settlements/{segment(session_id)}", SettlementView)
