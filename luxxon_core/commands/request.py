"""``luxxon request``: ask for a place, look, and let go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import json_option, url_option, with_key, work
from luxxon_core.commands.degrees import Degrees

if TYPE_CHECKING:
    from luxxon_core.settings import ClientSettings


@click.command()
@click.option("--lat", type=Degrees(-90, 90), required=True, help="Degrees north.")
@click.option("--lng", type=Degrees(-180, 180), required=True, help="Degrees east.")
@click.option(
    "--seconds", type=click.IntRange(1, 86_400), default=60, show_default=True, help="Pay at most so long."
)
@click.option("--wait", type=click.IntRange(5, 3600), default=30, show_default=True, help="For a camera.")
@click.option(
    "--save-frame", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture there, and end."
)
@click.option("--width", type=click.IntRange(16, 3840), help="Of that picture at most.")
@click.option("--yes", is_flag=True, help="Do not ask whether that may be spent.")
@json_option
@url_option
def request(
    lat: float,
    lng: float,
    seconds: int,
    wait: int,
    save_frame: Path | None,
    width: int | None,
    yes: bool,
    as_json: bool,
    url: str | None,
) -> None:
    """Ask for live video of a place and pay for it by the second.

    It says what that costs at most and asks before it spends anything, unless --yes or --json is given. With
    --save-frame the session ends when there is a picture; without, its playback URL (WHEP) is printed and the
    session goes on until --seconds are over or the command is interrupted. The key is in LUXXON_API_KEY.

    Exits with 1 where nobody covers the place or there is no picture in time; then nothing is charged.
    """

    async def todo(settings: ClientSettings) -> int:
        from luxxon_core.commands.visit import Visit

        async with with_key(settings) as api:
            quote = await api.pricing.quote(lat=lat, lng=lng, duration_seconds=seconds)
            if not (yes or as_json):
                _agreed(quote.rate_per_second_micro_usdc, quote.estimated_total_micro_usdc, seconds)
            made = await api.sessions.create(
                lat=lat,
                lng=lng,
                max_duration_seconds=seconds,
                wait_timeout_seconds=wait,
                quote_id=quote.quote_id,
            )
            visit = Visit(api, made, as_json)
            try:
                return await visit.run(wait, save_frame, width)
            finally:
                await visit.leave()

    work(url, todo)


def _agreed(rate: str, most: str, seconds: int) -> None:
    from luxxon_core.kernel.money import format_usdc

    price = f"{format_usdc(int(rate))} USDC a second, {format_usdc(int(most))} USDC at most for {seconds} s"
    click.confirm(f"{price}. Ask for it?", abort=True, err=True)
