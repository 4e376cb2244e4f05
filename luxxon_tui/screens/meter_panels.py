"""Panels about time and money: meter, windows, timeline, receipt. Pure: a scene and a width to rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, first_fit, row, section, spread, stated, width_of
from luxxon_tui.screens.scene import Scene, state
from luxxon_tui.views import Loss, Phase, SessionView
from luxxon_tui.widgets import bars


def meter(scene: Scene, width: int, *, full: bool) -> list[Row]:
    """State, time, clean and lost seconds, charge against its limit."""
    session = scene.session
    if session is None:
        return [section(width, "Meter"), row(state(scene)), bars.progress(width, 0)]
    waiting = scene.view.phase is Phase.WAITING
    total_s = (session.wait_seconds or 0) if waiting else session.max_seconds
    elapsed_ms = _waited_ms(scene, session) if waiting else session.elapsed_ms
    share = min(1.0, elapsed_ms / (total_s * 1000)) if total_s else 0.0
    fact = row(Span(f"{share * 100:.0f} %", "faint")) if full and not waiting else EMPTY
    role = "accent" if scene.charging or scene.offline else "coast"
    rows = [
        section(width, "Meter", fact),
        _state_and_time(scene, width, elapsed_ms / 1000, total_s, full=full),
        bars.progress(width, share, role=role),
    ]
    if waiting or session.started_at is None:
        word = "nothing is charged yet" if waiting else "nothing was charged"
        rows += [row(Span(word, "muted")), *_spacer(full), _limit(scene, session, width, full=full)]
    else:
        rows += [_clean_and_lost(session, width), *_spacer(full), _charge(scene, session, width, full=full)]
    if full:
        rate = figure(fmt.usdc(session.rate_micro, fmt.RATE), "USDC/s")
        rows.append(spread(width, row(Span("rate", "muted")), rate))
    return rows


def so_far(session: SessionView) -> Row:
    """What a session that ends now has cost."""
    charged = fmt.usdc(session.charged_micro, fmt.CHARGED)
    clean = f"{session.clean_seconds} s"
    return row(Span("so far ", "muted"), clean, Span(" for ", "muted"), charged, Span(" USDC", "muted"))


def _spacer(full: bool) -> list[Row]:
    return [EMPTY] if full else []


def _waited_ms(scene: Scene, session: SessionView) -> int:
    until = scene.view.as_of if scene.offline and scene.view.as_of else scene.now
    return max(0, int((until - session.created_at).total_seconds() * 1000))


def _state_and_time(scene: Scene, width: int, seconds: float, total: int, *, full: bool) -> Row:
    left = row(state(scene))
    long = fmt.hms(seconds) if full else fmt.listed(seconds)
    number = Span(long, "bright", bold=True)
    limits = (f" of {fmt.listed(total)}", f" of {fmt.moment(total)}") if total else ()
    rights = [row(number, Span(limit, "muted")) for limit in limits] + [row(number)]
    fitting = (right for right in rights if width_of(left) + 1 + width_of(right) <= width)
    return spread(width, left, next(fitting, rights[-1]))


def _clean_and_lost(session: SessionView, width: int) -> Row:
    lost_s = session.lost_ms / 1000
    lost = f"{lost_s:.0f}" if lost_s >= 0.95 or not lost_s else f"{lost_s:.1f}"
    return spread(
        width,
        row(
            Span("clean ", "muted"), Span(str(session.clean_seconds), "text", bold=True), Span(" s", "muted")
        ),
        row(
            Span("lost ", "muted"),
            Span(lost, "bad", bold=True) if session.lost_ms else Span(fmt.NONE, "faint"),
            Span(" s", "muted"),
        ),
    )


def _charge(scene: Scene, session: SessionView, width: int, *, full: bool) -> Row:
    amount = fmt.usdc(session.charged_micro, fmt.CHARGED)
    if scene.offline:  # nothing is claimed about now: the figure stands with its time
        return spread(width, row(Span(amount, "muted")), row(Span(f"at {scene.as_of}", "faint")))
    number = Span(amount, "bright", bold=True)
    limit = fmt.usdc(session.hold_micro, fmt.PREVIEW)
    if full:
        return spread(width, row(number, Span(" USDC", "muted")), row(Span("of at most ", "muted"), limit))
    return spread(width, row(number), row(Span("of ", "muted"), limit, Span(" USDC", "muted")))


def _limit(scene: Scene, session: SessionView, width: int, *, full: bool) -> Row:
    label = "at most" if scene.view.phase is Phase.WAITING else "held at most"
    return spread(width, row(Span(label, "muted")), figure(fmt.usdc(session.hold_micro, fmt.PREVIEW), "USDC"))


def windows(scene: Scene, width: int, *, full: bool) -> list[Row]:
    """The session as a bar of clean and lost stretches, with the moments below it."""
    session = scene.session
    role = "accent" if session is None or scene.live else "coast"
    legend = row(
        Span("▄", role), Span(" clean  ", "muted"),
        Span("▂", "bad"), Span(" lost  ", "muted"),
        Span("▄", "raised"), Span(" to come", "muted"),
    )  # fmt: skip
    head = [section(width, "Windows", legend)] if full else []
    if session is None:
        return [*head, bars.progress(width, 0), EMPTY]
    total = session.max_seconds * 1000
    bar = bars.meter(width, session.elapsed_ms, total, session.losses, role=role)
    return [*head, bar, _moments(scene, session, width)]


def _moments(scene: Scene, session: SessionView, width: int) -> Row:
    """``0:00 ▴0:43 ▴1:42 … 5:00``: labels where they belong, as many as fit, and a loss in words.

    That is the newest one; of a session that is over, all of them together.
    """
    total = session.max_seconds * 1000
    line = _Line(width)
    line.put(0, Span("0:00", "faint"))
    line.put(width - len(fmt.moment(session.max_seconds)), Span(fmt.moment(session.max_seconds), "faint"))
    if session.started_at is not None:
        role = "accent" if scene.live and not scene.offline else "muted"
        line.label(
            bars.cell_at(session.elapsed_ms, total, width), fmt.moment(session.elapsed_ms / 1000), role
        )
    for loss in reversed(session.losses):
        line.label(bars.cell_at(loss.opened_ms, total, width), fmt.moment(loss.opened_ms / 1000), "bad")
    if session.losses:
        over = scene.view.phase is Phase.OVER and len(session.losses) > 1
        line.words(_total(session) if over else _told(session, session.losses[-1]))
    return line.row()


def _told(session: SessionView, loss: Loss) -> Iterable[str]:
    """The newest loss in words, from the fullest to the shortest."""
    end = loss.closed_ms if loss.closed_ms is not None else session.elapsed_ms
    lasted = f"{max(1, round((end - loss.opened_ms) / 1000))} s"
    why = fmt.reason(loss.reason)
    now = " so far" if loss.closed_ms is None else ""
    yield f"{fmt.moment(loss.opened_ms / 1000)}  {why} for {lasted}{now}, not charged"
    yield f"{why} for {lasted}{now}, not charged"
    yield f"{lasted}{now} not charged"
    yield f"{lasted} lost"


def _total(session: SessionView) -> Iterable[str]:
    """All losses in words, from the fullest to the shortest."""
    lost = f"{session.lost_ms / 1000:.1f} s"
    yield f"{lost} lost in {len(session.losses)} stretches, not charged"
    yield f"{lost} lost, not charged"
    yield f"{lost} lost"


class _Line:
    """One row in which labels take places, first come first served."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.placed: list[tuple[int, Span]] = []

    def free(self, start: int, end: int) -> bool:
        """Whether columns ``start`` to ``end`` are inside, empty, and a space away from other labels."""
        return (
            start >= 0
            and end <= self.width
            and all(end < at or start > at + len(span.text) for at, span in self.placed)
        )

    def put(self, at: int, span: Span) -> None:
        self.placed.append((at, span))

    def label(self, cell: int, text: str, role: str) -> None:
        """``▴0:43`` pointing at ``cell`` from the right or, at the edge, from the left."""
        for at, shown in ((cell, f"▴{text}"), (cell - len(text), f"{text}▴"), (cell, "▴")):
            if self.free(at, at + len(shown)):
                self.put(at, Span(shown, role))
                return

    def words(self, variants: Iterable[str]) -> None:
        """The first variant that fits between two labels, two columns away from both."""
        edges = sorted((at, at + len(span.text)) for at, span in self.placed)
        gaps = [(left[1] + 2, right[0] - 2) for left, right in pairwise(edges)]
        start, end = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
        for text in variants:
            if len(text) <= end - start:
                self.put(start + min(2, end - start - len(text)), Span(text, "muted"))
                return

    def row(self) -> Row:
        spans: list[Span] = []
        column = 0
        for at, span in sorted(self.placed, key=lambda each: each[0]):
            spans += [Span(" " * (at - column)), span]
            column = at + len(span.text)
        return cut(tuple(spans), self.width)


