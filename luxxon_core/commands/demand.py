"""``luxxon demand``: where cameras are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import json_option, url_option, without_key, work

if TYPE_CHECKING:
    from luxxon_core.settings import ClientSettings


@click.command()
@json_option
@url_option
def demand(as_json: bool, url: str | None) -> None:
    """List where cameras were asked for in the last 30 days, most first, by cells of 0.045°. Needs no key.

    UNMET are the requests that no camera has taken.
    """

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        async with without_key(settings) as api:
            found = sorted(await api.demand.heatmap(), key=lambda one: one.requests, reverse=True)
        if as_json:
            click.echo(encode(found))
        elif found:
            rows = [(f"{one.lat:.4f}", f"{one.lng:.4f}", str(one.requests), str(one.unmet)) for one in found]
            click.echo(table(("LAT", "LNG", "REQUESTS", "UNMET"), rows, right=frozenset(range(4))))
        else:
            click.echo("nobody has asked for a place yet", err=True)

    work(url, todo)
