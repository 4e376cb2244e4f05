"""Named actions: every key of the console is one, so that users can move keys and `?` can explain them.

A name is ``screen.what``, such as ``sessions.end``; its default key and its words stand where it is bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from textual.binding import Binding, BindingType

from luxxon_tui.rows import EMPTY, Row, Span, row

if TYPE_CHECKING:
    from textual.screen import Screen


def action(
    name: str,
    key: str,
    label: str,
    explained: str,
    *,
    do: str | None = None,
    show: bool = True,
    priority: bool = False,
    group: str | None = None,
) -> Binding:
    """A named action bound to its default key.

    Args:
        name: ``screen.what``, unique in the console; ``action_what`` is called unless ``do`` says otherwise.
        key: as Textual writes it; several with commas.
        label: one or two words, for the footer.
        explained: one sentence without a full stop, for ``?`` and the palette.
        do: a Textual action, with its arguments, instead of the name's last part.
        show: whether the footer has it.
        priority: it is asked before what has the focus.
        group: actions of one group stand in one line of ``?``, explained by this, and not in the palette.
    """
    return Binding(
        key,
        do or name.rpartition(".")[2],
        label,
        show=show,
        tooltip=explained,
        id=name,
        priority=priority,
        group=Binding.Group(group) if group else None,
    )


KEY_NAMES = {
    "question_mark": "?",
    "escape": "esc",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "minus": "−",
    "equals_sign": "=",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "comma": ",",
    "full_stop": ".",
}


def key_name(binding: Binding) -> str:
    """How a key is written: ``^p``, ``?``, ``esc``."""
    if binding.key_display:
        return binding.key_display
    modifiers, _, key = binding.key.rpartition("+")
    shown = KEY_NAMES.get(key, key)
    if modifiers == "ctrl":
        return f"^{shown}"
    return f"{modifiers}+{shown}" if modifiers else shown


@dataclass(frozen=True, slots=True)
class Keymap:
    """The user's keys, and what is wrong with them."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """By action; those that can be used."""
    faults: tuple[str, ...] = ()
    """One line each; what it names keeps its default key."""


def keymap(wanted: Mapping[str, str], places: Mapping[str, Iterable[BindingType]]) -> Keymap:
    """Check the keys that a user wants.

    A key may not be taken by another action that can be meant at the same time: one of the same screen, or
    one that holds everywhere. Two that share a key by default (``s`` saves a frame, then the receipt) may go
    on sharing.

    Args:
        wanted: keys by action, several with commas.
        places: all bindings by screen; those that hold everywhere under ``app``.
    """
    bound = {
        place: [one for one in Binding.make_bindings(bindings) if one.id]
        for place, bindings in places.items()
    }
    known = {one.id for bindings in bound.values() for one in bindings}
    faults = [f"there is no action {name}" for name in wanted if name not in known]
    keys: dict[str, str] = {}
    for name, text in wanted.items():
        if name in known and all(part.strip() for part in text.split(",")):
            keys[name] = text
        elif name in known:
            faults.append(f"{name} has no key")
    for name in list(keys):
        rival = _rival(name, keys, bound)
        if rival is not None:
            faults.append(f"{name}: {keys.pop(name)} is the key of {rival}")
    return Keymap(keys | _siblings(keys, bound), tuple(faults))


def _siblings(keys: Mapping[str, str], bound: Mapping[str, list[Binding]]) -> dict[str, str]:
    """Their own keys for actions whose key is shared with one that moves: Textual takes the key from all."""
    kept: dict[str, str] = {}
    for bindings in bound.values():
        left = {one.key for one in bindings if one.id in keys}
        for one in bindings:
            if one.id and one.id not in keys and one.key in left:
                every = [each.key for each in bindings if each.id == one.id]
                kept[one.id] = ",".join(dict.fromkeys(every))
    return kept


def _keys_of(binding: Binding, keys: Mapping[str, str]) -> set[str]:
    given = keys.get(binding.id or "", binding.key)
    return {one.key for one in Binding.make_bindings([replace(binding, key=given)])}


def _rival(name: str, keys: Mapping[str, str], bound: Mapping[str, list[Binding]]) -> str | None:
    """The action that has a wanted key already, where both can be meant."""
    everywhere = bound.get("app", [])
    for place, bindings in bound.items():
        others = [one for each in bound.values() for one in each] if place == "app" else bindings + everywhere
        for mine in (one for one in bindings if one.id == name):
            for other in others:
                apart = other.id != name and other.key != mine.key
                if apart and _keys_of(mine, keys) & _keys_of(other, keys):
                    return other.id
    return None


def _few(names: list[str]) -> str:
    """Keys of one line: ``↑ ↓ …``, ``1 … 7``."""
    if len(names) > 3:
        names = [names[0], "…", names[-1]] if all(name.isdigit() for name in names) else [*names[:2], "…"]
    return " ".join(names)


def key_rows(bindings: Iterable[Binding]) -> list[Row]:
    """Keys with what they do, aligned."""
    told: dict[str, list[str]] = {}
    for binding in bindings:
        what = binding.group.description if binding.group else binding.tooltip
        told.setdefault(what, []).append(key_name(binding))
    entries = [(_few(names), what) for what, names in told.items()]
    wide = max((len(name) for name, _ in entries), default=0)
    listed = [
        row(Span(f"{name:>{wide}}", "text", bold=True), Span(f"  {what}", "muted")) for name, what in entries
    ]
    return [row(Span("Keys", "bright", bold=True)), EMPTY, *listed]


def explained(screen: Screen[object]) -> list[Binding]:
    """The active bindings of a screen that say what they do, one for each action."""
    found: dict[str, Binding] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip:
            found.setdefault(binding.action.removeprefix("app."), binding)
    return list(found.values())
