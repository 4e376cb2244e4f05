"""An OpenAPI 3.1 document as one of OpenAPI 3.0.0, the version that the published API describes itself in.

Generators and checkers of 3.0 know no ``null`` type, no ``const`` and none of the keywords that JSON Schema
got after its draft 5. Only ``contentSchema`` is lost: no keyword of theirs says that.
"""

from __future__ import annotations

from typing import Any

VERSION = "3.0.0"
TYPES: dict[type, str] = {bool: "boolean", int: "integer", str: "string", float: "number"}
NULL = {"type": "null"}


def as_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """The same API in the words of OpenAPI 3.0.0 (§4.7.24, Schema Object)."""
    licence = {key: value for key, value in document["info"]["license"].items() if key != "identifier"}
    return {
        **_within(document),
        "openapi": VERSION,
        "info": {**document["info"], "license": licence},
    }


def _within(value: Any) -> Any:
    """A part of the document, schemas wherever they stand; what examples say is left as it is."""
    if isinstance(value, list):
        return [_within(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _part(key, one) for key, one in value.items()}


def _part(key: str, value: Any) -> Any:
    if key in ("example", "examples", "value", "default"):
        return value
    if key == "schema":
        return _schema(value)
    if key == "schemas":
        return {name: _schema(one) for name, one in value.items()}
    if key == "security":  # scopes belong to OAuth2 and OpenID Connect alone (§4.7.30)
        return [{name: [] for name in one} for one in dict.fromkeys(tuple(one) for one in value)]
    return _within(value)


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in given.items() if key not in ("contentMediaType", "contentSchema")}
    if "contentMediaType" in given:
        schema |= {"type": "string"} if "contentSchema" in given else {"format": "binary"}
    nullable = False
    if isinstance(kinds := schema.get("type"), list):
        nullable = "null" in kinds
        (schema["type"],) = (kind for kind in kinds if kind != "null")
    if NULL in schema.get("anyOf", ()):
        nullable = True
        schema = _without_null(schema)
    if "const" in schema:
        only = schema.pop("const")
        schema |= {"type": TYPES[type(only)], "enum": [only]}
    if "examples" in schema:
        schema["example"] = schema.pop("examples")[0]
    if schema.get("required") == []:
        del schema["required"]
    if nullable:
        schema["nullable"] = True
        if None not in schema.get("enum", [None]):
            schema["enum"] = [*schema["enum"], None]
    return {key: _keyword(key, value) for key, value in schema.items()}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a choice in which null is one: the others; one that is left needs no choice, and a reference no
    neighbours, which 3.0 does not read (§4.7.23)."""
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    others = [one for one in schema["anyOf"] if one != NULL]
    if len(others) > 1:
        return {**rest, "anyOf": others}
    return {**rest, "allOf": others} if "$ref" in others[0] else {**rest, **others[0]}


def _keyword(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _schema(one) for name, one in value.items()}
    if key in ("allOf", "anyOf", "oneOf"):
        return [_schema(one) for one in value]
    if key in ("items", "additionalProperties", "not") and isinstance(value, dict):
        return _schema(value)
    return value
