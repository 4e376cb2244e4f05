"""A line to type into: raised, with the mark of focus in column 0."""

from __future__ import annotations

from textual.widgets import Input

from luxxon_tui.rows import plain

NAME_LENGTH = 80
"""Characters of a name or label, as the server takes them."""


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
