"""The console's one connection: opened by profile, followed into the store, left for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError, NotAuthenticated
from luxxon_tui.connect.opening import Connected, Opener
from luxxon_tui.store import Readiness, Store

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.profiles import ProfileTable
    from luxxon_tui.store.follow import Follower

GIVE_UP_SECONDS, PARTED_SECONDS = 10.0, 45.0
FOLLOW = "luxxon_tui.store.follow"
"""Imported beside the loop, and after the first paint: it brings the schemas of the whole API."""


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
        self._opener = Opener(passphrase, store.progress.set, store.log, self._noticed, unlock_minutes)
        self.notice: Callable[[str], object] = store.progress.set
        """Is told what has become of a server that runs on this machine."""
        self._changed = asyncio.Event()
        self.connected: Connected | None = None
        self._opened: set[asyncio.Task[object]] = set()
        """Those that run :meth:`open`: the newest, and former ones on their way out."""
        self.follower: Follower | None = None
        self.profile_name = ""
        self._acting: str | None = None
        """The workspace that was switched to; None is the profile's own."""

    def _noticed(self, words: str) -> None:
        self.notice(words)
        self.retry()  # what has come back is asked now, and not when the back-off has passed

    @property
    def api(self) -> Luxxon | None:
        """The client; None while there is none."""
        return self.connected.api if self.connected else None

    async def follow(self, api: Luxxon) -> None:
        """Fill the store by a client that somebody else has opened, until cancelled."""
        await asyncio.to_thread(import_module, FOLLOW)
        await self._followed(Connected(api))

    async def open(self, name: str, profile: ProfileTable) -> None:
        """Connect and fill the store until cancelled; what keeps it from that is told there, until
        :meth:`retry`."""
        store, self.profile_name, former = self._store, name, set(self._opened)
        if (task := asyncio.current_task()) is not None:
            self._opened.add(task)
            task.add_done_callback(self._opened.discard)
        if self.follower is not None:
            self.follower.part()  # its way out may take longer than the next one's way in
        if store.readiness.value is not Readiness.IDLE:
            store.forget()
        store.readiness.set(Readiness.LOADING)
        follow = await asyncio.to_thread(import_module, FOLLOW)
        if profile.embedded and former:  # its data directory is in use until it is closed
            await asyncio.wait(former, timeout=PARTED_SECONDS)
        while True:
            store.readiness.set(Readiness.LOADING)
            try:
                async with self._opener.open(profile) as connected:
                    try:
                        await self._followed(connected)
                    finally:
                        if profile.embedded:  # its camera stops with it: nothing would come any more
                            await self._give_up(connected.api)
            except LuxxonError as error:
                store.failure.set(follow.failed(error, "console"))
                store.readiness.set(Readiness.FAILED)
                self._changed.clear()
                await self._changed.wait()
                store.failure.set(None)

    async def _followed(self, connected: Connected) -> None:
        """Fill the store from a server; again from the start when another workspace is chosen."""
        from luxxon_tui.store.follow import Follower

        renew = partial(self._renewed, connected.renew, connected.api) if connected.renew else None
        try:
            self.connected, self._acting = connected, None
            while True:
                self._changed.clear()
                self._store.names.set(connected.names)
                self.follower = Follower(connected.api, self._store, self._clock, renew)
                await self._until_changed(self.follower)
                self._store.forget()
        finally:
            if self.connected is connected:  # the next one may be there already
                self.connected = self.follower = None

    async def parted(self) -> None:
        """Wait until what :meth:`open` opened is closed, after it was cancelled."""
        if self._opened:
            await asyncio.wait(set(self._opened), timeout=PARTED_SECONDS)

    async def _give_up(self, api: Luxxon) -> None:
        """End what has been asked for and still runs, so that it is paid as it is and holds no camera."""
        with suppress(LuxxonError, TimeoutError):  # then its time runs out, without a charge
            async with asyncio.timeout(GIVE_UP_SECONDS):
                asked = await api.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE"), side="consumer")
                for one in asked:
                    await (api.sessions.end if one.state == "LIVE" else api.sessions.cancel)(one.id)

    async def _renewed(self, renew: Callable[[], Awaitable[None]], api: Luxxon) -> None:
        """Sign in again, and go on acting for the workspace that was chosen since."""
        await renew()
        if self._acting is not None:
            await api.auth.select_workspace(self._acting)

    async def _until_changed(self, follower: Follower) -> None:
        running = asyncio.create_task(follower.run(), name="follower")
        changed = asyncio.create_task(self._changed.wait(), name="changed")
        try:
            await asyncio.wait((running, changed), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()  # it only ends by failing
        finally:
            follower.part()
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
            self._acting = workspace_id
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
