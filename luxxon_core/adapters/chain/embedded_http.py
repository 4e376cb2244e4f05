"""The embedded chain's JSON-RPC endpoint: HTTP on loopback, for any wallet or script on this machine."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from luxxon_core.kernel.errors import StartError

Answer = Callable[[Any], Awaitable[Any]]

MAX_BODY = 4 * 1024 * 1024
MAX_BATCH = 1000

_CORS = {
    # a page's wallet may read and send here; there are no accounts or cookies to abuse
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}


class RpcServer:
    """Serves POST / on 127.0.0.1."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/", self._post)
        app.router.add_options("/", self._preflight)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen; port 0 takes a free one, found in ``port`` afterwards.

        Raises:
            StartError: the port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise StartError("chain:port", f"Port {port} of the embedded chain is taken") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _preflight(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_CORS)

    async def _post(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return self._json(_error(-32700, "parse error"))
        if not isinstance(body, list):
            return self._json(await self._answer(body))
        if not 0 < len(body) <= MAX_BATCH:
            return self._json(_error(-32600, "empty batch" if not body else "batch too large"))
        answers = [answer for entry in body if (answer := await self._answer(entry)) is not None]
        return self._json(answers or None)

    def _json(self, content: Any) -> web.Response:
        if content is None:  # nothing but notifications
            return web.Response(status=204, headers=_CORS)
        return web.Response(text=json.dumps(content), content_type="application/json", headers=_CORS)


def _error(code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
