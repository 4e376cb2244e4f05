"""What the Cameras screen shows: cards, the preview, what a camera can do, what it is offered for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Unmount
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import Worker

from luxxon_core.kernel.geo import Circle, Point
from luxxon_tui import format as fmt
from luxxon_tui.map.scene import MapScene, Mark
from luxxon_tui.operate.alarm import notification
from luxxon_tui.operate.desk import CameraDesk
from luxxon_tui.operate.finding import Finder
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.rows import EMPTY, Row, Span, row, section
from luxxon_tui.screens import cameras_pad
from luxxon_tui.screens import cameras_panels as panels
from luxxon_tui.screens.cameras_cards import CameraCards
from luxxon_tui.screens.cameras_parts import CARD_EVERY, MiniMap, Pad, card, plate, share_of, warm
from luxxon_tui.screens.pane import Condition, Empty, Loading, ScreenPane
from luxxon_tui.screens.session_figures import today
from luxxon_tui.store import Unwatch
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.picture import Picture
from luxxon_tui.widgets.plugin_panel import PanelCamera, PanelContext, PluginPanels

if TYPE_CHECKING:
    from luxxon_tui.picture.source import Source
    from luxxon_tui.views import SessionView

PICTURE_SECONDS = 0.1
BELOW_WIDE, BELOW_NARROW = 19, 7
"""Rows under the picture."""


class CamerasView(ScreenPane):
    """Shows the cameras of this machine."""

    NAME = "Cameras"
    WATCHES = ("sessions", "workspace", "places")
    PARTS: ClassVar[tuple[type[Widget], ...]] = (CameraCards, Pad)
    TICKS = True
    CSS = """
    CamerasScreen #cameras { width: 38; height: 1fr; margin: 0 2 0 0; }
    CamerasScreen #head { height: 2; }
    CamerasScreen #faults { height: auto; }
    CamerasScreen #detail { width: 1fr; height: 1fr; }
    CamerasScreen #side { width: 31; height: 1fr; margin: 0 0 0 3; }
    CamerasScreen #map { height: 1fr; margin: 0 0 1 0; display: none; }
    CamerasScreen #panels { max-height: 50%; margin: 1 0 0 0; overflow-y: auto; scrollbar-size-vertical: 1; }
    CamerasScreen.-mapped #map { display: block; }
    CamerasScreen #offer { display: none; margin: 0 0 1 0; }
    CamerasScreen.-asked #offer { display: block; }
    CamerasScreen Pad { height: auto; }
    CamerasScreen #offered { height: 1fr; }
    CamerasScreen.-narrow #cameras { width: 1fr; margin: 0; }
    CamerasScreen.-narrow #side { width: 24; margin: 0 0 0 2; }
    CamerasScreen.-narrow #detail, CamerasScreen.-narrow.-opened #cameras { display: none; }
    CamerasScreen.-narrow.-opened #detail { display: block; }
    """
    FINDER: ClassVar[Callable[[], Finder]] = Finder

    def __init__(self) -> None:
        super().__init__()
        self.desk = CameraDesk(type(self).FINDER(), self.now, self._changed, self._arrived)
        self._prefixed: Timer | None = None
        self._word = self._pressed = ""
        self._over = False
        self._shown: tuple[str | None, int] = (None, 0)
        self._operating: dict[str, Worker[None]] = {}
        self._claims: dict[str, str] = {}
        """The workspace of each camera that is online or on its way, by the camera's key."""
        self._end_watch: Unwatch | None = None

    # -- layout

    def body(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="cameras"):
                yield Lines(id="head")
                yield CameraCards(id="cards")
                yield Lines(id="faults")
            with Vertical(id="detail"):
                yield Picture(id="preview", reserve=BELOW_WIDE)
                yield Lines(id="caption")
                yield Pad(id="pad")
                yield Lines(id="offered")
            with Vertical(id="side"):
                yield Lines(id="offer", ground="surface")
                yield MiniMap(id="map")
                yield Lines(id="publishing")
                yield PluginPanels(self._panel_context(), id="panels")

    def on_mount(self) -> None:  # beside that of every screen
        self._end_watch = self.store.watch(("sessions",), self._sessions)
        self.set_interval(PICTURE_SECONDS, self._pictures)
        self.cards.focus()
        self._find()

    @on(Unmount)
    async def _end(self) -> None:
        self._over = True
        if self._end_watch is not None:
            self._end_watch()
        for worker in self._operating.values():
            worker.cancel()
        await self.desk.close()

    def on_screen_resume(self) -> None:  # beside that of every screen
        if self.is_mounted and self.desk.opened is not None:
            self._work(self.desk.open(self.desk.opened), "preview")

    def on_screen_suspend(self) -> None:
        self.call_later(self._left)

    def _left(self) -> None:
        """Devices are let go while nobody looks, but for those that are online; under a card they stay."""
        if not self.on_stage and self.is_mounted:
            self._work(self.desk.rest(), "preview")

    def _panel_context(self) -> PanelContext:
        """What plugins' panels are told."""

        def camera() -> PanelCamera | None:
            link = self.shown
            if link is None:
                return None
            operation, found = self.desk.operation_of(link), link.found
            online = operation is not None and operation.online
            return PanelCamera(found.name, found.type_key, online, link.profiles, link.health, link.pose)

        return PanelContext("cameras", self.now, lambda: self.api, camera)

    @property
    def cards(self) -> CameraCards:
        return self.query_one(CameraCards)

    @property
    def shown(self) -> CameraLink | None:
        """The open camera, else the chosen one."""
        return self.desk.current or self.desk.link(self.cards.key)

    # -- what comes by itself

    def _work(self, work: Coroutine[Any, Any, object], group: str) -> Worker[object]:
        return self.run_worker(work, name=group, group=group, exclusive=True, exit_on_error=True)

    def _changed(self) -> None:
        if not self._over:
            self.due()

    def _sessions(self) -> None:
        for operation in self.desk.operations.values():
            operation.follow(self.store.sessions.value)

    def redraw(self) -> None:
        """Draw now, unless the console is being left: cameras that are let go then still tell of it."""
        if not self._over and self.header is not None:
            super().redraw()

    def _find(self) -> None:
        self._work(self._found(), "find")

    async def _found(self) -> None:
        await asyncio.to_thread(warm)
        await self.desk.find()
        await self.desk.look()

    def _arrived(self) -> None:
        operation = self.desk.asked()
        if operation is None or operation.offer is None:
            return
        offer = operation.offer
        most = fmt.usdc(offer.rate_micro * offer.max_seconds, fmt.PREVIEW)
        words = f"{fmt.moment(offer.max_seconds)} at most, up to {most} USDC"
        self.app.bell()
        driver = self.app._driver
        if driver is not None and not self.app.is_headless:
            driver.write(notification("Assignment", words))
        if not self.on_stage:
            self.app.notify(f"{words}  ·  4 Cameras answers it", title="assignment", timeout=20)

    def _pictures(self) -> None:
        """Show the newest picture of the preview."""
        if not self.on_stage or self.has_class("-noted"):
            return
        link, picture = self.shown, self.query_one(Picture)
        key, number = (link.found.key, link.number) if link is not None else (None, 0)
        if key != self._shown[0]:
            picture.clear()
        if link is not None and link.frame is not None and (key, number) != self._shown:
            picture.show(link.frame)
            if number % CARD_EVERY == 0 or self._shown[1] == 0:
                self.due()
        self._shown = key, number if link is not None and link.frame is not None else 0
        picture.mark(dimmed=link is not None and not link.is_open, plate=plate(link, picture.size.width))
        held = self.desk.hold.held(monotonic())
        if held != self._pressed:
            self._pressed = held
            self.due()

    # -- drawing

    def condition(self) -> Condition:
        found = super().condition()
        if isinstance(found, Loading) or (found is None and not self.desk.links and not self.desk.found):
            return Loading("cameras") if found is None else found
        return found

    def empty(self) -> Empty | None:
        if self.desk.links or not self.desk.found or self.desk.faults:
            return None
        return Empty(
            "no cameras found",
            (
                "Plug one in and press f, or name one in luxxon.toml:",
                row("  [cameras.harbour]"),
                row('  type = "rtsp-ptz"'),
                row("luxxon plugins list", Span(" tells what kinds there are", "muted")),
            ),
        )

    def draw(self) -> None:
        desk, link = self.desk, self.shown
        self.set_class(desk.opened is not None, "-opened")
        self.set_class(desk.asked() is not None, "-asked")
        faults, finding = desk.faults, desk.finding
        self.query_one(PluginPanels).fill(desk.panels)
        self._draw_cards()
        self.query_one("#faults", Lines).redraw(
            lambda width: panels.fault_rows(width, faults, finding=finding)
        )
        self._draw_detail(link)
        self._draw_side(link)

    def _draw_cards(self) -> None:
        desk, focused = self.desk, self.focused is self.cards
        links, sessions = list(desk.links.values()), self._sessions_known()
        pictures: dict[str, Source] = {link.found.key: link.frame for link in links if link.frame is not None}
        self.cards.fill([card(link, desk.operation_of(link), sessions) for link in links], pictures)
        many = sum(operation.online for operation in desk.operations.values())
        online = f"{many} online" if many else "none online"
        fact = row(Span(str(len(links)), "text", bold=True), Span(f"  {online}", "muted"))
        self.query_one("#head", Lines).redraw(
            lambda width: [section(width, "Cameras", fact, focused=focused), EMPTY]
        )

    def _draw_detail(self, link: CameraLink | None) -> None:
        picture = self.query_one(Picture)
        picture.reserve = BELOW_WIDE if self.wide else BELOW_NARROW
        name = link.found.name if link is not None else ""
        words = "own preview" if link is not None and link.is_open else "last picture"
        profile = link.profile if link is not None else None
        driver, wide = picture.driver_name, self.wide
        gap = [EMPTY] if wide else []
        self.query_one("#caption", Lines).redraw(
            lambda width: [panels.caption(width, name, words, profile, driver), *gap]
        )
        pad = self.query_one(Pad)
        view = cameras_pad.PadView(
            controls=link.controls if link is not None else frozenset(),
            status=link.status if link is not None and link.is_open else None,
            presets=link.presets if link is not None and link.is_open else (),
            pressed=self.desk.hold.held(monotonic()),
            prefixed=self._prefixed is not None,
            aim=link.aim if link is not None else (0.0, 0.0),
            focused=self.focused is pad,
            note=self._word,
        )
        pad.redraw(lambda width: [*cameras_pad.pad_rows(view, width), *gap])
        self.query_one("#offered", Lines).redraw(self._offered(link))

    def _offered(self, link: CameraLink | None) -> Callable[[int], list[Row]]:
        """Coverage and profiles, where there is room."""
        if link is None or not self.wide:
            return lambda _width: []
        coverage = self._coverage(link)
        facts = link.profiles, link.profile, link.capabilities, link.information, link.pose
        return lambda width: [*coverage(width), EMPTY, *panels.profile_rows(width, *facts, 5)]

    def _coverage(self, link: CameraLink | None) -> Callable[[int], list[Row]]:
        point, radius = self._where(link), self.desk.radius_of(link, self.store.workspace.value)
        operation = self.desk.operation_of(link)
        online = operation is not None and operation.online
        follows = link is not None and "position" in link.capabilities
        return lambda width: panels.coverage_rows(width, point, radius, online=online, follows=follows)

    def _where(self, link: CameraLink | None) -> Point | None:
        if link is not None and link.pose is not None:
            return Point(link.pose.latitude, link.pose.longitude)
        if link is None:
            return None
        terms = self.desk.terms(link, self.store.workspace.value)
        return terms.location.point if terms is not None and terms.location is not None else None

    def _draw_side(self, link: CameraLink | None) -> None:
        desk, asked, now = self.desk, self.desk.asked(link), self.now()
        share = share_of(self.store.sessions.value.values())
        if asked is not None and asked.offer is not None:
            offer, radius = asked.offer, asked.terms.radius_m
            place = self.store.places.value.get(offer.point, "") if offer.point is not None else ""
            name = asked.link.found.name if len(desk.operations) > 1 else ""
            told = panels.OfferView(offer, now, self._where(asked.link), radius, place, share, name)
            self.query_one("#offer", Lines).redraw(lambda width: panels.offer_rows(told, width))
        view = self._publishing(now, share)
        rules, by_rule, full = desk.rules_of(link), desk.by_rule, self.wide
        coverage = self._coverage(link) if not self.wide else None
        self.query_one("#publishing", Lines).redraw(
            lambda width: [
                *panels.publish_rows(view, width, full=full),
                EMPTY,
                *([*coverage(width), EMPTY] if coverage is not None else []),
                *panels.rule_rows(rules, by_rule, width),
            ]
        )
        self._draw_map(link)

    def _publishing(self, now: datetime, share: float | None) -> panels.PublishView:
        shown, who, sessions = self.shown, self.store.who.value, self._sessions_known()
        operation = self.desk.operation_of(shown)
        status = operation.status if operation is not None else None
        return panels.PublishView(
            now,
            name=shown.found.name if shown is not None else "",
            online=operation is not None and operation.online,
            starting=operation is not None,
            lost=operation.lost if operation is not None else "",
            status=status,
            session=sessions.get(status.session_id) if status is not None and status.session_id else None,
            rates=operation.rates if operation is not None else (),
            share=share,
            today_micro=int(today(sessions.values(), now, self.zone).earned),
            failure=shown.trouble if shown is not None else "",
            may=who is None or who.may("sessions:operate"),
        )

    def _sessions_known(self) -> Mapping[str, SessionView]:
        """Sessions of the console's workspace, and of those that cameras have to themselves."""
        return {**self.desk.sessions, **self.store.sessions.value}

    def _draw_map(self, link: CameraLink | None) -> None:
        point, radius = self._where(link), self.desk.radius_of(link, self.store.workspace.value)
        asked = self.desk.asked() is not None
        self.set_class(self.wide and self.tall and point is not None and not asked, "-mapped")
        if point is None or not self.has_class("-mapped"):
            return
        name = link.found.name if link is not None else ""
        scene = MapScene(marks=(Mark(point, "◉", "accent", name),), circle=Circle(point, radius))
        self.query_one(MiniMap).show_around(scene, point, radius * 4)
