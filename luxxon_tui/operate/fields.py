"""What a type of camera asks for, as lines of a form, and what was typed as its configuration.

The lines are the fields of its ``Config``; pydantic reads what stands in them, as it does ``luxxon.toml``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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
CONTAINERS = (list, tuple, set, frozenset, dict)
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
    """

    name: str
    title: str
    hint: str
    sort: Sort
    text: str = field(default="", repr=False)
    fallback: str = ""
    choices: tuple[tuple[str, Any], ...] = ()
    value: Any = field(default=None, repr=False)


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
    sort, choices = _sort(info.annotation)
    default = _default(info)
    known = default if config is None else plain_value(getattr(config, name, default))
    value = None if known == default else known
    fallback = ""
    if sort in (Sort.SWITCH, Sort.CHOICE):
        text = next((label for label, one in choices if one == known), "")
        if sort is Sort.SWITCH and info.is_required() and known is None:
            text, value = NO, False
    else:
        text = "" if value is None else _text(value)
        fallback = "" if sort is Sort.SECRET else _text(default)
        fallback = fallback or ("needed" if info.is_required() else "")
    title = info.title or name.replace("_", " ")
    return FormField(name, title, info.description or "", sort, text, fallback, choices, value)


def _default(info: FieldInfo) -> Any:
    try:
        found = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    except Exception:  # noqa: BLE001 - a plugin's factory; without it the line begins empty
        return None
    return plain_value(found)


def plain_value(value: Any) -> Any:
    """A value as ``luxxon.toml`` would have it; a secret's is the secret."""
    from pydantic import SecretBytes, SecretStr
    from pydantic_core import to_jsonable_python

    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode(errors="replace")
    return to_jsonable_python(value, fallback=str)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _sort(annotation: Any) -> tuple[Sort, tuple[tuple[str, Any], ...]]:
    from pydantic import BaseModel, SecretBytes, SecretStr

    may = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = [get_args(one)[0] if get_origin(one) is Annotated else one for one in may if one is not NoneType]
    none = ((NONE, None),) if NoneType in may else ()
    if any(_is(one, SecretStr, SecretBytes) for one in kinds):
        return Sort.SECRET, ()
    if len(kinds) == 1:
        [one] = kinds
        if one is bool:
            return (Sort.CHOICE if none else Sort.SWITCH), (*none, (YES, True), (NO, False))
        if get_origin(one) is Literal or _is(one, Enum):
            values = get_args(one) if get_origin(one) is Literal else [member.value for member in one]
            return Sort.CHOICE, (*none, *((_text(value), value) for value in map(plain_value, values)))
    if any(_is(get_origin(one) or one, *CONTAINERS, BaseModel) for one in kinds):
        return Sort.JSON, ()
    return Sort.TEXT, ()


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
    try:
        return json.loads(text)
    except ValueError:
        return text  # its type says what it wants instead


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
        raise _wrong(kind.Config, error.errors(include_url=False, include_input=False)) from None
    except SourceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's; its text may be one of the secrets
        message = f"{kind.key}: its configuration failed ({type(error).__name__})"
        raise SourceConfigError("source:configFailed", message) from None
    return config


def _wrong(config: type[BaseModel], errors: Sequence[ErrorDetails]) -> WrongFields:
    wrong: dict[str, str] = {}
    for error in errors:
        wrong.setdefault(str(error["loc"][0]) if error["loc"] else "", _said(error))
    name, words = next(iter(wrong.items()))
    info = config.model_fields.get(name)
    title = (info.title if info is not None else None) or name.replace("_", " ")
    return WrongFields(wrong, f"{title}: {words}" if title else words)


def _said(error: ErrorDetails) -> str:
    from luxxon_core.source import without_userinfo

    context, words = error.get("ctx", {}), WORDS.get(error["type"])
    if words is not None:
        return words.format(**context)
    own = str(context.get("error", ""))  # of the plugin's validator
    told = own or error["msg"][:1].lower() + error["msg"][1:]
    return without_userinfo(told)
