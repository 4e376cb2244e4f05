"""``contracts/schema.zed``: the permission rules as SpiceDB's schema language states them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from luxxon_core.kernel.errors import StartError

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "_schema.zed", _HERE.parents[2] / "contracts" / "schema.zed")
"""In a wheel, then in a checkout."""
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@cache
def schema_text() -> str:
    """The schema that SpiceDB is given and that the embedded authorizer evaluates.

    Raises:
        StartError: the installation lacks the file.
    """
    for place in _PLACES:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise StartError("authz:schema", "The permission schema is missing from this installation")


def same_schema(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but comments and white space."""
    return _COMMENT.sub(" ", one).split() == _COMMENT.sub(" ", other).split()
