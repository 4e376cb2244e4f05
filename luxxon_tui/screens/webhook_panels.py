"""Webhooks as rows: the list, the chosen one, and what was sent to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING

from luxxon_core.http.principal import Scope
from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, section, spread, width_of
from luxxon_tui.screens.workspace_panels import _fitting, _keys, _note, denied, ranks
from luxxon_tui.store import Who
from luxxon_tui.widgets.row_list import Item

if TYPE_CHECKING:
    from luxxon_core.webhooks.schemas import Delivery, Webhook

PENDING_READ = 100
"""Pending deliveries of a webhook are counted so far."""
BY_OWNER = "disabled by its owner"
NO_SCOPE = f"this key may not: it needs {Scope.WEBHOOKS_WRITE}"
STATE_WIDTH = 21
LABEL_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Sent:
    """What was read of a webhook's log: the newest deliveries, and how many are pending."""

    deliveries: tuple[Delivery, ...] = ()
    pending: int = 0


def reads(who: Who | None) -> bool:
    """Whether the list is theirs to see."""
    return who is not None and who.workspace_id is not None and who.may(Scope.WEBHOOKS_WRITE)


def manages(who: Who | None) -> bool:
    """Whether webhooks are theirs to make and change."""
    if who is None or not who.is_wallet:
        return reads(who)
    return ranks(who, "ADMIN")


def pending_words(count: int) -> str:
    """``3 pending``; as far as they were counted."""
    return f"{PENDING_READ}+ pending" if count >= PENDING_READ else f"{count} pending"


def state_of(webhook: Webhook, now: datetime, zone: tzinfo | None) -> tuple[Span, str]:
    """Glyph and word."""
    if not webhook.enabled:
        own = webhook.disabled_reason == BY_OWNER
        return Span("✕ ", "faint" if own else "bad"), "disabled"
    if webhook.held_until is not None and webhook.held_until > now:
        return Span("▲ ", "warn"), f"held until {_minute(webhook.held_until, now, zone)}"
    if webhook.failing_since is not None:
        return Span("▲ ", "warn"), f"failing since {_minute(webhook.failing_since, now, zone)}"
    if webhook.last_success_at is not None:
        return Span("● ", "ok"), "works"
    return Span("◌ ", "muted"), "nothing sent yet"


def _minute(at: datetime, now: datetime, zone: tzinfo | None) -> str:
    here = at.astimezone(zone)
    return f"{here:%H:%M}" if here.date() == now.astimezone(zone).date() else f"{here.day} {here:%b}"


def _second(at: datetime, now: datetime, zone: tzinfo | None) -> str:
    here = at.astimezone(zone)
    return f"{here:%H:%M:%S}" if here.date() == now.astimezone(zone).date() else f"{here.day} {here:%b}"


def summary(webhooks: Sequence[Webhook] | None, width: int) -> Row:
    """The line that stands for the list while it is closed; what needs a look is said."""
    title = f"Webhooks {len(webhooks)}" if webhooks else "Webhooks"
    dead = sum(not each.enabled and each.disabled_reason != BY_OWNER for each in webhooks or ())
    bad = sum(each.enabled and each.failing_since is not None for each in webhooks or ())
    told: list[Span] = []
    if dead:
        told += [Span("✕ ", "bad"), Span(f"{dead} disabled  ", "text")]
    if bad:
        told += [Span("▲ ", "warn"), Span(f"{bad} failing  ", "text")]
    return _fitting(width, title, row(*told, _keys(("w", "open", "screen.hook('show')"))), focused=False)


def head(who: Who | None, webhooks: Sequence[Webhook] | None, width: int, *, focused: bool) -> Row:
    """The section's line: what may be done, or who may."""
    title = f"Webhooks {len(webhooks)}" if webhooks else "Webhooks"
    if not reads(who):
        return section(width, title, focused=focused)
    if not manages(who):
        return _fitting(width, title, denied(who, "ADMIN", "makes and changes webhooks"), focused=focused)
    keys = [("+", "new", "screen.hook('create')")]
    if webhooks:
        keys += [
            ("t", "test", "screen.hook('test')"),
            ("p", "replay", "screen.hook('replay')"),
            ("s", "secret", "screen.hook('rotate')"),
            ("e", "on/off", "screen.hook('switch')"),
            ("x", "delete", "screen.hook('delete')"),
        ]
    return _fitting(width, title, _keys(*keys), focused=focused)


def items(
    webhooks: Sequence[Webhook] | None,
    sent: Mapping[str, Sent],
    who: Who | None,
    fault: str,
    now: datetime,
    zone: tzinfo | None,
) -> list[Item]:
    """A line for each webhook."""
    if who is not None and not reads(who):
        return [_note(NO_SCOPE)]
    if webhooks is None:
        return [_note(fault or "being read …", bad=bool(fault))]
    if not webhooks:
        words = "no webhooks yet: + has events sent to a URL of yours, signed"
        return [_note(words if manages(who) else "no webhooks yet")]
    return [Item(each.id, partial(_webhook, each, sent.get(each.id), now, zone)) for each in webhooks]


