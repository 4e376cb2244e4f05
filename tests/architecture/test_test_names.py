"""Test modules are imported by their file's name alone, so a name may be used once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_no_two_test_modules_share_a_name() -> None:
    names = Counter(
        path.name
        for path in TESTS.rglob("test_*.py")
        if not {"node_modules", "__pycache__"} & set(path.parts)
    )
    assert [name for name, count in names.items() if count > 1] == []
