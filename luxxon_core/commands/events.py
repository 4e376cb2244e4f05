"""``luxxon events``: what happens, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import url_option, with_key, work
from luxxon_core.commands.reader import while_read

if TYPE_CHECKING:
    from uuid import UUID

    from luxxon_core.client import Luxxon
    from luxxon_core.client.events import EventStream, StreamEvent
    from luxxon_core.settings import ClientSettings

LAST_ID = 10**18 - 1


@click.command()
@click.option("--session", "session_id", type=click.UUID, help="This one alone, until it is over and paid.")
@click.option(
    "--after", type=click.IntRange(0, LAST_ID), metavar="ID", help="Begin after the event with this id."
)
@click.option(
    "--event", "names", multiple=True, help="Only such ones; may be given more than once.  [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@url_option
@click.pass_obj
def events(
    log_level: str,
    session_id: UUID | None,
    after: int | None,
    names: tuple[str, ...],
    as_json: bool,
    url: str | None,
) -> None:
    """Follow what happens to the sessions of the key's workspace, one line for each event.

    A line has the time, the event's id, its name, the session and what happened. A connection that breaks is
    opened again; none is lost then and none is told twice. It goes on until it is interrupted or nobody reads
    it any more. The key is in LUXXON_API_KEY.
    """
    from luxxon_core.runner import log_to_stderr

    log_to_stderr(log_level)

    async def todo(settings: ClientSettings) -> None:
        _check(names)
        async with with_key(settings) as api:
            await (api.me.get() if session_id is None else api.sessions.get(session_id))
            last = None if after is None else str(after)
            async with _opened(api, session_id, last) as stream:
                await _until_gone(stream, names, as_json=as_json)

    with while_read():
        work(url, todo)


def _check(names: tuple[str, ...]) -> None:
    from luxxon_core.events.schemas import EVENTS

    for name in names:
        if name not in EVENTS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(EVENTS)}", param_hint="--event")


def _opened(api: Luxxon, session_id: UUID | None, last: str | None) -> EventStream:
    if session_id is None:
        return api.events(last_event_id=last)
    return api.sessions.events(session_id, last_event_id=last)


async def _until_gone(stream: EventStream, names: tuple[str, ...], *, as_json: bool) -> None:
    """Tell the events until there are no more, or nobody reads."""
    import asyncio

    from luxxon_core.commands.reader import gone

    telling = asyncio.create_task(_tell(stream, names, as_json=as_json))
    reading = asyncio.create_task(gone())
    try:
        await asyncio.wait((telling, reading), return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            telling.result()
    finally:
        for task in (telling, reading):
            task.cancel()
        await asyncio.gather(telling, reading, return_exceptions=True)


async def _tell(stream: EventStream, names: tuple[str, ...], *, as_json: bool) -> None:
    from luxxon_core.commands.happening import line
    from luxxon_core.events.schemas import Ready, Reset
    from luxxon_core.kernel.wire import encode

    connections = 0
    async for event in stream:
        if as_json:
            if not names or event.name in names:
                click.echo(encode(_object(event)))
        elif isinstance(event.data, Ready):
            connections += 1
            click.echo("connected again" if connections > 1 else "following", err=True)
        elif isinstance(event.data, Reset):
            click.echo("something may have happened that is not told here", err=True)
        elif not names or event.name in names:
            click.echo(line(event))


def _object(event: StreamEvent) -> dict[str, object]:
    """As webhooks have it (docs/webhooks.md), in which the time is of the delivery; it is in the data."""
    return {"id": event.id, "type": event.name, "data": event.data}
