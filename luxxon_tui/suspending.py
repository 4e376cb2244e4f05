"""Whether this process may stop for a while, and a shell with job control would take over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luxxon_tui.store import Readiness

if TYPE_CHECKING:
    from luxxon_tui.app import ConsoleApp


def needed_here(app: ConsoleApp) -> str:
    """Why this process may not be stopped; nothing, if it may."""
    connected, running = app.connected, {worker.group for worker in app.workers if worker.is_running}
    none_came = connected is None and app.store.readiness.value is Readiness.FAILED
    if (app.embeds and not none_came) or (connected is not None and connected.embedded_url is not None):
        return "This marketplace would stand still with the console."
    if any(group.startswith("operate:") for group in running):
        return "A camera is online from here: take it offline first."
    if "money" in running:
        return "Money is on its way: wait until it has arrived."
    if app._driver is None or not app._driver.can_suspend or not shell_waits():
        return "No shell waits for this console, to bring it back."
    if any(view.side == "consumer" for view in app.store.live):
        return "A session is live, and charged by the second: end it first."
    return ""


def shell_waits() -> bool:
    """Whether this process is a job of an interactive shell: alone at the head of a process group that is not
    the session's own (POSIX.1-2017, 11.1.3). A terminal without a shell, a script and a ``make`` cannot bring
    it back."""
    if not hasattr(os, "getsid"):  # Windows
        return False
    group = os.getpgrp()
    return group == os.getpid() and group != os.getsid(0)
