"""What happened, as rows; and what an embedded server tells of itself. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import partial

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.places import coordinates
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, section, spread, width_of
from luxxon_tui.store.state import Happening
from luxxon_tui.views import SessionView
from luxxon_tui.widgets import bars
from luxxon_tui.widgets.row_list import Item

TIME, WHAT, ID, PLACE = 8, 8, 8, 20
WIDE_FROM = 90
"""Cells of the list from which a line names the place."""


class Kind(StrEnum):
    """Of events."""

    ALL = "all"
    SESSIONS = "sessions"
    MONEY = "money"
    PICTURE = "picture"

    @property
    def next(self) -> Kind:
        every = list(Kind)
        return every[(every.index(self) + 1) % len(every)]


class Party(StrEnum):
    """The side of the sessions that are listed."""

    BOTH = "both sides"
    CONSUMER = "→ asked"
    OPERATOR = "← served"

    @property
    def next(self) -> Party:
        every = list(Party)
        return every[(every.index(self) + 1) % len(every)]


KINDS = {"session": Kind.SESSIONS, "settlement": Kind.MONEY, "window": Kind.MONEY}
"""By the first word of the name on the wire; all others are of the picture."""
NAMES = {"session": "session", "settlement": "payment", "window": "meter", "quality": "picture"}


def kind_of(happening: Happening) -> Kind:
    return KINDS.get(happening.name.partition(".")[0], Kind.PICTURE)


@dataclass(frozen=True, slots=True)
class Log:
    """What the list is made of.

    Attributes:
        events: newest last, as the store keeps them.
        only: one session's alone.
    """

    events: tuple[Happening, ...]
    sessions: Mapping[str, SessionView]
    places: Mapping[Point, str]
    zone: tzinfo | None
    kind: Kind = Kind.ALL
    party: Party = Party.BOTH
    only: str | None = None

    def _near(self, happening: Happening) -> bool:
        """Whether it passes the filters other than that of the kind."""
        view = self.sessions.get(happening.session_id or "")
        side = self.party is Party.BOTH or (view is not None and view.side == self.party.name.lower())
        return side and self.only in (None, happening.session_id)

    @property
    def counts(self) -> dict[Kind, int]:
        """Events of each kind."""
        near = [kind_of(each) for each in self.events if self._near(each)]
        return {kind: len(near) if kind is Kind.ALL else near.count(kind) for kind in Kind}

    @property
    def shown(self) -> list[tuple[str, Happening]]:
        """What passes all filters, newest first, each with a key of its own."""
        found: list[tuple[str, Happening]] = []
        seen: dict[str, int] = {}
        for each in self.events:
            if self._near(each) and self.kind in (Kind.ALL, kind_of(each)):
                key = f"{each.at.isoformat()} {each.name} {each.session_id} {each.words}"
                seen[key] = seen.get(key, 0) + 1
                found.append((f"{key} {seen[key]}", each))
        return found[::-1]


def filters(log: Log, width: int, *, held: int | None) -> Row:
    """Kinds with how many events each has, and what else narrows the list.

    Args:
        held: how many events have come since the list was paused; None while it runs.
    """
    spans: list[Span] = []
    for kind, count in log.counts.items():
        action, text = f"screen.kind_by('{kind.name}')", f" {kind} {count} "
        if kind is log.kind:
            spans.append(Span(text, "bright", True, "raised", action))
        else:
            spans.append(Span(text, "muted" if count else "faint", action=action))
        spans.append(Span(" "))
    marks: list[Span] = []
    if log.party is not Party.BOTH:
        marks += [Span(f" {log.party} ", "bright", True, "raised", "screen.side"), Span(" ")]
    if log.only is not None:
        name = f" {fmt.short_id(log.only)} "
        marks += [Span(name, "bright", True, "raised", "screen.only"), Span(" ")]
    if held is not None:
        marks.append(Span(f"▲ paused, {held} new", "warn", True, action="screen.pause"))
    left = tuple(spans[:-1])
    return spread(width, left, tuple(marks))


def heads(width: int) -> list[Row]:
    """Names of the columns over a hairline."""
    names = _line(width - 1, *(Span(name, "faint") for name in ("time", "of", "what", "place", "session")))
    return [row(" ", names), row(Span("─" * width, "line"))]


def items(log: Log) -> list[Item]:
    """The lines of the list."""
    return [Item(key, partial(line, each, log)) for key, each in log.shown]


def line(happening: Happening, log: Log, width: int) -> Row:
    """An event: when, what of, what, where, and which session."""
    view = log.sessions.get(happening.session_id or "")
    first = happening.name.partition(".")[0]
    glyph, role = _mark(happening)
    place = ""
    if view is not None and view.requested is not None:
        place = log.places.get(view.requested) or coordinates(view.requested)
    arrow = "" if view is None else "→ " if view.side == "consumer" else "← "
    return _line(
        width,
        Span(fmt.time_of_day(happening.at, log.zone), "muted"),
        Span(NAMES.get(first, first), "muted"),
        row(Span(f"{glyph} ", role), Span(words_of(happening), role if role != "ok" else "text")),
        Span(place),
        Span(f"{arrow}{fmt.short_id(happening.session_id or '')}", "muted"),
    )


def words_of(happening: Happening) -> str:
    """What happened; a video's name says whether it came or went."""
    if happening.name.startswith("video."):
        return f"video {happening.name.partition('.')[2]}"
    return happening.words or happening.name


