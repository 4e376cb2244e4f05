"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP.

An endpoint is ``/whip/<secret>``, whose secret is the credential, whatever ``Authorization`` may say besides;
or ``/whip/<uid>``, which everybody may know, with the same secret as ``Authorization: Bearer``. A session is
a path below the endpoint by which it was made. Errors are plain text for people: clients go by the status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web
from multidict import CIMultiDict

from luxxon_core.adapters.aiortc_edge import sdp, sdp_fragment
from luxxon_core.adapters.aiortc_edge.channel import Channel, NoPublisher
from luxxon_core.adapters.aiortc_edge.doors import Side, is_uid
from luxxon_core.adapters.aiortc_edge.elsewhere import frame_response
from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer
from luxxon_core.adapters.aiortc_edge.peer import Peer
from luxxon_core.adapters.aiortc_edge.quotas import Limits
from luxxon_core.adapters.aiortc_edge.requests import (
    SDP,
    SDP_FRAGMENT,
    Refused,
    bearer,
    check_type,
    condition,
    read_text,
)

RETRY_AFTER = "1"
"""Seconds, for who is too early or too many."""

COMMON = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Accept-Patch, Allow, Retry-After, "
    "WWW-Authenticate",
    "Cache-Control": "no-store",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match, Link",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
    "Accept-Patch": SDP_FRAGMENT,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooManyPeers(Exception):
    """The edge or the live input is full; the text says which."""


class Signalling(Protocol):
    """What the routes need of the edge."""

    @property
    def limits(self) -> Limits: ...

    @property
    def ice_servers(self) -> tuple[IceServer, ...]: ...

    def channel(self, side: Side, secret: str) -> Channel | None: ...

    def admit(self, side: Side, channel: Channel, offer: sdp.Offer) -> Peer: ...

    def session_url(self, side: Side, endpoint: str, session: str) -> str: ...


def edge_routes(edge: Signalling) -> list[web.RouteDef]:
    routes: list[web.RouteDef] = []
    whip, whep = _Side(edge, "whip"), _Side(edge, "whep")
    routes.append(web.get("/whep/{secret}/frame", _answering(whep.frame)))
    for one in (whip, whep):
        endpoint = f"/{one.side}/{{secret}}"
        routes.append(web.route("*", endpoint, _dispatching({"GET": one.look, "POST": one.offer}, one)))
        session = {"GET": one.look_at_session, "PATCH": one.trickle, "DELETE": one.end}
        routes.append(web.route("*", endpoint + "/{session}", _dispatching(session, one)))
    return routes


def _dispatching(handlers: Mapping[str, Handler], side: _Side) -> Handler:
    """One handler for all methods of a resource: HEAD is GET without its body, others are 405 with Allow."""
    allowed = ", ".join([*handlers, "HEAD", "OPTIONS"])

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return side.options(request, allowed)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            raise Refused(405, "Method not allowed", {"Allow": allowed})
        return await handler(request)

    return _answering(dispatch)


