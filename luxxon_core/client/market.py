"""Supply, demand and price."""

from __future__ import annotations

from luxxon_core.client.transport import Id, Resource, text
from luxxon_core.pricing.schemas import DemandCell, PriceQuote
from luxxon_core.workspaces.schemas import CoverageEntry

CoverageList = list[CoverageEntry]
DemandCells = list[DemandCell]


class Coverage(Resource):
    async def list(self) -> CoverageList:
        """The circles of suppliers that are ONLINE: WGS84 degrees, metres."""
        return await self._transport.call("GET", "/coverage", CoverageList)


class Demand(Resource):
    async def heatmap(self) -> DemandCells:
        """Requests of the last 30 days by cell of 0.045°, and how many were not met."""
        return await self._transport.call("GET", "/demand", DemandCells)


class Pricing(Resource):
    async def quote(
        self, *, lat: float, lng: float, duration_seconds: int, workspace_id: Id | None = None
    ) -> PriceQuote:
        """Lock a price for one session, until ``expires_at``.

        Args:
            workspace_id: who asks, for a wallet that has picked no workspace.
        """
        query = {
            "lat": lat,
            "lng": lng,
            "durationSeconds": duration_seconds,
            "workspaceId": text(workspace_id),
        }
        return await self._transport.call("GET", "/pricing/quote", PriceQuote, query=query)
