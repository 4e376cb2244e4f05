"""``luxxon coverage``: where cameras are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import json_option, url_option, without_key, work
from luxxon_core.commands.degrees import Degrees

if TYPE_CHECKING:
    from luxxon_core.settings import ClientSettings


@click.command()
@click.option("--lat", type=Degrees(-90, 90), help="Only what covers this point.")
@click.option("--lng", type=Degrees(-180, 180), help="Only what covers this point.")
@json_option
@url_option
def coverage(lat: float | None, lng: float | None, as_json: bool, url: str | None) -> None:
    """List the circles that cameras cover now. Needs no key.

    With a point, only those that hold it, nearest centre first; exits with 1 where there is none.
    """
    if (lat is None) != (lng is None):
        raise click.UsageError("--lat and --lng go together")

    async def todo(settings: ClientSettings) -> int:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.geo import Point, distance_m
        from luxxon_core.kernel.wire import encode

        async with without_key(settings) as api:
            found = list(await api.coverage.list())
        if lat is not None and lng is not None:
            point = Point(lat, lng)
            away = {id(one): distance_m(Point(one.lat, one.lng), point) for one in found}
            found = sorted(
                (one for one in found if away[id(one)] <= one.radius_meters), key=lambda one: away[id(one)]
            )
        if as_json:
            click.echo(encode(found))
        elif found:
            rows = [
                (f"{one.lat:.5f}", f"{one.lng:.5f}", f"{one.radius_meters:.0f} m", one.device_kind or "–")
                for one in found
            ]
            click.echo(table(("LAT", "LNG", "RADIUS", "DEVICE"), rows, right=frozenset({0, 1, 2})))
        else:
            click.echo("nobody covers that point now" if lat is not None else "nobody is online", err=True)
        return 0 if found or lat is None else 1

    work(url, todo)
