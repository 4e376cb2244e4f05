"""Parts of the Cameras screen: the pad, the small map, and what its cards and its picture say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import ClassVar

from textual.binding import BindingType

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.map.scene import MapScene
from luxxon_tui.map.widget import MapView
from luxxon_tui.operate.link import CameraLink, LinkState
from luxxon_tui.operate.operation import Operation
from luxxon_tui.rows import Row, Span, cut, row
from luxxon_tui.screens.cameras_cards import CardView
from luxxon_tui.views import SessionView
from luxxon_tui.widgets.lines import Lines

CARD_EVERY = 5
"""Pictures of a preview from one thumbnail to the next."""
MOVE = "Move the camera while the key is held"
WARM = (
    "av.video.reformatter",
    "numpy",
    "luxxon_core.controls.schemas",
    "luxxon_core.operator.config",
    "luxxon_core.operator.presence",
    "luxxon_tui.picture.quadrant",
)


class Pad(Lines, can_focus=True):
    """What the arrows move, while it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        replace(
            action("cameras.left", "left", "move", MOVE, do="screen.move('left')", group=MOVE),
            key_display="←↑↓→",
        ),
        action("cameras.right", "right", "right", "", do="screen.move('right')", show=False, group=MOVE),
        action("cameras.tilt_up", "up", "up", "", do="screen.move('up')", show=False, group=MOVE),
        action("cameras.tilt_down", "down", "down", "", do="screen.move('down')", show=False, group=MOVE),
    ]


class MiniMap(MapView, can_focus=False, inherit_bindings=False):
    """Where the camera is, and what it covers; it only shows."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self._around: tuple[Point, float] | None = None

    def show_around(self, scene: MapScene, point: Point, across_m: float) -> None:
        """Take a scene, with a place in its middle and so many metres from edge to edge."""
        self.show(scene)
        if self._around != (point, across_m):
            self._around = (point, across_m)
            self._aim()

    def on_resize(self) -> None:  # beside that of every map
        self._aim()

    def _aim(self) -> None:
        if self._around is not None and self.size.width:
            self.look_at(self._around[0], across_m=self._around[1])


def card(link: CameraLink, operation: Operation | None, sessions: Mapping[str, SessionView]) -> CardView:
    """A camera's card."""
    found = link.found
    best = link.profile
    fact = f"{best.width}×{best.height} {best.frame_rate:g} fps" if best else found.type_key
    if operation is not None:
        state, offered = _offered(operation, sessions)
        fact = offered or fact
    elif link.asks:
        state, fact = Span("✕ not available", "bad"), "enter: sign in"
    elif link.state is LinkState.FAILED:
        state, fact = Span("✕ not available", "bad"), link.reason
    elif link.trouble:
        state, fact = Span("✕ not online", "bad"), link.trouble
    elif link.state is LinkState.OPENING:
        state = Span("◐ opening", "text")
    elif link.reason:
        state, fact = Span("▲ no picture", "warn"), link.reason
    elif link.health is not None and link.health.warnings:
        state, fact = Span("▲ warning", "warn"), link.health.warnings[0]
    elif link.is_open or link.frame is not None:
        state = Span("● ready", "ok")
    else:
        state = Span("○ not looked at", "faint")
    lost = link.state is LinkState.FAILED or bool(link.reason)
    number = link.number // CARD_EVERY + 1 if link.frame is not None else 0
    kind = found.title if found.configured or found.title != found.name else found.type_key
    return CardView(found.key, found.name, kind, state, fact, number, not lost)


def _offered(operation: Operation, sessions: Mapping[str, SessionView]) -> tuple[Span, str]:
    """State and fact of a camera that is to be online."""
    status = operation.status
    state = Span("● online", "accent") if operation.online else Span("◐ going online", "text")
    if operation.lost:
        return Span("▲ offline for now", "warn"), operation.lost
    if operation.offer is not None:
        return state, "is asked for"
    if status is not None and status.last_error:
        return Span("▲ online", "warn"), status.last_error
    if status is not None and status.session_id is not None:
        view = sessions.get(status.session_id)
        return state, f"publishing  {fmt.listed(view.elapsed_ms / 1000)}" if view else "publishing"
    return state, ""


def plate(link: CameraLink | None, width: int) -> tuple[Row, ...]:
    """What lies over the preview."""
    if link is None or (link.is_open and link.frame is not None and not link.reason):
        return ()
    width = max(10, width - 4)
    if link.reason:
        words = row(Span(" ✕ ", "bad"), cut(row(link.reason), width - 4), " ")
    elif link.state is LinkState.OPENING or link.is_open:
        words = row(Span(" ◐ ", "accent"), "opening ")
    else:
        words = row(Span(" enter ", "text", bold=True), Span("opens it ", "muted"))
    return (tuple(span._replace(on="surface") for span in words),)


def share_of(sessions: Iterable[SessionView]) -> float | None:
    """The operator's part of a charge, by the newest bill; None where there is none yet."""
    billed = [
        view
        for view in sessions
        if view.side == "operator" and view.billed and view.charged_micro and view.to_micro
    ]
    newest = max(billed, key=lambda view: view.created_at, default=None)
    return None if newest is None or newest.to_micro is None else newest.to_micro / newest.charged_micro


def warm() -> None:
    """Import what takes longer than the console may stand still."""
    for module in WARM:
        import_module(module)