def _answering(handler: Handler) -> Handler:
    """Turn refusals into responses, all of them readable across origins."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refusal:
            headers = {**COMMON, **refusal.headers}
            response = web.Response(status=refusal.status, text=refusal.text + "\n", headers=headers)
            if refusal.hang_up:
                response.force_close()
            return response

    return answer


class _Side:
    def __init__(self, edge: Signalling, side: Side) -> None:
        self._edge, self.side = edge, side

    # The endpoint.

    def options(self, request: web.Request, allowed: str) -> web.Response:
        """CORS (Fetch §4.8), Accept-Post, and ICE servers for who needs them before the offer."""
        headers = CIMultiDict({**COMMON, **PREFLIGHT, "Allow": allowed})
        wanted = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
        preflight = "Access-Control-Request-Method" in request.headers
        if not preflight or "link" in [name.strip() for name in wanted]:
            self._link(headers, request)
        return web.Response(headers=headers)

    def _link(self, headers: CIMultiDict[str], request: web.Request) -> None:
        """TURN credentials go to those alone who may publish or watch."""
        try:
            self._channel(request)
        except Refused:
            return
        for server in self._edge.ice_servers:
            headers.add("Link", server.link)

    async def look(self, request: web.Request) -> web.Response:
        """Nothing to be seen. The media type tells players that WHEP is spoken here (WHEP §4.2)."""
        self._channel(request)
        if self.side == "whip":
            return web.Response(status=204, headers={**COMMON, "Accept-Post": SDP})
        headers = {**COMMON, "Accept-Post": SDP, "Content-Length": "0"}  # to HEAD as well
        return web.Response(headers=headers, content_type=SDP)

    async def offer(self, request: web.Request) -> web.Response:
        self._admit_request(request)
        check_type(request, SDP, "Accept-Post")
        text = await read_text(request)
        # Reading took time: the live input may have been deleted meanwhile.
        peer = self._admit(self._channel(request), text)
        endpoint = request.match_info["secret"]
        headers = CIMultiDict(COMMON)
        headers["Location"] = self._edge.session_url(self.side, endpoint, peer.session)
        headers["ETag"] = peer.etag
        headers["Accept-Patch"] = SDP_FRAGMENT
        for server in self._edge.ice_servers:
            headers.add("Link", server.link)
        return web.Response(status=201, body=peer.answer.encode(), content_type=SDP, headers=headers)

    def _admit(self, channel: Channel, text: str) -> Peer:
        try:
            return self._edge.admit(self.side, channel, sdp.parse_offer(text))
        except sdp.MalformedSdp as error:
            raise Refused(400, f"Malformed SDP: {error}") from error
        except sdp.UnusableSdp as error:
            raise Refused(422, f"Unusable SDP: {error}") from error
        except NoPublisher as error:
            raise Refused(409, "Nobody publishes yet", {"Retry-After": RETRY_AFTER}) from error
        except TooManyPeers as error:
            raise Refused(503, str(error), {"Retry-After": RETRY_AFTER}) from error

    # The session.

    async def look_at_session(self, request: web.Request) -> web.Response:
        self._peer(request)
        return web.Response(status=204, headers={**COMMON, "Accept-Patch": SDP_FRAGMENT})

    async def trickle(self, request: web.Request) -> web.Response:
        """Trickle ICE, whose candidates an ICE-lite agent does not need, and ICE restarts (RFC 9725 §4.3)."""
        self._admit_request(request)
        peer = self._peer(request)
        check_type(request, SDP_FRAGMENT, "Accept-Patch")
        asked = condition(request)
        if not asked.holds(peer.etag):
            raise Refused(412, "The ICE session is another by now")
        try:
            fragment = sdp_fragment.parse_fragment(await read_text(request))
        except sdp.MalformedSdp as error:
            raise Refused(400, f"Malformed SDP fragment: {error}") from error
        peer = self._peer(request)
        if not asked.holds(peer.etag):  # reading took time
            raise Refused(412, "The ICE session is another by now")
        ice = fragment.ice
        repeated = asked.any and peer.restart_pending  # the client has missed our answer
        if ice is None or not (repeated or peer.restarts(ice)):
            return web.Response(status=204, headers=COMMON)
        body = peer.restart_ice(ice).encode()
        return web.Response(body=body, content_type=SDP_FRAGMENT, headers={**COMMON, "ETag": peer.etag})

    async def end(self, request: web.Request) -> web.Response:
        """Entity tags do not matter here (RFC 9725 §4.3.1)."""
        self._admit_request(request)
        self._peer(request).close()
        return web.Response(headers=COMMON)

    # Pictures.

    async def frame(self, request: web.Request) -> web.Response:
        """The latest picture, for other servers of the deployment."""
        frame = self._channel(request).frame()
        if frame is None:
            raise Refused(404, "No picture")
        return frame_response(frame, request.headers.get("If-None-Match"))

    # Who asks, for what.

    def _admit_request(self, request: web.Request) -> None:
        """Raises Refused: unknown or forbidden, or too many requests (RFC 6585 §4)."""
        limits = self._edge.limits
        waits = limits.address_waits(request)
        waits = waits or limits.live_input_waits(self.side, self._channel(request).uid)
        if waits:
            raise Refused(429, "Too many requests", {"Retry-After": str(waits)})

    def _channel(self, request: web.Request) -> Channel:
        """The live input that a request may use: by its path, else by its token."""
        endpoint = request.match_info["secret"]
        channel = self._edge.channel(self.side, endpoint) if endpoint.isascii() else None
        if channel is not None:
            return channel
        if not is_uid(endpoint):
            raise Refused(404, "Unknown live input")
        token = bearer(request)
        channel = self._edge.channel(self.side, token) if token is not None else None
        if channel is None or channel.uid != endpoint:
            # RFC 6750 §3: no error code for who has shown no token
            error = ', error="invalid_token"' if token is not None else ""
            raise Refused(401, "Unauthorized", {"WWW-Authenticate": f'Bearer realm="{self.side}"{error}'})
        return channel

    def _peer(self, request: web.Request) -> Peer:
        channel, session = self._channel(request), request.match_info["session"]
        if self.side == "whip" and session in channel.replaced:
            raise Refused(410, "Another publisher has taken over")
        peer = channel.sessions.get(session)
        if peer is None or (peer.role == "publisher") != (self.side == "whip"):
            raise Refused(404, "Unknown session")
        return peer
