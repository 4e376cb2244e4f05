"""Panels about the stream: caption, signal, position, camera, and the plate on the picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, cos, radians, sin
from statistics import median

from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, row, section, spread, stated
from luxxon_tui.screens.scene import Scene, state
from luxxon_tui.views import STALL_MS, Phase, SessionView
from luxxon_tui.widgets import bars

FRAME_RATE_TOP = 30.0
HEADROOM = 1.15
"""What a graph leaves free above its highest sample."""
RING = (12, 6)
"""Cells of the position circle: as high as wide, a cell being twice as high as wide."""


def caption(scene: Scene, width: int, *, full: bool) -> Row:
    """What the picture shows and how it is made."""
    camera, signal, offline_or_stalled = (
        scene.context.camera,
        scene.signal,
        scene.offline or scene.signal.stalled,
    )
    glyph = state(scene)._replace(bold=False)
    place = scene.context.place or scene.place or _asked(scene) or "no session"
    left = row(
        glyph._replace(text=glyph.text[0] + " "),
        Span(place, "text", bold=True),
        *([Span(f"  {camera.name}", "muted")] if camera else []),
    )
    if scene.live and offline_or_stalled and signal.newest_at:
        right = row(Span(f"last frame {fmt.time_of_day(signal.newest_at, scene.context.zone)}", "muted"))
        return spread(width, left, right)
    if not scene.live or not signal.width or scene.driver is None:
        return spread(width, left)
    size = f"{signal.width}×{signal.height}" if full else f"{signal.height}p"
    parts = [f"{size} {fmt.codec(signal.codec)}".strip(), scene.driver]
    if full:
        parts.append(f"{signal.fps:.0f} fps" if signal.fps else f"{fmt.NONE} fps")
    return spread(width, left, row(Span(" · ".join(parts), "muted")))


def _asked(scene: Scene) -> str | None:
    point = scene.session.requested if scene.session else None
    return None if point is None else f"{point.lat:.4f}, {point.lng:.4f}".replace("-", fmt.MINUS)


def signal(scene: Scene, width: int, *, full: bool) -> list[Row]:
    """Frame rate and bit rate with their last half minute, age of the newest frame, loss."""
    stream = scene.signal
    dead = not scene.live or stream.age_ms is None or stream.stalled
    # nothing measured yet reads as none, not as nought
    fps = fmt.NONE if dead or not stream.fps else f"{stream.fps:.1f}"
    measured = stream.transport == "WHEP" and stream.bits_per_second > 0
    bits = fmt.megabits(stream.bits_per_second) if measured and not dead else fmt.NONE
    head = section(width, "Signal", stated(quality(scene)))
    top_bits = max(stream.bits_history, default=0.0) * HEADROOM
    usual_fps = median(stream.fps_history) if stream.fps_history else 0.0  # the first frames come in a burst
    top_fps = max(FRAME_RATE_TOP, usual_fps) * HEADROOM
    if not full:
        graph = width // 2
        return [
            head,
            *_graph_and_figure(width, graph, stream.fps_history, top_fps, figure(fps, "fps", unit_width=4)),
            *_graph_and_figure(
                width, graph, stream.bits_history, top_bits, figure(bits, "Mb/s", unit_width=4)
            ),
            _age_and_loss(scene, width, "age"),
        ]
    unit = len("Mbit/s")
    return [
        head,
        spread(width, row(Span("frame rate", "muted")), figure(fps, "fps", unit_width=unit, bold=True)),
        *_graph(width, stream.fps_history, top_fps),
        spread(width, row(Span("bit rate", "muted")), figure(bits, "Mbit/s", unit_width=unit, bold=True)),
        *_graph(width, stream.bits_history, top_bits),
        _age_and_loss(scene, width, "frame age"),
    ]


def _graph(width: int, history: Sequence[float], top: float) -> list[Row]:
    upper, lower = bars.braille(history, width, 2, top)
    return [row(Span(upper, "data")), row(Span(lower, "data_low"))]


def _graph_and_figure(width: int, graph: int, history: Sequence[float], top: float, right: Row) -> list[Row]:
    return [spread(width, row(Span(bars.braille(history, graph, 1, top)[0], "data")), right)]


def _age_and_loss(scene: Scene, width: int, label: str) -> Row:
    stream = scene.signal
    known = scene.live and stream.age_ms is not None
    number, unit = fmt.age(stream.age_ms or 0.0) if known else (fmt.NONE, "ms")
    loss = fmt.percent(stream.loss_ratio) if known and not stream.stalled else fmt.NONE
    return spread(
        width,
        row(
            Span(f"{label} ", "muted"), Span(number, "text" if known else "faint"), Span(f" {unit}", "muted")
        ),
        row(Span("loss ", "muted"), Span(loss, "faint" if loss == fmt.NONE else "text"), Span(" %", "muted")),
    )


def quality(scene: Scene) -> Span:
    """The stream in a word: by loss and by the age of what is seen."""
    stream = scene.signal
    if not scene.live:
        return Span("○ none", "faint")
    if stream.age_ms is None:
        return Span("◌ opening", "muted")
    for worse, span in (
        (stream.age_ms >= STALL_MS, Span("✕ none", "bad")),
        (stream.transport != "WHEP", Span("▲ stills", "warn")),
        (stream.loss_ratio >= 0.05 or stream.age_ms >= 1000, Span("▲ poor", "warn")),
        (stream.loss_ratio >= 0.01 or stream.age_ms >= 400, Span("◐ fair", "text")),
    ):
        if worse:
            return span
    return Span("● good", "ok")


def position(scene: Scene, width: int, *, full: bool) -> list[Row]:
    """Where the camera is against where it was asked for."""
    rows = [section(width, "Position", stated(_geofence(scene)))]
    camera, away = scene.context.camera, scene.distance_m
    facts: list[Row] = []
    if away is not None and camera is not None:
        number, unit = fmt.distance(away)
        facts.append(row(Span(number, "text", bold=True), Span(f" {unit}", "muted")))
        if camera.radius_m is not None:
            facts[0] = row(facts[0], Span(" of ", "muted"), *figure(*fmt.distance(camera.radius_m)))
    asked = _asked(scene)
    if asked and (full or not facts):
        facts += _coordinates(scene, full=full and camera is not None and away is not None) or []
    if full and away is not None and camera is not None and camera.radius_m:
        return rows + _with_ring(scene, width, facts, away)
    return rows + [cut(fact, width) for fact in facts or [row(Span("not known", "faint"))]]


def _coordinates(scene: Scene, *, full: bool) -> list[Row]:
    point = scene.session.requested if scene.session else None
    if point is None:
        return []
    if not full:
        return [row(Span("asked ", "muted"), _asked(scene) or "")]
    return [
        row(Span("lat ", "muted"), fmt.degrees(point.lat)),
        row(Span("lng ", "muted"), fmt.degrees(point.lng)),
    ]


def _geofence(scene: Scene) -> Span:
    session = scene.session
    if not scene.live or session is None:
        return Span("○ not live", "faint")
    reasons = {loss.reason for loss in session.losses if loss.closed_ms is None}
    if "OUTSIDE_GEOFENCE" in reasons:
        return Span("✕ outside", "bad")
    if "STALE_TELEMETRY" in reasons:
        return Span("▲ no position", "warn")
    return Span("● inside", "ok")


def _with_ring(scene: Scene, width: int, facts: list[Row], away_m: float) -> list[Row]:
    """The covered circle with the requested point as its centre, the camera in it, facts beside it."""
    columns, lines = RING
    camera, session = scene.context.camera, scene.session
    assert (
        camera is not None
        and camera.point is not None
        and camera.radius_m
        and session is not None
        and session.requested is not None
    )
    cells = [list(line) for line in bars.ring(columns, lines)]
    roles = [["coast"] * columns for _ in range(lines)]
    north = camera.point.lat - session.requested.lat
    east = (camera.point.lng - session.requested.lng) * cos(radians(session.requested.lat))
    bearing = atan2(east, north)
    reach = min(away_m / camera.radius_m, 1.0)
    x = round((columns - 1) / 2 + sin(bearing) * reach * (columns - 1) / 2)
    y = round((lines - 1) / 2 - cos(bearing) * reach * (lines - 1) / 2)
    middle_x, middle_y = round((columns - 1) / 2), round((lines - 1) / 2)
    if (x, y) == (middle_x, middle_y) and round(away_m):  # the requested point stays to be seen
        x, y = middle_x + round(sin(bearing)), middle_y - round(cos(bearing))
    cells[middle_y][middle_x], roles[middle_y][middle_x] = "+", "muted"
    cells[y][x], roles[y][x] = "◉", "accent" if scene.live else "muted"
    gap = Span(" " * 4)
    top = max(0, (lines - len(facts)) // 2)
    drawn = []
    for number in range(lines):
        circle = (Span(cell, role) for cell, role in zip(cells[number], roles[number], strict=True))
        fact = facts[number - top] if 0 <= number - top < len(facts) else EMPTY
        drawn.append(cut(row(*circle, gap, fact), width))
    return drawn


def camera(scene: Scene, width: int, *, full: bool) -> list[Row]:
    """Who shows the picture, and how well this session has gone so far."""
    facts, session, stream = scene.context.camera, scene.session, scene.signal
    rows = [section(width, "Camera", row(facts.name) if facts else EMPTY)]
    operator = (facts.operator if facts else None) or scene.operator
    fits = len("operator") + 1 + len(operator or "") <= width
    rows.append(_fact(width, "operator" if fits else "by", operator))
    if full:
        kind = ", ".join(part for part in ((facts.kind if facts else None), _lines(stream.height)) if part)
        rows.append(_fact(width, "kind", kind or None))
    if session and session.elapsed_ms:
        clean = 1 - session.lost_ms / session.elapsed_ms
        rows.append(spread(width, row(Span("clean", "muted")), figure(fmt.percent(clean), "%")))
    else:
        rows.append(_fact(width, "clean", None))
    if full:
        rows.append(_fact(width, "path", stream.transport or None))
        rows.append(_fact(width, "session", fmt.short_id(session.id) if session else None))
    return rows


def _lines(height: int) -> str | None:
    return f"{height}p" if height else None


def _fact(width: int, label: str, value: str | None) -> Row:
    return spread(
        width, row(Span(label, "muted")), row(Span(value or fmt.NONE, "text" if value else "faint"))
    )


def plate(scene: Scene, width: int) -> tuple[Row, ...]:
    """What stands on the picture instead of a live one; nothing while it is live."""
    lines = _plate_lines(scene)
    return tuple(
        row(Span(f"  {cut((line,), max(1, width - 4))[0].text}  ", line.role, line.bold, on="bg"))
        for line in lines
    )


def _plate_lines(scene: Scene) -> list[Span]:
    view, session = scene.view, scene.session
    if view.failure:
        return [_loud(f"✕ {view.failure.title}"), Span(view.failure.detail), Span(view.failure.remedy)]
    if view.phase is Phase.EMPTY:
        ask = "1 finds a place to ask for" if view.as_of else "start a market of your own:  luxxon demo"
        return [_loud("nothing live yet"), Span(ask)]
    if session is None:
        if scene.offline:
            return [_loud("◌ no answer from the server"), Span("trying again; r tries now")]
        return [_loud("◌ connecting")]
    if view.phase is Phase.WAITING:
        word = "waiting for a camera" if session.state == "REQUESTED" else "a camera is starting"
        return [_loud(f"◐ {word}"), Span("nothing is charged before the first frame")]
    return _over_plate(session) if view.phase is Phase.OVER else _live_plate(scene, session)


def _loud(text: str) -> Span:
    return Span(text, "bright", bold=True)


def _over_plate(session: SessionView) -> list[Span]:
    word = session.state.lower()
    if session.started_at is None:
        return [_loud(f"✕ {word} before a camera showed"), Span("nothing was charged")]
    paid = fmt.usdc(session.charged_micro, fmt.CHARGED)
    return [_loud(f"✓ {word}"), Span(f"{session.clean_seconds} s for {paid} USDC")]


def _live_plate(scene: Scene, session: SessionView) -> list[Span]:
    stream = scene.signal
    if stream.age_ms is None:
        if session.lost_now and not scene.offline:
            return [_loud("◌ the camera sends no picture"), Span("this time is not charged")]
        return [_loud("◌ opening the picture")]
    if not stream.stalled:
        return []
    if scene.offline:
        second = f"figures are as of {scene.as_of}"
    else:
        second = "this time is not charged" if session.lost_now else "waiting for the camera"
    return [_loud(f"◌ no picture for {fmt.moment(stream.age_ms / 1000)}"), Span(second)]


def dimmed(scene: Scene) -> bool:
    """Whether the frame on the screen is no longer live."""
    return scene.view.phase is not Phase.LIVE or scene.signal.stalled


def timeline_fact(scene: Scene) -> Row:
    """When the session was asked for, and its short name."""
    session = scene.session
    if session is None:
        return EMPTY
    since = fmt.time_of_day(session.created_at, scene.context.zone)
    return row(Span(f"since {since}   {fmt.short_id(session.id)}", "muted"))


def empty_help(scene: Scene, width: int) -> list[Row]:
    """What to do when there is no session."""
    if scene.view.as_of:
        words = ("choose a place, ask,", "and it is shown here")
        return [
            section(width, "Start"),
            row(Span("1 Map", "bright", bold=True, action="app.screen('map')")),
            *(cut(row(Span(line, "muted")), width) for line in words),
        ]
    told = ("a market of your own:", "asks for a place", "and shows it live")
    return [
        section(width, "Start"),
        row(Span("luxxon demo", "bright", bold=True)),
        *(cut(row(Span(line, "muted")), width) for line in told),
    ]
