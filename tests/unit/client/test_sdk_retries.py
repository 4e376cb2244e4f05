"""What is repeated, what is not, under which key, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import monotonic
from typing import Any

import httpx
import pytest
from wire_samples import SESSION

from luxxon_core.client import (
    ApiError,
    ConnectionFailed,
    InvalidResponse,
    Luxxon,
    RateLimited,
    Retry,
    retrying,
)
from luxxon_core.client.transport import CONSISTENCY_HEADER, IDEMPOTENCY_HEADER
from luxxon_core.kernel import errors
from luxxon_core.kernel.errors import LuxxonError

Step = httpx.Response | Exception
Call = Callable[[Luxxon], Awaitable[object]]


def refused(status: int, code: str, detail: str | None = None, **headers: str) -> httpx.Response:
    body = {"statusCode": status, "code": code, "message": "No", "detail": detail}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=sent)


def done() -> httpx.Response:
    return httpx.Response(200, json={"data": SESSION})


class Server:
    """Plays its steps one after the other, the last one again and again."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []
        self.at: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.at.append(monotonic())
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get(IDEMPOTENCY_HEADER) for request in self.requests]

    async def asked(self, call: Call, **options: Any) -> object:
        transport = httpx.MockTransport(self)
        async with Luxxon("http://server.test", transport=transport, **options) as api:
            return await call(api)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 0.002)
    monkeypatch.setattr(retrying, "JITTER", 0.001)
    yield


def get(api: Luxxon) -> Awaitable[object]:
    return api.sessions.get(SESSION["id"])


def create(api: Luxxon) -> Awaitable[object]:
    return api.sessions.create(lat=1, lng=2, max_duration_seconds=60)


def dispatch(api: Luxxon) -> Awaitable[object]:
    return api.sessions.dispatch(SESSION["id"])


def cancel(api: Luxxon) -> Awaitable[object]:
    return api.sessions.cancel(SESSION["id"])


def patch(api: Luxxon) -> Awaitable[object]:
    return api.workspaces.update("w", name="n")


def heartbeat(api: Luxxon) -> Awaitable[object]:
    return api.workspaces.heartbeat("w", 1, 2, 3, 4)


LOST = httpx.ReadTimeout("lost")
AWAY = httpx.ConnectError("away")


@pytest.mark.parametrize(
    "trouble",
    [
        LOST,
        AWAY,
        httpx.RemoteProtocolError("reset"),
        httpx.Response(502, text="<html>"),
        httpx.Response(504, text=""),
        refused(502, "EXTERNAL_ERROR"),
        refused(503, "AUTHZ_ERROR"),
        refused(429, "RATE_LIMITED"),
        refused(408, "INVALID_INPUT", "body:timeout"),
        refused(503, "SOMETHING_NEW"),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [get, create])
async def test_a_passing_trouble_is_outlived(call: Call, trouble: Step) -> None:
    server = Server(trouble, trouble, done())
    assert await server.asked(call)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        refused(503, "NO_COVERAGE"),
        refused(503, "UNAVAILABLE"),
        refused(500, "DATABASE_ERROR"),
        refused(500, "INTERNAL_SERVER_ERROR"),
        refused(409, "INVALID_STATE"),
        refused(409, "CONFLICT", "idempotency:mismatch"),
        refused(401, "REVOKED_API_KEY"),
        httpx.Response(200, text="<html>"),
        httpx.Response(500, text="<html>"),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [get, dispatch])
async def test_an_answer_is_an_answer(call: Call, trouble: httpx.Response) -> None:
    server = Server(trouble, done())
    with pytest.raises(LuxxonError):
        await server.asked(call)
    assert len(server.requests) == 1


async def test_attempts_at_a_post_share_a_key_and_calls_do_not() -> None:
    server = Server(LOST, refused(409, "CONFLICT", "idempotency:inProgress", Retry_After="0"), done())
    await server.asked(create)
    await server.asked(create)
    first, *rest, other = server.keys
    assert first is not None
    assert rest == [first] * 2
    assert other not in (None, first)


