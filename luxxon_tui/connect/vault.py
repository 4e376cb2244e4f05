"""A wallet's key, in memory only while it is in use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_tui.store import Cell

if TYPE_CHECKING:
    from luxxon_core.client.wallet import LocalWallet


class Vault:
    """A keystore that a passphrase opens, and that closes by itself when it has not been used for a while.

    What it locks is the key alone: the console goes on showing what it shows.

    Args:
        path: the keystore (Web3 Secret Storage, version 3).
        minutes: after which it closes; 0 for never.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.locked: Cell[bool] = Cell(True)
        self._seconds = minutes * 60
        self._wallet: LocalWallet | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def address(self) -> str:
        """Whose key it is, as the file says; EIP-55.

        Raises:
            InvalidInput: there is no such file, or it tells no address.
        """
        from luxxon_core.client import keystore

        return await asyncio.to_thread(keystore.address_in, self.path)

    async def unlock(self, passphrase: str) -> LocalWallet:
        """Open it; a second's work, by intent, in a thread.

        Raises:
            InvalidInput: it is no keystore, or the passphrase does not open it.
        """
        from luxxon_core.client import keystore

        self._wallet = await asyncio.to_thread(keystore.read, self.path, passphrase)
        self._used()
        self.locked.set(False)
        return self._wallet

    def wallet(self) -> LocalWallet | None:
        """The wallet, while it is open; asking for it counts as use."""
        if self._wallet is not None:
            self._used()
        return self._wallet

    def lock(self) -> None:
        """Forget the key. Idempotent."""
        self._wallet = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.locked.set(True)

    def _used(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._seconds:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.lock)


class OpenVault(Vault):
    """The key of an embedded marketplace's own wallet: test money, so it lies open beside the data."""

    def __init__(self, wallet: LocalWallet, path: Path) -> None:
        super().__init__(path, 0)
        self._wallet = wallet
        self.locked.set(False)

    async def address(self) -> str:
        assert self._wallet is not None, "never locked"
        return self._wallet.address

    def lock(self) -> None:
        """It stays open."""
