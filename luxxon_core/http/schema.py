"""JSON Schemas (draft 2020-12) of wire types, as components of an OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from luxxon_core.kernel.wire import Timestamp

Schema = dict[str, Any]
REF = "#/components/schemas/"
UUID_PATTERN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
"""Beside the format, which many take for a mere annotation (JSON Schema 2020-12, Validation §7.2.1)."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """A schema for each type that was asked for, in order, and what they refer to."""

    inputs: list[Schema]
    outputs: list[Schema]
    components: dict[str, Schema]


def schemas(inputs: Sequence[Any], outputs: Sequence[Any]) -> Schemas:
    """Schemas of what requests carry and of what answers carry.

    A field with a default may be left out of a request, yet an answer always has it: unless its struct omits
    defaults, or the default is ``UNSET``. A ``type`` or ``oneOf`` said by ``Meta(extra_json_schema=…)`` is in
    place of the union that msgspec decodes it with. Two structs of one name are told apart by their slices.

    Raises:
        ValueError: two structs of one slice have one name.
    """
    found, components = msgspec.json.schema_components(
        [*inputs, *outputs], schema_hook=_custom, ref_template=REF + "{name}"
    )
    asked, answered = _structs(inputs), _structs(outputs)
    for cls in asked | answered:
        name = cls.__name__ if cls.__name__ in components else f"{cls.__module__}.{cls.__qualname__}"
        if cls not in asked:
            components[name] = _answered(cls, components[name])
    names = {name: _short(name) for name in components}
    if len(set(names.values())) != len(names):
        raise ValueError(f"two components of one name among {sorted(names)}")
    tidied = [_tidy(one, names) for one in found]
    return Schemas(
        tidied[: len(inputs)],
        tidied[len(inputs) :],
        {names[name]: _tidy(components[name], names) for name in sorted(components, key=names.__getitem__)},
    )


def _custom(kind: type) -> Schema:
    if kind is Timestamp:
        return {"type": "string", "format": "date-time", "examples": ["2026-05-13T12:00:00.000Z"]}
    raise NotImplementedError


def _structs(types: Iterable[Any]) -> set[type[msgspec.Struct]]:
    """The struct classes that the types are made of."""
    return {one.cls for info in inspect.multi_type_info(types) for one in _within(info, set())}


def _within(info: inspect.Type, seen: set[type]) -> Iterator[inspect.StructType]:
    if isinstance(info, inspect.Metadata):
        yield from _within(info.type, seen)
    elif isinstance(info, inspect.CollectionType):
        yield from _within(info.item_type, seen)
    elif isinstance(info, inspect.DictType):
        yield from _within(info.value_type, seen)
    elif isinstance(info, inspect.UnionType):
        for one in info.types:
            yield from _within(one, seen)
    elif isinstance(info, inspect.StructType) and info.cls not in seen:
        seen.add(info.cls)
        yield info
        for field in info.fields:
            yield from _within(field.type, seen)


def _answered(cls: type[msgspec.Struct], schema: Schema) -> Schema:
    """The schema of a struct that only answers carry."""
    omits = cls.__struct_config__.omit_defaults
    required, properties = list(schema["required"]), dict(schema["properties"])
    for field in msgspec.structs.fields(cls):
        name = field.encode_name
        given = {key: value for key, value in properties[name].items() if key != "default"}
        if field.required or field.default is msgspec.UNSET:
            continue
        if omits:
            properties[name] = _without_null(given) if field.default is None else given
        else:
            required.append(name)
            properties[name] = given
    return {**schema, "properties": properties, "required": [name for name in properties if name in required]}


def _without_null(schema: Schema) -> Schema:
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **options[0]} if len(options) == 1 else schema


def _short(name: str) -> str:
    """``luxxon_core.sessions.schemas.CreateRequest`` → ``SessionsCreateRequest``."""
    *module, last = name.split(".")
    prefix = module[1].capitalize() if module else ""
    return last if last.startswith(prefix) else prefix + last


def _tidy(value: Any, names: dict[str, str]) -> Any:
    """The schema with final names and Markdown text, its unions as short as they can be."""
    if isinstance(value, list):
        return [_tidy(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _tidy(one, names) for key, one in value.items()}
    if isinstance(ref := schema.get("$ref"), str):
        schema["$ref"] = REF + names[ref.removeprefix(REF)]
    if isinstance(chosen := schema.get("discriminator"), dict):
        chosen["mapping"] = {
            tag: REF + names[ref.removeprefix(REF)] for tag, ref in chosen["mapping"].items()
        }
    if schema.get("format") == "uuid":
        schema["pattern"] = UUID_PATTERN
    if isinstance(text := schema.get("description"), str):
        schema["description"] = _markdown(text)
    if schema.get("type") == "object" or "enum" in schema:
        schema.pop("title", None)  # the class's own name, which the component has too
    if schema.get("default", ...) is None:
        del schema["default"]
    options = schema.get("anyOf")
    if options is None:
        return schema
    if "type" in schema or "oneOf" in schema:
        del schema["anyOf"]
        return schema
    first, *others = options
    plain = isinstance(first.get("type"), str) and "enum" not in first and "const" not in first
    if plain and others == [{"type": "null"}]:
        del schema["anyOf"]
        schema |= first | {"type": [first["type"], "null"]}
    return schema


def _markdown(text: str) -> str:
    """reStructuredText of a docstring as Markdown, on one line."""
    plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    return " ".join(plain.split())
