"""The console in a browser, by textual-serve: ``luxxon --serve-web``.

Whoever opens the page acts with the user's profile. So the page lies behind a secret in its path, which is
made anew at each start; only pages of the server itself may open its WebSocket (RFC 6455, section 10.2); and
a request by another name than the server's own is refused, so that no foreign name can be bound to it (DNS
rebinding). Everything that the page needs is served from here.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from socket import gaierror
from typing import NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

from luxxon_core.kernel.errors import StartError

DEFAULT = "127.0.0.1:8000"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self' {socket}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing from elsewhere; xterm.js writes style elements of its own."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>luxxon</title>
<link rel="stylesheet" href="{base}/static/css/xterm.css">
<script src="{base}/static/js/textual.js"></script>
<style>
@font-face {{
  font-family: "Roboto Mono"; font-weight: 100 700;
  src: url("{base}/static/fonts/RobotoMono-VariableFont_wght.ttf") format("truetype");
}}
@font-face {{
  font-family: "Roboto Mono"; font-weight: 100 700; font-style: italic;
  src: url("{base}/static/fonts/RobotoMono-Italic-VariableFont_wght.ttf") format("truetype");
}}
html, body {{ margin: 0; height: 100%; background: #0b0e14; color: #98a4b8; }}
.note {{
  position: absolute; inset: 0; display: flex; align-items: center; justify-content: center;
  font: 16px "Roboto Mono", monospace;
}}
.note a {{ color: #ffc857; }}
.over, body.-closed .opening, body.-first-byte .opening {{ display: none; }}
body.-closed .over {{ display: flex; z-index: 10; background: #0b0e14; }}
.textual-terminal {{ opacity: 0; }}
body.-first-byte .textual-terminal {{ opacity: 1; }}
</style>
</head>
<body>
<div class="note opening">luxxon …</div>
<div class="note over"><span>The console is closed. <a href="{base}/">Open it again</a></span></div>
<div id="terminal" class="textual-terminal" data-session-websocket-url="{socket}" data-font-size="16"></div>
</body>
</html>
"""


def address(text: str, *, anyone: bool) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``HOST`` or ``:PORT``.

    Args:
        anyone: whether other machines may reach it.

    Raises:
        StartError: it is none, or other machines could reach it and may not.
    """
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([^:\[\]\s/]*))(?::([0-9]{1,5}))?", text)
    host, port = (found[1] or found[2] or "127.0.0.1", int(found[3] or 8000)) if found else ("", 0)
    if not found or port > 65535:
        raise StartError(message=f"{text!r} is no HOST:PORT, such as {DEFAULT}")
    if not anyone and not _loopback(host):
        raise StartError(
            message=f"whoever reaches {host} could act with your profile: --serve-web-anyone if you mean it, "
            "behind a proxy that speaks TLS"
        )
    return host, port


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _bare(host: str) -> str:
    """A ``Host`` header without its port."""
    return re.sub(r":\d+$", "", host.lower()).strip("[]")


class WebConsole(Server):
    """Serves one console to each page that is opened.

    Args:
        host, port: where it listens; port 0 takes a free one.
        profile: the profile that each console opens; None for the user's own choice.
        anyone: whether names other than those of this machine are answered.
        say: told the address of the page.
    """

    def __init__(
        self, host: str, port: int, profile: str | None, *, anyone: bool, say: Callable[[str], None]
    ) -> None:
        command = [sys.executable, "-m", "luxxon_tui.web", *([profile] if profile else [])]
        super().__init__(shlex.join(command), host=host, port=port, title="luxxon")
        self._names = LOOPBACK | {host.lower()}
        self._anyone, self._say = anyone, say
        self.base = f"/{secrets.token_urlsafe(24)}"

    async def application(self) -> web.Application:
        """The page, its WebSocket, and its files: all below the secret."""
        app = web.Application(middlewares=[self._guarded()])
        app.add_routes(
            [
                web.get(f"{self.base}/", self.page, name="index"),
                web.get(f"{self.base}/ws", self.handle_websocket, name="websocket"),
                web.get(f"{self.base}/download/{{key}}", self.handle_download, name="download"),
                web.static(f"{self.base}/static", Path(self.statics_path), name="static"),
            ]
        )
        return app

    def _guarded(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._anyone and _bare(request.host) not in self._names:
                raise web.HTTPForbidden(text="not a name of this server\n")
            origin = request.headers.get("Origin")
            if origin is not None and origin.split("://", 1)[-1].lower() != request.host.lower():
                raise web.HTTPForbidden(text="not a page of this server\n")
            if request.path.endswith("/ws") and origin is None:
                raise web.HTTPForbidden(text="not a page\n")
            return await handler(request)

        return guard

    async def page(self, request: web.Request) -> web.Response:
        """The page; its WebSocket is where the browser has found the page."""
        socket = f"{'wss' if self._secure(request) else 'ws'}://{request.host}"
        headers = {
            "Content-Security-Policy": POLICY.format(socket=socket),
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        text = PAGE.format(base=self.base, socket=f"{socket}{self.base}/ws")
        return web.Response(text=text, content_type="text/html", headers=headers)

    @staticmethod
    def _secure(request: web.Request) -> bool:
        return request.secure or request.headers.get("X-Forwarded-Proto") == "https"

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            StartError: host or port cannot be listened on.
        """
        runner = web.AppRunner(
            await self.application(), access_log=None, handle_signals=False, shutdown_timeout=2
        )
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self.host, self.port).start()
            except (OSError, gaierror, OverflowError) as error:
                raise StartError(message=f"cannot listen on {self.host}:{self.port}: {error}") from None
            host, port = runner.addresses[0][:2]
            shown = f"[{host}]" if ":" in str(host) else host
            self._say(f"http://{shown}:{port}{self.base}/")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def serve(listen: str, profile: str | None, *, anyone: bool) -> NoReturn:
    """Serve the console to browsers until it is interrupted, then exit.

    Raises:
        StartError: the address or the profile is none.
    """
    from luxxon_core.runner import run
    from luxxon_tui.connect.profiles import chosen

    chosen(profile)  # a name that there is not is told here, not in a browser
    host, port = address(listen, anyone=anyone)

    def say(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.write("Whoever has this address acts with your profile. ctrl+c ends it.\n")
        sys.stdout.flush()

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        with suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await WebConsole(host, port, profile, anyone=anyone, say=say).run()
        return 0

    run(work())


if __name__ == "__main__":
    from luxxon_core.runner import log_to_stderr
    from luxxon_tui.program import main

    log_to_stderr("critical")
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
