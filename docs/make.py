"""Writes the pages that are made from the code: ``settings.md`` and ``api.md``. ``make docs`` runs it."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from luxxon_core import chain_settings, client_settings, settings

HERE = Path(__file__).parent
CONTRACT = HERE.parent / "contracts" / "openapi.json"


# -- settings.md ------------------------------------------------------------------------------------------

SETTINGS = """\
# Settings

<!-- Written by docs/make.py from luxxon_core/settings.py and its neighbours: change those, make docs. -->

A server takes each from arguments, then `LUXXON_<NAME>` in the environment (lists and tables as JSON), then
`luxxon.toml` in the folder that it is started in. Nothing has to be set.
[operating-a-server.md](operating-a-server.md) says which belong together; secrets are in no log and no error.
"""


@dataclass(frozen=True)
class Described:
    """A setting as the source has it."""

    name: str
    text: str
    section: str


def described(model: type[BaseModel]) -> list[Described]:
    """The settings that ``model`` itself declares, in order, each with its docstring and the title above it.

    Raises:
        LookupError: one has no docstring.
    """
    source, first = inspect.getsourcelines(model)
    lines = inspect.getsource(inspect.getmodule(model) or settings).splitlines()
    (tree,) = ast.parse("".join(source)).body
    assert isinstance(tree, ast.ClassDef)
    found, section, seen = [], "", 0
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = lines[first - 1 + seen : first - 1 + node.lineno]
        titles = [line.strip()[5:] for line in above if line.strip().startswith("# -- ")]
        section, seen = (titles or [section])[-1], node.lineno
        text = (
            after.value.value
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            else None
        )
        if not isinstance(text, str):
            raise LookupError(f"{model.__name__}.{node.target.id} has no docstring")
        found.append(Described(node.target.id, " ".join(text.split()), section))
    return found


def settings_page() -> str:
    parts = [SETTINGS]
    server = settings.Settings
    rows = [
        one
        for model in (server, chain_settings.ChainSettings, settings.PluginSettings)
        for one in described(model)
    ]
    schema = server.model_json_schema()["properties"]
    for section in dict.fromkeys(one.section for one in rows):
        parts.append(f"## {section}\n\n| setting | default | values | |\n|---|---|---|---|")
        parts += [_row(one, server, schema) for one in rows if one.section == section]
        parts.append("")
    for title, model, prefix, where in (
        (
            "Of commands that call a server",
            client_settings.ClientSettings,
            "LUXXON_",
            "the environment alone",
        ),
        (
            "Of `luxxon contracts`",
            client_settings.OwnerSettings,
            "LUXXON_OWNER_",
            "the environment alone, or options",
        ),
    ):
        parts.append(f"## {title}\n\nFrom {where}.\n\n| variable | default | values | |\n|---|---|---|---|")
        schema = model.model_json_schema()["properties"]
        parts += [_row(one, model, schema, prefix) for one in described(model)]
        parts.append("")
    return "\n".join(parts)


def _row(one: Described, model: type[BaseModel], schema: Mapping[str, Any], prefix: str | None = None) -> str:
    name = one.name if prefix is None else prefix + one.name.upper()
    text = re.sub(r"``(.+?)``", r"`\1`", one.text)
    text = re.sub(r"\(docs/([\w-]+\.md)(#[\w-]+)?\)", lambda at: f"([{at[1]}]({at[1]}{at[2] or ''}))", text)
    kind = _values(schema[one.name])
    return f"| `{name}` | {_default(model, one.name)} | {kind} | {text} |".replace("  ", " ")


def _default(model: type[BaseModel], name: str) -> str:
    value = model.model_fields[name].default
    if value is PydanticUndefined or value is None or value == "" or isinstance(value, SecretStr):
        return "–"
    if isinstance(value, tuple | frozenset):
        return ", ".join(f"`{one}`" for one in sorted(value)) or "none"
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


def _values(schema: Mapping[str, Any]) -> str:
    """What a value may be, in a few words."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    one = {**schema, **kinds[0]}
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    if one.get("format") == "password":
        return f"secret, {one['minLength']} characters or more" if "minLength" in one else "secret"
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true`, `false`",
        "array": "list",
        "object": "table",
    }
    kind = words.get(one.get("type", ""), {"path": "path"}.get(one.get("format", ""), "text"))
    low = one.get("minimum", one.get("exclusiveMinimum"))
    high = one.get("maximum", one.get("exclusiveMaximum"))
    if low is None or kind == "list":
        return kind
    if high is not None:
        return f"{kind}, {'above ' if 'exclusiveMinimum' in one else ''}{low:,} to {high:,}"
    return f"{kind}, above {low:,}" if "exclusiveMinimum" in one else f"{kind}, {low:,} or more"


# -- api.md -----------------------------------------------------------------------------------------------

API = """\
# The API

<!-- Written by docs/make.py from contracts/openapi.json: change the row, make openapi, then make docs. -->

Every endpoint of `{base}`, version {version}. A running server shows the same to try at `/docs`, as OpenAPI
3.1 at `/openapi.json` and for agents at `/llms.txt`. [quickstart.md](quickstart.md) has a whole session in
curl, [sdk.md](sdk.md) the method for each of these.

{description}

Of the columns, *needs* is the credential: a scope of an API key (`Authorization: Bearer lxxn_…`), a
permission of a wallet session (cookie `lx_session`), or a link's token. Every request may carry
`X-Request-Id` and `X-Lx-Consistency-Token`; a wallet that is a member of several workspaces names one by
`workspaceId`.

Most may be refused with these, which are not named again below: {everywhere}.
"""
COMMON = {"WorkspaceId", "ConsistencyToken", "IdempotencyKey", "RequestId"}
METHODS = ("get", "post", "put", "patch", "delete")


class Contract:
    """The OpenAPI document, with what is told of its schemas."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.schemas = document["components"]["schemas"]

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference refers to."""
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def kind(self, schema: Mapping[str, Any]) -> str:
        """A schema in a few words; those with a name as a link to it."""
        if "$ref" in schema:
            name: str = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{name.lower()})" if name in self.schemas else self.kind(self.resolved(schema))
        if options := schema.get("allOf") or schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(dict.fromkeys(self.kind(one) for one in options))
        if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
            return ", ".join(f"`{one}`" if isinstance(one, str) else f"`{json.dumps(one)}`" for one in values)
        types = schema.get("type", "any")
        every = types if isinstance(types, list) else [types]
        return " or ".join(self._typed(one, schema) for one in every)

    def _typed(self, kind: str, schema: Mapping[str, Any]) -> str:
        if kind == "array":
            return f"list of {self.kind(schema.get('items', {}))}"
        if kind == "null":
            return kind
        named = {"uuid": "UUID", "date-time": "time", "binary": "bytes", "uri": "URL"}
        return named.get(schema.get("format", ""), kind) + self.limits(schema)

    @staticmethod
    def limits(schema: Mapping[str, Any]) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is None and high is None:
            shortest, longest = schema.get("minLength"), schema.get("maxLength")
            return f", {shortest or 0} to {longest} characters" if longest is not None else ""
        return (
            f", {low} to {high}"
            if low is not None and high is not None
            else f", ≥ {low}"
            if high is None
            else f", ≤ {high}"
        )


def api_page(document: Mapping[str, Any] | None = None) -> str:
    contract = Contract(document or json.loads(CONTRACT.read_text(encoding="utf-8")))
    info = contract.document["info"]
    base = contract.document["servers"][0]["url"]
    title, _, rest = info["description"].partition("\n\n")
    words = "\n".join(textwrap.wrap(rest or title, 115, break_on_hyphens=False))
    everywhere = _everywhere(contract)
    named = ", ".join(f"{status} `{code}`" for status, code in sorted(everywhere))
    parts = [API.format(base=base, version=info["version"], description=words, everywhere=named)]
    tags = [(one["name"], one.get("description", "")) for one in contract.document["tags"]]
    for tag, words in tags:
        rows = [row for row in contract.operations() if tag in row[2]["tags"]]
        if rows:
            parts.append(f"## {tag}\n\n{words}.\n\n| endpoint | | needs |\n|---|---|---|")
            parts += [
                f"| [`{method} {path}`](#{_anchor(method, path)}) | {one['summary']} | {_needs(one)} |"
                for method, path, one in rows
            ]
            parts.append("")
            parts += [_operation(contract, everywhere, *row) for row in rows]
    parts.append("## Objects\n")
    parts += [_object(contract, name, schema) for name, schema in sorted(contract.schemas.items())]
    return "\n".join(parts)


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^\w\- ]", "", f"{method} {path}".lower()).replace(" ", "-")


def _needs(one: Mapping[str, Any]) -> str:
    words = one.get("description", "")
    told = re.findall(r"(scope|permission) `([^`]+)`", words)
    named = [f"{kind} `{name}`" for kind, name in told]
    if any("link-token" in way for way in one.get("security", [])):
        named.append("link")
    if not named:
        return "nothing" if not one.get("security") or {} in one["security"] else "key or wallet"
    return ", ".join(named)


def _everywhere(contract: Contract) -> frozenset[tuple[str, str]]:
    """Refusals, by status and code, that most operations have."""
    counted: Counter[tuple[str, str]] = Counter()
    operations = list(contract.operations())
    for _, _, one in operations:
        for status, answer in one["responses"].items():
            counted.update((status, code) for code in _codes(contract, contract.resolved(answer)))
    return frozenset(row for row, times in counted.items() if times > 0.5 * len(operations))


def _operation(
    contract: Contract,
    everywhere: frozenset[tuple[str, str]],
    method: str,
    path: str,
    one: Mapping[str, Any],
) -> str:
    lines = [f"### {method} {path}\n", f"{one['summary']}. {one.get('description', '')}".strip() + "\n"]
    parameters = [
        at for at in one.get("parameters", []) if at.get("$ref", "").rpartition("/")[2] not in COMMON
    ]
    if parameters:
        lines.append("| parameter | in | |\n|---|---|---|")
        for given in map(contract.resolved, parameters):
            must = "" if not given.get("required") or given["in"] == "path" else ", required"
            words = contract.resolved(given["schema"]).get("description") or given.get("description", "")
            kind = contract.kind(given["schema"]) + (f": {words}" if words else "")
            default = given["schema"].get("default")
            told = kind + must + (f"; `{default}` if not given" if default is not None else "")
            lines.append(f"| `{given['name']}` | {given['in']} | {_cell(told)} |")
        lines.append("")
    if "requestBody" in one:
        bodies = one["requestBody"]["content"]
        lines.append("Body: " + ", ".join(contract.kind(body["schema"]) for body in bodies.values()) + ".\n")
    answers, refused = [], []
    for status, answer in one["responses"].items():
        found = contract.resolved(answer)
        if status.startswith(("2", "3")):
            answers.append(f"`{status}` {_answer(contract, found)}")
        else:
            codes = [code for code in _codes(contract, found) if (status, code) not in everywhere]
            if codes:
                refused.append(f"{status} " + ", ".join(f"`{code}`" for code in codes))
    lines.append("Answers " + "; ".join(answers) + ".\n")
    if refused:
        lines.append("Refusals: " + "; ".join(refused) + ".\n")
    return "\n".join(lines)


def _answer(contract: Contract, answer: Mapping[str, Any]) -> str:
    told = []
    for media, content in answer.get("content", {}).items():
        schema = contract.resolved(content.get("schema", {}))
        data = schema.get("properties", {}).get("data")
        told.append(contract.kind(data) if data is not None else f"`{media}`")
    return ", ".join(told) or answer.get("description", "")


def _codes(contract: Contract, answer: Mapping[str, Any]) -> list[str]:
    content = answer.get("content", {}).get("application/json", {}).get("schema", {})
    for part in content.get("allOf", []):
        code = part.get("properties", {}).get("code", {})
        if codes := code.get("enum", [code["const"]] if "const" in code else []):
            return list(codes)
    return []


def _object(contract: Contract, name: str, schema: Mapping[str, Any]) -> str:
    lines = [f"### {name}\n"]
    if words := schema.get("description"):
        lines.append(" ".join(words.split()) + "\n")
    fields = schema.get("properties")
    if not fields:
        lines.append(
            f"One of: {contract.kind(schema)}.\n" if "enum" in schema else contract.kind(schema) + ".\n"
        )
        return "\n".join(lines)
    required = set(schema.get("required", ()))
    lines.append("| field | | |\n|---|---|---|")
    for field, given in fields.items():
        words = given.get("description", "")
        may = "" if field in required else "optional"
        lines.append(
            f"| `{field}` | {_cell(contract.kind(given))} | {_cell('; '.join(filter(None, (may, words))))} |"
        )
    lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"settings.md": settings_page, "api.md": api_page}


def main() -> None:
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