GOOD = ("LIVE", "CONFIRMED")
BAD = ("FAILED", "DISPUTED")


def _mark(happening: Happening) -> tuple[str, str]:
    first = words_of(happening).partition(" ")[0]
    if first in BAD:
        return "✕", "bad"
    if first == "LIVE":
        return "●", "accent"
    if happening.name in ("window.opened", "quality.degraded", "video.disconnected"):
        return "▲", "warn"
    if first in GOOD or happening.name in ("window.closed", "quality.restored", "video.connected"):
        return "✓", "ok"
    return ("◐" if first in ("SUBMITTED", "ASSIGNED") else "◌"), "text"


def _line(width: int, time: Span, of: Span, what: Span | Row, place: Span, session: Span) -> Row:
    wide = width >= WIDE_FROM
    room = width - TIME - WHAT - ID - 2 - 6 - (PLACE + 2 if wide else 0)
    cells = [(row(time), TIME), (row(of), WHAT), (row(what), max(8, room))]
    cells += [(row(place), PLACE)] if wide else []
    cells += [(row(session), ID + 2)]
    spans: list[Span] = []
    for content, most in cells:
        short = cut(content, most)
        spans += [*short, Span(" " * (most - width_of(short) + 2))]
    return cut(tuple(spans[:-1]), width)


def copied(happening: Happening) -> str:
    """A line as text for elsewhere: with the whole time and id."""
    at = happening.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return " ".join(part for part in (at, happening.name, words_of(happening), happening.session_id) if part)


# -- the embedded server

_SAMPLE = re.compile(r"^(luxxon_[a-z_]+?)(?:\{([^}]*)\})? ([0-9.eE+-]+)$", re.M)
_LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Counters:
    """What ``/metrics`` said at a time of the monotonic clock.

    Attributes:
        answers: since the server began; the counters themselves are not in it.
        unpaid, oldest_s: payments that are not confirmed, and the age of the oldest.
        failures: of the server's loops (sweeps among them), by name; each is tried again.
    """

    at: float
    answers: int = 0
    in_flight: int = 0
    live_inputs: int = 0
    viewers: int = 0
    open_sessions: int = 0
    unpaid: int = 0
    oldest_s: float = 0.0
    failures: tuple[tuple[str, int], ...] = ()

    def per_second(self, before: Counters | None) -> float | None:
        """Requests a second since ``before``; None without one, or after a new start."""
        if before is None or self.at <= before.at or self.answers < before.answers:
            return None
        return (self.answers - before.answers) / (self.at - before.at)


