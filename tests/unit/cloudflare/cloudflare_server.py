"""Cloudflare's live inputs API on loopback, answering in the shapes that its reference gives."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from loopback import served

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
TOKEN = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"
HOST = "https://customer-m033z5x00ks6nunl.cloudflarestream.com"
Refusal = Callable[[], web.Response]


def envelope(result: object) -> dict[str, Any]:
    return {"errors": [], "messages": [], "success": True, "result": result}


def error(code: int, message: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message}], "messages": [], "success": False, "result": None}


def live_input(uid: str, status: object) -> dict[str, Any]:
    secret = secrets.token_hex(16) + "k" + uid
    return {
        "uid": uid,
        "rtmps": {"url": "rtmps://live.cloudflare.com:443/live/", "streamKey": secret},
        "rtmpsPlayback": {"url": "rtmps://live.cloudflare.com:443/live/", "streamKey": secret},
        "srt": {"url": "srt://live.cloudflare.com:778", "streamId": uid, "passphrase": secret},
        "srtPlayback": {
            "url": "srt://live.cloudflare.com:778",
            "streamId": f"play{uid}",
            "passphrase": secret,
        },
        "webRTC": {"url": f"{HOST}/{secret}/webRTC/publish"},
        "webRTCPlayback": {"url": f"{HOST}/{uid}/webRTC/play"},
        "created": "2014-01-02T02:20:00Z",
        "modified": "2014-01-02T02:20:00Z",
        "meta": {"name": "test stream 1"},
        "status": status,
        "recording": {"mode": "off", "requireSignedURLs": False, "allowedOrigins": None, "timeoutSeconds": 0},
        "enabled": True,
        "deleteRecordingAfterDays": None,
        "preferLowLatency": False,
    }


@dataclass
class CloudflareServer:
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Method and path, without the account."""
    refusals: list[Refusal] = field(default_factory=list)
    """Answers to the next calls, first things first."""
    hanging: bool = False
    url: str = ""

    def status(self, uid: str, status: object) -> None:
        self.inputs[uid]["status"] = status

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(f"/client/v4/accounts/{ACCOUNT}/stream/live_inputs")
        self.calls.append(f"{request.method} {path}")
        if self.hanging:
            await asyncio.sleep(3600)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response(error(10000, "Authentication error"), status=403)
        if self.refusals:
            return self.refusals.pop(0)()
        uid = path.removeprefix("/")
        if request.method == "POST":
            assert (await request.json())["recording"] == {"mode": "off"}
            uid = secrets.token_hex(16)
            self.inputs[uid] = live_input(uid, None)
            return web.json_response(envelope(self.inputs[uid]))
        if uid not in self.inputs:
            return web.json_response(error(10003, "Not Found: the live input was not found"), status=404)
        if request.method == "DELETE":
            del self.inputs[uid]
            return web.Response()
        return web.json_response(envelope(self.inputs[uid]))


@asynccontextmanager
async def cloudflare_server() -> AsyncIterator[CloudflareServer]:
    server = CloudflareServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with served(app, shutdown_timeout=0.1, handler_cancellation=True) as url:
        server.url = f"{url}/client/v4"
        yield server
