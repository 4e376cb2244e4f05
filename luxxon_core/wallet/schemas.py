"""Wire types of the wallet (api-contract §5.4)."""

from __future__ import annotations

import msgspec

from luxxon_core.kernel.wire import Timestamp


class WalletState(msgspec.Struct, frozen=True, rename="camel"):
    workspace_id: str
    wallet_address: str
    tracked_balance: str
    last_sync_block: str
    updated_at: Timestamp
