"""The Python client against the real server: the same types, and the kernel's errors by their code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_wire import Place, Tenant, Wire, sign
from eth_account import Account

from luxxon_core.client import ConnectionFailed, InvalidResponse, Luxxon, RateLimited
from luxxon_core.client.transport import CONSISTENCY_HEADER
from luxxon_core.kernel import errors
from luxxon_core.kernel.errors import LuxxonError

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_session_from_start_to_end(wire: Wire, consumer: Tenant, place: Place) -> None:
    operator = await wire.supplier_at(place)
    async with (
        Luxxon(wire.server.api_url, api_key=consumer.key) as api,
        Luxxon(wire.server.api_url + "/", api_key=operator.key) as supplier,
    ):
        assert (await api.health.get()).ok
        config = await api.config.get()
        assert (config.environment, config.chain_id) == ("TEST", 31337)
        assert [entry for entry in await api.coverage.list() if entry.lat == place.lat]
        session = await api.sessions.create(lat=place.lat, lng=place.lng, max_duration_seconds=30)
        assert (session.state, session.hold_micro_usdc) == ("REQUESTED", "30000")
        assert session.created_at.tzinfo is not None
        session = await api.sessions.dispatch(session.id)
        started = await supplier.sessions.start(session.id)
        assert (await supplier.sessions.producer_token(session.id)).whip_url == started.whip_url
        await wire.first_frame({"videoBackendRef": started.video_backend_ref})
        live = await api.sessions.wait_for(session.id, "LIVE", timeout=5)
        assert live.state == "LIVE"
        assert (await api.sessions.viewer_token(session.id)).whep_url == live.whep_url
        await supplier.workspaces.heartbeat(operator.workspace_id, place.lat, place.lng, 5, 1, session.id)
        assert (await supplier.sessions.list())[0].id == session.id
        over = await api.sessions.end(session.id)
        receipt = await api.sessions.receipt(session.id)
        assert (receipt.state, receipt.ended_at) == ("ENDED", over.ended_at)
        assert (await api.settlements.get(session.id)).payload is not None
        assert (await supplier.sessions.cancel_all_assignments()).count == 0
        assert (await api.wallet.get()).workspace_id == consumer.workspace_id
        assert (await api.wallet.get(consumer.workspace_id)).wallet_address == consumer.account.address


async def test_signing_in_keeps_the_cookie_until_logout(wire: Wire, stranger: Tenant) -> None:
    async with Luxxon(wire.server.api_url) as api:
        issued = await api.auth.challenge(stranger.account.address)
        login = await api.auth.login(
            stranger.account.address, issued.nonce, sign(stranger.account, issued.message)
        )
        assert [one.id for one in login.workspaces] == [stranger.workspace_id]
        await api.auth.select_workspace(stranger.workspace_id)
        me = await api.me.get()
        assert (me.kind if hasattr(me, "kind") else me.__struct_config__.tag) == "wallet_session"
        assert [one.role for one in await api.workspaces.list()] == ["OWNER"]
        key = await api.workspaces.create_api_key(stranger.workspace_id, label="x", scopes=["wallet:read"])
        assert key.id in [one.id for one in await api.workspaces.api_keys(stranger.workspace_id)]
        assert (await api.workspaces.revoke_api_key(stranger.workspace_id, key.id)).revoked_at is not None
        await api.auth.logout()
        with pytest.raises(errors.NotAuthenticated):
            await api.me.get()


def case(
    kind: type[LuxxonError], call: Callable[[Luxxon, dict[str, str]], Any], credential: str = "consumer"
) -> Any:
    return pytest.param(kind, call, credential, id=f"{kind.__name__}")


@pytest.mark.parametrize(
    ("kind", "call", "credential"),
    [
        case(errors.NotAuthenticated, lambda api, _: api.me.get(), ""),
        case(errors.InvalidToken, lambda api, _: api.me.get(), "garbage"),
        case(errors.InvalidApiKey, lambda api, _: api.me.get(), "lxxn_test_000000_" + "0" * 43),
        case(errors.InsufficientScope, lambda api, _: api.wallet.get(), "narrow"),
        case(errors.WorkspaceMismatch, lambda api, ids: api.workspaces.get(ids["other"])),
        case(errors.NotAuthorized, lambda api, _: api.workspaces.list()),
        case(errors.InvalidInput, lambda api, _: api.sessions.create(lat=91, lng=0, max_duration_seconds=1)),
        case(
            errors.InsufficientCredit,
            lambda api, _: api.sessions.create(lat=1, lng=1, max_duration_seconds=60),
            "poor",
        ),
        case(errors.SessionNotFound, lambda api, _: api.sessions.get(uuid4())),
        case(errors.NoCoverage, lambda api, ids: api.sessions.dispatch(ids["session"])),
        case(errors.InvalidState, lambda api, ids: api.sessions.end(ids["session"])),
        case(errors.FrameNotAvailable, lambda api, ids: api.sessions.frame(ids["session"])),
        case(errors.OutsideCoverage, lambda api, ids: api.sessions.accept(ids["session"]), "poor"),
        case(errors.Conflict, lambda api, ids: api.workspaces.heartbeat(ids["other"], 1, 1, 5, 0), "poor"),
    ],
)
async def test_a_refusal_is_the_error_of_its_code(
    wire: Wire,
    consumer: Tenant,
    stranger: Tenant,
    place: Place,
    kind: type[LuxxonError],
    call: Callable[[Luxxon, dict[str, str]], Any],
    credential: str,
) -> None:
    session = await wire.create(consumer, place)
    ids = {"other": stranger.workspace_id, "session": session["id"]}
    keys = {"consumer": consumer.key, "poor": stranger.key, "": None}
    if credential == "narrow":
        made = await wire.mint(consumer.cookie, consumer.workspace_id, "sessions:read")
        keys["narrow"] = made["plaintext"]
    if kind is errors.Conflict:
        await wire.rows("update workspace set last_sequence = 5 where id = $1", stranger.workspace_id)
    async with Luxxon(wire.server.api_url, api_key=keys.get(credential, credential)) as api:
        with pytest.raises(LuxxonError) as caught:
            await call(api, ids)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (kind.code, kind.status)
    assert caught.value.message


async def test_every_error_of_the_kernel_comes_back_as_itself() -> None:
    """Code and status are enough to tell them apart, whatever the server says besides."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LuxxonError) and kind is not errors.StartError
    ]
    assert len(kinds) > 25
    for kind in kinds:
        body = {"code": kind.code, "message": "told", "detail": "a:b", "statusCode": kind.status}
        with pytest.raises(LuxxonError) as caught:
            await answered(kind.status, json.dumps(body))
        # Of kinds that look the same, the most general; the client's own says how long to wait, too.
        look = (kind.code, kind.status)
        tree = [one for one in kind.__mro__ if issubclass(one, LuxxonError)]
        alike = [one for one in tree if (one.code, one.status) == look]
        expected = RateLimited if kind is errors.RateLimited else alike[-1]
        assert (type(caught.value), caught.value.message, caught.value.detail) == (expected, "told", "a:b")


