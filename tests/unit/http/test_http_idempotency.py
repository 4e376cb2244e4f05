"""``Idempotency-Key`` behind the real frame, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import httpx
import pytest
from frame_server import SECRET, Desk, Served, framed, refused, serving

from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.idempotency import PgAnswers
from luxxon_core.http import idempotency
from luxxon_core.http.idempotency import Idempotency
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import DatabaseError, InvalidState

NOTE = {"text": "hello", "often": 2}


def idempotent(database: Database, *secrets: bytes) -> Idempotency:
    return Idempotency(database, PgAnswers(), utc_now, secrets or (SECRET,))


@pytest.fixture
async def served(desk: Desk, database: Database) -> AsyncIterator[Served]:
    async with serving(framed(desk, idempotency=idempotent(database))) as server:
        yield server


@pytest.fixture
async def two(desk: Desk, dsn: str, database: Database) -> AsyncIterator[list[Served]]:
    """Two servers on one database, each with a pool of two connections."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            own = await Database.connect(dsn, min_size=1, max_size=2)
            stack.push_async_callback(own.close)
            app = framed(desk, idempotency=idempotent(own))
            found.append(await stack.enter_async_context(serving(app)))
        yield found


async def rows(database: Database, sql: str) -> list[asyncpg.Record]:
    async with database.begin() as tx:
        return list(await connection(tx).fetch(sql))


def same(one: httpx.Response, other: httpx.Response) -> bool:
    names = ("content-type", "set-cookie", "x-lx-consistency-token")
    alike = all(one.headers.get(name) == other.headers.get(name) for name in names)
    return alike and (one.status_code, one.content) == (other.status_code, other.content)


async def test_the_same_again_is_answered_and_not_executed(served: Served, desk: Desk) -> None:
    first = await served("POST", "/notes", key="k", json=NOTE)
    assert first.json()["data"] == {"text": "hello", "number": 1}
    assert "idempotency-replayed" not in first.headers
    assert "secret-1" in first.headers["set-cookie"]
    again = await served("POST", "/notes", key="k", json=NOTE)
    assert same(first, again)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert desk.executed == ["hello"]
    shuffled = await served("POST", "/api/v1/notes", key="k", content=b'{"often":2,  "text":"hello"}')
    assert same(first, shuffled)


async def test_other_keys_callers_and_methods_are_others(served: Served, desk: Desk) -> None:
    await served("POST", "/notes", key="k", json=NOTE)
    await served("POST", "/notes", key="K", json=NOTE)
    await served("POST", "/notes", key="k", json=NOTE, bearer="good-two")
    await served("POST", "/public", key="k", json=NOTE)
    assert len(desk.executed) == 4
    for _ in range(2):
        response = await served("POST", "/notes", json=NOTE)
        assert "idempotency-replayed" not in response.headers
    assert len(desk.executed) == 6
    assert (await served("GET", "/mine", key="k")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/notes", {"text": "other", "often": 2}),
        ("/notes", {"text": "hello"}),
        ("/notes?x=1", NOTE),
        ("/refused", NOTE),
        ("/notes/a/bare", None),
    ],
)
async def test_another_request_under_the_key_is_refused(
    served: Served, desk: Desk, path: str, body: object
) -> None:
    await served("POST", "/notes", key="k", json=NOTE)
    response = await served("POST", path, key="k", **({} if body is None else {"json": body}))
    assert refused(response) == (409, "CONFLICT", "idempotency:mismatch")
    assert desk.executed == ["hello"]


async def test_operations_without_a_body(served: Served, desk: Desk) -> None:
    for _ in range(2):
        response = await served("POST", "/notes/a/bare", key="k")
        assert response.json()["data"] == {"number": 1}
    assert refused(await served("POST", "/notes/b/bare", key="k"))[2] == "idempotency:mismatch"
    assert refused(await served("POST", "/notes/a/bare", key="k", json={"x": 1}))[2] == "idempotency:mismatch"


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "a\tb"])
async def test_a_key_that_is_none(served: Served, desk: Desk, key: str) -> None:
    assert refused(await served("POST", "/notes", key=key, json=NOTE))[2] == "idempotency:key"
    assert (await served("POST", "/notes", key="a" * 255, json=NOTE)).status_code == 200


async def test_a_refusal_of_the_handler_is_an_answer_and_one_before_it_is_not(
    served: Served, desk: Desk
) -> None:
    for bad in ({"text": 5}, {}):
        assert refused(await served("POST", "/notes", key="k", json=bad))[0] == 400
    assert refused(await served("POST", "/notes", key="k", json=NOTE, bearer="bad"))[0] == 401
    assert (await served("POST", "/notes", key="k", json=NOTE)).status_code == 200
    first = await served("POST", "/refused", key="r", json=NOTE)
    again = await served("POST", "/refused", key="r", json=NOTE)
    assert refused(first) == (409, "INVALID_STATE", "note:refuse:DONE")
    assert same(first, again)
    assert len(desk.executed) == 2


async def test_what_failed_is_executed_again_with_the_same_id(served: Served, desk: Desk) -> None:
    desk.fails = [DatabaseError("database:failed"), RuntimeError("bug")]  # the last one first
    assert refused(await served("POST", "/notes", key="k", json=NOTE))[0] == 500
    assert refused(await served("POST", "/notes", key="k", json=NOTE))[1] == "DATABASE_ERROR"
    assert refused(await served("POST", "/notes", key="k", json={"text": "other"}))[0] == 409
    assert (await served("POST", "/notes", key="k", json=NOTE)).status_code == 200
    assert len(set(desk.ids)) == 1
    assert desk.ids[0] is not None
    await served("POST", "/notes", key="other", json=NOTE)
    assert desk.ids[-1] not in desk.ids[:-1]


