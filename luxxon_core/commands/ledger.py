"""``luxxon wallet ledger``: what went into the pool and out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import wallet_options, with_key_or_wallet, work
from luxxon_core.commands.reader import while_read

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.commands.entries import Entry
    from luxxon_core.sessions.schemas import Session
    from luxxon_core.settings import ClientSettings
    from luxxon_core.settlement.schemas import SettlementView
    from luxxon_core.wallet.schemas import OnChainEvent

TERMINAL = ("ENDED", "EXPIRED", "CANCELLED")


@click.command()
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, as the console exports it.")
@wallet_options
def ledger(as_csv: bool, workspace: str | None, path: Path | None, as_json: bool, url: str | None) -> None:
    """List all that went into the pool and out of it, newest first, with the pool after it.

    What is held for open sessions and what is not paid yet comes first; --json prints what is on the chain
    and nothing else. It takes LUXXON_API_KEY with the scopes wallet:read and sessions:read, or, where there
    is none or --file or --workspace is given, the wallet's file.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands import entries
        from luxxon_core.kernel.wire import encode

        async with with_key_or_wallet(settings, path, workspace) as api:
            found = [one async for one in api.wallet.iterate()]
            lines = [] if as_json else await _lines(api, found)
        if as_json:
            click.echo(encode(found))
        elif as_csv:
            click.echo(entries.csv_of(lines), nl=False)
        else:
            click.echo(entries.table_of(lines))

    with while_read():
        work(url, todo)


async def _lines(api: Luxxon, found: list[OnChainEvent]) -> list[Entry]:
    from contextlib import suppress

    from luxxon_core.commands.entries import entries
    from luxxon_core.kernel.errors import InsufficientScope

    wallet = await api.wallet.get()
    sessions: list[Session] = []
    with suppress(InsufficientScope):  # then a settlement's line does not say which way it went
        sessions = [one async for one in api.sessions.iterate()]
    settled = {one.related_session for one in found}
    over = [one for one in sessions if one.state in TERMINAL and int(one.charged_micro_usdc)]
    owed: dict[str, SettlementView] = {}
    for one in over:
        if one.id not in settled:
            owed[one.id] = await api.settlements.get(one.id)
    return entries(wallet, found, {one.id: one for one in sessions}, owed)
