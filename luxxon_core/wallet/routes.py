"""Endpoints of the wallet (api-contract §6.8)."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.errors import (
    Conflict,
    ExternalError,
    InvalidInput,
    RateLimited,
    Unavailable,
    WorkspaceNotFound,
)
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.wallet.schemas import (
    DepositAuthorization,
    DepositSent,
    EventsQuery,
    OnChainEvent,
    WalletState,
)
from luxxon_core.wallet.usecases import SponsoredDeposits, Wallets


def operations(wallets: Wallets, deposits: SponsoredDeposits) -> list[Operation]:
    async def get(call: Call[None]) -> WalletState:
        workspace, balance, cursor = await wallets.get(call.acting, call.now)
        return WalletState(
            workspace_id=str(workspace.id),
            wallet_address=workspace.wallet_address,
            tracked_balance=str(balance),
            last_sync_block=str(cursor.block_number),
            updated_at=Timestamp.of(cursor.updated_at),
        )

    async def events(call: Call[None, EventsQuery]) -> list[OnChainEvent]:
        page = await wallets.events(call.acting, call.query.cursor, call.query.limit)
        return [OnChainEvent.of(event_id, call.acting, entry) for event_id, entry in page]

    async def deposit(call: Call[DepositAuthorization]) -> DepositSent:
        return DepositSent(await deposits.deposit(call.body.authorization(), call.now))

    return [
        Operation(
            method="GET",
            path="/wallet",
            handler=get,
            access=Access.WORKSPACE,
            out=WalletState,
            tag="Wallet",
            summary="Read the prepaid pool",
            scopes=(Scope.WALLET_READ,),
            errors=(WorkspaceNotFound, ExternalError),
        ),
        Operation(
            method="GET",
            path="/wallet/events",
            handler=events,
            access=Access.WORKSPACE,
            out=list[OnChainEvent],
            tag="Wallet",
            summary="List deposits, withdrawals, settlements and approvals, newest first",
            query=EventsQuery,
            subject="wallet",
            scopes=(Scope.WALLET_READ,),
            errors=(InvalidInput("wallet:cursor"), WorkspaceNotFound),
        ),
        Operation(
            method="POST",
            path="/wallet/deposits",
            handler=deposit,
            access=Access.IDENTIFIED,
            body=DepositAuthorization,
            out=DepositSent,
            tag="Wallet",
            summary="Fill a wallet's pool by its signature alone: the platform pays the gas",
            subject="deposit",
            errors=(
                InvalidInput("deposit:amount"),
                InvalidInput("deposit:validBefore"),
                InvalidInput("deposit:signature"),
                InvalidInput("deposit:balance"),
                Conflict("deposit:nonce"),
                Conflict("deposit:waiting"),
                RateLimited("rate:deposits"),
                Unavailable("deposit:unavailable"),
                ExternalError,
            ),
        ),
    ]
