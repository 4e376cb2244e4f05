"""``luxxon ledger``: the ledger against the chain that it was read from."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from luxxon_core.settings import Settings
    from luxxon_core.wallet.usecases import Audit, Books

SAME, DIFFERENT = 0, 1

_data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data is kept."
)


@click.group()
def ledger() -> None:
    """Compare what is known of the chain with the chain, or read it again."""


@ledger.command()
@_data_dir
@click.pass_obj
def check(log_level: str, data_dir: Path | None) -> None:
    """Compare every row of the ledger, and the balances that it adds up to, with the chain.

    Prints a line for each difference. Exits with 0 when there is none, 1 when there are, 2 when it could not
    be found out.
    """
    _on_books(log_level, data_dir, lambda books, now: books.check(now, _show))


@ledger.command()
@_data_dir
@click.pass_obj
def rebuild(log_level: str, data_dir: Path | None) -> None:
    """Read the chain from the contract's first block on, and put that in place of the ledger.

    Servers go on telling what was there until everything has been read. Exits with 0, with 1 when the
    contract's balances are not what its logs add up to, and with 2, nothing changed, when it failed.
    """
    _on_books(log_level, data_dir, lambda books, now: books.rebuild(now, _show))


def _on_books(
    log_level: str, data_dir: Path | None, work: Callable[[Books, datetime], Awaitable[Audit]]
) -> None:
    from luxxon_core.cli import on_settings

    on_settings(log_level, data_dir, lambda settings: _told(settings, work))


async def _told(settings: Settings, work: Callable[[Books, datetime], Awaitable[Audit]]) -> int:
    from luxxon_core.adapters.chain.logs import RpcLogs
    from luxxon_core.adapters.postgres.ledger import PgLedger
    from luxxon_core.bootstrap.cases import confirmations
    from luxxon_core.bootstrap.parts import books as opened
    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.wallet.usecases import Books

    async with AsyncExitStack() as stack:
        database, rpc = await opened(stack, settings)
        logs = RpcLogs(rpc, settings.settlement_block)
        books = Books(database, PgLedger(rpc.contract), logs, confirmations(settings))
        audit = await work(books, utc_now())
        click.echo(f"contract     {rpc.contract}")
    click.echo(f"up to block  {'none' if audit.block_number is None else audit.block_number}")
    click.echo(f"entries      {audit.entries}, of wallets: {audit.wallets}")
    click.echo(f"differences  {len(audit.differences) or 'none'}")
    for line in audit.differences:
        click.echo(line)
    return DIFFERENT if audit.differences else SAME


def _show(read: int, of: int) -> None:
    """Progress, for people only."""
    if sys.stderr.isatty():
        click.echo(f"\rblocks read  {read} of {of}", nl=read >= of, err=True)
