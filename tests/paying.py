"""Paying a session as the relayer does, without its rows."""

from __future__ import annotations

from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.settlement.domain import Payload, Version, first_offer

CAP = 10**12


async def signed(chain: RpcSettlements, *payloads: Payload, nonce: int | None = None) -> Version:
    """A transaction that pays these; with the account's next nonce when none is given."""
    gas, fees = await chain.simulate(payloads), await chain.fees()
    fee = first_offer(fees.base_fee, fees.priority_fee, CAP)
    assert fee is not None
    number = await chain.nonce(chain.signer) if nonce is None else nonce
    return await chain.sign(payloads, number, gas, fee)


async def pay(chain: RpcSettlements, *payloads: Payload) -> str:
    """The hash of a transaction that pays these, broadcast."""
    version = await signed(chain, *payloads)
    assert version.raw is not None
    await chain.broadcast(version.raw)
    return version.tx_hash
