"""Who comes to the server's own door with the secret of a live input of a shard is sent there.

Redirections of the first POST are what clients of WHIP (RFC 9725 §4.5) and of WHEP follow, 307 alone: the
offer is sent again. Nothing else needs one: what follows goes to the session URL, which is the shard's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from aiohttp import web

from luxxon_core.adapters.aiortc_edge.doors import Side
from luxxon_core.adapters.aiortc_edge.routes import COMMON, Handler

SIDES: tuple[Side, ...] = ("whip", "whep")


class Elsewhere(Protocol):
    """An edge at another address."""

    def endpoint(self, side: Side, named: str) -> str | None:
        """Its URL for the last part of an endpoint's path, if it has that."""
        ...


def redirecting(routes: Iterable[web.RouteDef], others: Sequence[Elsewhere]) -> list[web.RouteDef]:
    """The routes of an edge; POSTs to endpoints that one of ``others`` has are answered 307."""
    endpoints: dict[str, Side] = {f"/{side}/{{secret}}": side for side in SIDES}
    found = []
    for route in routes:
        side = endpoints.get(route.path)
        handler = _redirecting(side, others, route.handler) if side is not None else route.handler
        found.append(web.route(route.method, route.path, handler, **route.kwargs))
    return found


def _redirecting(side: Side, others: Sequence[Elsewhere], here: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            named = request.match_info["secret"]
            for other in others:
                if (url := other.endpoint(side, named)) is not None:
                    return web.Response(status=307, headers={**COMMON, "Location": url})
        return await here(request)

    return answer
