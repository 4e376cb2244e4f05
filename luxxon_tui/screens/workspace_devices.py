"""The cameras that this machine's settings offer for workspaces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import StartError
from luxxon_tui.screens.workspace_panels import Device
from luxxon_tui.store import Store

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon


def cameras_of_settings() -> list[tuple[str, str, str]]:
    """Name, kind and workspace's slug of the cameras of ``luxxon.toml``. Blocks.

    Raises:
        StartError: the file has a fault; it names the field.
    """
    from luxxon_core.operator.enrolment import slug_of
    from luxxon_core.settings import load_cameras

    try:
        cameras = load_cameras().cameras
    except OSError as error:
        raise StartError(message=f"luxxon.toml cannot be read: {error.strerror or error}") from error
    return [
        (name, table.type.partition(":")[0], str(table.operate.get("slug") or slug_of(name)))
        for name, table in cameras.items()
    ]


async def read_devices(api: Luxxon, store: Store) -> list[Device]:
    """The cameras of ``luxxon.toml``, and how those are whose workspace can be seen.

    Raises:
        LuxxonError: the file has a fault, or the server refuses.
    """
    cameras = await asyncio.to_thread(cameras_of_settings)
    who, mine = store.who.value, store.workspace.value
    states = {mine.slug: mine.availability_state} if mine else {}
    if cameras and who is not None and who.is_wallet:
        states |= {one.slug: one.availability_state for one in await api.workspaces.list()}
    return [Device(*camera, states.get(camera[2])) for camera in cameras]
