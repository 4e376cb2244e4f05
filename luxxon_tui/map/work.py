"""Workers that take each other's place."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from textual.dom import DOMNode


def instead(node: DOMNode, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` beside a widget in the place of what still runs in its group. It is a function and not a
    coroutine, so that one which is replaced before it has begun leaves nothing that nobody awaits."""
    node.run_worker(
        work,  # type: ignore[arg-type]  # fits two of Textual's alternatives
        name=group,
        group=group,
        exclusive=True,
        exit_on_error=True,
    )
