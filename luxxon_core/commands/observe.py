"""``luxxon observe``: one picture of a place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import json_option, say, url_option, with_key, work
from luxxon_core.commands.degrees import Degrees
from luxxon_core.wallet_command import Usdc

if TYPE_CHECKING:
    from luxxon_core.observations.schemas import Observation
    from luxxon_core.settings import ClientSettings


@click.command(context_settings={"ignore_unknown_options": True})  # degrees may begin with a minus
@click.argument("lat", type=Degrees(-90, 90))
@click.argument("lng", type=Degrees(-180, 180))
@click.option("--max-price", type=Usdc(), required=True, help="USDC that it may cost at most.")
@click.option(
    "--max-wait", type=click.IntRange(1, 3600), default=60, show_default=True, help="Seconds for the frame."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="Write the frame there."
)
@click.option("--width", type=click.IntRange(16, 4096), help="Of the frame at most.")
@json_option
@url_option
def observe(
    lat: float,
    lng: float,
    max_price: int,
    max_wait: int,
    out: Path | None,
    width: int | None,
    as_json: bool,
    url: str | None,
) -> None:
    """Buy one picture of a place, JPEG, for a price that is fixed beforehand.

    Nothing is spent above --max-price, and nothing at all where no picture comes. Interrupted, it gives the
    request up. The key is in LUXXON_API_KEY. Exits with 1 where there is no picture.
    """

    if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise click.BadParameter(f"{out.parent} is no folder to write to", param_hint="--out")

    async def todo(settings: ClientSettings) -> int:
        import asyncio

        async with with_key(settings) as api:
            found = await api.observations.observe(
                lat=lat,
                lng=lng,
                max_price_micro_usdc=max_price,
                max_wait_seconds=max_wait,
                max_width=width,
            )
            if found.status == "READY" and out is not None:
                await asyncio.to_thread(out.write_bytes, await api.observations.frame(found.id))
            _tell(found, out, as_json)
            return 0 if found.status == "READY" else 1

    work(url, todo)


def _tell(found: Observation, out: Path | None, as_json: bool) -> None:
    from luxxon_core.kernel.money import format_usdc
    from luxxon_core.kernel.wire import encode

    if as_json:
        click.echo(encode(found))
    elif found.frame is not None:
        price = format_usdc(int(found.price_micro_usdc))
        say(f"captured {found.captured_at}, {price} USDC: {out or found.frame.url}")
    else:
        say(f"luxxon: no picture: {found.reason}", err=True)
