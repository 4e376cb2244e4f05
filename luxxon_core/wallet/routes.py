"""Endpoints of the wallet (api-contract §6.8)."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.errors import ExternalError, WorkspaceNotFound
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.wallet.schemas import WalletState
from luxxon_core.wallet.usecases import Wallets


def operations(wallets: Wallets) -> list[Operation]:
    async def get(call: Call[None]) -> WalletState:
        workspace, pool = await wallets.get(call.acting)
        return WalletState(
            workspace_id=str(workspace.id),
            wallet_address=workspace.wallet_address,
            tracked_balance=str(pool.amount_uusdc),
            last_sync_block=str(pool.block_number),
            updated_at=Timestamp.of(call.now),
        )

    return [
        Operation(
            "GET",
            "/wallet",
            get,
            Access.WORKSPACE,
            WalletState,
            scopes=(Scope.WALLET_READ,),
            errors=(WorkspaceNotFound, ExternalError),
        )
    ]
