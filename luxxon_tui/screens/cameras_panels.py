"""The panels of the Cameras screen: pure functions from frozen figures and a width to rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Point, distance_m
from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, row, section, spread, width_of
from luxxon_tui.widgets import bars

if TYPE_CHECKING:
    from luxxon_core.operator.agent import AgentStatus
    from luxxon_core.operator.rules import Rules
    from luxxon_core.source import DeviceInformation, GeoPose, MediaProfile
    from luxxon_tui.operate.finding import Fault
    from luxxon_tui.operate.operation import Offer
    from luxxon_tui.views import SessionView

NONE = Span(fmt.NONE, "faint")


# -- the camera


def caption(width: int, name: str, words: str, profile: MediaProfile | None, driver: str | None) -> Row:
    """Under the picture."""
    left = row(Span(name, "bright", bold=True), Span(f"  {words}", "muted"))
    if profile is None:
        return cut(left, width)
    size = f"{profile.width}×{profile.height} {fmt.codec(profile.codec)}"
    full = row(Span(f"{size} · {driver}" if driver else size, "muted"))
    short = row(Span(size, "muted"))
    return spread(width, left, full if width_of(left) + width_of(full) < width else short)


def coverage_rows(
    width: int, point: Point | None, radius_m: float, *, online: bool, follows: bool = False
) -> list[Row]:
    """Where it is offered, and how far."""
    fact = row("[ ]", Span(" radius", "faint"))
    role = "bright" if online else "text"
    if point is not None:
        place = row(Span(f"{point.lat:.4f}, {point.lng:.4f}", "text"))
    else:
        place = row(Span("the camera tells" if follows else "set it on the map", "faint"))
    radius = figure(*fmt.distance(radius_m), role=role, bold=True)
    rows = [section(width, "Coverage", fact)]
    if width_of(place) + width_of(radius) < width:
        return [*rows, spread(width, place, radius)]
    return [*rows, cut(place, width), spread(width, row(Span("radius", "muted")), radius)]


def profile_rows(
    width: int,
    profiles: tuple[MediaProfile, ...],
    chosen: MediaProfile | None,
    capabilities: tuple[str, ...],
    information: DeviceInformation | None,
    pose: GeoPose | None,
    room: int,
) -> list[Row]:
    """What the camera offers."""
    device = ""
    if information is not None:
        device = " ".join(part for part in (information.manufacturer, information.model) if part)
    fact = row("p", Span(" switch", "faint")) if len(profiles) > 1 else row(Span(device, "muted"))
    rows = [section(width, "Profiles", fact)]
    for profile in profiles[: max(1, room - 2)]:
        glyph = Span("●", "accent") if profile == chosen else Span("○", "faint")
        size = f"{profile.width}×{profile.height}"
        right = row(
            Span(f"{size:>9}", "text"),
            Span(f"  {profile.frame_rate:g} fps", "muted"),
            Span(f"  {fmt.codec(profile.codec)}", "muted"),
        )
        rows.append(spread(width, row(glyph, f" {profile.token}"), right))
    if capabilities:
        rows.append(cut(row(Span("can  ", "muted"), ", ".join(capabilities)), width))
    if pose is not None:
        rows.append(cut(row(Span("at   ", "muted"), f"{pose.latitude:.5f}, {pose.longitude:.5f}"), width))
    return rows[: max(1, room)]


def fault_rows(width: int, faults: tuple[Fault, ...], *, finding: bool, room: int = 3) -> list[Row]:
    """Plugins and cameras that were left out, each with its reason."""
    if finding and not faults:
        return [row(Span("◐ ", "accent"), Span("looking for cameras", "muted"))]
    if not faults:
        add = row(
            Span("+", "text", action="screen.add"), Span(" add a URL or file", "muted", action="screen.add")
        )
        return [section(width, "Add", add)]
    rows = [section(width, "Left out", row(Span(str(len(faults)), "text", bold=True)))]
    for fault in faults[:room]:
        reason = " ".join(fault.reason.split())
        rows.append(cut(row(Span("✕ ", "bad"), fault.name, Span(f"  {reason}", "muted")), width))
    return rows


# -- the marketplace


@dataclass(frozen=True, slots=True)
class OfferView:
    offer: Offer
    now: datetime
    where: Point | None = None
    """Of the camera."""
    radius_m: float = 0.0
    place: str = ""
    share: float | None = None
    """Of the charge that is the operator's, as far as that is known."""
    camera: str = ""
    """Whose it is, where several are online."""


