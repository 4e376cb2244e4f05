"""Opens a page in a graphical browser, and ends. It is a program of its own, so that a browser gets neither
the console's terminal nor its time, and is not ended with it. Standard library alone.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePath

TEXT = frozenset(("browsh", "chawan", "elinks", "links", "links2", "lynx", "w3m", "www-browser"))
"""Browsers that need a terminal, by the names of their programs."""
REFUSAL_SECONDS = 2.0
"""A browser that is still there by then has taken the page."""


def graphical(command: str) -> bool:
    """Whether a command, as in ``BROWSER``, opens a window rather than taking the terminal."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return bool(words) and PurePath(words[0]).stem.lower() not in TEXT


def named(commands: str) -> list[str]:
    """The graphical ones of ``BROWSER``, in the user's order."""
    return [one for one in commands.split(os.pathsep) if graphical(one)]


def browsers() -> Iterator[webbrowser.BaseBrowser]:
    """Those that may be tried: what the user has named, else what the system prefers."""
    commands = os.environ.get("BROWSER", "")
    for name in named(commands) if commands else (None,):
        with suppress(webbrowser.Error):
            browser = webbrowser.get(name)
            if graphical(shlex.quote(getattr(browser, "name", None) or "system")):
                yield browser


def taken(browser: webbrowser.BaseBrowser, address: str) -> bool:
    """Hand an address over; whether the browser has taken it. One that stays is not waited for."""
    if not isinstance(browser, webbrowser.GenericBrowser):
        return browser.open(address)
    command = [browser.name, *(one.replace("%s", address) for one in browser.args)]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603  # the user's own browser
    try:
        return process.wait(REFUSAL_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True


def main(address: str) -> int:
    """Exit code: 0 where a browser has taken the address."""
    for browser in browsers():
        with suppress(webbrowser.Error, OSError, ValueError):
            if taken(browser, address):
                return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
