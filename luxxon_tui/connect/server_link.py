"""The console's one connection: opened by profile, followed into the store, left for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError, NotAuthenticated
from luxxon_tui.connect.opening import Connected, Opener
from luxxon_tui.store import Readiness, Store
from luxxon_tui.store.follow import Follower, failed

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.profiles import ProfileTable


class ServerLink:
    """What there is of a server now.

    Args:
        passphrase: asks for what opens a keystore; see :class:`Opener`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        passphrase: Callable[[Path, str], Awaitable[str | None]],
        unlock_minutes: float,
    ) -> None:
        self._store, self._clock = store, clock
        self._opener = Opener(passphrase, store.progress.set, store.log, unlock_minutes)
        self._changed = asyncio.Event()
        self.connected: Connected | None = None
        self.follower: Follower | None = None
        self.profile_name = ""

    @property
    def api(self) -> Luxxon | None:
        """The client; None while there is none."""
        return self.connected.api if self.connected else None

    async def follow(self, api: Luxxon) -> None:
        """Fill the store by a client that somebody else has opened, until cancelled."""
        await self._followed(Connected(api))

    async def open(self, name: str, profile: ProfileTable) -> None:
        """Connect and fill the store until cancelled; what keeps it from that is told there, until
        :meth:`retry`."""
        store, self.profile_name = self._store, name
        if store.readiness.value is not Readiness.IDLE:
            store.forget()
        while True:
            store.readiness.set(Readiness.LOADING)
            try:
                async with self._opener.open(profile) as connected:
                    await self._followed(connected)
            except LuxxonError as error:
                store.failure.set(failed(error, "console"))
                store.readiness.set(Readiness.FAILED)
                self._changed.clear()
                await self._changed.wait()
                store.failure.set(None)

    async def _followed(self, connected: Connected) -> None:
        """Fill the store from a server; again from the start when another workspace is chosen."""
        try:
            self.connected = connected
            while True:
                self._changed.clear()
                self.follower = Follower(connected.api, self._store, self._clock, connected.renew)
                await self._until_changed(self.follower)
                self._store.forget()
        finally:
            self.connected = self.follower = None

    async def _until_changed(self, follower: Follower) -> None:
        running = asyncio.create_task(follower.run(), name="follower")
        changed = asyncio.create_task(self._changed.wait(), name="changed")
        try:
            await asyncio.wait((running, changed), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()  # it only ends by failing
        finally:
            for task in (running, changed):
                task.cancel()
            await asyncio.gather(running, changed, return_exceptions=True)

    async def act_for(self, workspace_id: str) -> None:
        """Act for another workspace of the wallet.

        Raises:
            LuxxonError: the server refused, or is lost.
        """
        if self.api is not None:
            await self.api.auth.select_workspace(workspace_id)
            self._changed.set()

    def retry(self) -> None:
        """While offline, refused or not connected: try again now."""
        if self.follower is not None:
            self.follower.retry()
        else:
            self._changed.set()

    async def wallet(self) -> LocalWallet | None:
        """The open wallet, its passphrase asked for while it is locked; None where there is none, or that is
        not given.

        Raises:
            InvalidInput: the keystore cannot be read.
        """
        vault = self.connected.vault if self.connected else None
        if vault is None:
            return None
        try:
            return await self._opener.unlocked(vault)
        except NotAuthenticated:
            return None