async def test_a_key_of_the_callers_own_is_sent() -> None:
    server = Server(LOST, done())
    await server.asked(
        lambda api: api.sessions.create(lat=1, lng=2, max_duration_seconds=60, idempotency_key="order-7")
    )
    await server.asked(lambda api: api.json("post", "/sessions", body={}, idempotency_key="order-8"))
    assert server.keys == ["order-7", "order-7", "order-8"]


@pytest.mark.parametrize("call", [cancel, patch, heartbeat])
@pytest.mark.parametrize("trouble", [LOST, refused(503, "AUTHZ_ERROR"), httpx.Response(502)], ids=str)
async def test_what_may_have_been_done_is_not_done_again(call: Call, trouble: Step) -> None:
    server = Server(trouble, done())
    with pytest.raises(LuxxonError):
        await server.asked(call)
    assert len(server.requests) == 1
    assert server.keys == [None]


@pytest.mark.parametrize(
    "trouble", [AWAY, httpx.ConnectTimeout("away"), refused(429, "RATE_LIMITED")], ids=str
)
async def test_what_was_certainly_not_done_is_done(trouble: Step) -> None:
    server = Server(trouble, done())
    assert await server.asked(cancel)
    assert len(server.requests) == 2


async def test_a_server_that_knows_no_keys_gets_none_and_no_second_post() -> None:
    server = Server(LOST, done())
    with pytest.raises(ConnectionFailed) as caught:
        await server.asked(create, idempotency_keys=False)
    assert caught.value.sent
    assert server.keys == [None]
    again = Server(AWAY, done())
    assert await again.asked(create, idempotency_keys=False)


async def test_attempts_and_time_are_bounded() -> None:
    server = Server(AWAY)
    with pytest.raises(ConnectionFailed) as caught:
        await server.asked(get)
    assert len(server.requests) == Retry().attempts
    assert not caught.value.sent
    for never in (False, Retry(attempts=1)):
        server = Server(AWAY)
        with pytest.raises(ConnectionFailed):
            await server.asked(get, retry=never)
        assert len(server.requests) == 1
    server, began = Server(AWAY), monotonic()
    with pytest.raises(ConnectionFailed):
        await server.asked(get, retry=Retry(attempts=10**6, seconds=0.2))
    assert 0.1 < monotonic() - began < 1
    assert len(server.requests) > 3


async def test_retry_after_is_waited_for_and_never_beyond_the_bound() -> None:
    server = Server(refused(429, "RATE_LIMITED", "rate:key", Retry_After="1"), done())
    await server.asked(get)
    assert 0.99 < server.at[1] - server.at[0] < 1.5
    server, began = Server(refused(429, "RATE_LIMITED", Retry_After="60")), monotonic()
    with pytest.raises(RateLimited) as caught:
        await server.asked(get)
    assert monotonic() - began < 0.5
    assert caught.value.retry_after == 60
    assert isinstance(caught.value, errors.RateLimited)
    assert len(server.requests) == 1


async def test_another_will_to_retry_shares_the_connection() -> None:
    server = Server(AWAY)
    async with Luxxon("http://server.test", transport=httpx.MockTransport(server)) as api:
        api.set_consistency_token("zed")
        with pytest.raises(ConnectionFailed):
            await api.with_retry(False).health.get()
        assert len(server.requests) == 1
        assert server.requests[0].headers[CONSISTENCY_HEADER] == "zed"
        api.set_consistency_token(None)
        with pytest.raises(ConnectionFailed):
            await api.health.get()
        assert CONSISTENCY_HEADER not in server.requests[1].headers


