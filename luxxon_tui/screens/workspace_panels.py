"""The workspace's panels as rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING

from luxxon_core.kernel.money import short_usdc
from luxxon_tui import format as fmt
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, section, spread, width_of
from luxxon_tui.store import Who
from luxxon_tui.widgets.row_list import Item

if TYPE_CHECKING:
    from luxxon_core.access.schemas import ApiKey, Budget, Member
    from luxxon_core.workspaces.schemas import Workspace

ROLES = (
    ("VIEWER", "sees everything, changes nothing"),
    ("ADMIN", "asks, films, mints and revokes keys"),
    ("OWNER", "all that, and says who is a member"),
)
RANK = {"VIEWER": 1, "ADMIN": 2, "OWNER": 3}
GRACE = 60
"""Seconds for which a revoked key still works, as the server grants them."""
WALLET_ONLY = "a wallet's to see: this is an API key"


@dataclass(frozen=True, slots=True)
class Device:
    """A camera of this machine.

    Attributes:
        kind: the plugin, and its value: ``rtsp-ptz``.
        workspace: slug of the workspace that it acts for.
        state: ONLINE, OFFLINE …; None where this wallet or key cannot see it.
    """

    name: str
    kind: str
    workspace: str
    state: str | None = None


def ranks(who: Who | None, role: str) -> bool:
    """Whether a signed-in wallet has at least a role."""
    return who is not None and who.is_wallet and RANK.get(who.role or "", 0) >= RANK[role]


def renames(who: Who | None) -> bool:
    """Whether the workspace's name is theirs to change."""
    return ranks(who, "ADMIN") or (who is not None and not who.is_wallet and who.may("sessions:operate"))


def _keys(*keys: tuple[str, str, str]) -> Row:
    spans: list[Span] = []
    for key, label, action in keys:
        spans += [Span("  " if spans else ""), Span(key, "text", action=action)]
        spans.append(Span(f" {label}", "muted", action=action))
    return tuple(span for span in spans if span.text)


def denied(who: Who | None, least: str, what: str) -> Row:
    """Who may do what this one may not."""
    is_key = who is not None and not who.is_wallet
    whom = "a wallet" if is_key else {"ADMIN": "an ADMIN", "OWNER": "an OWNER"}[least]
    return row(Span(f"{whom} {what}", "faint"))


def facts(workspace: Workspace | None, who: Who | None, width: int) -> list[Row]:
    """Name, what it is for, and who is looking."""
    key = _keys(("n", "rename", "screen.rename")) if renames(who) else denied(who, "ADMIN", "renames it")
    name = workspace.name if workspace else (who.workspace_name if who else None) or fmt.NONE
    slug = workspace.slug if workspace else (who.workspace_slug if who else None) or fmt.NONE
    identity = (who.workspace_id if who else None) or fmt.NONE
    pairs: list[tuple[str, Row]] = [
        ("name", row(Span(name, "bright", bold=True))),
        ("slug", row(slug)),
        ("id", row(identity if width >= 46 else fmt.short_id(identity))),
        ("market", row(", ".join(workspace.roles).lower() if workspace else fmt.NONE)),
        ("pool of", row(fmt.short_hash(workspace.wallet_address) if workspace else fmt.NONE)),
        ("you", _you(who)),
    ]
    rows = [section(width, "Workspace", key)]
    if width < TWO_COLUMNS:
        return rows + [_pair(label, value, width) for label, value in pairs]
    half = (width - 3) // 2
    for left, right in zip(pairs[::2], pairs[1::2], strict=True):
        one = _pair(*left, half)
        rows.append(row(one, " " * (half - width_of(one) + 3), _pair(*right, width - half - 3)))
    return rows


TWO_COLUMNS = 70


def _pair(label: str, value: Row, width: int) -> Row:
    return cut(row(Span(f"{label:<9}", "muted"), value), width)


def _you(who: Who | None) -> Row:
    if who is None:
        return row(Span(fmt.NONE, "faint"))
    if who.is_wallet:
        return row(who.role or fmt.NONE, Span(f"  {fmt.short_hash(who.wallet or '')}", "muted"))
    return row("API key", Span(f"  {', '.join(who.scopes)}", "muted"))


# -- members


