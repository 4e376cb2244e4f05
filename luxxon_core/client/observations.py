"""Observations: one picture of a place, for a price known beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from luxxon_core.client.sessions import Picture
from luxxon_core.client.transport import Id, Resource, present, segment, text
from luxxon_core.kernel.errors import InvalidState, LuxxonError
from luxxon_core.observations.schemas import Observation

AT_MOST = 10.0
"""Seconds of one request that waits: shorter than a client's own time-out."""
PAUSE = 0.2
OVER = ("ENDED", "EXPIRED", "CANCELLED")


class Observations(Resource):
    async def create(
        self,
        *,
        lat: float,
        lng: float,
        max_price_micro_usdc: int | str,
        max_wait_seconds: int | None = None,
        max_width: int | None = None,
        wait: float = 0.0,
        workspace_id: Id | None = None,
        idempotency_key: str | None = None,
    ) -> Observation:
        """Ask for a frame of a place; see :meth:`observe`, which waits for it.

        Args:
            lat, lng: WGS84 degrees.
            max_price_micro_usdc: it costs no more than that, or nobody is asked.
            max_wait_seconds: 1 to 3600 until the frame; 60 when not given.
            max_width: of the frame, in pixels.
            wait: seconds for which the answer may wait for the end, 10 at most; 0 for none.
            idempotency_key: calls with the same one make one observation; each call has its own by default.

        Returns:
            It may be PENDING still, and that it has FAILED is no exception.

        Raises:
            InsufficientCredit: the pool is too small; NotAuthorized: ``session:notConsumer`` or the key's
                budget; ExternalError: the chain cannot be asked.
        """
        fields = {
            "lat": lat,
            "lng": lng,
            "maxPriceMicroUsdc": str(max_price_micro_usdc),
            "maxWaitSeconds": max_wait_seconds,
            "maxWidth": max_width,
            "workspaceId": text(workspace_id),
        }
        return await self._transport.call(
            "POST",
            "/observations",
            Observation,
            present(fields),
            headers=_prefer(wait),
            key=idempotency_key or True,
        )

    async def get(self, observation_id: Id, *, wait: float = 0.0) -> Observation:
        """An observation that the workspace asked for.

        Args:
            wait: seconds for which the answer may wait for its end, 10 at most.

        Raises:
            NotFound; NotAuthorized: ``observation:viewDenied``.
        """
        headers = _prefer(wait) if wait else None
        return await self._transport.call("GET", _one(observation_id), Observation, headers=headers)

    async def frame(self, observation_id: Id) -> Picture:
        """Its frame, JPEG.

        Raises:
            FrameNotAvailable: not yet, never, or kept no longer.
        """
        headers = {"Accept": "image/jpeg"}
        answer = await self._transport.send("GET", f"{_one(observation_id)}/frame", headers=headers)
        return Picture.of(answer.content, answer.headers)

    async def observe(
        self,
        *,
        lat: float,
        lng: float,
        max_price_micro_usdc: int | str,
        max_wait_seconds: int | None = None,
        max_width: int | None = None,
        workspace_id: Id | None = None,
        idempotency_key: str | None = None,
        asked: Callable[[Observation], None] | None = None,
    ) -> Observation:
        """Ask for a frame and wait until it is there or has come to nothing; when this is cancelled, the
        observation is given up.

        Args:
            asked: told of the observation as soon as there is one. The others as of :meth:`create`.
        """
        making = asyncio.create_task(
            self.create(
                lat=lat,
                lng=lng,
                max_price_micro_usdc=max_price_micro_usdc,
                max_wait_seconds=max_wait_seconds,
                max_width=max_width,
                workspace_id=workspace_id,
                idempotency_key=idempotency_key,
            ),
            name="observation",
        )
        try:
            found = await asyncio.shield(making)
            if asked is not None:
                asked(found)
            while found.status == "PENDING":
                found = await self.get(found.id, wait=AT_MOST)
                if found.status == "PENDING":
                    await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            with suppress(LuxxonError):
                await self.give_up(await making)
            raise
        return found

    async def give_up(self, observation: Observation) -> Observation:
        """End an observation before there is a frame, for nothing; one that is finished stays as it is."""
        path = f"/sessions/{segment(observation.id)}"
        while observation.status == "PENDING" and observation.session_id is not None:
            receipt = observation.receipt
            if receipt is None or receipt.state in OVER:
                break
            live = receipt.state == "LIVE"
            with suppress(InvalidState):  # it has just come further, or is over
                await self._transport.send("POST" if live else "DELETE", f"{path}/end" if live else path)
                break
            observation = await self.get(observation.id)
        return await self.get(observation.id, wait=AT_MOST)


def _prefer(wait: float) -> dict[str, str]:
    seconds = int(min(wait, AT_MOST))
    return {"Prefer": f"wait={seconds}" if seconds else "respond-async"}


def _one(observation_id: Id) -> str:
    return f"/observations/{segment(observation_id)}"
