"""Pages of the web in the browser of whoever sits at the console, or in words where none would be seen."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from luxxon_tui import open_page
from luxxon_tui.picture.probe import surroundings
from luxxon_tui.rows import EMPTY, Row, Span, row

PIECE = 60
"""Characters of an address in one row."""
OPEN_SECONDS = 15.0
"""What a browser may take to say whether it opens a page."""
READ_SECONDS = 30.0
"""What a browser that has to start may take to read the file that leads to a page."""
SNAPS = Path("/snap/bin")
"""Programs that see no file but their own ones and those of the home folder that are not hidden."""
LEADS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Luxxon</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={url}"></head>
<body><a href="{url}">Go on</a></body></html>
"""


def within_reach(environment: Mapping[str, str], platform: str) -> bool:
    """Whether a browser that is opened here is seen: over SSH it would open on the other machine, and without
    a display one of text would take the console's own terminal.

    ``BROWSER`` is the user's word, and an editor's over SSH: it opens pages where the user sits. A browser of
    text is none, whoever names it.
    """
    if commands := environment.get("BROWSER"):
        return bool(open_page.named(commands))
    if surroundings(environment).far:
        return False
    displays = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return platform in ("darwin", "win32") or bool(displays)


def is_page(url: str) -> bool:
    """Whether a server's word is the address of a page of the web, in plain characters: neither what a
    program or a terminal takes for something else, nor a file or a script."""
    if not url.isprintable() or any(one.isspace() for one in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def sees_files(environment: Mapping[str, str]) -> bool:
    """Whether the browser reads files of this machine, as far as that can be told: over SSH, in an editor's
    container and in WSL it runs elsewhere, and a snap reads few."""
    beyond = any(environment.get(name) for name in ("VSCODE_IPC_HOOK_CLI", "WSL_DISTRO_NAME"))
    snapped = any((SNAPS / name).exists() for name in ("brave", "chromium", "firefox", "opera"))
    return not (beyond or snapped or surroundings(environment).far)


@contextmanager
def handed(url: str, environment: Mapping[str, str]) -> Iterator[str]:
    """The address to give to a browser: that of a file which leads to ``url``, and is there for so long.

    Everybody on a machine sees the arguments of its programs, and whoever has a link may use it; the file is
    its user's alone. A browser that would not find it is given ``url`` itself.

    Raises:
        OSError: the file cannot be written.
    """
    if not sees_files(environment):
        yield url
        return
    own = environment.get("XDG_RUNTIME_DIR")
    parent = own if own and os.access(own, os.W_OK | os.X_OK) else None
    with TemporaryDirectory(prefix="luxxon-", dir=parent) as folder:  # mode 0700
        page = Path(folder) / "open.html"
        page.touch(mode=0o600)
        page.write_text(LEADS.format(url=escape(url)), encoding="utf-8")
        yield page.as_uri()


async def opened(address: str) -> bool:
    """Open an address; whether a browser has taken it. That browser may stay longer than the console."""
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            open_page.__file__,
            address,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return False
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await child.wait() == 0
    except TimeoutError:
        return True
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def address_rows(url: str) -> list[Row]:
    """What to say instead; the terminal itself opens the address where it can (OSC 8)."""
    return [
        row(Span("Open it in a browser", "bright", bold=True), Span("  none opens here", "muted")),
        EMPTY,
        *(row(Span(url[at : at + PIECE], "data", link=url)) for at in range(0, len(url), PIECE)),
        EMPTY,
        row(Span("the address is copied", "muted")),
    ]
