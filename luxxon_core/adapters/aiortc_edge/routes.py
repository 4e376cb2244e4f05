"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP.

A secret in the path is the bearer token; a session is a path below it. Errors are plain text for people:
clients go by the status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from aiohttp import web

from luxxon_core.adapters.aiortc_edge import sdp
from luxxon_core.adapters.aiortc_edge.channel import Channel, NoPublisher
from luxxon_core.adapters.aiortc_edge.elsewhere import frame_response
from luxxon_core.adapters.aiortc_edge.peer import Peer

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_BODY = 64 * 1024
BODY_TIMEOUT = 10.0
RETRY_AFTER = "1"

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Retry-After",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, If-Match",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
    "Accept-Patch": SDP_FRAGMENT,
}

Side = Literal["whip", "whep"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooManyPeers(Exception):
    """The edge or the live input is full; the text says which."""


class Signalling(Protocol):
    """What the routes need of the edge."""

    def channel(self, side: Side, secret: str) -> Channel | None: ...

    def admit(self, side: Side, channel: Channel, offer: sdp.Offer) -> Peer: ...

    def session_url(self, side: Side, secret: str, session: str) -> str: ...


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def edge_routes(edge: Signalling) -> list[web.RouteDef]:
    routes: list[web.RouteDef] = []
    for side in ("whip", "whep"):
        one = _Side(edge, side)
        endpoint, session = f"/{side}/{{secret}}", f"/{side}/{{secret}}/{{session}}"
        routes += [
            web.post(endpoint, _answering(one.offer)),
            web.patch(session, _answering(one.trickle)),
            web.delete(session, _answering(one.end)),
            web.options(endpoint, _preflight),
            web.options(session, _preflight),
        ]
    routes.append(web.get("/whep/{secret}/frame", _answering(_Side(edge, "whep").frame)))
    return routes


async def _preflight(_: web.Request) -> web.Response:
    return web.Response(headers={**CORS, **PREFLIGHT})


def _answering(handler: Handler) -> Handler:
    """Turn refusals into responses, all of them readable across origins."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _Refused as refusal:
            retry = {"Retry-After": RETRY_AFTER} if refusal.status in (409, 503) else {}
            return web.Response(status=refusal.status, text=refusal.text + "\n", headers={**CORS, **retry})

    return answer


class _Side:
    def __init__(self, edge: Signalling, side: Side) -> None:
        self._edge, self._side = edge, side

    async def offer(self, request: web.Request) -> web.Response:
        secret = request.match_info["secret"]
        if self._edge.channel(self._side, secret) is None:
            raise _Refused(404, "Unknown live input")
        text = await _body(request, SDP)
        # Reading took time: the live input may have been deleted meanwhile.
        if (channel := self._edge.channel(self._side, secret)) is None:
            raise _Refused(404, "Unknown live input")
        peer = self._admit(channel, text)
        headers = {
            "Location": self._edge.session_url(self._side, secret, peer.session),
            "ETag": peer.etag,
            "Accept-Patch": SDP_FRAGMENT,
        }
        return web.Response(status=201, text=peer.answer, content_type=SDP, headers={**CORS, **headers})

    def _admit(self, channel: Channel, text: str) -> Peer:
        try:
            return self._edge.admit(self._side, channel, sdp.parse_offer(text))
        except sdp.MalformedSdp as error:
            raise _Refused(400, f"Malformed SDP: {error}") from error
        except sdp.UnusableSdp as error:
            raise _Refused(422, f"Unusable SDP: {error}") from error
        except NoPublisher as error:
            raise _Refused(409, "Nobody publishes yet") from error
        except TooManyPeers as error:
            raise _Refused(503, str(error)) from error

    async def trickle(self, request: web.Request) -> web.Response:
        """Trickle ICE, whose candidates an ICE-lite agent does not need, and ICE restarts (RFC 9725 §4.3)."""
        self._peer(request)
        condition = request.headers.get("If-Match")
        if condition is None:
            raise _Refused(428, "If-Match is required")
        text = await _body(request, SDP_FRAGMENT)
        peer = self._peer(request)
        try:
            restart = sdp.restart_requested(text)
        except sdp.MalformedSdp as error:
            raise _Refused(400, f"Malformed SDP fragment: {error}") from error
        if condition.strip() == "*":
            if not restart:
                raise _Refused(400, "An ICE restart brings new credentials")
            fragment = peer.restart_ice()
            headers = {**CORS, "ETag": peer.etag}
            return web.Response(text=fragment, content_type=SDP_FRAGMENT, headers=headers)
        if peer.etag not in [tag.strip() for tag in condition.split(",")]:
            raise _Refused(412, "The ICE session is another by now")
        return web.Response(status=204, headers=CORS)

    async def end(self, request: web.Request) -> web.Response:
        self._peer(request).close()
        return web.Response(headers=CORS)

    async def frame(self, request: web.Request) -> web.Response:
        """The latest picture, for other servers of the deployment."""
        channel = self._edge.channel(self._side, request.match_info["secret"])
        frame = channel.frame() if channel is not None else None
        if frame is None:
            raise _Refused(404, "No picture")
        return frame_response(frame)

    def _peer(self, request: web.Request) -> Peer:
        channel = self._edge.channel(self._side, request.match_info["secret"])
        peer = channel.sessions.get(request.match_info["session"]) if channel is not None else None
        if peer is None or (peer.role == "publisher") != (self._side == "whip"):
            raise _Refused(404, "Unknown session")
        return peer


async def _body(request: web.Request, content_type: str) -> str:
    """The request body as text, at most 64 KiB of it."""
    if request.content_type.lower() != content_type:
        raise _Refused(415, f"Content-Type must be {content_type}")
    if (request.content_length or 0) > MAX_BODY:
        raise _Refused(413, "The body exceeds 64 KiB")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _Refused(413, "The body exceeds 64 KiB")
    except TimeoutError as error:
        raise _Refused(408, "The body did not arrive in time") from error
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise _Refused(400, "The body is not UTF-8") from error
