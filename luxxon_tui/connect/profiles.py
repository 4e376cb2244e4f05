"""Which profile the console opens, and what the user's file says of the rest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import StartError
from luxxon_tui.context import ConsoleContext

if TYPE_CHECKING:
    from luxxon_core.profiles import ProfileTable

EMBEDDED, ENVIRONMENT = "embedded", "environment"
"""Profiles that need no file: a marketplace on this machine, and LUXXON_URL with LUXXON_API_KEY."""


def chosen(wanted: str | None) -> tuple[str, ProfileTable, ConsoleContext]:
    """The profile's name, the profile, and the context of the console.

    That is the one that was asked for, else what the environment has a key for, else the one of the file,
    else the embedded one.

    Raises:
        StartError: there is none of that name, or a setting does not fit.
    """
    from luxxon_core.profiles import ProfileTable, load_console

    settings = load_console()
    known = {EMBEDDED: ProfileTable(embedded=True), **settings.profiles}
    if os.environ.get("LUXXON_API_KEY"):
        from luxxon_core.settings import load_client  # heavy: not where there is no key

        client = load_client()
        if client.api_key is not None:
            known[ENVIRONMENT] = ProfileTable(url=client.url, api_key=client.api_key.get_secret_value())
    name = wanted or (ENVIRONMENT if ENVIRONMENT in known else settings.profile or EMBEDDED)
    if name not in known:
        raise StartError(message=f"there is no profile {name}; there are {', '.join(known)}")
    context = ConsoleContext(
        theme=settings.theme,
        save_folder=settings.save_folder,
        keymap=settings.keymap,
        profiles=known,
        fresh=wanted is None and ENVIRONMENT not in known and not settings.profiles,
        remember=True,
        unlock_minutes=settings.unlock_minutes,
        preview=settings.preview,
    )
    return name, known[name], context