@pytest.mark.parametrize(
    ("options", "authorization", "cookie"),
    [
        ({"api_key": "k"}, "Bearer k", None),
        ({"api_key": "k", "bearer": "Token t"}, "Token t", None),
        ({"cookie": "raw-value"}, None, "lx_session=raw-value"),
        ({"cookie": "lx_session=v; other=w"}, None, "lx_session=v; other=w"),
        ({"api_key": "k", "cookie": "v"}, "Bearer k", "lx_session=v"),
        ({}, None, None),
    ],
)
async def test_credentials(options: dict[str, str], authorization: str | None, cookie: str | None) -> None:
    server = Server(done())
    await server.asked(get, **options)
    headers = server.requests[0].headers
    assert (headers.get("Authorization"), headers.get("Cookie")) == (authorization, cookie)


async def test_a_cookie_that_the_server_sets_takes_the_place_of_the_given_one() -> None:
    ok = {"data": {"ok": True}}
    set_ours = {"Set-Cookie": "lx_session=new; Path=/"}
    server = Server(
        httpx.Response(200, json=ok, headers={"Set-Cookie": "proxy=1; Path=/"}),
        httpx.Response(200, json=ok, headers=set_ours),
        httpx.Response(200, json=ok),
    )
    async with Luxxon("http://server.test", cookie="old", transport=httpx.MockTransport(server)) as api:
        for _ in range(3):
            await api.auth.logout()
    assert [request.headers["Cookie"] for request in server.requests[:2]] == ["lx_session=old"] * 2
    assert "lx_session=new" in server.requests[2].headers["Cookie"]
    assert "old" not in server.requests[2].headers["Cookie"]


async def test_json_and_raw_reach_any_endpoint_of_the_server_and_no_other() -> None:
    server = Server(httpx.Response(200, json={"data": [1, "two"]}))
    assert await server.asked(lambda api: api.json("GET", "/new?x=1")) == [1, "two"]
    assert str(server.requests[0].url) == "http://server.test/new?x=1"
    assert await Server(httpx.Response(200, json={"openapi": "3"})).asked(
        lambda api: api.json("GET", "/docs-json")
    ) == {"openapi": "3"}
    assert await Server(httpx.Response(200)).asked(lambda api: api.json("GET", "/x")) is None
    raw = Server(httpx.Response(200, content=b"\xff\xd8"))
    assert (await raw.asked(lambda api: api.raw("GET", "/x"))).content == b"\xff\xd8"  # type: ignore[attr-defined]
    with pytest.raises(InvalidResponse):
        await Server(done()).asked(lambda api: api.json("GET", "/x", kind=int))
    elsewhere = Server(done())
    with pytest.raises(ValueError, match="slash"):
        await elsewhere.asked(lambda api: api.json("GET", "http://evil.test/x"))
    await elsewhere.asked(lambda api: api.raw("GET", "//evil.test/x"))
    assert {request.url.host for request in elsewhere.requests} == {"server.test"}


@pytest.mark.parametrize("bad", ["", ".", ".."])
async def test_an_id_stays_one_segment_of_the_path(bad: str) -> None:
    server = Server(refused(404, "SESSION_NOT_FOUND"))
    with pytest.raises(ValueError, match="id"):
        await server.asked(lambda api: api.sessions.get(bad))
    with pytest.raises(errors.SessionNotFound):
        await server.asked(lambda api: api.sessions.get("../wallet?x#y"))
    assert server.requests[0].url.raw_path == b"/sessions/..%2Fwallet%3Fx%23y"


async def test_a_code_from_the_future_is_an_api_error() -> None:
    with pytest.raises(ApiError) as caught:
        await Server(refused(402, "PAYMENT_REQUIRED", "a:b")).asked(get)
    assert (caught.value.code, caught.value.status, caught.value.detail) == ("PAYMENT_REQUIRED", 402, "a:b")


async def test_credentials_are_in_no_text_of_a_client() -> None:
    api = Luxxon("http://server.test", api_key="lxxn_test_hidden", cookie="hidden")
    assert "hidden" not in repr(api) + repr(api._transport) + repr(vars(api.sessions))
    await api.close()
