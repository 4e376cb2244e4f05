"""``luxxon workspace``: make one, look at it, rename it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import (
    as_wallet,
    file_option,
    json_option,
    opener,
    signed_in,
    tell,
    url_option,
    wallet_options,
    work,
)
from luxxon_core.commands.members import members

if TYPE_CHECKING:
    from pathlib import Path

    from luxxon_core.settings import ClientSettings
    from luxxon_core.workspaces.schemas import WorkspaceOfMember

ROLES = ("CONSUMER", "SUPPLIER")


@click.group()
def workspace() -> None:
    """Make, look at and rename workspaces, and say who belongs to them. It takes your wallet: see luxxon
    wallet.

    The wallet's passphrase is asked for, or taken from LUXXON_WALLET_PASSPHRASE or the file
    LUXXON_WALLET_PASSPHRASE_FILE.
    """


workspace.add_command(members)


@workspace.command("list")
@json_option
@url_option
@file_option
def list_(path: Path | None, as_json: bool, url: str | None) -> None:
    """List the workspaces that the wallet belongs to, and its role in each."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        async with as_wallet(settings, opener(settings, path)) as (api, _):
            found = await api.workspaces.list()
        if as_json:
            click.echo(encode(list(found)))
            return
        rows = [(one.id, one.slug, one.role, one.availability_state, one.name) for one in found]
        click.echo(table(("ID", "SLUG", "YOUR ROLE", "STATE", "NAME"), rows))

    work(url, todo)


@workspace.command()
@click.argument("slug")
@click.option("--name", help="As people read it.  [default: SLUG]")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    default=ROLES,
    show_default=True,
    help="What it does; may be given more than once.",
)
@json_option
@url_option
@file_option
def create(
    slug: str, name: str | None, roles: tuple[str, ...], path: Path | None, as_json: bool, url: str | None
) -> None:
    """Make a workspace called SLUG, which the wallet owns and pays for, and print its id.

    SLUG is what commands call it: 3 to 40 small letters, digits and hyphens.
    """

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.calling import without_key

        wallet = opener(settings, path)()
        async with without_key(settings) as api:
            challenge = await api.workspaces.challenge(wallet.address)
            made = await api.workspaces.create(
                slug=slug,
                name=slug if name is None else name,
                wallet_address=wallet.address,
                signature=wallet.sign_message(challenge.message),
                nonce=challenge.nonce,
                roles=roles,
            )
        tell(made, made.id, as_json=as_json)

    work(url, todo)


@workspace.command()
@wallet_options
def show(workspace: str | None, path: Path | None, as_json: bool, url: str | None) -> None:
    """Show the workspace: its name, its wallet, what it covers, your role."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            found = next(one for one in await api.workspaces.list() if one.id == workspace_id)
        click.echo(encode(found) if as_json else _shown(found))

    work(url, todo)


@workspace.command()
@click.argument("name")
@wallet_options
def rename(name: str, workspace: str | None, path: Path | None, as_json: bool, url: str | None) -> None:
    """Call the workspace NAME, 1 to 80 characters; its slug stays."""

    async def todo(settings: ClientSettings) -> None:

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            renamed = await api.workspaces.update(workspace_id, name=name)
        tell(renamed, f"{renamed.slug}: {renamed.name}", as_json=as_json)

    work(url, todo)


def _shown(found: WorkspaceOfMember) -> str:
    from luxxon_core.commands.table import facts

    lat, lng, radius = found.coverage_lat, found.coverage_lng, found.coverage_radius_meters
    known = lat is not None and lng is not None and radius is not None
    return facts(
        ("id", found.id),
        ("slug", found.slug),
        ("name", found.name),
        ("wallet", found.wallet_address),
        ("does", " ".join(found.roles)),
        ("your role", found.role),
        ("state", found.availability_state),
        ("covers", f"{lat:.5f}, {lng:.5f}, {radius:.0f} m" if known else "–"),
        ("device", found.device_kind or "–"),
        ("made", f"{found.created_at:%Y-%m-%d %H:%M} UTC"),
    )
