"""What the Map screen knows beside the store: the market, the chosen place, its price and the own circle.

It has no widgets: the screen hands it what the user does, and draws the views that it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Circle, Point
from luxxon_tui.map import operate, request
from luxxon_tui.map.asking import Asking
from luxxon_tui.map.market import Market, Near, circle, read_asked, read_market
from luxxon_tui.map.names import Names
from luxxon_tui.map.operate import Asked, OperateView
from luxxon_tui.map.price import Price
from luxxon_tui.map.request import Notice, RequestView
from luxxon_tui.map.scene import MapScene
from luxxon_tui.map.scenery import marks, own_sessions
from luxxon_tui.store import Side, Store

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon

DEFAULT_RADIUS_M = 1_000.0


class Desk:
    """The state of both sides of the map.

    Args:
        told: called after each change that comes by itself.
    """

    def __init__(self, store: Store, clock: Clock, told: Callable[[], None]) -> None:
        self._store, self._clock = store, clock
        self.market = Market()
        self.names = Names()
        self.price = Price(clock, told)
        self.asking = Asking(store, told)
        self.loaded = False
        """Whether the market has been read."""
        self.refusal: Notice | None = None
        """Why it was not."""
        self.point: Point | None = None
        """Where a request would look."""
        self.seconds: dict[str, int | None] = dict.fromkeys(request.LIMITS, request.DEFAULT_SECONDS)
        self.circle: Circle | None = None
        """What would be covered, if it were saved."""
        self.asked: tuple[Asked, ...] = ()
        self.shown = {"coverage": True, "demand": True}
        self._near: tuple[Market, Point | None, Near] | None = None
        self._inside: tuple[Market, Circle | None, tuple[int, int]] | None = None

    @property
    def operating(self) -> bool:
        return self._store.side.value is Side.OPERATE

    @property
    def place(self) -> Point | None:
        """What is chosen on this side."""
        if self.operating:
            return self.circle.center if self.circle else None
        return self.point

    @property
    def saved(self) -> Circle | None:
        """The circle that the marketplace knows."""
        own = self._store.workspace.value
        return circle(own.coverage_lat, own.coverage_lng, own.coverage_radius_meters) if own else None

    @property
    def waiting(self) -> list[str]:
        """Own requests without an operator, the newest first."""
        return [view.id for view in own_sessions(self._store) if view.state == "REQUESTED"]

    @property
    def near(self) -> Near:
        """Cameras by their distance from what is chosen."""
        place = self.place
        if self._near is None or self._near[0] is not self.market or self._near[1] != place:
            self._near = (self.market, place, self.market.near(place) if place else Near())
        return self._near[2]

    @property
    def inside(self) -> tuple[int, int]:
        """How many cameras of others stand in the own circle, and how often people asked there."""
        known = self._inside
        if known is None or known[0] is not self.market or known[1] != self.circle:
            known = self._inside = (self.market, self.circle, self.market.inside(self.circle))
        return known[2]

    # -- what happens

    async def read(self, api: Luxxon) -> None:
        """Read the market, and on the operating side what is asked; ``refusal`` says why it could not be."""
        who, own = self._store.who.value, self._store.workspace.value
        supplies = own is None or "SUPPLIER" in own.roles
        try:
            self.market = await read_market(api, own, self.market)
            if self.operating and supplies and who is not None and who.may("sessions:operate"):
                self.asked = await read_asked(api, self.asking.acting, self.saved)
        except LuxxonError as error:
            self.refusal = Notice("the cameras were not read", error.message, "bad")
            return
        if not self.loaded:
            self.circle = self.circle or self.saved
        self.loaded, self.refusal = True, None

    def choose(self, point: Point, label: str = "") -> bool:
        """Take a place; True where a price is to be asked for."""
        if label:
            self.names.give(point, label)
        if self.operating:
            self.circle = Circle(point, self.circle.radius_m if self.circle else DEFAULT_RADIUS_M)
            return False
        if point == self.point:
            return False
        self.point = point
        self.asking.clear()
        return True

    def resize(self, by: int, middle: Point | None) -> None:
        """The next larger or smaller circle; the first one lies around ``middle``."""
        if self.circle is not None:
            self.circle = Circle(self.circle.center, operate.stepped(self.circle.radius_m, by))
        elif middle is not None:
            self.circle = Circle(middle, DEFAULT_RADIUS_M)

    # -- what is shown

    def scene(self) -> MapScene:
        return MapScene(
            demand=self.market.demand,
            cameras=self.market.cameras,
            marks=marks(self._store, self.asked if self.operating else None, self.point),
            chosen=self.place,
            chosen_name="" if self.operating else self.names.of(self.point).short,
            serving=None if self.operating else self.near.serving,
            circle=self.circle if self.operating else None,
            show_coverage=self.shown["coverage"],
            show_demand=self.shown["demand"],
        )

    def notice(self, *, server: bool) -> Notice | None:
        """What lies over the map: loading, refused, or nobody online."""
        if self.refusal is not None and not self.market.cameras:
            return self.refusal
        if self.loaded:
            nothing = not self.market.cameras and self.place is None
            words = "be the first: space, then save" if self.operating else "choose a place: a request waits"
            return Notice("nobody is online yet", words, "faint") if nothing else None
        if not server:
            return Notice("no marketplace", "start one, or connect to a server", "faint")
        if self._store.offline is not None:
            return Notice("cameras not read yet", "they come when the link is back", "warn")
        return Notice(self._store.progress.value or "reading the map", "", "muted")

    def request_view(self, *, online: bool) -> RequestView:
        """The panel of a request as it is now."""
        point, price, store = self.point, self.price, self._store
        return RequestView(
            now=self._clock(),
            point=point,
            place=self.names.of(point).full,
            max_seconds=self.seconds["up-to"],
            wait_seconds=self.seconds["wait"],
            quote=price.quote,
            quoting=price.asking,
            covering=self.near.covering,
            nearest_m=self.near.measured[0][1] if self.near.measured else None,
            supply_known=self.loaded,
            pool_micro=store.pool_micro,
            held_micro=store.held_micro,
            online=online,
            sending=self.asking.sending,
            notice=self.asking.notice or price.notice,
            sessions=tuple(own_sessions(store)),
            names=self._names(),
        )

    def operate_view(self, *, online: bool) -> OperateView:
        """The panel of the operating side as it is now."""
        own, who, chosen = self._store.workspace.value, self._store.who.value, self.circle
        cameras, requests = self.inside
        return OperateView(
            now=self._clock(),
            circle=chosen,
            saved=self.saved,
            place=self.names.of(self.place).full,
            state=str(own.availability_state) if own else "OFFLINE",
            device=operate.device(own.device_kind) if own else "",
            asked=self.asked,
            names=self._names(),
            may=who is None or who.may("workspaces:write") or who.may("sessions:operate"),
            online=online,
            sending=self.asking.sending,
            cameras_inside=cameras,
            demand_inside=requests,
        )

    def _names(self) -> tuple[tuple[Point, str], ...]:
        return tuple((at, name.short or name.full) for at, name in self.names.known.items())

    def unnamed(self, most: int) -> tuple[Point, ...]:
        """Points on the screen that have no name yet, with ``most`` cameras; each is told once."""
        near = self.near.measured[:most]
        points = [self.place, *(camera.point for camera, _ in near), *(each.point for each in self.asked)]
        return self.names.wanted([*points, *(each.requested for each in own_sessions(self._store))])
