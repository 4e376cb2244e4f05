"""What answers tell of rate limits, with the quotas that a server has by default."""

from __future__ import annotations

import re

import pytest
from api_wire import Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

STANDING = re.compile(r'"(key|wallet|address)";r=(\d+);t=(\d+)')


async def test_each_kind_of_caller_has_a_policy(wire: Wire, consumer: Tenant) -> None:
    for name, path, auth in (
        ("key", "/sessions", consumer.as_key()),
        ("wallet", "/sessions", consumer.as_cookie()),
        ("address", "/health", {}),
        ("key", f"/sessions/{consumer.workspace_id}", consumer.as_key()),  # 404 counts too
    ):
        response = await wire("GET", path, auth=auth)
        assert re.fullmatch(rf'"{name}";q=\d+;w=60', response.headers["ratelimit-policy"])
        found = STANDING.fullmatch(response.headers["ratelimit"])
        assert found
        assert found[1] == name
        assert 1 <= int(found[3]) <= 60


async def test_it_goes_down_with_each_request(wire: Wire, stranger: Tenant) -> None:
    async def left() -> tuple[int, int]:
        found = STANDING.fullmatch((await wire("GET", "/me", auth=stranger)).headers["ratelimit"])
        assert found
        return int(found[2]), int(found[3])

    (before, ends), (after, later) = await left(), await left()
    assert after == before - 1 or later > ends  # a new window began in between


async def test_a_client_that_polls_is_not_hindered(wire: Wire, consumer: Tenant) -> None:
    for _ in range(300):
        assert (await wire("GET", "/me", auth=consumer)).status_code == 200