def timeline(scene: Scene, width: int) -> Row:
    """What has happened, what runs, what is to come; delays go first when there is no room."""
    session = scene.session
    if session is None:
        steps = ["○ requested", "○ assigned", "○ first frame", "○ live", "○ settled"]
        return first_fit(width, _chain([row(Span(step, "faint")) for step in steps]))
    return first_fit(width, *(_chain(_steps(scene, session, keep=keep)) for keep in (2, 1, 0)))


def _chain(steps: list[Row]) -> Row:
    return row(*(piece for step in steps for piece in (row(Span(" ─ ", "line")), step)))[1:]


def _done(name: str, after: str = "") -> Row:
    return row(Span("✓ ", "ok"), name, Span(f" {after}" if after else "", "muted"))


def _to_come(name: str) -> Row:
    return row(Span(f"○ {name}", "faint"))


def _steps(scene: Scene, session: SessionView, *, keep: int) -> list[Row]:
    """The steps of a session; ``keep`` is how many of the two delays are written out."""
    over = scene.view.phase is Phase.OVER
    steps = [_done("requested")]
    if session.assigned_at or session.started_at:
        steps.append(_done("assigned", _between(session.created_at, session.assigned_at) if keep else ""))
    if session.started_at:
        took = _between(session.assigned_at, session.started_at) if keep == 2 else ""
        return [*steps, _done("first frame", took), *_ending(scene, session)]
    if over:
        return [*steps, row(Span(f"✕ {session.state.lower()}", "warn"))]
    if session.assigned_at:
        return [*steps, row("◐ starting the camera"), _to_come("live"), _to_come("settled")]
    waited = Span(f" {fmt.moment(_waited_ms(scene, session) / 1000)}", "muted")
    return [*steps, row("◐ finding a camera", waited), *map(_to_come, ("first frame", "live", "settled"))]


