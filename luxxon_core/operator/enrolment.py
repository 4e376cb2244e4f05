"""Signing cameras up: a workspace for each, owned by one wallet, and a key that operates it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import Conflict, LuxxonError, NotAuthenticated
from luxxon_core.operator.keys import Kept, KeyFile

if TYPE_CHECKING:
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.workspaces.schemas import WorkspaceOfMember

SCOPES = ("sessions:read", "sessions:operate")
SUPPLIER = "SUPPLIER"


@dataclass(frozen=True, slots=True)
class Enrolled:
    camera: str
    slug: str
    workspace_id: str
    fresh: bool
    """Whether a key was minted; otherwise the one that is kept still works."""


def slug_of(name: str) -> str:
    """A camera's name as a workspace's slug: 3 to 40 lower-case letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return slug if len(slug) >= 3 else f"camera-{slug}".rstrip("-")


async def enrol(
    api: Luxxon, wallet: LocalWallet, keys: KeyFile, cameras: Mapping[str, str], environment: str
) -> AsyncIterator[Enrolled]:
    """Make what is missing, camera by camera; done again it changes nothing.

    Args:
        cameras: slug by name.
        environment: of the keys, TEST or LIVE.

    Raises:
        LuxxonError: the server refuses.
    """
    challenge = await api.auth.challenge(wallet.address)
    await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
    owned = {one.slug: one for one in await api.workspaces.list()}
    for name, wanted in cameras.items():
        kept = keys.read(api.base_url).get(name)
        if kept is not None and await _works(api.base_url, kept):
            yield Enrolled(name, kept.slug, kept.workspace_id, fresh=False)
            continue
        workspace_id, slug = await _workspace(api, wallet, owned, name, wanted)
        await api.auth.select_workspace(workspace_id)
        key = await api.workspaces.create_api_key(
            workspace_id, label=f"luxxon operate {name}"[:80], scopes=SCOPES, environment=environment
        )
        keys.write(api.base_url, name, Kept(workspace_id, slug, key.plaintext))
        yield Enrolled(name, slug, workspace_id, fresh=True)


async def _works(base_url: str, kept: Kept) -> bool:
    async with Luxxon(base_url, api_key=kept.api_key) as own:
        try:
            await own.me.get()
        except NotAuthenticated:
            return False
    return True


async def _workspace(
    api: Luxxon, wallet: LocalWallet, owned: Mapping[str, WorkspaceOfMember], name: str, slug: str
) -> tuple[str, str]:
    """The wallet's own of that slug, or a new one; of a slug that is taken, one with the wallet's digits."""
    digits = wallet.address[2:8].lower()
    for wanted in (slug, f"{slug[:33].rstrip('-')}-{digits}"):
        mine = owned.get(wanted)
        if mine is not None and SUPPLIER in mine.roles:
            return mine.id, wanted
        try:
            challenge = await api.workspaces.challenge(wallet.address)
            made = await api.workspaces.create(
                slug=wanted,
                name=name[:80],
                wallet_address=wallet.address,
                signature=wallet.sign_message(challenge.message),
                nonce=challenge.nonce,
                roles=[SUPPLIER],
            )
        except Conflict as error:
            if error.detail != "workspace:slugTaken":
                raise
            continue
        return made.id, wanted
    raise LuxxonError("operate:slugTaken", f"both workspace names for {name} are taken: set operate.slug")
