"""Sessions sorted for a list, and counted, kept up with each that changes rather than gone through anew."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, tzinfo
from typing import NamedTuple, TypeAlias

from luxxon_core.kernel.geo import Point
from luxxon_tui.screens import session_figures as figures
from luxxon_tui.screens.session_figures import Day, DaySums, Filter, Listing, Order
from luxxon_tui.store.index import SessionIndex, is_open
from luxxon_tui.views import PHASES, Phase, SessionView

Key: TypeAlias = tuple[float, float, int, str]
"""What a session is sorted by: its figure, the newest first, then as they came; and its id."""
Group: TypeAlias = tuple[int, int]
"""What stands together: what has no heading first, then the days."""

TOGETHER: Group = (0, 0)


class Found(NamedTuple):
    """A line of a list: a session, or the heading of a day."""

    view: SessionView | None
    day: date | None


class Shelf:
    """Those of the sessions that are wanted, in an order. Places count the headings."""

    def __init__(self, roll: Roll, wanted: Filter, order: Order, search: str) -> None:
        self._roll, self._wanted, self._order, self._search = roll, wanted, order, search
        self._groups: dict[Group, list[Key]] = {}
        for view in roll.views.values():
            if self._has(view):
                self._groups.setdefault(self._group(view), []).append(self._key(view))
        for keys in self._groups.values():
            keys.sort()
        self._order_of_groups = sorted(self._groups)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values())) + sum(map(_headed, self._groups))

    def __getitem__(self, place: int) -> Found:
        for group in self._order_of_groups:
            keys, headed = self._groups[group], _headed(group)
            if place < len(keys) + headed:
                if place < headed:
                    return Found(None, date.fromordinal(-group[1]))
                return Found(self._roll.views[keys[place - headed][-1]], None)
            place -= len(keys) + headed
        raise IndexError(place)

    def place(self, session_id: str) -> int | None:
        """Where a session stands."""
        view = self._roll.views.get(session_id)
        if view is None or not self._has(view):
            return None
        group = self._group(view)
        before = self._order_of_groups[: bisect_left(self._order_of_groups, group)]
        above = sum(len(self._groups[each]) + _headed(each) for each in before)
        return above + _headed(group) + bisect_left(self._groups[group], self._key(view))

    def nth(self, number: int) -> int:
        """The place of a session by its number among the sessions."""
        place = number
        for group in self._order_of_groups:
            place += _headed(group)
            if number < len(self._groups[group]):
                break
            number -= len(self._groups[group])
        return place

    def number(self, place: int) -> int:
        """How many sessions stand above a place."""
        above = number = 0
        for group in self._order_of_groups:
            keys, headed = len(self._groups[group]), _headed(group)
            if place < above + headed + keys:
                return number + max(0, place - above - headed)
            above, number = above + headed + keys, number + keys
        return number

    @property
    def many(self) -> int:
        """How many sessions there are."""
        return sum(map(len, self._groups.values()))

    def leave(self, view: SessionView) -> None:
        """A session is none of the roll any more, or about to be another."""
        if self._has(view):
            group = self._group(view)
            keys = self._groups[group]
            del keys[bisect_left(keys, self._key(view))]
            if not keys:
                del self._groups[group]
                self._order_of_groups.remove(group)

    def enter(self, view: SessionView) -> None:
        """A session has come to be on the roll."""
        if self._has(view):
            group = self._group(view)
            if group not in self._groups:
                self._groups[group] = []
                insort(self._order_of_groups, group)
            insort(self._groups[group], self._key(view))

    def _has(self, view: SessionView) -> bool:
        if not figures.passes(view, self._wanted):
            return False
        return not self._search or figures.searched(view, self._search, self._roll.places)

    def _group(self, view: SessionView) -> Group:
        if self._order is not Order.NEWEST or is_open(view):
            return TOGETHER
        return 1, -view.created_at.astimezone(self._roll.zone).toordinal()

    def _key(self, view: SessionView) -> Key:
        match self._order:
            case Order.NEWEST:
                figure = float(-2 * (PHASES.get(view.state) is Phase.LIVE) - is_open(view))
            case Order.AMOUNT:
                figure = float(-abs(figures.amount_micro(view) or 0))
            case Order.LENGTH:
                figure = float(-view.elapsed_ms)
            case Order.CLEAN:
                clean = figures.clean_share(view)
                figure = 2.0 if clean is None else clean
        return figure, -view.created_at.timestamp(), self._roll.numbers[view.id], view.id


def _headed(group: Group) -> int:
    return group[0]


class Roll:
    """All sessions, as lists need them.

    Attributes:
        views: by id.
        numbers: in which order they came, by id.
        places: names by point; a search looks at them.
    """

    def __init__(self, zone: tzinfo | None, sessions: Iterable[SessionView] = ()) -> None:
        self.zone = zone
        self.places: Mapping[Point, str] = {}
        self._revision = -1
        self._begin(sessions)

    def _begin(self, sessions: Iterable[SessionView]) -> None:
        self.views: dict[str, SessionView] = {}
        self.numbers: dict[str, int] = {}
        self.counts = dict.fromkeys(Filter, 0)
        self._days: dict[date, DaySums] = {}
        self._shelves: dict[tuple[Filter, Order], Shelf] = {}
        self._sought: tuple[tuple[Filter, Order, str], Shelf] | None = None
        for view in sessions:
            self.take(view)

    def __len__(self) -> int:
        return len(self.views)

    def follow(self, index: SessionIndex) -> None:
        """Take what has changed in a store."""
        changed = index.since(self._revision)
        if changed is None:
            self._begin(index.of.values())
        else:
            for session_id in changed:
                self.take(index.of[session_id])
        self._revision = index.revision

    def take(self, view: SessionView) -> None:
        """Take a session, in the place of the one with its id."""
        before = self.views.get(view.id)
        shelves = [*self._shelves.values(), *([self._sought[1]] if self._sought else ())]
        if before is not None:
            for shelf in shelves:
                shelf.leave(before)
            self._count(before, -1)
        self.numbers.setdefault(view.id, len(self.numbers))
        self.views[view.id] = view
        for shelf in shelves:
            shelf.enter(view)
        self._count(view, 1)

    def name(self, places: Mapping[Point, str]) -> None:
        """Take names of places."""
        if places is not self.places:
            self.places, self._sought = places, None

    def shelf(self, wanted: Filter, order: Order, search: str = "") -> Shelf:
        """The sessions that pass a filter and a search, in an order."""
        if not search:
            if (wanted, order) not in self._shelves:
                self._shelves[wanted, order] = Shelf(self, wanted, order, "")
            return self._shelves[wanted, order]
        sought = wanted, order, search
        if self._sought is None or self._sought[0] != sought:
            self._sought = sought, Shelf(self, *sought)
        return self._sought[1]

    def today(self, now: datetime) -> Day:
        """What sessions of today cost and brought."""
        day = now.astimezone(self.zone).date()
        if max(self._days, default=day) > day:  # by a clock that is behind the server's
            return figures.today(self.views.values(), now, self.zone)
        sums = self._days.get(day)
        return sums.day(now) if sums else Day()

    def _count(self, view: SessionView, by: int) -> None:
        counts = self.counts
        counts[figures.kind_of(view)] += by
        counts[Filter.ALL] += by
        counts[Filter.TROUBLE] += by * figures.in_trouble(view)
        if view.started_at is None:
            return
        day = view.started_at.astimezone(self.zone).date()
        if day not in self._days:
            self._days[day] = DaySums(day, self.zone)
        if by > 0:
            self._days[day].add(view)
        else:
            self._days[day].remove(view)


def roll_of(listing: Listing) -> Roll:
    """The roll of a listing's sessions."""
    sessions: Roll | Collection[SessionView] = listing.sessions
    roll = sessions if isinstance(sessions, Roll) else Roll(listing.zone, sessions)
    roll.name(listing.places)
    return roll
