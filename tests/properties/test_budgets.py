"""What a key with a budget takes of its day, and what it gets back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.http.principal import ApiKeyPrincipal, Area, Budget, budgeted
from luxxon_core.kernel.errors import InsufficientCredit, NotAuthorized, RevokedApiKey
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.ids import new_id
from luxxon_core.sessions.domain import Session
from luxxon_core.workspaces.domain import Role

MIDNIGHT = datetime(NOON.year, NOON.month, NOON.day, tzinfo=UTC) + timedelta(days=1)
WALLET = "0x" + "1" * 40


async def minted(marketplace: Marketplace, workspace_id: UUID, budget: Budget | None) -> ApiKeyPrincipal:
    """A new key as the server knows it when it calls."""
    _, plaintext = await marketplace.access.mint(
        workspace_id, WALLET, "agent", "TEST", ["sessions:create"], NOON, budget
    )
    return await marketplace.access.by_bearer(plaintext, NOON)


class Agent:
    """A consumer's key that asks for sessions."""

    def __init__(self, market: Marketplace, workspace_id: UUID, key: ApiKeyPrincipal) -> None:
        self.market, self.workspace_id, self.key = market, workspace_id, key

    async def ask(
        self,
        seconds: int,
        now: datetime = NOON,
        *,
        point: Point = GRAND_PLACE,
        session_id: UUID | None = None,
        quote_id: UUID | None = None,
    ) -> Session:
        return await self.market.sessions.create(
            self.workspace_id,
            point,
            seconds,
            None,
            now,
            session_id=session_id,
            quote_id=quote_id,
            key=budgeted(self.key),
        )

    async def refused(self, seconds: int, now: datetime = NOON, *, point: Point = GRAND_PLACE) -> str | None:
        with pytest.raises(NotAuthorized) as error:
            await self.ask(seconds, now, point=point)
        return error.value.detail

    async def spent(self, now: datetime = NOON) -> int:
        return (await self.market.access.spent_today([self.key.key_id], now)).get(self.key.key_id, 0)


async def agent(market: Marketplace, budget: Budget | None, workspace_id: UUID | None = None) -> Agent:
    consumer = workspace_id or (await market.workspace(Role.CONSUMER)).id
    return Agent(market, consumer, await minted(market, consumer, budget))


async def test_open_sessions_count_with_what_they_may_cost(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 100))
    await one.ask(60)
    assert await one.refused(41) == "apiKey:dailyCap:40"
    await one.ask(40)
    assert await one.refused(1) == "apiKey:dailyCap:0"
    assert await one.spent() == RATE * 100


async def test_a_session_that_is_cancelled_gives_all_of_it_back(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    session = await one.ask(60)
    await marketplace.sessions.cancel(session.id, one.workspace_id, at(1))
    assert await one.spent(at(1)) == 0
    await one.ask(60, at(2))


async def test_one_that_ends_early_gives_back_what_it_did_not_use(marketplace: Marketplace) -> None:
    supplier = await marketplace.supplier()
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 100))
    session = await one.ask(100)
    await marketplace.sessions.accept(session.id, supplier, NOON)
    await marketplace.first_frame(await marketplace.sessions.start(session.id, supplier, NOON), NOON)
    over = at(30)
    ended = await marketplace.sessions.end(session.id, one.workspace_id, over)
    assert ended.charged_uusdc == RATE * 30 == await one.spent(over)
    assert await one.refused(71, over) == "apiKey:dailyCap:70"
    await one.ask(70, over)


