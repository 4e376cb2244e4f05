"""What a type of camera asks for, as lines of a form, and what was typed as its configuration.

The lines are the fields of its ``Config``; pydantic reads what stands in them, as it does ``luxxon.toml``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from luxxon_core.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from luxxon_core.source import SourceType

YES, NO, NONE = "true", "false", "none"
MOST_BRACKETS = 500
"""Deep nesting overflows the C stack where a library has lifted Python's recursion limit."""
WORDS = {
    "missing": "needed",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters at most",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "url_parsing": "no address: scheme://host/path",
    "url_scheme": "an address that begins with {expected_schemes}",
    "path_not_file": "no file",
    "path_not_directory": "no folder",
    "list_type": "a list, as [1, 2]",
    "dict_type": 'a table, as {{"name": 1}}',
}
"""By pydantic's kind of error; of other kinds its own words are shown."""


class Sort(StrEnum):
    TEXT = "TEXT"
    SECRET = "SECRET"  # noqa: S105  # no password
    SWITCH = "SWITCH"
    CHOICE = "CHOICE"
    JSON = "JSON"
    """A list or a table."""


@dataclass(frozen=True, slots=True)
class FormField:
    """One line.

    Attributes:
        hint: what it is for.
        text: what stands there at first; of a switch ``true`` or ``false``.
        fallback: what counts while nothing stands there.
        choices: text and value of each.
        value: what ``text`` stands for; None where the configuration's default does.
        hidden: whether it is, or may have in it, a secret: it is not shown while it is typed.
    """

    name: str
    title: str
    hint: str
    sort: Sort
    text: str = field(default="", repr=False)
    fallback: str = ""
    choices: tuple[tuple[str, Any], ...] = ()
    value: Any = field(default=None, repr=False)
    hidden: bool = False


class WrongFields(InvalidInput):
    """A configuration that its type does not take.

    Attributes:
        wrong: what is wrong, by the field's name; that of none in particular under the empty name.
    """

    def __init__(self, wrong: Mapping[str, str], message: str) -> None:
        super().__init__("camera:fields", message)
        self.wrong = wrong


def form_of(
    kind: type[BaseModel], config: BaseModel | None = None, but: Collection[str] = ()
) -> tuple[FormField, ...]:
    """The lines of a form.

    Args:
        config: what is known of the camera, to stand there at first.
        but: fields that are filled elsewhere.
    """
    return tuple(_line(name, info, config) for name, info in kind.model_fields.items() if name not in but)


def _line(name: str, info: FieldInfo, config: BaseModel | None) -> FormField:
    from luxxon_core.plugins.secret_fields import holds_secrets, revealed

    default, secret = revealed(_default(info))
    sort, choices = _sort(info.annotation, default is None and not info.is_required())
    known, told = revealed(getattr(config, name, None)) if config is not None else (default, False)
    hidden = secret or told or holds_secrets(info.annotation)
    value = None if known == default else known
    fallback = ""
    if sort in (Sort.SWITCH, Sort.CHOICE):
        text = next((label for label, one in choices if one == known), "")
        if sort is Sort.SWITCH and info.is_required() and known is None:
            text, value = NO, False
    else:
        text = "" if value is None else _text(value)
        fallback = "" if hidden else _text(default)
        fallback = fallback or ("needed" if info.is_required() else "")
    title = info.title or name.replace("_", " ")
    return FormField(name, title, info.description or "", sort, text, fallback, choices, value, hidden)


def _default(info: FieldInfo) -> Any:
    try:
        return None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    except Exception:  # noqa: BLE001 - a plugin's factory; without it the line begins empty
        return None


def plain_value(value: Any) -> Any:
    """A value as ``luxxon.toml`` would have it; those of secrets, however deep, are the secrets."""
    from luxxon_core.plugins.secret_fields import revealed

    return revealed(value)[0]


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _sort(annotation: Any, none_counts: bool) -> tuple[Sort, tuple[tuple[str, Any], ...]]:
    """How a line of this type is filled; ``none`` is a choice where it counts while nothing is said: the file
    has no word for it."""
    from luxxon_core.plugins.secret_fields import SECRETS

    may = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = [_bare(one) for one in may if one is not NoneType]
    if any(_is(get_origin(one) or one, *SECRETS) for one in kinds):
        inner = (_bare(each) for one in kinds for each in get_args(one))
        return (Sort.JSON if any(map(_is_many, inner)) else Sort.SECRET), ()
    if len(kinds) == 1:
        [one] = kinds
        values = _values(one)
        if values:
            optional = NoneType in may or None in values
            told = [value for value in values if value is not None]
            sort = Sort.SWITCH if one is bool and not optional else Sort.CHOICE
            return sort, _choices([None, *told] if optional and none_counts else told)
    return (Sort.JSON if any(map(_is_many, kinds)) else Sort.TEXT), ()


