"""Who a camera is at the marketplace: a workspace can have one camera online, and each its own key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.operator.keys import KeyFile
    from luxxon_core.operator.marketplace import MarketplaceApi
    from luxxon_tui.operate.finding import FoundCamera


@dataclass(frozen=True, slots=True)
class Acting:
    """A client, and the workspace that it acts for.

    Attributes:
        wallet_address: of the workspace, where that is known: who may sign its telemetry.
        close: lets go of a client that is the camera's own.
    """

    api: MarketplaceApi = field(repr=False)
    workspace_id: str
    wallet_address: str | None = None
    close: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)


class Identities:
    """The keys of cameras at one server: of ``luxxon.toml``, and those that ``luxxon operate --setup`` and
    :meth:`enrolled` have kept."""

    def __init__(self, api: Luxxon) -> None:
        self._base_url = api.base_url

    async def own(self, found: FoundCamera) -> Acting | None:
        """By the camera's own key; None where it has none.

        Raises:
            LuxxonError: the key is no good, or the server is lost; StartError: keys cannot be read.
        """
        key = found.table.api_key.get_secret_value() if found.table and found.table.api_key else None
        if key is None:
            kept = (await asyncio.to_thread(lambda: self._keys().read(self._base_url))).get(found.name)
            key = kept.api_key if kept is not None else None
        return None if key is None else await self._with(key)

    async def enrolled(self, found: FoundCamera, wallet: LocalWallet, environment: str) -> Acting:
        """By a key that is kept from now on, of a workspace that is made for the camera where there is none.

        Raises:
            LuxxonError: the server refuses, or is lost; StartError: keys cannot be kept.
        """
        from luxxon_core.client import Luxxon
        from luxxon_core.operator.enrolment import enrol, slug_of

        keys = await asyncio.to_thread(self._keys)
        slug = (found.table.slug if found.table else None) or slug_of(found.name)
        async with Luxxon(self._base_url) as api:
            async for _ in enrol(api, wallet, keys, {found.name: slug}, environment):
                pass
        kept = await asyncio.to_thread(keys.read, self._base_url)
        return await self._with(kept[found.name].api_key)

    @staticmethod
    def _keys() -> KeyFile:
        from luxxon_core.operator.keys import KeyFile
        from luxxon_core.settings import load_cameras

        return KeyFile(load_cameras().data_dir)

    async def _with(self, key: str) -> Acting:
        from luxxon_core.client import Luxxon
        from luxxon_core.operator.camera import workspace_of

        api = Luxxon(self._base_url, api_key=key)
        try:
            workspace_id = workspace_of(await api.me.get())
            workspace = await api.workspaces.get(workspace_id)
        except BaseException:
            await api.close()
            raise
        return Acting(api, workspace_id, workspace.wallet_address, api.close)
