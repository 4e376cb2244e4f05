"""The panel of the operating side: the circle that is covered, and who asks inside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.geo import Circle, Point
from luxxon_tui import format as fmt
from luxxon_tui.map.request import Notice, coordinates
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, row, section, spread

KINDS = {
    "PTZ": "PTZ",
    "FIXED": "fixed",
    "PHONE": "phone",
    "LAPTOP": "laptop",
    "DRONE": "drone",
    "OTHER": "camera",
}


def device(kind: str | None) -> str:
    """A kind of device in words, one that is not known here as it is told; empty where there is none."""
    if not kind:
        return ""
    return KINDS.get(kind) or "".join(sign for sign in kind.lower() if sign.isprintable())[:8]


RADII = tuple(
    float(digit * 10**power)
    for power in (2, 3, 4)
    for digit in (1, 1.5, 2, 3, 5, 7)
    if digit * 10**power <= 50_000
)
"""Metres that the keys step through; the marketplace takes 1 m to 50 km."""


def stepped(radius_m: float, by: int) -> float:
    """The next larger or smaller radius."""
    if by > 0:
        return next((each for each in RADII if each > radius_m * 1.001), RADII[-1])
    return next((each for each in reversed(RADII) if each < radius_m * 0.999), RADII[0])


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that could be served from here. Money in µUSDC a second."""

    id: str
    point: Point
    created_at: datetime
    max_seconds: int
    rate_micro: int
    distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class OperateView:
    """Everything in the panel."""

    now: datetime
    circle: Circle | None = None
    """As it would be saved."""
    saved: Circle | None = None
    place: str = ""
    state: str = "OFFLINE"
    device: str = ""
    asked: tuple[Asked, ...] = ()
    names: tuple[tuple[Point, str], ...] = ()
    may: bool = True
    online: bool = True
    sending: bool = False
    notice: Notice | None = None
    cameras_inside: int = 0
    demand_inside: int = 0

    @property
    def changed(self) -> bool:
        return self.circle is not None and self.circle != self.saved

    @property
    def ready(self) -> bool:
        return self.changed and self.may and self.online and not self.sending


STATES = {
    "ONLINE": Span("● online", "ok"),
    "BUSY": Span("● busy", "accent"),
    "OFFLINE": Span("○ offline", "faint"),
}


def coverage_rows(view: OperateView, width: int, *, full: bool) -> list[Row]:
    """The circle, and what lies in it."""
    circle, none = view.circle, Span(fmt.NONE, "faint")
    state = STATES.get(view.state, Span(view.state.lower(), "muted"))
    rows = [section(width, "Coverage", row(Span("▲ not saved", "warn")) if view.changed else row(state))]
    place = coordinates(circle.center) if circle else "space chooses it"
    rows.append(spread(width, row(Span("centre", "muted")), row(Span(place, "text" if circle else "faint"))))
    rows.append(spread(width, EMPTY, cut(row(Span(view.place, "muted")), width)))
    radius = figure(*fmt.distance(circle.radius_m), role="bright", bold=True) if circle else row(none)
    keys = row(Span("  [ ]", "faint")) if full and circle else EMPTY
    rows.append(spread(width, row(Span("radius", "muted"), keys), radius))
    if full:
        rows.append(spread(width, row(Span("device", "muted")), row(view.device or none)))
        rows.append(spread(width, row(Span("state", "muted")), row(state)))
    rows.append(row(Span("─" * width, "line")))
    others = Span(str(view.cameras_inside), "text") if circle else none
    rows.append(spread(width, row(Span("other cameras", "muted")), row(others)))
    month = Span(str(view.demand_inside), "text") if circle else none
    rows.append(
        spread(width, row(Span("asked in 30 days" if full else "asked, 30 days", "muted")), row(month))
    )
    return rows


def advice_rows(view: OperateView, width: int) -> list[Row]:
    """Two rows under the button."""
    cases = (
        (not view.may, Notice("no key for operating", "use a supplier's key")),
        (not view.online, Notice("no link to the server", "nothing can be saved now")),
        (view.notice is not None, view.notice),
    )
    notice = next((each for case, each in cases if case), None)
    if notice is not None:
        glyph = "✕" if notice.role == "bad" else "▲"
        return [
            cut(row(Span(f"{glyph} ", notice.role), Span(notice.title, "text")), width),
            cut(row(Span(notice.help, "muted")), width),
        ]
    if view.circle is None:
        return [row(Span("space sets the centre,", "muted")), row(Span("[ ] the radius", "muted"))]
    return [] if view.changed else [row(Span("4 Cameras goes online", "muted"))]


def asked_rows(view: OperateView, width: int, room: int) -> list[Row]:
    """Requests that wait inside the circle, the longest waiting first."""
    names = dict(view.names)
    fact = (
        row(Span(str(len(view.asked)), "text", bold=True), Span(" waiting", "muted")) if view.asked else EMPTY
    )
    rows = [section(width, "Asked here", fact)]
    if not view.asked:
        rows.append(row(Span("nobody is waiting", "faint")))
    for each in view.asked[: max(0, room - 1)]:
        waited = fmt.moment(max(0.0, (view.now - each.created_at).total_seconds()))
        place = names.get(each.point, coordinates(each.point))
        figures = row(Span(f"{fmt.moment(each.max_seconds)} ", "muted"), Span(f"waits {waited}", "text"))
        rows.append(spread(width, row(Span("◌", "accent"), f" {place}"), figures))
    return rows
