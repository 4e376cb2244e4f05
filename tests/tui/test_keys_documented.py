"""The table of keys in docs/console.md is that of the code; run as a program, this file writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from textual.binding import Binding

from luxxon_tui.actions import key_name
from luxxon_tui.app import ConsoleApp
from luxxon_tui.screens.table import SCREENS

PAGE = Path(__file__).parents[2] / "docs" / "console.md"
BLOCK = re.compile(r"(?<=<!-- keys -->\n).*?(?=<!-- /keys -->)", re.DOTALL)


def table() -> str:
    """One line for each place: its actions with the keys they have until a user moves them."""
    lines = ["| screen | actions and keys |", "|---|---|"]
    for place, owner in [("everywhere", ConsoleApp), *((entry.name, entry.load()) for entry in SCREENS)]:
        parts = getattr(owner, "PARTS", ())
        every = [*owner.BINDINGS, *(one for part in parts for one in part.BINDINGS)]
        named: dict[str, list[str]] = {}
        for one in Binding.make_bindings(every):
            if one.id is not None:
                shown = key_name(one)
                named.setdefault(one.id, [])
                if shown not in named[one.id]:
                    named[one.id].append(shown)
        told = ", ".join(f"`{name}` {' '.join(keys)}" for name, keys in named.items())
        lines.append(f"| {place} | {told.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_keys_is_that_of_the_code() -> None:
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None and found[0] == table(), "python tests/tui/test_keys_documented.py writes it"


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
