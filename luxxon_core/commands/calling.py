"""Opens the API for a command: with the key of the environment, or signed in with the user's wallet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.kernel.errors import InvalidInput, StartError
from luxxon_core.runner import run

if TYPE_CHECKING:
    from pathlib import Path

    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.settings import ClientSettings

url_option = click.option("--url", help="The server.  [default: LUXXON_URL, else http://127.0.0.1:3010]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def work(url: str | None, todo: Callable[[ClientSettings], Coroutine[Any, Any, int | None]]) -> None:
    """Run a command's coroutine on the client's settings, to its exit code."""
    from luxxon_core.settings import load_client

    run(todo(load_client(**({} if url is None else {"url": url}))))


@asynccontextmanager
async def with_key(settings: ClientSettings) -> AsyncIterator[Luxxon]:
    """The API with the key of the environment.

    Raises:
        StartError: there is none.
    """
    from luxxon_core.client import Luxxon
    from luxxon_core.settings import revealed

    key = revealed(settings.api_key)
    if key is None:
        raise StartError(message="LUXXON_API_KEY is not set: make a key with luxxon keys mint")
    async with Luxxon(_api_url(settings), api_key=key) as api:
        yield api


@asynccontextmanager
async def without_key(settings: ClientSettings) -> AsyncIterator[Luxxon]:
    """The API for what is public."""
    from luxxon_core.client import Luxxon

    async with Luxxon(_api_url(settings)) as api:
        yield api


@asynccontextmanager
async def signed_in(
    settings: ClientSettings, opened: Callable[[], LocalWallet], workspace: str | None
) -> AsyncIterator[tuple[Luxxon, str]]:
    """The API for a wallet that acts for a workspace, and that workspace's id.

    Args:
        opened: asks for the passphrase if need be.
        workspace: its slug or id; the wallet's only one when not given.

    Raises:
        InvalidInput: ``auth:workspaceId``: the wallet is a member of no such workspace, or of several.
    """
    from luxxon_core.client import Luxxon

    wallet = opened()
    async with Luxxon(_api_url(settings)) as api:
        challenge = await api.auth.challenge(wallet.address)
        await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        found = await api.workspaces.list()
        fitting = [one for one in found if workspace in (None, one.slug, one.id)]
        if len(fitting) != 1:
            names = ", ".join(one.slug for one in found) or "none"
            raise InvalidInput("auth:workspaceId", f"Name one of your workspaces with --workspace: {names}")
        await api.auth.select_workspace(fitting[0].id)
        yield api, fitting[0].id


def opener(settings: ClientSettings, path: Path | None) -> Callable[[], LocalWallet]:
    """Opens the user's keystore, as ``luxxon wallet`` does."""
    from luxxon_core.wallet_command import _opened, _path

    return lambda: _opened(settings, _path(settings, path))


def _api_url(settings: ClientSettings) -> str:
    return settings.url.rstrip("/") + "/api/v1"
