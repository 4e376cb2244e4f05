"""What wallets and the create pre-flight ask of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PoolBalance:
    """A consumer's pool in the settlement contract, in µUSDC, as of a block."""

    amount_uusdc: int
    block_number: int


class Chain(Protocol):
    """Reads of the chain's newest state. Wallets are addresses in any letter case."""

    async def pool(self, wallet: str) -> PoolBalance:
        """``deposits(wallet)`` of the settlement contract.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...

    async def usdc_balance(self, wallet: str) -> int:
        """µUSDC that the wallet itself holds.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...

    async def eth_balance(self, wallet: str) -> int:
        """Wei that the wallet holds: what it can pay gas with.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...
