"""The OpenAPI document of the product, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from luxxon_core import __version__
from luxxon_core.http.documents import BASE, openapi_json
from luxxon_core.http.openapi import document, operation_id
from luxxon_core.http.operation import Access, Call, EventStream, Media, Operation
from luxxon_core.kernel import errors
from luxxon_core.kernel.errors import Conflict, LuxxonError, NotFound
from luxxon_core.rows import described

COMMITTED = Path(__file__).parents[3] / "contracts" / "openapi.json"
ROWS = described()
DOCUMENT: dict[str, Any] = document(ROWS, version=__version__, server_url=BASE)
NEVER_ANSWERED = {"START_ERROR"}
"""Codes of the command line."""


def items() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, item in methods.items():
            yield path, method, item


def pointed(value: Any) -> Iterator[str]:
    """Every reference in the document."""
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key == "$ref" and isinstance(one, str))
        for one in value.values():
            yield from pointed(one)
    elif isinstance(value, list):
        for one in value:
            yield from pointed(one)


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def codes_of(item: dict[str, Any]) -> set[tuple[int, str]]:
    """Status and code of every failure that an operation's responses show an example of."""
    found = set()
    for status, response in item["responses"].items():
        if int(status) < 400:
            continue
        content = resolved(response)["content"]["application/json"]
        shown = [resolved(one)["value"] for one in content["examples"].values()]
        assert {one["statusCode"] for one in shown} == {int(status)}
        assert {one["code"] for one in shown} == set(
            content["schema"]["allOf"][1]["properties"]["code"]["enum"]
        )
        found |= {(int(status), one["code"]) for one in shown}
    return found


