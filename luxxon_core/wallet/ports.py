"""What wallets, the watcher and the create pre-flight ask of the chain, and where they keep it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.wallet.domain import Authorization, Block, Cursor, Entry


@dataclass(frozen=True, slots=True)
class PoolBalance:
    """A consumer's pool in the settlement contract, in µUSDC, exactly as of a block."""

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


class Pools(Protocol):
    """Pool balances, remembered for the length of a block."""

    async def pool(self, wallet: str, *, fresh: bool = False) -> PoolBalance:
        """The pool as of the newest block; without ``fresh`` that block may be a fraction of a second old.

        Raises:
            ExternalError: the chain could not be read.
        """
        ...


class ChainLogs(Protocol):
    """The settlement contract's history. Every method raises ExternalError when the chain cannot be read."""

    async def head(self) -> int:
        """The newest block's number as the node has it now; nothing says that it only grows."""
        ...

    async def block(self, number: int) -> Block | None:
        """The block of that number; None when the node has none."""
        ...

    async def first_block(self) -> int:
        """A block before which the contract has no logs: that of its deployment where the node can tell."""
        ...

    async def entries_of(self, block: Block) -> list[Entry]:
        """What happened in exactly this block, in order. A block that the node has dropped
        raises ExternalError."""
        ...

    async def entries_between(self, first: int, last: int) -> tuple[int, list[Entry]]:
        """What happened in the blocks from ``first`` on, in order, and the last block that this covers:
        ``last`` or, when the node refuses as many, an earlier one."""
        ...

    async def pool_at(self, wallet: str, block_number: int) -> int | None:
        """``deposits(wallet)`` after a block, in µUSDC; None when the node has lost that state."""
        ...


class Ledger(Protocol):
    """The entries of one settlement contract, with the watcher's own notes. Wallets are EIP-55."""

    async def lock(self, tx: Tx) -> bool:
        """Be the only watcher until the transaction ends; False when there is another."""
        ...

    async def cursor(self, tx: Tx) -> Cursor | None: ...

    async def move(self, tx: Tx, block_number: int, now: datetime) -> None:
        """Set the cursor."""
        ...

    async def remembered(self, tx: Tx) -> list[tuple[int, str]]:
        """Number and hash of the newest blocks consumed, newest first; numbers may be missing in between."""
        ...

    async def remember(self, tx: Tx, blocks: Sequence[Block], keep: int) -> None:
        """Add blocks and forget all but the newest ``keep``."""
        ...

    async def add(self, tx: Tx, entries: Sequence[Entry]) -> None:
        """Append; entries that are there already stay as they are."""
        ...

    async def rows(self, tx: Tx) -> list[Entry]:
        """All entries, in the chain's order."""
        ...

    async def wallets_after(self, tx: Tx, block_number: int) -> set[str]:
        """The wallets with entries above a block."""
        ...

    async def rewind(self, tx: Tx, block_number: int) -> None:
        """Take back entries and remembered blocks above a block."""
        ...

    async def clear(self, tx: Tx) -> None:
        """Take back everything, the cursor too."""
        ...

    async def balances(self, tx: Tx, wallets: Iterable[str]) -> dict[str, int]:
        """The pools of these wallets as their entries add up, in µUSDC."""
        ...

    async def set_pools(
        self, tx: Tx, balances: Mapping[str, int], block_number: int, now: datetime
    ) -> None: ...

    async def pools(self, tx: Tx) -> dict[str, int]:
        """Every pool as the watcher last noted it, in µUSDC, by wallet."""
        ...

    async def pool(self, tx: Tx, wallet: str) -> PoolBalance | None:
        """The pool as the watcher last noted it; None for a wallet that nothing has happened to."""
        ...

    async def page(
        self, tx: Tx, wallet: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Entry]] | None:
        """The wallet's entries with their ids, newest first, following the entry ``after``; None when the
        wallet has no such entry."""
        ...


class Sponsor(Protocol):
    """Pays the gas of other people's deposits."""

    async def deposit(self, authorization: Authorization, now: datetime) -> str:
        """Send it to the settlement contract and see to it that it is mined; the transaction's hash.

        Raises:
            InvalidInput: the token or the contract refuses it; the detail names the field.
            Conflict: it has been used.
            Unavailable: nobody pays at the moment.
            ExternalError: the chain does not answer.
        """
        ...

    async def waits(self, tx_hash: str) -> bool:
        """Whether a transaction of an earlier deposit is still to be mined.

        Raises:
            ExternalError: the chain does not answer.
        """
        ...
