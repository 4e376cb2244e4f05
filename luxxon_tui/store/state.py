"""The store: everything that the console shows and that did not come from a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from luxxon_tui.format import short_id
from luxxon_tui.store.cells import Cell, Unwatch
from luxxon_tui.store.index import SessionIndex, is_open
from luxxon_tui.views import PHASES, Failure, Offline, Online, Phase, SessionView

__all__ = ["CELLS", "Happening", "Readiness", "Side", "Store", "Who", "is_open"]

if TYPE_CHECKING:
    from luxxon_core.http.schemas import Config
    from luxxon_core.kernel.geo import Point
    from luxxon_core.wallet.schemas import WalletState
    from luxxon_core.workspaces.schemas import Workspace

ACTIVITY = 500
"""Events that are kept for the Activity screen."""


class Side(StrEnum):
    """Which half of the market the console is for now."""

    REQUEST = "Request"
    OPERATE = "Operate"

    @property
    def other(self) -> Side:
        return Side.OPERATE if self is Side.REQUEST else Side.REQUEST

    @property
    def party(self) -> str:
        """The side of a session that this half is, as the wire names it."""
        return "consumer" if self is Side.REQUEST else "operator"


class Readiness(StrEnum):
    """How far the first reading has come."""

    IDLE = "IDLE"
    """There is no server to ask."""
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"
    """The server refused and will go on refusing; ``failure`` says what can be done."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who the console acts as."""

    workspace_id: str | None = None
    workspace_name: str | None = None
    workspace_slug: str | None = None
    role: str | None = None
    """VIEWER, ADMIN or OWNER of a signed-in wallet; None of an API key."""
    scopes: tuple[str, ...] = ()
    """Of an API key."""
    wallet: str | None = None
    """The address that has signed in."""
    memberships: tuple[tuple[str, str, str], ...] = ()
    """Workspaces of the signed-in wallet: id, name and role."""

    @property
    def is_wallet(self) -> bool:
        """Whether a wallet has signed in, rather than an API key being shown."""
        return self.wallet is not None

    def may(self, scope: str) -> bool:
        """Whether calls of a scope are worth making; a wallet has a role, which the server looks at."""
        return self.is_wallet or scope in self.scopes


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the stream, for the log of what happened."""

    at: datetime
    name: str
    """As on the wire: ``session.state``."""
    session_id: str | None
    words: str


class Store:
    """Cells. Screens read ``.value`` and watch; only the follower and the screens' own choices set them.

    Attributes:
        readiness: how far the first reading has come.
        progress: what is being waited for, in words, while LOADING.
        failure: why it FAILED.
        link: the connection: online with its latency, or offline since when and until the next attempt.
        as_of: when the figures were read, by the console's clock.
        who: who is asking.
        config: chain, contracts, environment.
        workspace: the acting workspace in full; None where the key may not read it.
        wallet: the pool as last seen on the chain; None where the key may not read it.
        sessions: by id, both sides.
        complete: whether there are no older sessions on the server than those in ``sessions``.
        missing: sessions that were asked for and not found, by id.
        activity: the last events, newest last.
        places: names of the points of sessions, as far as they have been found; empty where there is no town.
        names: of workspaces of others, by id, as far as the console knows any.
        server_log: the last lines of an embedded server's log, and of its camera's, as they are: JSON.
        side: Request or Operate.
        watched: the session that the Live screen shows, if one was chosen.
    """

    def __init__(self, *, side: Side = Side.REQUEST) -> None:
        self.readiness: Cell[Readiness] = Cell(Readiness.IDLE)
        self.progress: Cell[str] = Cell("")
        self.failure: Cell[Failure | None] = Cell(None)
        self.link: Cell[Online | Offline] = Cell(Online())
        self.as_of: Cell[datetime | None] = Cell(None)
        self.who: Cell[Who | None] = Cell(None)
        self.config: Cell[Config | None] = Cell(None)
        self.workspace: Cell[Workspace | None] = Cell(None)
        self.wallet: Cell[WalletState | None] = Cell(None)
        self.sessions: Cell[Mapping[str, SessionView]] = Cell({})
        self.complete: Cell[bool] = Cell(False)
        self.missing: Cell[Mapping[str, Failure]] = Cell({})
        self.activity: Cell[tuple[Happening, ...]] = Cell(())
        self.places: Cell[Mapping[Point, str]] = Cell({})
        self.names: Cell[Mapping[str, str]] = Cell({})
        self.server_log: Cell[tuple[str, ...]] = Cell(())
        self.side: Cell[Side] = Cell(side)
        self.watched: Cell[str | None] = Cell(None)
        self._index = SessionIndex()

    def cell(self, name: str) -> Cell[Any]:
        """The cell of a name.

        Raises:
            AttributeError: there is none.
        """
        found = getattr(self, name)
        if not isinstance(found, Cell):
            raise AttributeError(name)
        return found

    def watch(self, names: Iterable[str], told: Callable[[], None]) -> Unwatch:
        """Watch several cells at once."""
        ends = [self.cell(name).watch(told) for name in names]

        def unwatch() -> None:
            for end in ends:
                end()

        return unwatch

    def forget(self) -> None:
        """Know nothing of a server any more, before another one is followed. The side stays."""
        fresh = Store(side=self.side.value)
        for name in CELLS:
            self.cell(name).set(fresh.cell(name).value)

    def called(self, workspace_id: str) -> str:
        """What a workspace is called: its name where that is known, else the first digits of its id."""
        who = self.who.value
        mine = {each: name for each, name, _ in who.memberships} if who else {}
        return mine.get(workspace_id) or self.names.value.get(workspace_id) or short_id(workspace_id)

    # -- sessions

    def put(self, *views: SessionView) -> None:
        """Take sessions in the place of those with their ids."""
        known, index = self.sessions.value, self.index
        others = {view.id: view for view in views if known.get(view.id) != view}
        if others:
            sessions = {**known, **others}
            index.changed(sessions, others.values())
            self.sessions.change(sessions)

    @property
    def index(self) -> SessionIndex:
        """Of the sessions, as they are now."""
        if self._index.of is not self.sessions.value:
            self._index.replaced(self.sessions.value)
        return self._index

    @property
    def open(self) -> list[SessionView]:
        """Sessions that are not over, LIVE ones first, then the newest."""
        found = self.index.open.values()
        return sorted(found, key=lambda view: (PHASES.get(view.state) is Phase.LIVE, view.created_at))[::-1]

    @property
    def live(self) -> list[SessionView]:
        """Sessions in which video runs, or should."""
        return [view for view in self.open if PHASES.get(view.state) is Phase.LIVE]

    @property
    def shown(self) -> str | None:
        """The session for the Live screen: the chosen one, else the newest that is open on this side."""
        if self.watched.value is not None:
            return self.watched.value
        found = sorted(self.open, key=lambda view: view.side == self.side.value.party, reverse=True)
        return found[0].id if found else None

    def note(self, happening: Happening) -> None:
        """Add to the activity."""
        self.activity.set((*self.activity.value[-(ACTIVITY - 1) :], happening))

    def log(self, line: str) -> None:
        """Keep a line of an embedded server's log."""
        self.server_log.set((*self.server_log.value[-(ACTIVITY - 1) :], line))

    @property
    def pool_micro(self) -> int | None:
        """µUSDC in the pool."""
        wallet = self.wallet.value
        return None if wallet is None else int(wallet.tracked_balance)

    @property
    def held_micro(self) -> int:
        """µUSDC of the pool that open sessions may still take."""
        return sum(view.hold_micro for view in self.open if view.side == "consumer")

    @property
    def offline(self) -> Offline | None:
        link = self.link.value
        return link if isinstance(link, Offline) else None


CELLS = tuple(name for name, cell in vars(Store()).items() if isinstance(cell, Cell) and name != "side")
"""What :meth:`Store.forget` empties."""
