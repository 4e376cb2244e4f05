"""The Map screen: where to look and what it costs; on the other side, what one covers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.map import request
from luxxon_tui.map.desk import Desk
from luxxon_tui.map.find import Find, Target
from luxxon_tui.map.links import parse
from luxxon_tui.map.panels import OperatePanel, RequestPanel
from luxxon_tui.map.request import RequestView, coordinates
from luxxon_tui.map.scenery import plate
from luxxon_tui.map.widget import CONTINENT, MapView
from luxxon_tui.map.work import instead
from luxxon_tui.screens.pane import Condition, ScreenPane, Thing
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.primary import Primary

MARKET_SECONDS, PATIENCE = 5.0, 6
"""Between two readings of coverage and demand, of which no event tells, while nobody is online; of the others
one in so many is enough."""
NEAR_ROWS = 6
SOUTHWARD = 0.4
"""Where a small map is centred at first: nearer to the equator, so that more of the lands is on it."""
CITY_M, TOWN_M, PER_ROOT_M = 30_000.0, 8_000.0, 25.0
"""Metres across the map: a city at least, a place known by numbers, and for each root of inhabitants."""

_REQUEST = action(
    "map.request", "enter", "request", "Request live view of the place; shows the cost and asks once"
)
_SAVE = action("map.save", "enter", "save", "Save the circle that is covered", do="save_circle")
_FIND = action("map.find", "slash", "find", "Find a place by name, by its numbers, or by a link")
_LAYERS = (
    action("map.coverage", "c", "coverage", "Show and hide the circles that are covered"),
    action("map.demand", "d", "demand", "Show and hide where people ask"),
)


class WorldMap(MapView, inherit_bindings=False):
    """The map with the keys of its screen first, as the footer lists them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(replace(each, action=f"screen.{each.action}") for each in (_REQUEST, _SAVE, _FIND)),
        *MapView.BINDINGS,
    ]

    async def _load(self) -> None:
        screen = self.screen
        if isinstance(screen, MapScreen):
            await screen.console_app.painted.wait()
        await super()._load()


