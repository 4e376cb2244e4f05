"""The console as a program: a clean way in and out."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext, demo_context

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.profiles import ProfileTable

__all__ = ["demo_context", "main", "run_console"]

INTERRUPTED = 130


def _measured_at_the_terminal() -> None:
    """Forget ``COLUMNS`` and ``LINES``, which some shells and build servers export: they would take the place
    of the terminal's own size and never follow a new one."""
    if sys.__stdout__ is not None and sys.__stdout__.isatty():
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)


async def run_console(
    api: Luxxon | None,
    session_id: UUID | None,
    context: ConsoleContext,
    *,
    profile: ProfileTable | None = None,
    profile_name: str = "",
) -> int:
    """Show the console in the running event loop until the user leaves; the process's exit code.

    Cancelled, it gives the terminal back before it raises. A session that is still LIVE is left as it is:
    whoever opened it ends it.
    """
    _measured_at_the_terminal()
    app = ConsoleApp(api, session_id, facts=context, profile=profile, profile_name=profile_name)
    app.alone = True
    running = asyncio.create_task(app.run_async(), name="console-app")
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():  # an app that has only begun to start does not hear the first call
            app.exit()
            with suppress(asyncio.CancelledError):  # said twice; the terminal is given back all the same
                await asyncio.wait((running,), timeout=0.2)
        await app.server.parted()
        raise
    await app.server.parted()
    return app.return_code or 0


def main(profile: str | None = None) -> int:
    """Open the console on a profile; the process's exit code.

    SIGINT, SIGTERM and, where there is one, SIGHUP close it with the terminal given back.

    Args:
        profile: its name; the one of the settings when not given.

    Raises:
        StartError: there is no such profile, or a setting does not fit.
    """
    from luxxon_tui.connect.profiles import chosen

    gc.disable()  # until everything is loaded: what is imported is never garbage
    name, table, context = chosen(profile)

    async def alone() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for each in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, each, None)
            if number is None:  # Windows has no SIGHUP
                continue
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            return await run_console(None, None, context, profile=table, profile_name=name)
        return INTERRUPTED

    return asyncio.run(alone())
