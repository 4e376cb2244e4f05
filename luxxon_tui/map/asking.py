"""What the map sends: a request and the search for its operator, its cancelling, and the own circle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import InvalidState, LuxxonError, QuoteExpired, Unavailable
from luxxon_core.kernel.geo import Circle
from luxxon_tui.map.request import Notice, QuoteView, RequestView, refused
from luxxon_tui.store import Store
from luxxon_tui.store.apply import session_view
from luxxon_tui.views import PHASES, Phase

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.sessions.schemas import Session

DISPATCH_SECONDS = 10.0
"""Between two attempts to find an operator for a request that waits."""


class Asking:
    """Calls that change something, and what came of them.

    Attributes:
        sending: whether one is on its way; a second one waits until it is answered.
        notice: why the last one was refused, with what can be done.

    Args:
        told: called after each change.
    """

    def __init__(self, store: Store, told: Callable[[], None]) -> None:
        self._store, self._told = store, told
        self.sending = False
        self.notice: Notice | None = None

    def clear(self) -> None:
        self.notice = None

    @property
    def acting(self) -> str | None:
        """The workspace to name in calls: a wallet may have several, a key has one."""
        who = self._store.who.value
        return who.workspace_id if who is not None and who.is_wallet else None

    async def request(self, api: Luxxon, view: RequestView, quote: QuoteView) -> tuple[str | None, bool]:
        """Ask for a place at a price: the session's id, None where it was refused, and whether the price
        had expired. What was agreed to is what is asked for."""
        point, seconds = view.point, view.max_seconds
        assert point is not None and seconds is not None, "nobody agrees to a request without a place"
        self.sending, self.notice = True, None
        self._told()
        try:
            session = await api.sessions.create(
                lat=point.lat,
                lng=point.lng,
                max_duration_seconds=seconds,
                wait_timeout_seconds=view.wait_seconds,
                quote_id=quote.id,
                workspace_id=self.acting,
            )
        except LuxxonError as error:
            self.notice = refused(error)
            return None, isinstance(error, QuoteExpired)
        finally:
            self.sending = False
            self._told()
        self._put(session)
        return str(session.id), False

    async def dispatch(self, api: Luxxon, session_id: str) -> bool:
        """Find an operator, now or as long as the request waits: whether it is worth watching then."""
        while self._state(session_id) in (None, "REQUESTED"):
            try:
                self._put(await api.sessions.dispatch(session_id))
                break
            except InvalidState:
                break  # somebody has accepted it, or it is over: the event stream tells which
            except LuxxonError as error:
                self.notice = refused(error)
                self._told()
                if not isinstance(error, Unavailable):
                    return False
            await asyncio.sleep(DISPATCH_SECONDS)
        over = PHASES.get(self._state(session_id) or "") is Phase.OVER
        if not over:
            self.notice = None
        self._told()
        return not over

    async def cancel(self, api: Luxxon, session_id: str) -> None:
        """Cancel a request.

        Raises:
            LuxxonError: the server refused.
        """
        self._put(await api.sessions.cancel(session_id))
        self.notice = None
        self._told()

    async def save(self, api: Luxxon, workspace_id: str, circle: Circle) -> None:
        """Cover a circle.

        Raises:
            LuxxonError: the server refused.
        """
        self.sending = True
        self._told()
        try:
            saved = await api.workspaces.update(
                workspace_id,
                coverage_lat=circle.center.lat,
                coverage_lng=circle.center.lng,
                coverage_radius_meters=circle.radius_m,
            )
            self._store.workspace.set(saved)
        finally:
            self.sending = False
            self._told()

    def _put(self, session: Session) -> None:
        """Show a session at once; the event stream goes on from there."""
        who = self._store.who.value
        before = self._store.sessions.value.get(str(session.id))
        self._store.put(session_view(session, who.workspace_id if who else None, before))

    def _state(self, session_id: str) -> str | None:
        known = self._store.sessions.value.get(session_id)
        return known.state if known else None
