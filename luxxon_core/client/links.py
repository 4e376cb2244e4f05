"""What the holder of a link may do; the client's ``api_key`` is the link's token then."""

from __future__ import annotations

from luxxon_core.client.transport import Resource, present
from luxxon_core.links.schemas import LinkedSession


class Link(Resource):
    """One side of one session. ``Sessions.link`` makes links; a link's token is the last part of its URL."""

    async def get(self) -> LinkedSession:
        """How the session stands. Its ``token`` is to go on with when the present one is about to expire.

        Raises:
            InvalidToken: no link's, expired, or its maker may no longer act for the workspace.
        """
        return await self._transport.call("GET", "/link", LinkedSession)

    async def start(self) -> LinkedSession:
        """The URL to publish to, by the operator's link.

        Raises:
            NotAuthorized: ``session:notOperator``; InvalidState; VideoError.
        """
        return await self._transport.call("POST", "/link/start", LinkedSession)

    async def stop(self) -> LinkedSession:
        """End the session; before it is LIVE cancel it, or give it back as its operator."""
        return await self._transport.call("POST", "/link/stop", LinkedSession)

    async def locate(
        self, *, lat: float, lng: float, accuracy_meters: float, speed_mps: float | None = None
    ) -> LinkedSession:
        """Send a location heartbeat, by the operator's link. Not repeated: the next one comes soon.

        Raises:
            InvalidState: the session is over.
        """
        fields = {"lat": lat, "lng": lng, "accuracyMeters": accuracy_meters, "speedMps": speed_mps}
        return await self._transport.call("POST", "/link/location", LinkedSession, present(fields), key=False)
