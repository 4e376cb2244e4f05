"""``luxxon link``: a link to a session for a phone, as text and as a QR code."""

from __future__ import annotations

import os
import sys
from uuid import UUID

import click

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import StartError
from luxxon_core.kernel.wire import encode
from luxxon_core.links.schemas import Link
from luxxon_core.qr import half_blocks
from luxxon_core.settings import ClientSettings, revealed

SIDES = {"watch": "consumer", "publish": "operator"}
WORDS = {"consumer": "watch", "operator": "publish"}


async def show(settings: ClientSettings, session_id: UUID, side: str | None, *, as_json: bool) -> int:
    """Make the link and print it; the exit code.

    Raises:
        StartError: there is no key to make it with.
        LuxxonError: the server refused, or did not answer.
    """
    key = revealed(settings.api_key)
    if key is None:
        raise StartError(message="LUXXON_API_KEY is not set: a link is made with a key of the session's side")
    async with Luxxon(settings.url.rstrip("/") + "/api/v1", api_key=key) as api:
        made = await api.sessions.link(session_id, side=None if side is None else SIDES[side])
    click.echo(encode(made) if as_json else text(made, colours=not os.environ.get("NO_COLOR")))
    return 0


def text(made: Link, *, colours: bool) -> str:
    """The code and the URL; without colours the code is drawn for terminals that write light on dark."""
    plain = not colours or not sys.stdout.isatty()
    rows = half_blocks(made.url, inverted=plain)
    if not plain:
        rows = [click.style(row, fg="black", bg="bright_white") for row in rows]
    until = f"{made.expires_at:%H:%M:%S} UTC"
    return "\n".join(["", *rows, "", f"{WORDS[made.side]}: {made.url}", f"good until {until}"])