def _ending(scene: Scene, session: SessionView) -> list[Row]:
    """LIVE and what is to come, or the end and the settlement."""
    lasted = fmt.moment(session.elapsed_ms / 1000)
    if scene.view.phase is not Phase.OVER:
        now = row(state(scene), Span("" if scene.offline else f" {lasted}", "muted"))
        return [now, _to_come("settled")]
    settled = session.settlement == "CONFIRMED"
    return [_done(session.state.lower(), lasted), _done("settled") if settled else row("◐ settling")]


def _between(start: datetime | None, end: datetime | None) -> str:
    return fmt.delay((end - start).total_seconds()) if start and end else ""


SETTLEMENT = {
    "NOT_READY": Span("○ not ready", "faint"),
    "PENDING": Span("◐ PENDING", "text"),
    "SUBMITTED": Span("◐ SUBMITTED", "text"),
    "CONFIRMED": Span("✓ CONFIRMED", "ok"),
}


def receipt(scene: Scene, session: SessionView, width: int, room: int) -> list[Row]:
    """The bill of a session that is over, in at most ``room`` rows; losses are shortened first."""
    settlement = SETTLEMENT.get(session.settlement, Span(session.settlement))
    head = [
        section(width, "Receipt", stated(settlement)),
        _item(width, "lasted", fmt.hms(session.elapsed_ms / 1000)),
        _item(width, "clean", f"{session.clean_seconds:,}".replace(",", fmt.NARROW_GAP), "s"),
    ]
    hairline = row(Span("─" * width, "line"))
    bill = [
        _item(width, "rate", fmt.usdc(session.rate_micro, fmt.RATE), "USDC/s"),
        hairline,
        _item(
            width, "charged", fmt.usdc(session.charged_micro, fmt.CHARGED), "USDC", role="bright", bold=True
        ),
    ]
    if session.to_micro is not None and session.fee_micro is not None:
        bill += [
            _item(width, "  operator", fmt.usdc(session.to_micro, fmt.CHARGED), "USDC"),
            _item(width, "  fee", fmt.usdc(session.fee_micro, fmt.CHARGED), "USDC"),
        ]
    chain = []
    if session.tx_hash:
        chain = [hairline, _item(width, "paid in", fmt.short_hash(session.tx_hash))]
    elif session.settlement == "CONFIRMED":
        chain = [hairline, row(Span("nothing to pay on chain", "muted"))]
    if session.tx_url:
        host = session.tx_url.split("://", 1)[-1].split("/", 1)[0]
        chain.append(spread(width, row(Span("see", "muted")), row(Span(host, "data", link=session.tx_url))))
    losses = _losses(session, width, room - len(head) - len(bill) - len(chain))
    return [cut(each, width) for each in (*head, *losses, *bill, *chain)][: max(room, 1)]


def _item(
    width: int, label: str, number: str, unit: str = "", *, role: str = "text", bold: bool = False
) -> Row:
    right = figure(number, unit, role=role, bold=bold) if unit else row(Span(number, role, bold))
    return spread(width, row(Span(label, "muted")), right)


def _losses(session: SessionView, width: int, room: int) -> list[Row]:
    """The lost time and its stretches, newest left out first when there is no room for all."""
    lost = figure(f"{session.lost_ms / 1000:.1f}", "s", role="bad") if session.lost_ms else _nothing()
    stretches = [_stretch(session, loss, width) for loss in session.losses]
    if len(stretches) > room - 1:
        kept = max(0, room - 2)
        rest = row(Span(f"  and {len(stretches) - kept} more", "faint"))
        stretches = [*stretches[:kept], rest][: max(0, room - 1)]
    return [spread(width, row(Span("lost", "muted")), lost), *stretches]


def _nothing() -> Row:
    return row(Span(fmt.NONE, "faint"))


def _stretch(session: SessionView, loss: Loss, width: int) -> Row:
    end = session.elapsed_ms if loss.closed_ms is None else loss.closed_ms
    moment = Span(f"  {fmt.moment(loss.opened_ms / 1000)}  ", "bad")
    why = Span(fmt.reason(loss.reason, short=width < 30), "muted")
    return spread(width, row(moment, why), figure(f"{(end - loss.opened_ms) / 1000:.1f}", "s"))
