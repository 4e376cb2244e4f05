"""A development chain as the server that pays from it reads it."""

from __future__ import annotations

from typing import Any

from luxxon_core.adapters.chain.rpc import RpcChain


def relayer_chain(chain: Any) -> RpcChain:
    """The ports to an embedded chain or to Anvil, with the chain's own relayer as signer."""
    return RpcChain(
        chain.rpc_url,
        chain.settlement_address,
        chain.usdc_address,
        chain.relayer,
        chain_id=chain.chain_id,
    )
