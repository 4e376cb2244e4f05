"""The footer: what the keys do now, from the bindings that are active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.app import App
from textual.binding import ActiveBinding, Binding
from textual.geometry import Size
from textual.screen import Screen

from luxxon_tui.actions import key_name
from luxxon_tui.rows import EMPTY, Row, Span, row, width_of
from luxxon_tui.widgets.lines import Lines


def footer(bindings: Sequence[Binding], width: int) -> Row:
    """Keys bold, labels muted, ``q quit`` at the right. What does not fit is left out, never cut; the way
    back is left out last."""
    quitting = next((each for each in bindings if each.id == "app.leave"), None)
    right = _entry(quitting) if quitting else EMPTY
    room = width - 2 - (width_of(right) + 3 if right else 0)
    back = next((each for each in bindings if each.key == "escape"), None)
    kept = width_of(_entry(back)) + 3 if back else 0
    spans: list[Span] = []
    full = False
    for binding in bindings:
        if binding is quitting or (full and binding is not back):
            continue
        entry = _entry(binding)
        gap = 3 if spans else 0
        if binding is back:
            kept = 0
        if width_of(tuple(spans)) + gap + width_of(entry) + kept > room:
            full = True
            continue
        spans += [Span(" " * gap), *entry] if gap else list(entry)
    space = width - 2 - width_of(tuple(spans)) - width_of(right)
    return row(" ", *spans, Span(" " * max(0, space)), *right, " ")


def _entry(binding: Binding) -> Row:
    return row(
        Span(key_name(binding), "text", bold=True, action=binding.action),
        Span(f" {binding.description}", "muted", action=binding.action),
    )


def _clickable(active: ActiveBinding) -> Binding:
    """With the action's owner in its name: a click is on the footer, and not on who has the key."""
    binding = active.binding
    if "." in binding.action.partition("(")[0]:
        return binding
    owner = active.node
    space = "app" if isinstance(owner, App) else "screen" if isinstance(owner, Screen) else "focused"
    return replace(binding, action=f"{space}.{binding.action}")


class Footer(Lines):
    """One row at the foot of every screen; follows the bindings by itself."""

    DEFAULT_CSS = "Footer { dock: bottom; height: 1; }"

    def __init__(self) -> None:
        super().__init__(self._keys, ground="surface")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.redraw())

    def _keys(self, width: int) -> Sequence[Row]:
        shown = [
            _clickable(each)
            for each in self.screen.active_bindings.values()
            if each.binding.show and each.enabled
        ]
        return [footer(shown, width)]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1
