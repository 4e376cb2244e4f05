"""What an agent is told when the budget of its key does not allow what it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
import pytest_asyncio
from agents_place import BEFORE, BRUSSELS, NOW, SCOPES, SILENT, Place, hosting, told

from luxxon_core.access.domain import budget_day
from luxxon_core.client import Luxxon
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
        one = {"sessionId": opened["sessionId"]}
        assert told(await client.call_tool("wait_for_live", one))["state"] == "LIVE", "it may be on its way"
        assert not (await client.call_tool("end_session", one)).is_error
    assert await place.open() == set()


async def test_what_counts_is_the_budget_of_the_key_that_asked(place: Place) -> None:
    """Whoever dispatches, and whoever ends it."""
    quote = await place.consumer.api.pricing.quote(**SILENT, duration_seconds=60)
    day = Budget(int(quote.rate_per_second_micro_usdc) * 60, None, ())
    keys = [(await limited(place, day)).consumer.api_key for _ in range(2)]
    url = f"{place.url}/api/v1"
    async with Luxxon(url, api_key=keys[0]) as asking, Luxxon(url, api_key=keys[1]) as dispatching:

        async def spent() -> list[str]:
            both = [await one.me.get() for one in (asking, dispatching)]
            return [me.budget.spent_today_micro_usdc for me in both]

        session = await asking.sessions.create(**SILENT, max_duration_seconds=40)
        await dispatching.sessions.dispatch(session.id)
        assert await spent() == [session.hold_micro_usdc, "0"]
        await dispatching.sessions.cancel(session.id)
        assert await spent() == ["0", "0"]
        free = await place.consumer.api.sessions.create(**SILENT, max_duration_seconds=90)
        await dispatching.sessions.dispatch(free.id)
        assert await spent() == ["0", "0"], "more than its day, and none of its business"
        await dispatching.sessions.cancel(free.id)
    assert await place.open() == set()
