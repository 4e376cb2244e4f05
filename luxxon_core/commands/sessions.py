"""``luxxon sessions``: list them, show one, look at it, move its camera, end it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import json_option, say, tell, url_option, with_key, work
from luxxon_core.commands.ptz import ptz

if TYPE_CHECKING:
    from uuid import UUID

    from luxxon_core.settings import ClientSettings
    from luxxon_core.settlement.schemas import Receipt

STATES = ("REQUESTED", "ASSIGNED", "LIVE", "ENDED", "EXPIRED", "CANCELLED")


@click.group()
def sessions() -> None:
    """Look at the sessions of the key's workspace, and end them. The key is in LUXXON_API_KEY."""


sessions.add_command(ptz)


@sessions.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="May be given more than once."
)
@click.option("--side", type=click.Choice(["consumer", "operator"]), help="[default: both]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@url_option
def list_(states: tuple[str, ...], side: str | None, limit: int, as_json: bool, url: str | None) -> None:
    """List sessions, newest first."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.money import format_usdc
        from luxxon_core.kernel.wire import encode

        found = []
        async with with_key(settings) as api:
            async for one in api.sessions.iterate(state=states or None, side=side):
                found.append(one)
                if len(found) == limit:
                    break
        if as_json:
            click.echo(encode(found))
            return
        rows = [
            (
                one.id,
                one.state,
                f"{one.created_at:%Y-%m-%d %H:%M:%S}",
                "–" if one.requested_lat is None else f"{one.requested_lat:.4f}, {one.requested_lng:.4f}",
                f"{one.clean_seconds} s",
                format_usdc(int(one.charged_micro_usdc)),
            )
            for one in found
        ]
        head = ("ID", "STATE", "CREATED (UTC)", "PLACE", "CLEAN", "USDC")
        click.echo(table(head, rows, right=frozenset({4, 5})))

    work(url, todo)


@sessions.command()
@click.argument("session_id", type=click.UUID)
@json_option
@url_option
def show(session_id: UUID, as_json: bool, url: str | None) -> None:
    """Show the bill of SESSION_ID: what it cost so far or in the end, and why seconds were not charged."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            receipt = await api.sessions.receipt(session_id)
        click.echo(encode(receipt) if as_json else bill(receipt))

    work(url, todo)


@sessions.command()
@click.argument("session_id", type=click.UUID)
@json_option
@url_option
def end(session_id: UUID, as_json: bool, url: str | None) -> None:
    """End SESSION_ID and bill it; cancel it where it is not LIVE yet."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.money import format_usdc
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            waiting = (await api.sessions.get(session_id)).state in ("REQUESTED", "ASSIGNED")
            let_go = api.sessions.cancel if waiting else api.sessions.end
            session = await let_go(session_id)
        if as_json:
            click.echo(encode(session))
        else:
            charged = format_usdc(int(session.charged_micro_usdc))
            say(f"{session.state}: {session.clean_seconds} s, {charged} USDC")

    work(url, todo)


@sessions.command()
@click.argument("session_id", type=click.UUID)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True,
    help="Write the picture there.",
)
@click.option("--width", type=click.IntRange(16, 4096), help="Of the picture at most.")
@json_option
@url_option
def frame(session_id: UUID, out: Path, width: int | None, as_json: bool, url: str | None) -> None:
    """Save the latest picture of SESSION_ID, JPEG. Exits with 1 where there is none."""

    async def todo(settings: ClientSettings) -> int:
        import asyncio

        from luxxon_core.kernel.errors import FrameNotAvailable

        async with with_key(settings) as api:
            try:
                picture = await api.sessions.frame(session_id, max_width=width)
            except FrameNotAvailable as error:
                say(f"luxxon: {error.message}", err=True)
                return 1
        try:
            await asyncio.to_thread(out.write_bytes, picture)
        except OSError as error:
            raise click.FileError(str(out), error.strerror) from None
        told = {"sessionId": str(session_id), "frame": str(out), "capturedAt": picture.captured_at}
        tell(told, f"saved {out}", as_json=as_json)
        return 0

    work(url, todo)


@sessions.command("url")
@click.argument("session_id", type=click.UUID)
@json_option
@url_option
def url_(session_id: UUID, as_json: bool, url: str | None) -> None:
    """Print the playback URL (WHEP) of SESSION_ID, which is LIVE: whoever has it can watch."""

    async def todo(settings: ClientSettings) -> None:

        async with with_key(settings) as api:
            token = await api.sessions.viewer_token(session_id)
        tell(token, token.whep_url, as_json=as_json)

    work(url, todo)


@sessions.command("cancel-all-assignments")
@json_option
@url_option
def cancel_all_assignments(as_json: bool, url: str | None) -> None:
    """Give back every assignment of the key's workspace that is not LIVE, and print their ids."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            result = await api.sessions.cancel_all_assignments()
        if as_json:
            click.echo(encode(result))
        else:
            for session_id in result.cancelled:
                say(session_id)
            click.echo(f"{result.count} given back", err=True)

    work(url, todo)


def bill(receipt: Receipt) -> str:
    """The receipt as lines of a name and a value."""
    from luxxon_core.commands.table import facts
    from luxxon_core.kernel.money import format_usdc

    lost = receipt.lost_milliseconds / 1000
    lines = [
        ("session", receipt.session_id),
        ("state", receipt.state),
        ("clean", f"{receipt.clean_seconds} s of {receipt.max_duration_seconds} s, {lost:.1f} s lost"),
        ("rate", f"{format_usdc(int(receipt.rate_per_second_micro_usdc))} USDC/s"),
        ("charged", f"{format_usdc(int(receipt.charged_micro_usdc))} USDC"),
        ("operator", f"{format_usdc(int(receipt.to_amount_micro_usdc))} USDC"),
        ("fee", f"{format_usdc(int(receipt.fee_amount_micro_usdc))} USDC"),
        ("payment", receipt.settlement.state or "none"),
    ]
    for window in receipt.windows:
        until = f"{window.closed_at:%H:%M:%S}" if window.closed_at is not None else "now"
        lines.append(("lost", f"{window.opened_at:%H:%M:%S} to {until} UTC  {window.reason}"))
    return facts(*lines)