def counters(text: str, at: float) -> Counters:
    """Out of Prometheus' text format; what is not there is 0."""
    sums: dict[str, float] = {}
    failures: dict[str, int] = {}
    for name, labels, value in _SAMPLE.findall(text):
        sums[name] = sums.get(name, 0.0) + float(value)
        if name == "luxxon_worker_failures_total" and float(value):
            failures[dict(_LABEL.findall(labels)).get("worker", "?")] = int(float(value))

    def whole(name: str) -> int:
        return int(sums.get(f"luxxon_{name}", 0))

    return Counters(
        at,
        whole("http_answers_total"),
        whole("http_requests_in_flight"),
        whole("edge_live_inputs"),
        whole("edge_viewers"),
        whole("sessions_open"),
        whole("settlements_unconfirmed"),
        sums.get("luxxon_settlement_oldest_unconfirmed_seconds", 0.0),
        tuple(sorted(failures.items(), key=lambda each: -each[1])),
    )


def server(now: Counters | None, rates: Sequence[float], fault: str, width: int) -> list[Row]:
    """The counters of the server on this machine."""
    if fault:
        state = row(Span("✕ ", "bad"), "no figures")
        return [section(width, "Server", state), cut(row(Span(fault, "muted")), width)]
    if now is None:
        return [section(width, "Server"), row(Span("◌ reading …", "muted"))]
    rate = f"{rates[-1]:.1f}" if rates else fmt.NONE
    rows = [
        section(width, "Server", row(Span("● ", "ok"), "on this machine")),
        spread(width, _label("requests"), row(Span(rate, "bright", bold=True), Span(" /s ", "muted"))),
    ]
    top = max(1.0, *rates) if rates else 1.0
    rows += [row(Span(each, "data")) for each in bars.braille(rates, width, 2, top)]
    queue = row(Span(str(now.unpaid)), Span(f"  oldest {fmt.delay(now.oldest_s)}", "muted"))
    rows += [
        spread(width, _label("live inputs"), _count(now.live_inputs)),
        spread(width, _label("viewers"), _count(now.viewers)),
        spread(width, _label("open sessions"), _count(now.open_sessions)),
        spread(width, _label("payments to confirm"), queue if now.unpaid else _count(0)),
    ]
    if now.failures:
        name, times = now.failures[0]
        total = sum(count for _, count in now.failures)
        worst = row(Span(f"  {name} {times}", "muted"))
        told = row(Span("▲ ", "warn"), f"{total} failed, tried again")
        label = _label("sweeps")
        rows.append(spread(width, label, first_fit(width - 8, row(told, worst), told)))
    else:
        rows.append(spread(width, _label("sweeps"), row(Span("● ", "ok"), "all well")))
    return rows


def _label(name: str) -> Row:
    return row(Span(name, "muted"))


def _count(number: int) -> Row:
    return row(Span(str(number) if number else fmt.NONE, "text" if number else "faint"))


LEVELS = {"warning": ("▲", "warn"), "error": ("✕", "bad"), "critical": ("✕", "bad")}
SKIPPED = ("event", "level", "timestamp", "logger")


def server_log(lines: Sequence[str], width: int, height: int, zone: tzinfo | None) -> list[Row]:
    """The last lines of the server's log that fit, newest last."""
    if height < 2:
        return []
    rows = [section(width, "Log", row(Span(f"{len(lines)} lines", "faint") if lines else EMPTY))]
    return rows + [cut(_logged(each, zone), width) for each in lines[-(height - 1) :]]


def _logged(text: str, zone: tzinfo | None) -> Row:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return row(Span(_plain(text), "muted"))
    glyph, role = LEVELS.get(str(said.get("level")), (" ", "text"))
    more = " ".join(f"{key}={value}" for key, value in said.items() if key not in SKIPPED)
    return row(
        Span(f"{_time(str(said.get('timestamp', '')), zone)} ", "faint"),
        Span(f"{glyph} ", role),
        Span(_plain(str(said.get("event", ""))), role),
        Span(_plain(f" {more}"), "muted"),
    )


def _time(text: str, zone: tzinfo | None) -> str:
    try:
        return fmt.time_of_day(datetime.fromisoformat(text), zone)
    except ValueError:
        return " " * TIME


def _plain(text: str) -> str:
    """Without what would move the cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
