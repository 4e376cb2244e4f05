"""``luxxon keys``: the API keys of a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands import budgets
from luxxon_core.commands.calling import opener, say, signed_in, wallet_options, work

if TYPE_CHECKING:
    from pathlib import Path

    from luxxon_core.access.schemas import KeyArea
    from luxxon_core.settings import ClientSettings

CONSUMER = ("sessions:read", "sessions:create", "pricing:read", "wallet:read")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys. It takes the workspace owner's wallet: see luxxon wallet.

    The wallet's passphrase is asked for, or taken from LUXXON_WALLET_PASSPHRASE or the file
    LUXXON_WALLET_PASSPHRASE_FILE.
    """


@keys.command("list")
@wallet_options
def list_(workspace: str | None, path: Path | None, as_json: bool, url: str | None) -> None:
    """List the keys, revoked ones too."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            found = await api.workspaces.api_keys(workspace_id)
        if as_json:
            click.echo(encode(list(found)))
            return
        limited = budgets.limited(found)
        rows = [
            (
                one.id,
                one.prefix,
                one.label,
                "revoked" if one.revoked_at else "works",
                f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never",
                *(budgets.columns(one) if limited else ()),
                " ".join(one.scopes),
            )
            for one in found
        ]
        more = budgets.HEAD if limited else ()
        click.echo(table(("ID", "PREFIX", "LABEL", "STATE", "USED (UTC)", *more, "SCOPES"), rows))

    work(url, todo)


@keys.command()
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=CONSUMER,
    show_default=True,
    help="May be given more than once.",
)
@click.option("--daily-cap", type=budgets.Cap(), help="What its sessions of one UTC day may cost together.")
@click.option("--session-cap", type=budgets.Cap(), help="What one session may cost.")
@click.option(
    "--area",
    "areas",
    type=budgets.Area(),
    multiple=True,
    help="It may ask for places in this circle, such as 52.52,13.40,2km; may be given more than once.",
)
@wallet_options
def mint(
    label: str,
    scopes: tuple[str, ...],
    daily_cap: int | None,
    session_cap: int | None,
    areas: tuple[KeyArea, ...],
    workspace: str | None,
    path: Path | None,
    as_json: bool,
    url: str | None,
) -> None:
    """Make a key called LABEL and print it: it is shown this once.

    Caps are in USDC. A session counts with what it may cost at most while it is open, and with its charge
    when it is over, on the day it was asked for.
    """

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            environment = (await api.config.get()).environment
            made = await api.workspaces.create_api_key(
                workspace_id,
                label=label,
                scopes=scopes,
                environment=environment,
                daily_cap_micro_usdc=daily_cap,
                session_cap_micro_usdc=session_cap,
                areas=areas,
            )
        if as_json:
            click.echo(encode(made))
            return
        say(made.plaintext)
        say(f"id {made.id}; it is not shown again", err=True)

    work(url, todo)


keys.add_command(mint, "create")


@keys.command()
@click.argument("key_id", type=click.UUID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@wallet_options
def revoke(
    key_id: object, yes: bool, workspace: str | None, path: Path | None, as_json: bool, url: str | None
) -> None:
    """Revoke the key KEY_ID; it works for one more minute."""
    if not yes:
        click.confirm(f"Revoke {key_id}? It cannot be taken back.", abort=True, err=True)

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            gone = await api.workspaces.revoke_api_key(workspace_id, str(key_id))
        if as_json:
            click.echo(encode(gone))
        elif gone.grace_period_end is not None:
            until = f"{gone.grace_period_end:%H:%M:%S} UTC"
            say(f"{gone.prefix} {gone.label}: works until {until}")

    work(url, todo)