def _webhook(webhook: Webhook, sent: Sent | None, now: datetime, zone: tzinfo | None, width: int) -> Row:
    glyph, word = state_of(webhook, now, zone)
    state = row(glyph, Span(f"{word:<{STATE_WIDTH - 2}}", "muted"))
    count = EMPTY
    if sent is not None:
        role = "text" if sent.pending else "faint"
        count = row(Span(f"{pending_words(sent.pending):>12}", role), "  ")
    newest = sent.deliveries[0] if sent is not None and sent.deliveries else None
    last = row(Span(f"{_second(newest.created_at, now, zone) if newest else fmt.NONE:>8}", "muted"), "  ")
    url = row(Span(webhook.url, "text" if webhook.enabled else "faint"))
    right = row(last, count, state)
    if width - width_of(right) < min(len(webhook.url), 30) + 1:
        right = row(count, state)
    return spread(width, url, right)


def detail(
    webhook: Webhook | None,
    sent: Sent | None,
    now: datetime,
    zone: tzinfo | None,
    width: int,
    *,
    fault: str = "",
    listed: int = 10,
) -> list[Row]:
    """The chosen webhook, and its newest deliveries, at most ``listed``."""
    failed = [cut(row(Span("✕ ", "bad"), fault), width)] if fault else []
    if webhook is None:
        return failed
    fact = EMPTY if sent is None else row(Span(pending_words(sent.pending), "muted"))
    rows = [*failed, *_facts(webhook, now, zone, width), EMPTY]
    rows.append(section(width, "Last deliveries", fact))
    if sent is None:
        return [*rows, row(Span("being read …", "faint"))]
    if not sent.deliveries:
        return [*rows, row(Span("nothing sent yet: t sends a test", "faint"))]
    return [*rows, *(_delivery(each, now, zone, width) for each in sent.deliveries[:listed])]


def _facts(webhook: Webhook, now: datetime, zone: tzinfo | None, width: int) -> list[Row]:
    rows = [*_labelled("url", webhook.url, width)]
    rows += _labelled("events", ", ".join(webhook.events), width)
    if webhook.description:
        rows += _labelled("for", webhook.description, width)
    if not webhook.enabled:
        since = f"since {_second(webhook.disabled_at, now, zone)}: " if webhook.disabled_at else ""
        rows += _labelled("disabled", since + (webhook.disabled_reason or fmt.NONE), width, "bad")
    former = webhook.former_secret_until
    if former is not None and former > now:
        words = f"the old one signs as well until {former.astimezone(zone):%d %b %H:%M}"
        rows += _labelled("secret", words, width)
    return rows


def _labelled(label: str, words: str, width: int, role: str = "text") -> list[Row]:
    """At most two rows."""
    lines = wrap(words, max(8, width - LABEL_WIDTH), max_lines=2, placeholder=" …") or [fmt.NONE]
    labels = [label, *[""] * (len(lines) - 1)]
    return [
        row(Span(f"{name:<{LABEL_WIDTH}}", "muted"), Span(line, role))
        for name, line in zip(labels, lines, strict=True)
    ]


def _delivery(delivery: Delivery, now: datetime, zone: tzinfo | None, width: int) -> Row:
    last = delivery.attempts[-1] if delivery.attempts else None
    glyph = {"SUCCEEDED": Span("✓ ", "ok"), "FAILED": Span("✕ ", "bad")}.get(
        delivery.state, Span("▲ ", "warn") if last else Span("◐ ", "muted")
    )
    kind = delivery.type if delivery.cause != "REPLAY" else f"{delivery.type} again"
    left = row(
        glyph,
        Span(f"{_second(delivery.created_at, now, zone):>8}", "muted"),
        f"  {kind:<20}  ",
    )
    words = outcome(delivery)
    if delivery.state == "PENDING" and last is not None and delivery.next_attempt_at is not None:
        again = f"; again {_second(delivery.next_attempt_at, now, zone)}"
        return first_fit(width, row(left, Span(words + again, "muted")), row(left, Span(words, "muted")))
    return cut(row(left, Span(words, "muted")), width)


def outcome(delivery: Delivery) -> str:
    """``HTTP 200 in 41 ms``"""
    last = delivery.attempts[-1] if delivery.attempts else None
    if last is None:
        return "pending" if delivery.state == "PENDING" else "given up"
    if delivery.state == "SUCCEEDED":
        return f"HTTP {last.status} in {last.duration_milliseconds} ms"
    tries = len(delivery.attempts)
    times = f", {tries} attempts" if tries > 1 else ""
    return f"{last.fault or 'given up'}{times}"
