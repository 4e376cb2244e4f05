"""MediaMTX's control API on loopback, answering in the shapes that a server of it has given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth, web
from loopback import served

CREDENTIALS = ("luxxon", "control-sekret")


def failed(status: int, error: str) -> web.Response:
    return web.json_response({"status": "error", "error": error}, status=status)


@dataclass
class MediaMtxServer:
    paths: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Configurations by name."""
    received: dict[str, int] = field(default_factory=dict)
    """Bytes by the name of a path with a publisher."""
    calls: list[str] = field(default_factory=list)
    refusals: list[Callable[[], web.Response]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Names of paths that are not to be made."""
    gone: bool = False
    page_size: int = 1000
    url: str = ""

    @property
    def published(self) -> str:
        """The only path that takes a publisher."""
        (name,) = [name for name, path in self.paths.items() if path["source"] == "publisher"]
        return name

    async def answer(self, request: web.Request) -> web.StreamResponse:
        verb, _, name = request.path.rpartition("/")
        self.calls.append(f"{request.method} {verb}")
        if self.gone:
            return failed(500, "closing")
        if request.headers.get("Authorization") != encode_basic_auth(*CREDENTIALS):
            return failed(401, "authentication error")
        if self.refusals:
            return self.refusals.pop(0)()
        if request.path == "/v3/paths/list":
            return self._list(request)
        return self._configure(verb, name, await request.json() if request.method == "POST" else {})

    def _configure(self, verb: str, name: str, body: dict[str, Any]) -> web.Response:
        if verb == "/v3/config/paths/add":
            if name in self.paths or name in self.refused:
                return failed(400, "path already exists")
            self.paths[name] = {"name": name, **body}
        elif name not in self.paths:
            return failed(404, "path configuration not found")
        elif verb == "/v3/config/paths/get":
            return web.json_response(self.paths[name])
        else:
            del self.paths[name]
        return web.json_response({"status": "ok"})

    def _list(self, request: web.Request) -> web.Response:
        size, page = min(int(request.query["itemsPerPage"]), self.page_size), int(request.query["page"])
        names = sorted(self.paths)
        pages = -(-len(names) // size)
        items = [self._path(name) for name in names[page * size : (page + 1) * size]]
        return web.json_response({"itemCount": len(names), "pageCount": pages, "items": items})

    def _path(self, name: str) -> dict[str, Any]:
        ready = name in self.received
        moment = "2026-11-22T13:25:00.973772967Z" if ready else None
        count = self.received.get(name, 0)
        return {
            "name": name,
            "confName": name,
            "ready": ready,
            "readyTime": moment,
            "available": ready,
            "availableTime": moment,
            "online": ready,
            "onlineTime": moment,
            "source": {"type": "webRTCSession", "id": "0a8e10a9-be85-4ab1-8e3f-8beb3d9bf13b"}
            if ready
            else None,
            "tracks": ["H264"] if ready else [],
            "tracks2": [],
            "readers": [],
            "inboundBytes": count,
            "outboundBytes": 0,
            "inboundFramesInError": 0,
            "bytesReceived": count,
            "bytesSent": 0,
        }


@asynccontextmanager
async def mediamtx_server() -> AsyncIterator[MediaMtxServer]:
    server = MediaMtxServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with served(app, shutdown_timeout=0.1, handler_cancellation=True) as url:
        server.url = url
        yield server