class MapScreen(ScreenPane):
    """Chooses a place and asks for live video of it, or the circle that one serves."""

    NAME = "Map"
    WATCHES = ("sessions", "workspace")
    PARTS: ClassVar[tuple[type[Widget], ...]] = (MapView,)
    CSS = """
    MapScreen #left { width: 1fr; height: 1fr; }
    MapScreen #near { height: 7; margin: 1 0 0 0; }
    MapScreen #side { width: 34; height: 1fr; margin: 0 0 0 3; }
    MapScreen.-narrow #side { width: 24; margin: 0 0 0 2; }
    MapScreen.-narrow #near, MapScreen.-short #near { display: none; }
    MapScreen OperatePanel, MapScreen.-operate RequestPanel { display: none; }
    MapScreen.-operate OperatePanel { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _REQUEST,
        _SAVE,
        _FIND,
        action("map.smaller", "left_square_bracket", "radius", "A smaller circle", do="radius(-1)"),
        action("map.larger", "right_square_bracket", "larger", "A larger circle", do="radius(1)"),
        *_LAYERS,
        action("map.nearest", "n", "nearest", "Choose the place of the nearest camera", show=False),
        action("map.cancel", "x", "cancel", "Cancel the newest request that still waits"),
        action("map.undo", "escape", "undo", "Back to the circle that is saved", do="undo_circle"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(self.store, self.now, self.due)
        self._asked_for = (False, False)
        """Whether there was a server when the market was last read, and for which side."""
        self._turn = 0
        self._hurried = False
        """Whether the request was asked for before its price was there: it is shown as soon as it is."""

    # -- layout

    def body(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="left"):
                yield WorldMap(id="map")
                yield Lines(id="near")
            with Vertical(id="side"):
                yield RequestPanel()
                yield OperatePanel()

    def on_mount(self) -> None:
        self.map.focus()
        camera = self.console_app.facts.camera
        if camera is not None and camera.point is not None:
            self.choose(camera.point, look=TOWN_M)
        self.set_interval(MARKET_SECONDS, self._read_now_and_then)

    def on_screen_resume(self) -> None:
        if self.is_mounted:
            self._read_soon()
            self._ask_price()

    @property
    def map(self) -> MapView:
        return self.query_one(MapView)

    @property
    def online(self) -> bool:
        """Whether the server can be asked."""
        return self.api is not None and self.store.offline is None and self.condition() is None

    def condition(self) -> Condition:
        """Only a server that refuses takes the map away: it can be looked at before anything is read."""
        return self.store.failure.value if self.store.readiness.value is Readiness.FAILED else None

    # -- drawing

    def draw(self) -> None:
        desk = self.desk
        self.set_class(desk.operating, "-operate")
        before, self._asked_for = self._asked_for, (self.online, desk.operating)
        if self.online and before != self._asked_for:
            self._read_soon()
            self._ask_price()
        if self._hurried and not desk.price.asking:
            self.action_request()
        self.map.show(desk.scene())
        self.map.mark(plate(desk.notice(server=self.api is not None), self.size.width))
        if desk.operating:
            self._draw_operate()
        else:
            view = desk.request_view(online=self.online)
            self.query_one(RequestPanel).show(view, full=self.wide and self.tall, wide=self.wide)
        near, covering, loaded = desk.near.measured[:NEAR_ROWS], desk.near.covering, desk.loaded
        names = {point: name.full for point, name in desk.names.known.items()}
        self.query_one("#near", Lines).redraw(
            lambda width: request.camera_rows(near, names, width, NEAR_ROWS, covering=covering, loaded=loaded)
        )
        unnamed = desk.unnamed(NEAR_ROWS)
        if unnamed:
            self.run_worker(self._look_up(unnamed), name="places", exit_on_error=True)

    def _draw_operate(self) -> None:
        view = self.desk.operate_view(online=self.online)
        self.query_one(OperatePanel).show(view, full=self.wide and self.tall)

    def ticks(self) -> bool:
        """While a quote runs out, or somebody waits."""
        desk = self.desk
        counting = desk.asked if desk.operating else desk.price.quote or self.store.open
        return bool(counting) and self.condition() is None

    def tick(self) -> None:
        self.redraw_header()
        if self.desk.operating:
            self._draw_operate()
        else:
            self.query_one(RequestPanel).count(self.desk.request_view(online=self.online))

    async def _look_up(self, points: tuple[Point, ...]) -> None:
        await self.desk.names.look_up(points)
        self.due()

    # -- choosing a place

    def choose(self, point: Point, label: str = "", *, look: float | None = None) -> None:
        """Make a place the chosen one; ``look`` moves the map there, that many metres across."""
        if self.desk.choose(point, label):
            self._hurried = False
            self._ask_price()
        if look is not None:
            self.map.look_at(point, across_m=look)
        self.due()

    def on_map_view_chosen(self, event: MapView.Chosen) -> None:
        self.choose(event.point)

    def action_choose_at(self, lat: float, lng: float) -> None:
        """A click on a line of the table."""
        self.choose(Point(lat, lng))

    def action_nearest(self) -> None:
        near = self.desk.near.measured or self.desk.market.near(self._middle()).measured
        if near:
            self.choose(near[0][0].point, look=TOWN_M)

    def _middle(self) -> Point:
        view = self.map.view
        return view.centre if view else Point(0, 0)

    def action_find(self) -> None:
        self._find("")

    def _find(self, text: str) -> None:
        view = self.map.view
        near = self.desk.place or (view.centre if view else None)
        self.app.push_screen(Find(near, text), self._found)

    def _found(self, target: Target | None) -> None:
        if target is not None:
            across = max(CITY_M, target.population**0.5 * PER_ROOT_M) if target.population else TOWN_M
            self.choose(target.point, target.label, look=across)
            self.map.focus()

    def things(self) -> Iterable[Thing]:
        yield Thing("Find a place …", "By name, by its numbers, or by a link", partial(self._come, None))
        for each in self.desk.market.cameras:
            place = self.desk.names.of(each.point).full or coordinates(each.point)
            reach = " ".join(fmt.distance(each.area.radius_m))
            yield Thing(
                f"Camera  {each.name or each.kind}  {place}",
                f"covers {reach}",
                partial(self._come, each.point),
            )

    def _come(self, point: Point | None) -> None:
        """Show this screen, with a place chosen or one to be found."""

        async def come() -> None:
            await self.console_app.action_screen("map")
            if point is None:
                self._find("")
            else:
                self.choose(point, look=TOWN_M)

        self.console_app.run_worker(come(), name="map", exit_on_error=True)

    def on_request_panel_changed(self, event: RequestPanel.Changed) -> None:
        self.desk.seconds[event.name] = event.seconds
        if event.name == "up-to":
            self._ask_price()
        self.due()

    def on_request_panel_place_entered(self, event: RequestPanel.PlaceEntered) -> None:
        point = parse(event.text)
        if point is None:
            self._find(event.text)
        else:
            self.choose(point, look=TOWN_M)
            self.map.focus()

    def on_descendant_focus(self) -> None:
        self.due()

    def on_descendant_blur(self) -> None:
        self.due()

    # -- what the marketplace tells

    def _read_soon(self) -> None:
        if self.on_stage and self.online:
            instead(self, "market", self._read)

    def _read_now_and_then(self) -> None:
        self._turn = (self._turn + 1) % PATIENCE
        if not self._turn or not self.desk.market.cameras:
            self._read_soon()

    async def _read(self) -> None:
        desk, api = self.desk, self.api
        if api is None:
            return
        await desk.read(api)
        if desk.point is None and desk.market.cameras and not desk.operating:
            point = desk.market.cameras[0].point
            self.choose(point)  # a first picture is one key away then
            if not self.wide:
                self.map.look_at(Point(point.lat * SOUTHWARD, point.lng), size=CONTINENT)
        self.due()

    def _ask_price(self) -> None:
        """Ask for the price of what is chosen now."""
        desk, api = self.desk, self.api
        point, seconds = desk.point, desk.seconds["up-to"]
        if point is None or seconds is None or api is None or not self._looked_at():
            self.workers.cancel_group(self, "price")
            desk.price.clear(asking=False)
            return
        desk.price.clear(asking=True)
        follow = partial(desk.price.follow, api, point, seconds, desk.asking.acting, self._looked_at)
        instead(self, "price", follow)

    def _looked_at(self) -> bool:
        return self.on_stage and self.online and not self.desk.operating

    # -- asking

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        desk = self.desk
        if action == "nearest":
            return not desk.operating and bool(desk.market.cameras)
        if action in ("request", "cancel"):
            return not desk.operating and (action != "cancel" or bool(desk.waiting))
        if action in ("save_circle", "radius", "undo_circle"):
            return desk.operating and (action != "undo_circle" or desk.circle != desk.saved)
        return True

    def on_primary_pressed(self, event: Primary.Pressed) -> None:
        event.stop()
        if self.desk.operating:
            self.action_save_circle()
        else:
            self.action_request()

    def action_request(self) -> None:
        view = self.desk.request_view(online=self.online)
        self._hurried = view.quoting and view.online
        if view.point is None:
            self._find("")
        elif view.ready and not view.short_micro:
            self._hurried = False
            self.run_worker(self._request(view), name="request", group="request", exit_on_error=True)

    async def _request(self, view: RequestView) -> None:
        desk, agreed = self.desk, view.quote
        assert agreed is not None
        if not await self.confirmed(request.question(view, agreed)):
            return
        fresh, api = desk.price.quote, self.api
        if api is None:
            return
        same = fresh is not None and view.point == desk.point and fresh.rate_micro <= agreed.rate_micro
        session_id, expired = await desk.asking.request(api, view, fresh if fresh and same else agreed)
        if session_id is not None or expired:
            self._ask_price()  # a price is good for one request
        if session_id is not None and await desk.asking.dispatch(api, session_id) and self.on_stage:
            self.console_app.watch_session(session_id)

    def action_cancel(self) -> None:
        waiting = self.desk.waiting
        if waiting and self.api is not None:
            self.call(self.desk.asking.cancel(self.api, waiting[0]), "not cancelled")

    def action_watch(self, session_id: str) -> None:
        """A click on an own session."""
        self.console_app.watch_session(session_id)

    # -- layers and the circle

    def action_coverage(self) -> None:
        self._toggle("coverage")

    def action_demand(self) -> None:
        self._toggle("demand")

    def _toggle(self, layer: str) -> None:
        self.desk.shown[layer] = not self.desk.shown[layer]
        self.due()

    def action_radius(self, by: int) -> None:
        view = self.map.view
        self.desk.resize(by, view.centre if view else None)
        self.due()

    def action_undo_circle(self) -> None:
        self.desk.circle = self.desk.saved
        self.due()

    def action_save_circle(self) -> None:
        if self.desk.operate_view(online=self.online).ready:
            self.call(self._save(), "the circle was not saved")

    async def _save(self) -> None:
        api, who, chosen = self.api, self.store.who.value, self.desk.circle
        if api is not None and who is not None and who.workspace_id is not None and chosen is not None:
            await self.desk.asking.save(api, who.workspace_id, chosen)
            self._read_soon()
