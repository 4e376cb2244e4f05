"""A line to type into: raised, with the mark of focus in column 0."""

from __future__ import annotations

import re

from rich.text import Text
from textual.widgets import Input

from luxxon_core.kernel.text import plain

NAME_LENGTH = 80
"""Characters of a name or label, as the server takes them."""

SECRETS = re.compile(
    r"(?i)([?&/;_](?:pass|passwd|password|psw|pwd|token)=)((?:(?!_(?:channel|stream)=)[^&;#])+)"
)
"""Words of an address that open a camera, as some makers have them; some of those join them by ``_``."""


def too_long(text: str, most: int = NAME_LENGTH) -> str:
    """What to say of a name with too many characters; nothing of one that fits."""
    length = len(text.strip())
    return f"1 to {most} characters: these are {length}" if length > most else ""


def masked(url: str) -> str:
    """An address with dots for what opens it: of equal length, so that a cursor stands where it did.

    The password of the userinfo (RFC 3986, 3.2.1) is hidden while it is typed too: what follows the host's or
    the user's colon may become one until ``/`` or ``@`` tells.
    """
    scheme, found, rest = url.partition("://")
    if not found and "@" not in url:
        return url
    if not found:
        scheme, rest = "", url
    place, slash, path = rest.partition("/")
    name, colon, port = place.partition(":")
    if (colon and not place.startswith("[")) or "@" in place:
        before, at, after = place.rpartition("@")
        if at:
            user, colon, password = before.partition(":")
            place = f"{user}{colon}{'•' * len(password)}@{after}"
        elif "@" in path or not slash or not port.isdigit():  # a slash in a password, or one that goes on
            whole = f"{port}{slash}{path}"
            secret, at, after = whole.rpartition("@")
            secret, after = (secret, after) if at else (whole, "")
            return f"{scheme}{found}{name}{colon}{'•' * len(secret)}{at}{_dotted(after)}"
    return f"{scheme}{found}{_dotted(f'{place}{slash}{path}')}"


def _dotted(words: str) -> str:
    return SECRETS.sub(lambda match: match[1] + "•" * len(match[2]), words)


class Field(Input):
    """Textual's input without a box. A value that does not fit turns its text to ``bad``."""

    DEFAULT_CSS = """
    Field, Field:focus { border: none; height: 1; padding: 0 1; background: $lx-raised; color: $foreground; }
    Field { border-left: blank; }
    Field:focus { border-left: outer $accent; padding: 0 1 0 0; }
    Field.-invalid, Field.-invalid:focus { border: none; color: $lx-bad; }
    Field.-invalid:focus { border-left: outer $lx-bad; padding: 0 1 0 0; }
    Field > .input--placeholder { color: $lx-faint; }
    Field > .input--cursor { background: $accent; color: $lx-ink; }
    """

    def validate_value(self, value: str) -> str:
        """What stands in it may be a name that others gave."""
        return plain(value)


class AddressField(Field):
    """A line for an address; what opens it is not shown (:func:`masked`)."""

    @property
    def _value(self) -> Text:
        return Text(masked(self.value), no_wrap=True, overflow="ignore", end="")
