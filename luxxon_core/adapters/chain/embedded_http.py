"""The embedded chain's JSON-RPC endpoint: HTTP on loopback, for any wallet or script on this machine."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from luxxon_core.kernel.errors import StartError

Answer = Callable[[Any], Awaitable[Any]]

MAX_BODY = 1024 * 1024
"""Bytes: several of the largest transactions."""

MAX_BATCH = 100
MAX_BRACKETS = 1000
"""Arrays and objects in a body. py_ecc lifts the interpreter's recursion limit, so that parsing deep nesting
would overflow the stack and kill the process (Python 3.12.1 refuses 1,500 by itself); a full batch has a few
hundred."""

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
        if request.content_type != "application/json":
            return web.Response(status=415, text="application/json only", headers=_CORS)
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"at most {MAX_BODY} bytes", headers=_CORS)
        return self._json(await self._answers(raw))

    async def _answers(self, raw: bytes) -> Any:
        if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
            return _error(-32600, "too many arrays and objects")
        try:
            body = json.loads(raw)
        except ValueError:
            return _error(-32700, "parse error")
        if not isinstance(body, list):
            return await self._answer(body)
        if not 0 < len(body) <= MAX_BATCH:
            return _error(-32600, "batch too large" if body else "empty batch")
        answers = [answer for entry in body if (answer := await self._answer(entry)) is not None]
        return answers or None

    def _json(self, content: Any) -> web.Response:
        if content is None:  # nothing but notifications
            return web.Response(status=204, headers=_CORS)
        return web.Response(text=json.dumps(content), content_type="application/json", headers=_CORS)


def _error(code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
