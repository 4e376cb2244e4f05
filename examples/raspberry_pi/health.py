#!/opt/luxxon/bin/python
"""Whether the marketplace sees this machine's cameras: one line each, and 1 if one of them is not there.

``luxxon operate --setup`` has left their keys in ``operator-keys.json``; nothing else is needed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import LuxxonError


async def seen(server: str, camera: str, kept: dict[str, str]) -> bool:
    """Ask for one camera and say what is the matter with it, if anything is."""
    busy = ("REQUESTED", "ASSIGNED", "LIVE")
    try:
        async with Luxxon(f"{server}/api/v1", api_key=kept["apiKey"]) as api:
            workspace = await api.workspaces.get(kept["workspaceId"])
            sessions = await api.sessions.list(state=busy)
    except LuxxonError as error:
        click.echo(f"{camera}: {error.code} {error.message}")
        return False
    well = workspace.availability_state != "OFFLINE"
    film = f", filming {sessions[0].id}" if sessions else ""
    click.echo(f"{camera}: {workspace.availability_state}, last seen {workspace.last_seen_at}{film}")
    return well


async def check(servers: dict[str, dict[str, dict[str, str]]]) -> bool:
    asked = [seen(server, name, kept) for server, all_ in servers.items() for name, kept in all_.items()]
    return all(await asyncio.gather(*asked)) and bool(asked)


@click.command()
def main() -> None:
    """Ask the marketplace for every camera whose key is in LUXXON_DATA_DIR."""
    folder = Path(os.environ.get("LUXXON_DATA_DIR", "/var/lib/private/luxxon"))
    try:
        well = asyncio.run(check(json.loads((folder / "operator-keys.json").read_text())))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"no keys: {error}") from None
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