def tree(kind: type[LuxxonError]) -> Iterator[type[LuxxonError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from tree(one)


def test_the_committed_document_is_the_code() -> None:
    made = openapi_json(ROWS, version=__version__, server_url=BASE).decode()
    assert COMMITTED.read_text() == made, "contracts/openapi.json is out of date: run `make openapi`"


def test_it_is_openapi_3_1() -> None:
    assert [str(error)[:300] for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []
    assert DOCUMENT["openapi"] == "3.1.0"
    assert (DOCUMENT["info"]["title"], DOCUMENT["info"]["version"]) == ("Luxxon API", "0.1.0")
    assert DOCUMENT["servers"] == [{"url": "/api/v1"}]
    json.dumps(DOCUMENT, allow_nan=False)


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    references = set(pointed(DOCUMENT))
    assert references
    for reference in references:
        resolved({"$ref": reference})
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "examples", "responses", "parameters", "headers")
        for name in DOCUMENT["components"][kind]
    }
    assert components == references


def test_the_same_rows_in_another_order_are_the_same_document() -> None:
    assert document(reversed(ROWS), version=__version__, server_url=BASE) == DOCUMENT


def test_every_code_of_the_tree_is_shown_with_its_status_and_message() -> None:
    expected = {(kind.status, kind.code) for kind in tree(LuxxonError) if kind.code not in NEVER_ANSWERED}
    # a wrong method is no operation of its own, so nothing could describe its 405
    expected.discard((405, "NOT_FOUND"))
    shown = {
        (one["value"]["statusCode"], one["value"]["code"])
        for one in DOCUMENT["components"]["examples"].values()
    }
    assert expected - shown == set()
    assert shown - expected == set()
    assert all(one["value"]["message"] for one in DOCUMENT["components"]["examples"].values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_every_error_of_a_row_and_of_its_guard_is_documented(row: Operation) -> None:
    item = next(one for _, _, one in items() if one["operationId"] == operation_id(row))
    shown = codes_of(item)
    kinds = [error if isinstance(error, type) else type(error) for error in row.errors]
    assert {(kind.status, kind.code) for kind in kinds} <= shown
    assert {(500, "INTERNAL_SERVER_ERROR"), (500, "DATABASE_ERROR"), (429, "RATE_LIMITED")} <= shown
    if row.access is Access.PUBLIC:
        assert item["security"] == []
    elif row.access is Access.LINK:
        assert item["security"] == [{"link-token": []}]
        assert {(401, "NOT_AUTHENTICATED"), (401, "INVALID_TOKEN"), (503, "AUTHZ_ERROR")} <= shown
    else:
        family = ("NOT_AUTHENTICATED", "INVALID_TOKEN", "INVALID_API_KEY", "REVOKED_API_KEY")
        assert {(401, code) for code in family} <= shown
    if row.access in (Access.WALLET, Access.WALLET_WORKSPACE):
        assert item["security"] == [{"lx_session": []}]
    if row.access is Access.WORKSPACE:
        assert {(503, "AUTHZ_ERROR"), (403, "NOT_AUTHORIZED"), (403, "WORKSPACE_MISMATCH")} <= shown
        assert ((403, "INSUFFICIENT_SCOPE") in shown) == bool(row.scopes)
    if row.body is not None:
        assert {(400, "INVALID_INPUT"), (413, "INVALID_INPUT")} <= shown
    assert item["summary"]
    assert item["tags"] == [row.tag]


def test_published_tags_and_credentials_have_their_names() -> None:
    tags = [one["name"] for one in DOCUMENT["tags"]]
    published = (
        "Authentication|Me|Workspaces|API keys|Pricing|Sessions|Wallet|Settlements|Health|Webhooks|Coverage"
    )
    assert set(published.split("|")) - set(tags) == set()
    assert all(one["description"] for one in DOCUMENT["tags"])
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["access-token"]["type"], schemes["access-token"]["bearerFormat"]) == (
        "http",
        "JWT or lxxn_*",
    )
    assert (schemes["lx_session"]["in"], schemes["lx_session"]["name"]) == ("cookie", "lx_session")


def test_paths_name_their_parameters_and_every_post_takes_an_idempotency_key() -> None:
    for path, method, item in items():
        parameters = [resolved(one) for one in item["parameters"]]
        assert {one["name"] for one in parameters if one["in"] == "path"} == {
            part[1:-1] for part in path.split("/") if part.startswith("{")
        }
        assert ("Idempotency-Key" in {one["name"] for one in parameters}) == (method == "post")
        assert "X-Request-Id" in {one["name"] for one in parameters}
        assert len({(one["name"], one["in"]) for one in parameters}) == len(parameters)


def test_answers_are_enveloped_but_pictures_streams_and_documents_are_not() -> None:
    for path, _, item in items():
        good = [one for status, one in item["responses"].items() if status in ("200", "201", "202")]
        content = good[0]["content"]
        (media,) = content
        schema = content[media]["schema"]
        if media == "application/json" and path not in ("/docs-json", "/openapi.json"):
            assert set(schema["required"]) == {"statusCode", "message", "data", "timestamp"}
    made = DOCUMENT["paths"]["/observations"]["post"]["responses"]
    assert "200" not in made and all("Location" in made[status]["headers"] for status in ("201", "202"))
    frame = DOCUMENT["paths"]["/sessions/{sessionId}/frame"]["get"]["responses"]["200"]["content"]
    assert list(frame) == ["image/jpeg"]


def test_a_session_is_described_as_the_wire_has_it() -> None:
    session = DOCUMENT["components"]["schemas"]["Session"]
    optional = set(session["properties"]) - set(session["required"])
    assert optional == {"whepUrl", "whipUrl", "consistencyToken", "controls", "policy", "unit"}
    assert session["properties"]["createdAt"]["format"] == "date-time"
    assert session["properties"]["operatorWorkspaceId"]["type"] == ["string", "null"]
    view = DOCUMENT["components"]["schemas"]["SettlementView"]
    assert view["required"] == ["sessionId", "state"]
    assert "null" not in json.dumps(view)


# -- rows that the product does not have --------------------------------------------------------------------


class Ask(msgspec.Struct, rename="camel"):
    how_many: int
    kind: str | None = None


class Told(msgspec.Struct, rename="camel"):
    """What ``happened``."""

    at_once: bool = True


async def handler(_: Call[Any]) -> None:
    return None


def row(**changes: Any) -> Operation:
    given: dict[str, Any] = {
        "method": "GET",
        "path": "/things",
        "handler": handler,
        "access": Access.PUBLIC,
        "out": Told,
        "tag": "Things",
        "summary": "Things",
    }
    return Operation(**given | changes)


def test_a_query_becomes_parameters_and_its_struct_no_component() -> None:
    made = document([row(query=Ask, subject="thing")], version="1", server_url="/x")
    (many, kind, *_) = made["paths"]["/things"]["get"]["parameters"]
    assert many == {"name": "howMany", "in": "query", "required": True, "schema": {"type": "integer"}}
    assert kind == {"name": "kind", "in": "query", "schema": {"type": "string"}}
    assert set(made["components"]["schemas"]) == {"Error", "Told"}
    assert made["components"]["schemas"]["Told"]["required"] == ["atOnce"]
    assert made["components"]["schemas"]["Told"]["description"] == "What `happened`."
    details = {one["value"].get("detail") for one in made["components"]["examples"].values()}
    assert {"thing:howMany", "thing:kind"} <= details


def test_a_detail_known_beforehand_is_an_example() -> None:
    made = document([row(errors=(NotFound, Conflict("thing:taken")))], version="1", server_url="/x")
    conflict = made["paths"]["/things"]["get"]["responses"]["409"]["content"]["application/json"]
    assert list(conflict["examples"]) == ["CONFLICT.thing.taken"]
    example = made["components"]["examples"]["CONFLICT.thing.taken"]["value"]
    assert (example["code"], example["detail"]) == ("CONFLICT", "thing:taken")


def test_a_stream_says_what_its_events_carry() -> None:
    media = Media("text/event-stream", "Told as it happens", {"told": Told, "asked": list[Ask]})
    made = document([row(out=Annotated[EventStream, media])], version="1", server_url="/x")
    content = made["paths"]["/things"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    told, asked = content["schema"]["oneOf"]
    assert told["properties"]["event"] == {"const": "told"}
    assert told["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Told"}
    assert asked["properties"]["data"]["contentSchema"]["items"] == {"$ref": "#/components/schemas/Ask"}
    names = [one.get("name") for one in made["paths"]["/things"]["get"]["parameters"]]
    assert "Last-Event-ID" in names


def test_two_rows_of_one_operation_id_are_refused() -> None:
    with pytest.raises(ValueError, match="getThingItem"):
        document([row(path="/things/{thing_id}/item"), row(path="/thing/item")], version="1", server_url="/x")
