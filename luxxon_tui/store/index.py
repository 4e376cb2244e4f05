"""What of the sessions is asked for again and again, kept up with each that changes: there may be thousands,
and an event is about one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from luxxon_tui.views import PHASES, Phase, SessionView

JOURNAL = 4096
"""Changes that are kept for those who follow them."""


def is_open(view: SessionView) -> bool:
    """Whether a session is not over."""
    return PHASES.get(view.state) in (Phase.WAITING, Phase.LIVE)


def is_unpaid(view: SessionView) -> bool:
    """Whether a session is over and cost something that is not paid yet."""
    return PHASES.get(view.state) is Phase.OVER and view.charged_micro > 0 and not view.settled


class SessionIndex:
    """The open sessions, those that are still to be paid, and which sessions have changed.

    Attributes:
        of: the sessions that it is the index of.
        open: those that are not over, by id.
        unpaid: those that are over and cost something that is not paid yet, by id.
        revision: how many changes there have been.
    """

    def __init__(self) -> None:
        self.of: Mapping[str, SessionView] = {}
        self.open: dict[str, SessionView] = {}
        self.unpaid: dict[str, SessionView] = {}
        self.revision = 0
        self._changed: deque[str] = deque(maxlen=JOURNAL)

    def changed(self, sessions: Mapping[str, SessionView], views: Iterable[SessionView]) -> None:
        """Sessions have taken the place of those with their ids."""
        self.of = sessions
        for view in views:
            self._take(view)
            self._changed.append(view.id)
            self.revision += 1

    def replaced(self, sessions: Mapping[str, SessionView]) -> None:
        """All sessions are others."""
        self.of = sessions
        self.open.clear()
        self.unpaid.clear()
        self._changed.clear()
        self.revision += 1
        for view in sessions.values():
            self._take(view)

    def since(self, revision: int) -> list[str] | None:
        """Ids of the sessions that have changed since, the earliest first; None where it may be any, or some
        may be gone."""
        many = self.revision - revision
        if not 0 <= many <= len(self._changed):
            return None
        return list(dict.fromkeys(self._changed[-back] for back in range(many, 0, -1)))

    def _take(self, view: SessionView) -> None:
        _sort(self.open, view, belongs=is_open(view))
        _sort(self.unpaid, view, belongs=is_unpaid(view))


def _sort(into: dict[str, SessionView], view: SessionView, *, belongs: bool) -> None:
    if belongs:
        into[view.id] = view
    else:
        into.pop(view.id, None)