def _is_many(kind: Any) -> bool:
    from pydantic import BaseModel

    of = get_origin(kind) or kind
    many = _is(of, Sequence, Set, Mapping, BaseModel) and not _is(of, str, bytes, bytearray)
    return many or dataclasses.is_dataclass(of)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _values(kind: Any) -> list[Any]:
    """All that a type can be, where these are few."""
    if kind is bool:
        return [True, False]
    if get_origin(kind) is Literal:
        return [plain_value(value) for value in get_args(kind)]
    return [plain_value(member.value) for member in kind] if _is(kind, Enum) else []


def _choices(values: Sequence[Any]) -> tuple[tuple[str, Any], ...]:
    """A label for each; of two alike that of the text is quoted."""
    labels = [NONE if value is None else _text(value) for value in values]
    return tuple(
        (json.dumps(value) if isinstance(value, str) and labels.count(label) > 1 else label, value)
        for label, value in zip(labels, values, strict=True)
    )


def _is(one: Any, *kinds: type) -> bool:
    return isinstance(one, type) and issubclass(one, kinds)


def values_of(form: Sequence[FormField], texts: Mapping[str, str]) -> dict[str, Any]:
    """The fields that texts give. A line without a text, or with an empty one, is left to its default."""
    values: dict[str, Any] = {}
    for line in form:
        if line.name not in texts:
            continue
        text = texts[line.name]
        if text == line.text:
            if line.value is not None:
                values[line.name] = line.value
        elif line.choices:
            values[line.name] = dict(line.choices).get(text)
        elif line.sort is Sort.SECRET:
            values[line.name] = text
        elif text.strip():
            values[line.name] = _read(text.strip()) if line.sort is Sort.JSON else text.strip()
    return values


def _read(text: str) -> Any:
    """What a line of JSON says, else the text: its type then says what it wants instead."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def validated(kind: SourceType[Any], values: Mapping[str, Any]) -> BaseModel:
    """The configuration of a type that values make.

    Raises:
        WrongFields: they make none.
        SourceConfigError: what the plugin does with them fails.
    """
    from pydantic import ValidationError

    from luxxon_core.source import SourceConfigError, SourceError

    try:
        config: BaseModel = kind.Config.model_validate(dict(values))
    except ValidationError as error:
        raise _wrong(kind.Config, error.errors(include_url=False, include_input=False), values) from None
    except SourceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's; its text may be one of the secrets
        message = f"{kind.key}: its configuration failed ({type(error).__name__})"
        raise SourceConfigError("source:configFailed", message) from None
    return config


def _wrong(config: type[BaseModel], errors: Sequence[ErrorDetails], values: Mapping[str, Any]) -> WrongFields:
    from luxxon_core.plugins.secret_fields import secret_inputs, without_secrets

    wrong: dict[str, str] = {}
    secrets = secret_inputs(config, values)
    for error in errors:
        words = without_secrets(config, error, _said(error), secrets)
        wrong.setdefault(str(error["loc"][0]) if error["loc"] else "", words)
    name, words = next(iter(wrong.items()))
    info = config.model_fields.get(name)
    title = (info.title if info is not None else None) or name.replace("_", " ")
    return WrongFields(wrong, f"{title}: {words}" if title else words)


def _said(error: ErrorDetails) -> str:
    context, words = error.get("ctx", {}), WORDS.get(error["type"])
    if words is not None:
        with suppress(KeyError, IndexError):  # a plugin may call an error of its own as pydantic does
            return words.format(**context)
    own = str(context.get("error", ""))  # of the plugin's validator
    return own or error["msg"][:1].lower() + error["msg"][1:]