def members_head(who: Who | None, members: Sequence[Member] | None, width: int, *, focused: bool) -> Row:
    """The section's line: what may be done, or who may."""
    title = f"Members {len(members)}" if members else "Members"
    keys = _keys(("a", "add", "screen.add"), ("o", "role", "screen.role"), ("x", "remove", "screen.remove"))
    fact = keys if ranks(who, "OWNER") else denied(who, "OWNER", "adds and removes members")
    return _fitting(width, title, fact, focused=focused)


def _fitting(width: int, title: str, fact: Row, *, focused: bool) -> Row:
    return section(width, title, first_fit(width - len(title) - 2, fact, EMPTY), focused=focused)


def members_items(
    members: Sequence[Member] | None, who: Who | None, fault: str, zone: tzinfo | None
) -> list[Item]:
    """A line for each member."""
    if who is not None and not who.is_wallet:
        return [_note(WALLET_ONLY)]
    if members is None:
        return [_note(fault or "being read …", bad=bool(fault))]
    return [Item(each.wallet_address, partial(_member, each, who, zone)) for each in members]


def _note(words: str, *, bad: bool = False) -> Item:
    return Item(None, lambda width: cut(row(Span(words, "bad" if bad else "faint")), width))


def _member(member: Member, who: Who | None, zone: tzinfo | None, width: int) -> Row:
    mine = who is not None and (who.wallet or "").lower() == member.wallet_address.lower()
    since = row(Span(_day(member.created_at, zone), "muted"))
    role = Span(f"{member.role:<8}", "text" if member.role == "OWNER" else "muted")
    you = Span("  you", "muted") if mine else Span("")
    full = row(role, member.wallet_address, you)
    left = first_fit(width - width_of(since) - 1, full, row(role, fmt.short_hash(member.wallet_address), you))
    return spread(width, left, since)


def _day(at: datetime | None, zone: tzinfo | None) -> str:
    here = at.astimezone(zone) if at else None
    return f"{here.day} {here:%b %Y}" if here else "never"


# -- keys


def keys_head(who: Who | None, keys: Sequence[ApiKey] | None, width: int, *, focused: bool) -> Row:
    live = sum(key.revoked_at is None for key in keys or ())
    title = f"API keys {live}" if keys else "API keys"
    keys_ = _keys(("m", "mint", "screen.mint"), ("x", "revoke", "screen.remove"))
    fact = keys_ if ranks(who, "ADMIN") else denied(who, "ADMIN", "mints and revokes keys")
    return _fitting(width, title, fact, focused=focused)


def keys_items(
    keys: Sequence[ApiKey] | None, who: Who | None, fault: str, now: datetime, zone: tzinfo | None
) -> list[Item]:
    """A line for each key, those that work first."""
    if who is not None and not who.is_wallet:
        return [_note(WALLET_ONLY)]
    if keys is None:
        return [_note(fault or "being read …", bad=bool(fault))]
    if not keys:
        return [_note("no keys yet: programs need one to ask or to film")]
    ordered = sorted(keys, key=lambda key: key.created_at, reverse=True)
    ordered.sort(key=lambda key: 0 if key.revoked_at is None else 1 if grace(key, now) else 2)
    return [Item(key.id, partial(_api_key, key, now, zone)) for key in ordered]


def grace(key: ApiKey, now: datetime) -> float:
    """Seconds for which a revoked key still works."""
    end = key.grace_period_end
    if end is None or key.revoked_at is None:
        return 0.0
    return max(0.0, end.timestamp() - now.timestamp())


def just_ended(key: ApiKey, now: datetime) -> bool:
    """Drawn once more after its last second."""
    end = key.grace_period_end
    return end is not None and 0 <= (now - end).total_seconds() < 2


def _api_key(key: ApiKey, now: datetime, zone: tzinfo | None, width: int) -> Row:
    left_over = grace(key, now)
    if key.revoked_at is None:
        state, dead = row(Span("● ", "ok"), Span("works", "muted")), False
    elif left_over:
        ends = fmt.moment(left_over + 0.999)
        state, dead = row(Span("▲ ", "warn"), "works for ", Span(ends, "bright", bold=True)), False
    else:
        state, dead = row(Span("✕ ", "faint"), Span(f"revoked {_day(key.revoked_at, zone)}", "faint")), True
    used = _used(key.last_used_at, now, zone)
    scopes = " ".join(scope.replace("sessions:", "").replace(":read", "") for scope in key.scopes)
    label = cut(row(Span(key.label, "faint" if dead else "text")), 18)
    name = row(label, " " * (20 - width_of(label)), Span(f"{key.prefix}…", "faint" if dead else "muted"))
    room = width - width_of(state) - 2
    if dead:
        return spread(width, cut(name, room), state)
    today = _today(key)
    scoped = row(name, today, Span(f"  {scopes}", "muted"))
    full = row(scoped, Span(f"  {used}", "faint"))
    bare = (row(name, today), row(label, " " * (18 - width_of(label)), today)) if today else (name,)
    return spread(width, first_fit(room, full, scoped, *bare), state)


