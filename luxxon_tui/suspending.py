"""Whether a shell with job control would take over if this process stopped."""

from __future__ import annotations

import os


def shell_waits() -> bool:
    """Whether this process is a job of an interactive shell: alone at the head of a process group that is not
    the session's own (POSIX.1-2017, 11.1.3). A terminal without a shell, a script and a ``make`` cannot bring
    it back."""
    if not hasattr(os, "getsid"):  # Windows
        return False
    group = os.getpgrp()
    return group == os.getpid() and group != os.getsid(0)
