"""Opens the API for a command: with the key of the environment, or signed in with the user's wallet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.kernel.errors import InvalidInput, StartError
from luxxon_core.kernel.text import plain
from luxxon_core.runner import run

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.settings import ClientSettings

url_option = click.option("--url", help="The server.  [default: LUXXON_URL, else http://127.0.0.1:3010]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
file_option = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="The wallet's file."
)
workspace_option = click.option("--workspace", help="Slug or id.  [default: your only one]")


def wallet_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that signs in with the user's wallet and acts for a workspace."""
    for option in (url_option, json_option, file_option, workspace_option):
        command = option(command)
    return command


def work(url: str | None, todo: Callable[[ClientSettings], Coroutine[Any, Any, int | None]]) -> None:
    """Run a command's coroutine on the client's settings, to its exit code."""
    from luxxon_core.settings import load_client

    run(todo(load_client(**({} if url is None else {"url": url}))))


def say(line: str, *, err: bool = False) -> None:
    """Print a line. A server may have written part of it: a terminal obeys none of that."""
    click.echo(plain(line), err=err)


def tell(answer: object, line: str, *, as_json: bool) -> None:
    """Print an answer of the API: itself for programs, a line for people."""
    from luxxon_core.kernel.wire import encode

    if as_json:
        click.echo(encode(answer))
    else:
        say(line)


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
async def as_wallet(
    settings: ClientSettings, opened: Callable[[], LocalWallet]
) -> AsyncIterator[tuple[Luxxon, LocalWallet]]:
    """The API for a wallet that has signed in and acts for no workspace, and the wallet.

    Args:
        opened: asks for the passphrase if need be.
    """
    from luxxon_core.client import Luxxon

    wallet = opened()
    async with Luxxon(_api_url(settings)) as api:
        challenge = await api.auth.challenge(wallet.address)
        await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        yield api, wallet


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
    async with as_wallet(settings, opened) as (api, _):
        found = await api.workspaces.list()
        fitting = [one for one in found if workspace in (None, one.slug, one.id)]
        if len(fitting) != 1:
            names = ", ".join(one.slug for one in found) or "none"
            raise InvalidInput("auth:workspaceId", f"Name one of your workspaces with --workspace: {names}")
        await api.auth.select_workspace(fitting[0].id)
        yield api, fitting[0].id


@asynccontextmanager
async def with_key_or_wallet(
    settings: ClientSettings, path: Path | None, workspace: str | None
) -> AsyncIterator[Luxxon]:
    """The API with the key of the environment; signed in with the wallet where there is none, or where the
    wallet's file or a workspace is named."""
    if settings.api_key is not None and path is None and workspace is None:
        async with with_key(settings) as api:
            yield api
    else:
        async with signed_in(settings, opener(settings, path), workspace) as (api, _):
            yield api


def opener(settings: ClientSettings, path: Path | None) -> Callable[[], LocalWallet]:
    """Opens the user's keystore, as ``luxxon wallet`` does."""
    from luxxon_core.wallet_command import _opened, _path

    return lambda: _opened(settings, _path(settings, path))


def _api_url(settings: ClientSettings) -> str:
    return settings.url.rstrip("/") + "/api/v1"
