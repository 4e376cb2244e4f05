"""What is known of LIVE sessions whose pictures are asked for, so that a poll costs no query."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.sessions.domain import Sight, State

KNOWN_FOR = timedelta(seconds=5)
"""The age of the oldest picture that is given out (api-contract §15.4)."""
MOST_KNOWN = 10_000


class KnownSights:
    """Sights of LIVE sessions as last read.

    Who may look does not change while a session is LIVE, and when it is over its live input is torn down:
    what is known too long shows nothing more than its edge does.
    """

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._sights: OrderedDict[UUID, tuple[Sight, datetime]] = OrderedDict()
        self._forgotten = 0

    @property
    def forgotten(self) -> int:
        """How often anything was forgotten."""
        return self._forgotten

    def get(self, session_id: UUID, now: datetime) -> Sight | None:
        """The sight, if it was read within the last :data:`KNOWN_FOR`."""
        found = self._sights.get(session_id)
        if found is None or not found[1] <= now < found[1] + KNOWN_FOR:
            return None
        return found[0]

    def put(self, session_id: UUID, sight: Sight, now: datetime, forgotten: int) -> None:
        """Keep one that is LIVE, unless something was forgotten since the reading began, when so much had
        been ``forgotten``: it may be of the time before."""
        if sight.state is not State.LIVE or forgotten != self._forgotten:
            return
        self._sights[session_id] = sight, now
        self._sights.move_to_end(session_id)
        while len(self._sights) > self._most:
            self._sights.popitem(last=False)

    def forget(self, session_id: UUID) -> None:
        """The session is over."""
        self._forgotten += 1
        self._sights.pop(session_id, None)
