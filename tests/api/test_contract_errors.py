"""Codes, statuses and messages of errors (api-contract §1.5, §2.1, §20)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from access_table import TABLE, bearer
from api_wire import Place, Tenant, Wire, refusal
from contract_tables import ERROR_STATUSES

from luxxon_core.kernel import errors

pytestmark = pytest.mark.asyncio(loop_scope="session")

RETRYABLE = (408, 429)


def kinds(root: type[errors.LuxxonError] = errors.LuxxonError) -> Iterator[type[errors.LuxxonError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


async def test_every_code_has_the_status_of_the_contract() -> None:
    ours = [kind for kind in kinds() if kind.__module__ == errors.__name__]
    statuses: dict[str, set[int]] = {}
    for kind in ours:
        statuses.setdefault(kind.code, set()).add(kind.status)
    assert {code: status in statuses[code] for code, status in ERROR_STATUSES.items()} == dict.fromkeys(
        ERROR_STATUSES, True
    )
    assert set(statuses) - set(ERROR_STATUSES) == {"START_ERROR"}, "of the command line alone"
    more = {
        code: found - {ERROR_STATUSES[code]} for code, found in statuses.items() if code in ERROR_STATUSES
    }
    assert {code: extra for code, extra in more.items() if extra} == {
        "EXTERNAL_ERROR": {504},
        "INVALID_INPUT": {408, 413},
        "NOT_FOUND": {405},
    }


async def test_the_published_messages_are_word_for_word(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place)
    supplier = await wire.tenant("SUPPLIER")
    for method, path, auth, message in (
        ("GET", "/me", {}, "Session expired or missing"),
        ("GET", f"/sessions/{session['id']}", supplier.as_key(), "Not authorized for this operation"),
        ("GET", "/sessions?limit=x", consumer.as_key(), "Invalid request payload"),
        ("GET", f"/sessions/{uuid4()}", consumer.as_key(), "Session not found"),
        ("GET", f"/sessions/{session['id']}/frame", consumer.as_key(), "No video frame available yet"),
    ):
        response = await wire(method, path, auth=auth)
        refusal(response)
        assert response.json()["message"] == message


async def test_every_error_has_a_message_of_its_own(wire: Wire, consumer: Tenant) -> None:
    """The MCP server drops one that says no more than code and status."""
    messages = {kind: kind.default_message for kind in kinds()}
    for kind, message in messages.items():
        assert message.strip()
        assert message not in (kind.code, f"{kind.code} ({kind.status})")
    codes = {kind.code: message for kind, message in messages.items()}
    assert len(set(codes.values())) == len(codes), "each code has words of its own"
    for row in TABLE:
        response = await wire(row.method, row.at(consumer.workspace_id), auth=bearer("garbage"))
        if response.status_code >= 400:
            body = response.json()
            assert body["message"] not in ("", body["code"], f"{body['code']} ({body['statusCode']})")


async def test_an_agent_retries_what_may_pass_by_itself_and_nothing_else(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """Retryable is 408, 429 and 5xx: nobody there yet is, a wrong question is not."""
    session = await wire.create(consumer, place)
    dispatch = await wire("POST", f"/sessions/{session['id']}/dispatch", auth=consumer)
    assert (dispatch.json()["code"], dispatch.status_code) == ("NO_COVERAGE", 503)
    for kind in kinds():
        if kind.__module__ == errors.__name__ and kind is not errors.StartError:
            waits = issubclass(kind, errors.RequestTimeout | errors.RateLimited)
            refused = (errors.NotAuthenticated, errors.NotAuthorized, errors.InvalidInput)
            final = issubclass(kind, (*refused, errors.Conflict, errors.NotFound))
            retryable = kind.status in RETRYABLE or kind.status >= 500
            assert retryable == (waits or not final), kind
