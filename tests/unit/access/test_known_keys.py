"""Keys that a server remembers for some seconds: no query a request, and revocation to the instant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketplace import NOON, Marketplace, at

from luxxon_core.access.domain import GRACE, LAST_USED_EVERY, ApiKey
from luxxon_core.access.usecases import KNOWN_FOR, Access, KnownKeys
from luxxon_core.adapters.postgres.access import PgApiKeys
from luxxon_core.kernel.errors import InvalidApiKey, RevokedApiKey
from luxxon_core.kernel.uow import Tx
from luxxon_core.workspaces.domain import Role

WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
INSTANT = timedelta(microseconds=1)


@dataclass
class Counted(PgApiKeys):
    """The keys of the database, counting what is asked of it."""

    reads: int = 0
    touches: list[datetime] = field(default_factory=list)

    async def by_hash(self, tx: Tx, digest: bytes) -> ApiKey | None:
        self.reads += 1
        return await super().by_hash(tx, digest)

    async def touch(self, tx: Tx, key_id: UUID, now: datetime) -> None:
        self.touches.append(now)
        await super().touch(tx, key_id, now)


@dataclass
class Process:
    """One of several server processes on one database."""

    access: Access
    keys: Counted

    @classmethod
    def of(cls, marketplace: Marketplace) -> Process:
        keys = Counted()
        return cls(replace(marketplace.access, keys=keys, known_keys=KnownKeys()), keys)


@pytest.fixture
async def minted(marketplace: Marketplace) -> tuple[ApiKey, str]:
    workspace = await marketplace.workspace(Role.CONSUMER)
    return await marketplace.access.mint(workspace.id, WALLET, "x", "TEST", ["sessions:read"], NOON)


async def test_a_busy_key_costs_a_query_every_five_seconds(
    marketplace: Marketplace, minted: tuple[ApiKey, str]
) -> None:
    server, (key, plaintext) = Process.of(marketplace), minted
    for tenth in range(100):
        who = await server.access.by_bearer(plaintext, at(tenth / 10))
        assert (who.key_id, who.scopes) == (key.id, {"sessions:read"})
    assert server.keys.reads == 2
    assert server.keys.touches == [at(0)]


async def test_a_key_that_another_process_revokes_is_refused_at_the_end_of_its_grace(
    marketplace: Marketplace, minted: tuple[ApiKey, str]
) -> None:
    here, there = Process.of(marketplace), Process.of(marketplace)
    key, plaintext = minted
    revoked = None
    for tenth in range(0, 900):
        now = at(tenth / 10)
        if tenth == 43:
            revoked = await there.access.revoke(key.workspace_id, key.id, now)
        if revoked is None or now < at(4.3) + GRACE:
            await here.access.by_bearer(plaintext, now)
        else:
            with pytest.raises(RevokedApiKey):
                await here.access.by_bearer(plaintext, now)
    assert revoked is not None
    assert revoked.grace_period_end == at(64.3)


@pytest.mark.parametrize("seconds_before", [0.0, 0.1, 4.9, 5.0, 59.9])
async def test_to_the_microsecond_whenever_it_was_last_read(
    marketplace: Marketplace, minted: tuple[ApiKey, str], seconds_before: float
) -> None:
    here, there = Process.of(marketplace), Process.of(marketplace)
    key, plaintext = minted
    await here.access.by_bearer(plaintext, at(-INSTANT.total_seconds()))
    revoked = await there.access.revoke(key.workspace_id, key.id, NOON)
    end = revoked.grace_period_end
    assert end is not None
    await here.access.by_bearer(plaintext, end - timedelta(seconds=seconds_before) - INSTANT)
    with pytest.raises(RevokedApiKey):
        await here.access.by_bearer(plaintext, end)


async def test_what_this_process_revokes_it_knows_at_once(
    marketplace: Marketplace, minted: tuple[ApiKey, str]
) -> None:
    server, (key, plaintext) = Process.of(marketplace), minted
    await server.access.by_bearer(plaintext, NOON)
    await server.access.revoke(key.workspace_id, key.id, at(1) - GRACE)
    with pytest.raises(RevokedApiKey):
        await server.access.by_bearer(plaintext, at(1))


async def test_an_unknown_key_is_looked_up_every_time(marketplace: Marketplace) -> None:
    """It may be minted the next moment, by another process."""
    here, there = Process.of(marketplace), Process.of(marketplace)
    for _ in range(3):
        with pytest.raises(InvalidApiKey):
            await here.access.by_bearer("lxxn_test_000000_unknown", NOON)
    assert here.keys.reads == 3
    workspace = await marketplace.workspace(Role.CONSUMER)
    _, plaintext = await there.access.mint(workspace.id, WALLET, "x", "TEST", ["sessions:read"], NOON)
    await here.access.by_bearer(plaintext, NOON)


async def test_the_use_is_noted_once_a_minute_however_many_ask_at_once(
    marketplace: Marketplace, minted: tuple[ApiKey, str]
) -> None:
    server, (_, plaintext) = Process.of(marketplace), minted
    for minute in range(3):
        now = NOON + minute * LAST_USED_EVERY
        await server.access.by_bearer(plaintext, now - INSTANT)
        await asyncio.gather(*(server.access.by_bearer(plaintext, now) for _ in range(20)))
    assert server.keys.touches == [NOON - INSTANT, NOON + LAST_USED_EVERY - INSTANT, at(120) - INSTANT]
    assert await marketplace.value("select last_used_at from api_key") == at(120) - INSTANT


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=60))
def test_only_so_many_are_known_and_the_ones_in_use_stay(uses: list[tuple[int, int]]) -> None:
    known, recent, read_at = KnownKeys(most=3), list[int](), dict[int, datetime]()
    for number, second in uses:
        now = at(second)
        found = known.get(bytes([number]), now)
        fresh = number in recent and read_at[number] <= now < read_at[number] + KNOWN_FOR
        assert (found is not None) == fresh
        if found is None:
            key = ApiKey(UUID(int=number), UUID(int=1), bytes([number]), "", "", "TEST", (), NOON, WALLET)
            known.put(key, now)
            read_at[number] = now
        recent = [*(one for one in recent if one != number), number][-3:]
    for number in range(10):
        known.forget(bytes([number]))
        assert known.get(bytes([number]), NOON) is None
