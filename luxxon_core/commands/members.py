"""``luxxon workspace members``: who belongs to a workspace, and what they may do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.commands.calling import opener, signed_in, tell, wallet_options, work

if TYPE_CHECKING:
    from pathlib import Path

    from luxxon_core.access.schemas import Member, MemberChanged
    from luxxon_core.client import Luxxon
    from luxxon_core.settings import ClientSettings

ROLES = ("VIEWER", "ADMIN", "OWNER")


class Address(click.ParamType):  # type: ignore[type-arg]
    """A wallet's address, in any letter case."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if re.fullmatch("0[xX][0-9a-fA-F]{40}", str(value)) is None:
            self.fail(f"{value!r} is no address: 0x and 40 hexadecimal digits.", param, ctx)
        return str(value)


@click.group()
def members() -> None:
    """List the members of a workspace, add them, change their role, remove them.

    A VIEWER reads, an ADMIN works and makes keys, an OWNER says who belongs to it: one stays.
    """


@members.command("list")
@wallet_options
def list_(workspace: str | None, path: Path | None, as_json: bool, url: str | None) -> None:
    """List the members."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            found = await api.workspaces.members(workspace_id)
        if as_json:
            click.echo(encode(list(found)))
            return
        rows = [(one.wallet_address, one.role, f"{one.created_at:%Y-%m-%d %H:%M}") for one in found]
        click.echo(table(("ADDRESS", "ROLE", "ADDED (UTC)"), rows))

    work(url, todo)


@members.command()
@click.argument("address", type=Address())
@click.option("--role", type=click.Choice(ROLES), default="VIEWER", show_default=True)
@wallet_options
def add(
    address: str, role: str, workspace: str | None, path: Path | None, as_json: bool, url: str | None
) -> None:
    """Add the wallet ADDRESS. One that is a member keeps its role: that is changed with role."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.errors import Conflict

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            known = await _member(api, workspace_id, address)
            if known is not None and known.role != role:
                words = f"{known.wallet_address} is {known.role} already: see luxxon workspace members role"
                raise Conflict("member:role", words)
            _tell(await api.workspaces.put_member(workspace_id, address, role), as_json)

    work(url, todo)


@members.command("role")
@click.argument("address", type=Address())
@click.argument("role", type=click.Choice(ROLES))
@wallet_options
def role_(
    address: str, role: str, workspace: str | None, path: Path | None, as_json: bool, url: str | None
) -> None:
    """Make the member ADDRESS a ROLE."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.errors import NotFound

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            if await _member(api, workspace_id, address) is None:
                words = f"{address} is no member: see luxxon workspace members add"
                raise NotFound("member:wallet", words)
            _tell(await api.workspaces.put_member(workspace_id, address, role), as_json)

    work(url, todo)


@members.command()
@click.argument("address", type=Address())
@click.option("--yes", is_flag=True, help="Do not ask.")
@wallet_options
def remove(
    address: str, yes: bool, workspace: str | None, path: Path | None, as_json: bool, url: str | None
) -> None:
    """Remove the member ADDRESS; keys that it has made go on working."""
    if not yes:
        click.confirm(f"Remove {address}?", abort=True, err=True)

    async def todo(settings: ClientSettings) -> None:

        async with signed_in(settings, opener(settings, path), workspace) as (api, workspace_id):
            gone = await api.workspaces.remove_member(workspace_id, address)
        tell(gone, f"{gone.wallet_address}: removed", as_json=as_json)

    work(url, todo)


async def _member(api: Luxxon, workspace_id: str, address: str) -> Member | None:
    found = await api.workspaces.members(workspace_id)
    return next((one for one in found if one.wallet_address.lower() == address.lower()), None)


def _tell(changed: MemberChanged, as_json: bool) -> None:

    tell(changed, f"{changed.wallet_address}: {changed.role}", as_json=as_json)
