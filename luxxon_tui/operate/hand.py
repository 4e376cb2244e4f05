"""The keys of a camera far away: commands of a LIVE session, sent by the marketplace."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from textual.binding import BindingType

from luxxon_tui.actions import action
from luxxon_tui.operate.hold import Hold, home_of, order_of
from luxxon_tui.rows import Row, Span, first_fit, row, section

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_tui.views import SessionView

EVERY_SECONDS, MOVE_SECONDS = 0.25, 0.7
"""Between two commands, and what one moves for: they travel, and the marketplace counts them."""
MOVE = "Move the camera while the key is held, where it lets you"
ARROWS = {"left": "←", "up": "↑", "down": "↓", "right": "→"}


class Hand:
    """Moves the camera of one session at a time; one command under way at a time."""

    def __init__(self) -> None:
        self._hold = Hold(EVERY_SECONDS, MOVE_SECONDS)
        self._sending = False
        self._aim = (0.0, 0.0)

    @property
    def held(self) -> str:
        """The direction that is pressed."""
        return self._hold.held(monotonic())

    def may(self, session: SessionView | None, what: object = None) -> bool:
        """Whether a direction, or ``home``, is anything that the session's camera can do."""
        has = frozenset(session.controls) if session is not None else frozenset[str]()
        return bool(has & ({"ptz", "zoom"} if what in ("in", "out") else {"ptz", "gimbal"}))

    def press(self, direction: str) -> bool:
        """Note a press or a repeat of a key; whether it is to be told by :meth:`move`."""
        return self._hold.press(direction, monotonic()) and not self._sending

    async def move(self, api: Luxxon, session: SessionView, direction: str) -> None:
        """Tell the camera of a direction.

        Raises:
            LuxxonError: the camera, its owner or the marketplace refuses.
        """
        controls = frozenset(session.controls)
        order, self._aim = order_of(direction, controls, self._aim, MOVE_SECONDS)
        if order is None:
            return
        self._sending = True
        try:
            await api.sessions.ptz(session.id, order)
        finally:
            self._sending = False

    async def home(self, api: Luxxon, session: SessionView) -> None:
        """Back to where the camera looks by itself; raises as :meth:`move`."""
        order = home_of(frozenset(session.controls))
        if order is not None:
            self._aim = (0.0, 0.0)
            await api.sessions.ptz(session.id, order)


def move_keys(screen: str) -> list[BindingType]:
    """The named actions ``<screen>.left`` … ``<screen>.home``: ``move(direction)`` and ``home``."""
    arrows = [
        action(f"{screen}.{name}", name, "move", MOVE, do=f"move('{name}')", show=name == "left", group=MOVE)
        for name in ("left", "right", "up", "down")
    ]
    return [
        replace(arrows[0], key_display="←↑↓→"),
        *arrows[1:],
        action(f"{screen}.closer", "z", "zoom in", "", do="move('in')", show=False, group=MOVE),
        action(f"{screen}.further", "x", "zoom out", "", do="move('out')", show=False, group=MOVE),
        action(f"{screen}.home", "h", "home", "Back to where the camera looks by itself", show=False),
    ]


def move_row(width: int, controls: frozenset[str], held: str) -> Row:
    """One line that says which keys move the camera; the pressed one is lit."""
    arrows = row(*(Span(glyph, "accent" if name == held else "text") for name, glyph in ARROWS.items()))
    zoom = row(
        Span("z", "accent" if held == "in" else "text"), " ", Span("x", "accent" if held == "out" else "text")
    )
    zooms, turns = bool(controls & {"ptz", "zoom"}), bool(controls & {"ptz", "gimbal"})
    keys = [*([arrows] if turns else []), *([zoom] if zooms else [])]
    fact = row(*(keys[:1] if len(keys) == 1 else (keys[0], "  ", keys[1]))) if keys else row()
    home = row(fact, "  h", Span(" home", "faint")) if turns else fact
    return section(width, "Move", first_fit(max(0, width - 7), home, fact))
