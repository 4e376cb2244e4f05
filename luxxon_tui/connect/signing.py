"""Signing in with a wallet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luxxon_core.access.schemas import WorkspaceMembership
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet


class NoWorkspace(NotAuthenticated):
    """The wallet has signed in, and there is nothing it could act for yet."""

    code, default_message = "NO_WORKSPACE", "This wallet has no workspace yet"


async def sign_in(api: Luxxon, wallet: LocalWallet) -> list[WorkspaceMembership]:
    """Sign in; the client keeps the cookie. The wallet's workspaces.

    Raises:
        LuxxonError: the server refused, or is lost.
    """
    challenge = await api.auth.challenge(wallet.address)
    signature = await asyncio.to_thread(wallet.sign_message, challenge.message)
    return (await api.auth.login(wallet.address, challenge.nonce, signature)).workspaces


async def act_for(api: Luxxon, workspaces: Sequence[WorkspaceMembership], wanted: str | None) -> str:
    """Choose the workspace that was wanted, else the first; its id.

    Raises:
        NoWorkspace: there is none.
    """
    if not workspaces:
        raise NoWorkspace
    chosen = next((one for one in workspaces if wanted in (one.id, one.slug)), workspaces[0])
    await api.auth.select_workspace(chosen.id)
    return chosen.id


async def found(api: Luxxon, wallet: LocalWallet, *, slug: str, name: str, roles: Sequence[str]) -> str:
    """Create a workspace that the wallet owns; its id.

    Raises:
        Conflict: ``workspace:slugTaken``; LuxxonError: the server refused, or is lost.
    """
    challenge = await api.workspaces.challenge(wallet.address)
    signature = await asyncio.to_thread(wallet.sign_message, challenge.message)
    made = await api.workspaces.create(
        slug=slug,
        name=name,
        wallet_address=wallet.address,
        signature=signature,
        nonce=challenge.nonce,
        roles=roles,
    )
    return made.id