def offer_rows(view: OfferView, width: int) -> list[Row]:
    """The card of an assignment that waits for a yes. What is not known yet has its row already: the buttons
    stand still under a pointer that is on its way to them."""
    offer, inner = view.offer, width - 4
    waits = fmt.moment(max(0.0, (view.now - offer.came_at).total_seconds()))
    rows = [
        EMPTY,
        spread(
            inner,
            row(Span("Incoming assignment" if inner >= 25 else "Assignment", "accent", bold=True)),
            row(Span(waits, "bright", bold=True)),
        ),
        EMPTY,
    ]
    if view.camera:
        rows.append(cut(row(Span("for ", "muted"), Span(view.camera, "text")), inner))
    if offer.point is not None:
        rows.append(cut(row(Span(view.place, "bright", bold=True)), inner))
        rows.append(cut(row(Span(f"{offer.point.lat:.4f}, {offer.point.lng:.4f}", "muted")), inner))
    rows.append(EMPTY)
    if offer.point is not None:
        number, of = fmt.NONE, ""
        if view.where is not None:
            number, unit = fmt.distance(distance_m(view.where, offer.point))
            reach, reach_unit = fmt.distance(view.radius_m)
            of = f" {unit} of {reach}" if unit == reach_unit else f" {unit} of {reach} {reach_unit}"
        rows.append(_line(inner, "distance", number, of))
    rows.append(_line(inner, "length", fmt.moment(offer.max_seconds), " at most"))
    most = offer.rate_micro * offer.max_seconds
    earned = int(most * (1.0 if view.share is None else view.share))
    amount = fmt.usdc(earned, fmt.PREVIEW if earned % 10_000 == 0 else fmt.RATE)
    rows.append(_line(inner, "pays" if view.share is None else "earns", amount, " USDC", bold=True))
    note = (
        "before the market's fee" if view.share is None else f"after a fee of {fmt.percent(1 - view.share)} %"
    )
    rows.append(cut(row(Span(note, "faint")), inner))
    if offer.outside is not None:
        told = _wrapped(offer.outside, inner - 2)
        rows += [row(Span("  " if n else "▲ ", "warn"), Span(line, "muted")) for n, line in enumerate(told)]
    rows += [
        EMPTY,
        row(
            Span(" Accept ", "ink", bold=True, on="accent", action="screen.accept"),
            Span("a ", "hint", bold=True, on="accent", action="screen.accept"),
            "  ",
            Span(" Decline ", "text", on="raised", action="screen.decline"),
            Span("d ", "muted", on="raised", action="screen.decline"),
        ),
        EMPTY,
    ]
    return [cut(row(Span("▎", "accent"), " ", each), width) for each in rows]


def _line(width: int, label: str, number: str, unit: str, *, bold: bool = False) -> Row:
    return spread(
        width,
        row(Span(label, "muted")),
        row(
            Span(number, "bright" if bold else "text", bold=bold),
            Span(unit, "muted"),
        ),
    )


@dataclass(frozen=True, slots=True)
class PublishView:
    """The camera at the marketplace."""

    now: datetime
    name: str = ""
    online: bool = False
    starting: bool = False
    lost: str = ""
    """Why it is offline until it opens again."""
    status: AgentStatus | None = None
    session: SessionView | None = None
    rates: tuple[float, ...] = ()
    share: float | None = None
    today_micro: int = 0
    failure: str = ""
    may: bool = True


