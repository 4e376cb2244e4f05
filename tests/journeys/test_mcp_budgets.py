"""What an agent is told when the budget of its key does not allow what it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
import pytest_asyncio
from agents_place import BEFORE, BRUSSELS, NOW, SCOPES, SILENT, Place, hosting, told

from luxxon_core.access.domain import budget_day
from luxxon_core.http.principal import Area, Budget
from luxxon_core.kernel.clock import iso, utc_now
from luxxon_core.kernel.geo import Circle, Point

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with hosting(tmp_path_factory.mktemp("mcp-budgets") / "data") as place:
        yield place


async def limited(place: Place, budget: Budget) -> Place:
    """The same place for an agent with a key of this budget."""
    _, plaintext = await place.server.deployment.cases.access.mint(
        UUID(place.consumer.workspace_id), "0x" + "1" * 40, "agent", "TEST", SCOPES, utc_now(), budget
    )
    return replace(place, consumer=replace(place.consumer, api_key=plaintext))


@pytest.mark.parametrize("way", [("stdio", NOW), ("http", BEFORE)])
async def test_an_agent_learns_the_cap_what_is_left_and_when_it_resets(
    place: Place, way: tuple[str, str]
) -> None:
    quote = await place.consumer.api.pricing.quote(**BRUSSELS, duration_seconds=60)
    rate = int(quote.rate_per_second_micro_usdc)
    here = Area(Circle(Point(**BRUSSELS), 500), "Brussels")
    agent = await limited(place, Budget(rate * 60, rate * 50, (here,)))
    async with agent.host(way) as client:

        async def refused(seconds: int, where: dict[str, float] = BRUSSELS) -> dict[str, object]:
            asked = {**where, "maxDurationSeconds": seconds}
            result = await client.call_tool("request_live_view", asked)
            assert result.is_error
            found = dict(told(result))
            assert (found["code"], found["status"], found["retryable"]) == ("NOT_AUTHORIZED", 403, False)
            return found

        away = await refused(10, SILENT)
        assert away["detail"] == "apiKey:area"
        assert "Brussels (500 m around" in str(away["message"])
        long = await refused(51)
        assert long["detail"] == "apiKey:sessionCap:50"
        assert "at most 50 s" in str(long["message"])
        asked = {**BRUSSELS, "maxDurationSeconds": 50, "timeoutMs": 1}
        opened = told(await client.call_tool("request_live_view", asked))
        spent = await refused(11)
        assert spent["detail"] == "apiKey:dailyCap:10"
        assert iso(budget_day(utc_now())[1]) in str(spent["message"])
        assert "at most 10 s" in str(spent["message"])
        over = "end_session" if opened["state"] == "LIVE" else "cancel_session"
        assert not (await client.call_tool(over, {"sessionId": opened["sessionId"]})).is_error
    assert await place.open() == set()
