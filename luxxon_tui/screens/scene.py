"""Everything that the Live screen shows at one moment, and what follows from it for more than one panel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.geo import distance_m
from luxxon_tui import format as fmt
from luxxon_tui.context import ConsoleContext
from luxxon_tui.rows import Span
from luxxon_tui.views import LiveView, Offline, Phase, SessionView, SignalView


@dataclass(frozen=True, slots=True)
class Scene:
    """The frozen input of every panel."""

    view: LiveView
    signal: SignalView
    context: ConsoleContext
    now: datetime
    driver: str | None = None
    """How the picture is drawn, None while there is none."""
    place: str | None = None
    """Where was asked for, in words, where such are known."""
    operator: str | None = None
    """Who shows the picture: a name, or a short one of the id."""

    @property
    def offline(self) -> Offline | None:
        return self.view.link if isinstance(self.view.link, Offline) else None

    @property
    def session(self) -> SessionView | None:
        return self.view.session

    @property
    def live(self) -> bool:
        return self.view.phase is Phase.LIVE

    @property
    def billed(self) -> bool:
        """It is over, and there is a receipt."""
        session = self.session
        return self.view.phase is Phase.OVER and session is not None and session.started_at is not None

    @property
    def charging(self) -> bool:
        """Money is moving, as far as is known now."""
        return self.live and not self.offline and self.session is not None and self.session.lost_now is None

    @property
    def as_of(self) -> str:
        """Time of day of the figures."""
        instant = self.view.as_of or self.now
        return fmt.time_of_day(instant, self.context.zone)

    @property
    def distance_m(self) -> float | None:
        """From the requested point to the camera, where both are known."""
        camera, session = self.context.camera, self.session
        if camera is None or camera.point is None or session is None or session.requested is None:
            return None
        return distance_m(session.requested, camera.point)


def state(scene: Scene) -> Span:
    """The session's state as glyph and word; accent only while money moves."""
    session, phase = scene.session, scene.view.phase
    if phase is Phase.FAILED:
        return Span("✕ FAILED", "bad", bold=True)
    if session is None:
        return Span("○ no session", "faint") if phase is Phase.EMPTY else Span("◌ connecting", "muted")
    if phase is Phase.OVER:
        glyph, role = ("✕", "warn") if session.started_at is None else ("✓", "ok")
    elif scene.offline:
        return Span("◌ NO LINK", "warn", bold=True)
    elif phase is Phase.WAITING:
        glyph, role = "◐", "text"
    else:
        glyph, role = ("▲", "warn") if session.lost_now else ("●", "accent")
    return Span(f"{glyph} {session.state}", role, bold=True)