async def test_one_whose_wait_is_over_gives_all_of_it_back(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    await one.ask(60)
    await marketplace.sessions.sweep(at(3601))
    await one.ask(60, at(3602))


async def test_a_session_counts_on_the_day_it_was_created(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    late, early = MIDNIGHT - timedelta(milliseconds=1), MIDNIGHT
    await one.ask(60, late)
    assert await one.refused(1, late) == "apiKey:dailyCap:0"
    await one.ask(60, early)
    assert await one.refused(1, early) == "apiKey:dailyCap:0"
    assert (await one.spent(late), await one.spent(early)) == (RATE * 60, RATE * 60)


async def test_a_server_whose_clock_is_past_midnight_takes_nothing_of_the_day_before(
    marketplace: Marketplace,
) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    await one.ask(60, MIDNIGHT)
    await one.ask(60, MIDNIGHT - timedelta(seconds=1))


async def test_a_session_has_a_cap_of_its_own(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(session_cap_uusdc=RATE * 60 + 1))
    assert await one.refused(61) == "apiKey:sessionCap:60"
    for _ in range(3):
        await one.ask(60)
    assert await one.spent() == RATE * 180


async def test_a_refused_session_leaves_its_quote_as_it_was(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(session_cap_uusdc=RATE * 60, daily_cap_uusdc=RATE * 100))
    quote = await marketplace.pricing.quote(one.workspace_id, GRAND_PLACE, 60, NOON)
    await one.ask(50)
    for seconds in (61, 51):
        with pytest.raises(NotAuthorized, match="apiKey:"):
            await one.ask(seconds, quote_id=quote.id)
    await one.ask(50, quote_id=quote.id)


async def test_a_place_outside_every_area_is_refused(marketplace: Marketplace) -> None:
    dateline = Area(Circle(Point(-17.0, 179.999), 5000), "Taveuni")
    pole = Area(Circle(Point(89.99, 0.0), 5000))
    one = await agent(marketplace, Budget(areas=(dateline, pole)))
    assert await one.refused(60) == "apiKey:area"
    assert await one.refused(60, point=Point(-17.0, 179.9)) == "apiKey:area"
    await one.ask(60, point=Point(-17.0, -179.999))
    await one.ask(60, point=Point(89.99, 180.0))
    assert one.key.budget == Budget(areas=(dateline, pole)), "as it was minted"


async def test_a_cap_of_nothing_lets_nothing_through(marketplace: Marketplace) -> None:
    for budget in (Budget(daily_cap_uusdc=0), Budget(session_cap_uusdc=0)):
        one = await agent(marketplace, budget)
        assert (await one.refused(1) or "").endswith(":0")
    assert await marketplace.value("select count(*) from session") == 0


async def test_the_same_request_again_is_not_counted_twice(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    first = await one.ask(60, session_id=(session_id := new_id()))
    again = await one.ask(60, at(5), session_id=session_id)
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert await one.spent() == RATE * 60


async def test_others_of_the_workspace_have_budgets_of_their_own(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60))
    other = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 60), one.workspace_id)
    free = await agent(marketplace, None, one.workspace_id)
    await one.ask(60)
    await free.ask(600)
    await other.ask(60)
    assert await one.refused(1) == await other.refused(1) == "apiKey:dailyCap:0"
    assert await free.spent() == 0, "nobody counts what has no budget"


async def test_a_budget_gives_no_more_than_the_pool(marketplace: Marketplace) -> None:
    one = await agent(marketplace, Budget(daily_cap_uusdc=RATE * 100))
    marketplace.pools.balance = RATE * 60
    with pytest.raises(InsufficientCredit, match="session:insufficientCredit"):
        await one.ask(61)
    await one.ask(60)
    with pytest.raises(InsufficientCredit, match="session:holds"):
        await one.ask(1)


async def test_a_revoked_key_keeps_to_its_budget_until_it_is_over(marketplace: Marketplace) -> None:
    consumer = (await marketplace.workspace(Role.CONSUMER)).id
    key, plaintext = await marketplace.access.mint(
        consumer, WALLET, "agent", "TEST", ["sessions:create"], NOON, Budget(daily_cap_uusdc=RATE * 60)
    )
    await marketplace.access.revoke(consumer, key.id, NOON)
    one = Agent(marketplace, consumer, await marketplace.access.by_bearer(plaintext, at(59)))
    assert await one.refused(61, at(59)) == "apiKey:dailyCap:60"
    with pytest.raises(RevokedApiKey):
        await marketplace.access.by_bearer(plaintext, at(60))


async def test_a_key_without_a_budget_is_never_asked_what_it_spent(marketplace: Marketplace) -> None:
    class Never:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    free = await agent(marketplace, None)
    free.market.sessions = replace(marketplace.sessions, spending=Never())
    await free.ask(60)
    only = await agent(marketplace, Budget(session_cap_uusdc=RATE * 60))
    await only.ask(60)  # nor is one whose day has no cap