async def test_duplicates_at_once_are_executed_once(two: list[Served], desk: Desk) -> None:
    """64 on two servers whose pools have two connections each, while others need those too."""
    desk.gate.clear()
    duplicates = [
        asyncio.create_task(two[number % 2]("POST", "/notes", key="k", json=NOTE)) for number in range(64)
    ]
    await asyncio.wait_for(desk.entered.wait(), 5)
    async with asyncio.timeout(5):
        for server in two:
            response = await server("POST", "/notes/a/bare", key="beside", bearer=f"good-{server.port}")
            assert response.status_code == 200
    assert not any(task.done() for task in duplicates)
    desk.gate.set()
    answers = await asyncio.gather(*duplicates)
    assert desk.executed.count("hello") == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 63


async def test_duplicates_of_what_fails_wait_for_one_that_does_not(served: Served, desk: Desk) -> None:
    desk.gate.clear()
    desk.fails = [RuntimeError("bug")]
    duplicates = [asyncio.create_task(served("POST", "/notes", key="k", json=NOTE)) for _ in range(5)]
    await asyncio.wait_for(desk.entered.wait(), 5)
    desk.gate.set()
    statuses = sorted([answer.status_code for answer in await asyncio.gather(*duplicates)])
    assert statuses == [200, 200, 200, 200, 500]
    assert len(desk.executed) == 2


async def test_nobody_waits_for_ever(served: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.1)
    desk.gate.clear()
    first = asyncio.create_task(served("POST", "/notes", key="k", json=NOTE))
    await asyncio.wait_for(desk.entered.wait(), 5)
    response = await served("POST", "/notes", key="k", json=NOTE)
    assert refused(response) == (409, "CONFLICT", "idempotency:inProgress")
    assert response.headers["retry-after"] == "1"
    response = await served("POST", "/notes", key="k", json={"text": "other"})
    assert refused(response)[2] == "idempotency:mismatch"
    desk.gate.set()
    assert (await first).status_code == 200


async def test_a_lease_is_kept_while_its_request_runs(
    two: list[Served], desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LEASE", timedelta(seconds=0.6))
    monkeypatch.setattr(idempotency, "RENEW_SECONDS", 0.1)
    desk.gate.clear()
    first = asyncio.create_task(two[0]("POST", "/notes", key="k", json=NOTE))
    await asyncio.wait_for(desk.entered.wait(), 5)
    second = asyncio.create_task(two[1]("POST", "/notes", key="k", json=NOTE))
    async with asyncio.timeout(10):  # well past the first end of the lease
        while not (await rows(database, "select 1 from idempotency where lease_until > created_at + '2 s'")):
            await asyncio.sleep(0.05)
    assert not second.done()
    desk.gate.set()
    answers = await asyncio.gather(first, second)
    assert same(*answers)
    assert desk.executed == ["hello"]


async def test_what_a_process_left_when_it_died_is_executed_again(
    two: list[Served], desk: Desk, database: Database
) -> None:
    """Its lease runs out; the id that the second attempt gets is the first one's."""
    await two[0]("POST", "/notes", key="k", json=NOTE)
    await rows(database, "update idempotency set answer = null, lease_until = now() + '300 ms'")
    answers = await asyncio.gather(*(server("POST", "/notes", key="k", json=NOTE) for server in two))
    assert desk.executed == ["hello", "hello"]
    assert desk.ids[0] == desk.ids[1]
    assert same(*answers)


async def test_a_day_later_the_key_is_new(served: Served, desk: Desk, database: Database) -> None:
    await served("POST", "/notes", key="k", json=NOTE)
    await rows(database, "update idempotency set expires_at = now()")
    response = await served("POST", "/notes", key="k", json={"text": "other"})
    assert response.status_code == 200
    assert desk.ids[0] != desk.ids[1]
    kept = await rows(database, "select expires_at - created_at as kept from idempotency")
    assert kept[0]["kept"] == timedelta(hours=24)
    assert await idempotent(database).purge(utc_now()) == 0
    assert await idempotent(database).purge(utc_now() + timedelta(hours=25)) == 1


async def test_the_database_alone_reveals_nothing(served: Served, database: Database) -> None:
    first = await served("POST", "/notes", key="my-key", json=NOTE)
    stored = repr([tuple(row) for row in await rows(database, "select * from idempotency")])
    for secret in ("my-key", "hello", "secret-1", "token-1", "good-one"):
        assert secret not in stored
    assert "secret-1" in first.headers["set-cookie"]


async def test_secrets_may_be_changed(desk: Desk, database: Database) -> None:
    new = b"n" * 32
    async with serving(framed(desk, idempotency=idempotent(database))) as served:
        first = await served("POST", "/notes", key="k", json=NOTE)
    async with serving(framed(desk, idempotency=idempotent(database, new, SECRET))) as served:
        assert same(first, await served("POST", "/notes", key="k", json=NOTE))
    async with serving(framed(desk, idempotency=idempotent(database, new))) as served:
        response = await served("POST", "/notes", key="k", json=NOTE)
        assert refused(response) == (409, "CONFLICT", "idempotency:unreadable")
    assert desk.executed == ["hello"]


async def test_an_answer_that_cannot_be_stored_is_given(
    served: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> bool:
        raise DatabaseError("database:failed")

    monkeypatch.setattr(PgAnswers, "finish", fails)
    assert (await served("POST", "/notes", key="k", json=NOTE)).status_code == 200
    desk.fails = [InvalidState("x:y")]
    assert (await served("POST", "/notes", key="j", json=NOTE)).status_code == 409