def _today(key: ApiKey) -> Row:
    """``0.25 of 5 today``: what it has spent of its day; nothing of a key without a budget."""
    budget = key.limits
    if budget is None:
        return EMPTY
    spent = short_usdc(int(budget.spent_today_micro_usdc))
    if budget.daily_cap_micro_usdc is None:
        return row(Span(f"  {spent}", "text"), Span(" today", "muted"))
    cap = short_usdc(int(budget.daily_cap_micro_usdc))
    role = "text" if int(budget.left_today_micro_usdc or "0") else "warn"
    return row(Span(f"  {spent}", role), Span(f" of {cap} today", "muted"))


def budget_rows(key: ApiKey | None, zone: tzinfo | None, width: int, *, brief: bool = False) -> list[Row]:
    """What the chosen key may spend, and where; nothing of a key without a budget. ``brief``: in one line."""
    budget = None if key is None else key.limits
    if budget is None:
        return []
    caps = [_pieces(budget, zone), _pieces(budget, zone, short=True)]
    places = [each.name or str(each) for each in budget.areas]
    where = row(Span("places  ", "muted"), ", ".join(places) if places else Span("anywhere", "muted"))
    if brief:
        return [cut(row(caps[1], Span("  ", "muted"), where), width), EMPTY]
    return [first_fit(width, *caps), cut(where, width), EMPTY]


def _pieces(budget: Budget, zone: tzinfo | None, *, short: bool = False) -> Row:
    daily, left, one = (
        None if each is None else short_usdc(int(each))
        for each in (
            budget.daily_cap_micro_usdc,
            budget.left_today_micro_usdc,
            budget.session_cap_micro_usdc,
        )
    )
    spans: list[Span] = [Span("budget  ", "muted")]
    if daily is None:
        spans += [Span("no cap a day", "muted")]
    else:
        role = "warn" if left == "0" else "text"
        spans += [Span(left or "0", role), Span(f" of {daily} USDC left", "muted")]
        if not short:
            spans += [Span(f" until {budget.resets_at.astimezone(zone):%H:%M}", "muted")]
    spans += [
        Span(", ", "muted"),
        Span(one or "no cap", "text" if one else "muted"),
        Span(" a session", "muted"),
    ]
    return tuple(spans)


def _used(at: datetime | None, now: datetime, zone: tzinfo | None) -> str:
    if at is None:
        return "not used yet"
    here = at.astimezone(zone)
    return (
        f"used {here:%H:%M}" if here.date() == now.astimezone(zone).date() else f"used {here.day} {here:%b}"
    )


# -- devices


def devices_head(devices: Sequence[Device] | None, width: int, *, focused: bool) -> Row:
    title = f"Devices {len(devices)}" if devices else "Devices"
    return _fitting(width, title, row(Span("cameras of luxxon.toml", "muted")), focused=focused)


def devices_items(devices: Sequence[Device] | None, fault: str) -> list[Item]:
    """A line for each camera."""
    if fault:
        return [_note(fault, bad=True)]
    if devices is None:
        return [_note("being read …")]
    if not devices:
        return [_note("no cameras in the luxxon.toml of this folder")]
    return [Item(each.name, partial(_device, each)) for each in devices]


STATES = {"ONLINE": ("●", "ok"), "OFFLINE": ("○", "faint"), "BUSY": ("◐", "accent")}


def _device(device: Device, width: int) -> Row:
    if device.state is None:
        state = row(Span("◌ ", "muted"), Span("not this wallet's", "muted"))
    else:
        glyph, role = STATES.get(device.state, ("●", "text"))
        state = row(Span(f"{glyph} ", role), device.state)
    name = row(f"{device.name[:14]:<16}", Span(f"{device.kind[:12]:<14}", "muted"))
    room = width - width_of(state) - 2
    return spread(width, first_fit(room, row(name, Span(device.workspace, "muted")), name), state)
