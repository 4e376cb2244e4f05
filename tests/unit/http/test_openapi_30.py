"""The document that tools of OpenAPI 3.0 read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_30_VALIDATOR

from luxxon_core import __version__
from luxxon_core.http.documents import BASE
from luxxon_core.http.openapi import document
from luxxon_core.http.openapi_30 import as_3_0
from luxxon_core.rows import described

NEWER: dict[str, Any] = document(described(), version=__version__, server_url=BASE)
OLDER = as_3_0(NEWER)


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Everything in a document that is a schema, or looks like one."""
    if isinstance(value, dict):
        if not value.keys().isdisjoint({"type", "enum", "anyOf", "oneOf", "allOf", "properties"}):
            yield value
        for key, one in value.items():
            if key == "properties":
                yield from (found for schema in one.values() for found in schemas(schema))
            elif key not in ("example", "examples", "value"):
                yield from schemas(one)
    elif isinstance(value, list):
        for one in value:
            yield from schemas(one)


def test_it_is_openapi_3_0_0() -> None:
    assert OLDER["openapi"] == "3.0.0"
    assert (OLDER["info"]["title"], OLDER["info"]["version"]) == ("Luxxon API", "0.1.0")
    assert [str(error)[:300] for error in OPENAPI_30_VALIDATOR.iter_errors(OLDER)] == []


def test_no_word_of_later_versions_is_left() -> None:
    for schema in schemas(OLDER):
        assert schema.keys().isdisjoint(
            {"const", "examples", "contentMediaType", "contentSchema", "prefixItems"}
        )
        assert isinstance(schema.get("type", ""), str) and schema.get("type") != "null"
        if "$ref" in schema:
            assert len(schema) == 1
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert isinstance(schema.get(bound, False), bool)


def test_the_same_operations_fields_and_references_are_there() -> None:
    assert OLDER["paths"].keys() == NEWER["paths"].keys()
    for path, item in NEWER["paths"].items():
        for method, one in item.items():
            other = OLDER["paths"][path][method]
            assert other["operationId"] == one["operationId"]
            assert other["responses"].keys() == one["responses"].keys()
    for name, schema in NEWER["components"]["schemas"].items():
        other = OLDER["components"]["schemas"][name]
        assert other.get("properties", {}).keys() == schema.get("properties", {}).keys()
        assert other.get("required", []) == schema.get("required", [])
    assert OLDER["components"]["examples"] == NEWER["components"]["examples"]


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (
            {"type": ["string", "null"], "format": "uuid"},
            {"type": "string", "format": "uuid", "nullable": True},
        ),
        ({"const": 200}, {"type": "integer", "enum": [200]}),
        ({"const": True}, {"type": "boolean", "enum": [True]}),
        ({"type": "string", "examples": ["a", "b"]}, {"type": "string", "example": "a"}),
        (
            {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}], "description": "d"},
            {"allOf": [{"$ref": "#/components/schemas/A"}], "description": "d", "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string", "enum": ["A"]}, {"type": "null"}]},
            {"type": "string", "enum": ["A", None], "nullable": True},
        ),
        (
            {"type": "array", "items": {"type": ["number", "null"]}},
            {"type": "array", "items": {"type": "number", "nullable": True}},
        ),
        ({"type": "string", "contentMediaType": "image/jpeg"}, {"type": "string", "format": "binary"}),
    ],
)
def test_each_word_has_its_older_one(newer: dict[str, Any], older: dict[str, Any]) -> None:
    made = as_3_0({"info": {"license": {}}, "components": {"schemas": {"One": newer}}})
    assert made["components"]["schemas"]["One"] == older


def test_what_examples_show_is_left_alone() -> None:
    shown = {"const": 1, "type": ["string", "null"]}
    made = as_3_0({"info": {"license": {}}, "components": {"examples": {"One": {"value": shown}}}})
    assert made["components"]["examples"]["One"]["value"] == shown


def test_it_takes_null_where_the_newer_one_does() -> None:
    seen = 0
    for name, newer in NEWER["components"]["schemas"].items():
        for field, one in newer.get("properties", {}).items():
            kinds = one.get("type", ())
            taken = "null" in kinds if isinstance(kinds, list) else {"type": "null"} in one.get("anyOf", ())
            older = OLDER["components"]["schemas"][name]["properties"][field]
            assert older.get("nullable", False) is taken, (name, field)
            assert not taken or None in older.get("enum", [None]), (name, field)
            seen += taken
    assert seen > 20
