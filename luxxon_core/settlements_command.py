"""``luxxon settlements``: payments that are not done, on the database of the server.

Nobody is asked who they are: whoever reaches the database may do all of this with SQL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from luxxon_core.settlement.domain import Settlement
    from luxxon_core.settlement.usecases import Desk, Shown

_data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data is kept."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def settlements() -> None:
    """Look at payments that are not confirmed, and have them tried again."""


@settlements.command("list")
@click.option("--parked", is_flag=True, help="Only those that nobody tries again before you say so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_json
@_data_dir
@click.pass_obj
def list_(log_level: str, parked: bool, limit: int, as_json: bool, data_dir: Path | None) -> None:
    """List payments that are not confirmed, oldest first."""

    async def run(desk: Desk) -> None:
        found = await desk.unfinished(parked=parked, limit=limit)
        if as_json:
            _print_json([_fields(one) for one in found])
        else:
            for one in found:
                click.echo(_line(one))
            click.echo(f"{len(found)} not confirmed", err=True)

    _at_the_desk(log_level, data_dir, run)


@settlements.command()
@click.argument("session_id", type=click.UUID)
@_json
@_data_dir
@click.pass_obj
def show(log_level: str, session_id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Show everything about the payment of SESSION_ID."""

    async def run(desk: Desk) -> None:
        shown = await desk.show(session_id)
        fields = _fields(shown.settlement) | _transaction(shown)
        if as_json:
            _print_json(fields)
        else:
            for name, value in fields.items():
                if value is not None:
                    click.echo(f"{name:18} {', '.join(value) if isinstance(value, list) else value}")

    _at_the_desk(log_level, data_dir, run)


@settlements.command()
@click.argument("session_ids", type=click.UUID, nargs=-1, required=True)
@_data_dir
@click.pass_obj
def retry(log_level: str, session_ids: tuple[UUID, ...], data_dir: Path | None) -> None:
    """Have the payments of SESSION_IDS tried now, parked or not."""
    from luxxon_core.kernel.clock import utc_now

    async def run(desk: Desk) -> None:
        for session_id in session_ids:
            await desk.retry(session_id, utc_now())
            click.echo(f"{session_id}  the relayer tries it now")

    _at_the_desk(log_level, data_dir, run)


def _at_the_desk(log_level: str, data_dir: Path | None, work: Callable[[Desk], Awaitable[None]]) -> None:
    from luxxon_core.adapters.postgres.database import Database
    from luxxon_core.adapters.postgres.events import PgJournal
    from luxxon_core.adapters.postgres.telling import TellingSettlementStore
    from luxxon_core.cli import on_database
    from luxxon_core.settlement.usecases import Desk

    async def run(dsn: str, _: str) -> int:
        database = await Database.connect(dsn, min_size=1, max_size=1)
        try:
            await work(Desk(database, TellingSettlementStore(PgJournal())))
        finally:
            await database.close()
        return 0

    on_database(log_level, data_dir, run, make=False)


def _line(one: Settlement) -> str:
    from luxxon_core.kernel.money import format_usdc

    state = f"{one.state} ({one.waits_for})" if one.waits_for else str(one.state)
    charged = format_usdc(one.payload.charged_uusdc)
    return (
        f"{one.payload.session_id}  {one.created_at:%Y-%m-%d %H:%M}  {state:20}  {charged:>12}"
        f"  {one.last_error or one.tx_hash or ''}"
    ).rstrip()


def _fields(one: Settlement) -> dict[str, Any]:
    payload = one.payload
    moments = {
        "created": one.created_at,
        "nextAttempt": None if one.tx_hash else one.next_attempt_at,
        "submitted": one.submitted_at,
        "confirmed": one.confirmed_at,
        "final": one.final_at,
    }
    return {
        "sessionId": str(payload.session_id),
        "state": one.state.value,
        "waitsFor": one.waits_for and one.waits_for.value,
        "attempts": one.attempts,
        "lastError": one.last_error,
        "consumerWallet": payload.consumer_wallet,
        "operatorWallet": payload.operator_wallet,
        "rateMicroUsdc": payload.rate_uusdc,
        "chargeableSeconds": payload.chargeable_seconds,
        "toAmountMicroUsdc": payload.to_amount_uusdc,
        "feeAmountMicroUsdc": payload.fee_amount_uusdc,
        **{f"{name}At": at and at.isoformat() for name, at in moments.items()},
        "txHash": one.tx_hash,
        "blockNumber": one.block_number,
    }


def _transaction(shown: Shown) -> dict[str, Any]:
    found = shown.transaction
    if found is None:
        return {}
    return {
        "signer": found.signer,
        "nonce": found.nonce,
        "broadcastHashes": [one.tx_hash for one in found.versions],
        "maxFeesPerGas": [str(one.fee.max_fee) for one in found.versions if one.fee],
    }


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2))