async def answered(status: int, text: str) -> Any:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text))
    async with Luxxon("http://server.test/api/v1", transport=transport, retry=False) as api:
        return await api.health.get()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (502, "<html>bad gateway</html>"),
        (500, ""),
        (500, "[]"),
        (500, '"text"'),
        (400, '{"error": {}}'),
        (302, ""),
        (200, "<html>"),
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, '{"data": null}'),
        (200, '{"data": {"ok": "yes"}}'),
    ],
)
async def test_what_is_not_luxxons_is_an_invalid_response(status: int, text: str) -> None:
    with pytest.raises(InvalidResponse):
        await answered(status, text)


async def test_nobody_answering_is_told_without_the_key(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with Luxxon(url, api_key="lxxn_test_secret", retry=False) as api:
        with pytest.raises(ConnectionFailed) as caught:
            await api.health.get()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


async def test_the_last_consistency_token_is_sent_back() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(CONSISTENCY_HEADER))
        headers = {CONSISTENCY_HEADER: f"token-{len(seen)}"} if len(seen) != 2 else {}
        body = {"data": {"ok": True, "surface": "", "version": "", "buildSha": ""}}
        return httpx.Response(200, json=body, headers=headers)

    async with Luxxon("http://server.test", transport=httpx.MockTransport(answer)) as api:
        for _ in range(4):
            await api.health.get()
    assert seen == [None, "token-1", "token-1", "token-3"]


async def test_a_new_wallet_makes_its_workspace(wire: Wire) -> None:
    account = Account.create()
    async with Luxxon(wire.server.api_url) as api:
        issued = await api.workspaces.challenge(account.address)
        fields = {"slug": f"sdk-{account.address[2:12].lower()}", "name": "By SDK", "roles": ["SUPPLIER"]}
        signature = sign(account, issued.message)
        made = await api.workspaces.create(
            **fields, wallet_address=account.address, signature=signature, nonce=issued.nonce
        )
        assert made.wallet_address == account.address
        with pytest.raises(errors.NotAuthenticated):
            await api.workspaces.create(
                **{**fields, "slug": "again"},
                wallet_address=account.address,
                signature=signature,
                nonce=issued.nonce,
            )