def publish_rows(view: PublishView, width: int, *, full: bool) -> list[Row]:
    """While publishing how well, else whether it is online and what to do."""
    status = view.status
    if status is None or status.session_id is None:
        return _waiting_rows(view, width)
    publish, session = status.publish, view.session
    live = session is not None and session.state == "LIVE"
    seconds = fmt.moment(session.elapsed_ms / 1000) if session is not None else fmt.NONE
    fact = (
        row(Span("● ", "accent"), Span("LIVE", "accent", bold=True), Span(f" {seconds}", "bright", bold=True))
        if live
        else row(Span("◐ ", "accent"), str(publish.state).lower())
    )
    rows = [section(width, "Publishing" if width >= 26 or not live else "On air", fact)]
    unit = "Mbit/s" if full else "Mb/s"
    rows.append(_figure(width, "bit rate", fmt.megabits(publish.bits_per_second), unit))
    if full:
        graph = bars.braille(view.rates, width, 2, max((*view.rates, 1.0)) * 1.1)
        rows += [row(Span(line, role)) for line, role in zip(graph, ("data", "data_low"), strict=True)]
    rows.append(_figure(width, "frame rate", f"{publish.fps:.1f}", "fps"))
    trip = publish.round_trip_ms
    rows.append(_figure(width, "round trip", fmt.NONE if trip is None else f"{trip:.0f}", "ms"))
    rows.append(_figure(width, "keyframes asked", str(publish.keyframe_requests), ""))
    if publish.reconnects:
        rows.append(_figure(width, "reconnects", str(publish.reconnects), "", role="warn"))
    if status.last_error:
        rows.append(cut(row(Span("▲ ", "warn"), Span(status.last_error, "muted")), width))
    rows.append(row(Span("─" * width, "line")))
    charged = session.charged_micro if session is not None else 0
    so_far = int(charged * (1.0 if view.share is None else view.share))
    label = "earned" if view.share is not None else "charged" if width < 26 else "charged so far"
    rows.append(_figure(width, label, fmt.usdc(so_far, fmt.CHARGED), "USDC", role="bright", bold=True))
    if full:
        rows.append(_figure(width, "today", fmt.usdc(view.today_micro, fmt.CHARGED), "USDC"))
    return rows


def _figure(width: int, label: str, number: str, unit: str, *, role: str = "text", bold: bool = False) -> Row:
    unit_width = 6 if width >= 30 else 4
    return spread(
        width, row(Span(label, "muted")), figure(number, unit, role=role, bold=bold, unit_width=unit_width)
    )


def _waiting_rows(view: PublishView, width: int) -> list[Row]:
    if view.online:
        state: Row = row(Span("● ", "ok"), "online")
        help_ = f"{view.name} waits for an assignment"
    elif view.lost:
        state, help_ = row(Span("▲ ", "warn"), "offline"), "tried again until it is back; space gives it up"
    elif view.starting:
        state, help_ = row(Span("◐ ", "accent"), "going online"), view.name
    else:
        state, help_ = row(Span("○ ", "faint"), Span("offline", "faint")), "space goes online with it"
    if not view.may:
        help_ = "this key may not operate: sessions:operate"
    rows = [section(width, "Publishing", state)]
    rows += [row(Span(line, "muted")) for line in _wrapped(help_, width)]
    if trouble := view.lost or view.failure:
        rows += [
            row(Span("✕ " if n == 0 else "  ", "bad"), line)
            for n, line in enumerate(_wrapped(trouble, width - 2))
        ]
    if view.today_micro:
        rows.append(_figure(width, "today", fmt.usdc(view.today_micro, fmt.CHARGED), "USDC"))
    return rows


def rule_rows(rules: Rules, by_rule: bool, width: int) -> list[Row]:
    """What is accepted without asking."""
    rows = [section(width, "Rule", row("by rule" if by_rule else "by hand", Span("  u", "faint")))]
    words = "accepts " + accepted(rules) if by_rule else "each assignment is asked about"
    return [*rows, *(row(Span(line, "muted")) for line in _wrapped(words, width)[:3])]


def accepted(rules: Rules) -> str:
    """The rules in words."""
    said = []
    if rules.min_rate_micro_usdc is not None:
        said.append(f"from {fmt.usdc(rules.min_rate_micro_usdc, fmt.RATE)} USDC/s")
    if rules.max_distance_meters is not None:
        said.append("within " + " ".join(fmt.distance(rules.max_distance_meters)))
    if rules.max_seconds is not None:
        said.append(f"up to {fmt.moment(rules.max_seconds)} long")
    if rules.hours is not None:
        said.append(f"{rules.hours.begin:%H:%M}–{rules.hours.end:%H:%M}")
    return ", ".join(said) or "everything inside the circle"


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, max(8, width))
