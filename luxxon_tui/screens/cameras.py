"""The Cameras screen: what has a lens here, moved by keys, and offered to the marketplace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.actions import action
from luxxon_tui.map.operate import stepped
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.screens.cameras_cards import CameraCards
from luxxon_tui.screens.cameras_parts import Pad
from luxxon_tui.screens.cameras_view import CamerasView
from luxxon_tui.screens.pane import Thing
from luxxon_tui.views import SessionView
from luxxon_tui.widgets.question import Question

if TYPE_CHECKING:
    from luxxon_core.controls.schemas import PtzResult

PREFIX_SECONDS = 4.0
SETTLE_SECONDS = 0.6
"""After the last key, before another radius is told."""
PRESET = "Go to a preset: g, then its number"
OUTCOMES = {
    "UNSUPPORTED": "cannot do that",
    "REJECTED": "refused that",
    "FAILED": "did not answer",
    "NOT_ALLOWED": "not allowed",
}


class CamerasScreen(CamerasView):
    """Moves the cameras, and offers one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        action("cameras.accept", "a", "accept", "Take the assignment, and publish"),
        action("cameras.decline", "d", "decline", "Leave the assignment alone: it expires, and nobody pays"),
        action(
            "cameras.online", "space", "online", "Offer the chosen camera to the marketplace", do="go(True)"
        ),
        action("cameras.offline", "space", "offline", "Take the camera off the marketplace", do="go(False)"),
        replace(
            action("cameras.closer", "z", "zoom", "Zoom in while the key is held", do="move('in')"),
            key_display="z x",
        ),
        action(
            "cameras.further", "x", "wide", "Zoom out while the key is held", do="move('out')", show=False
        ),
        action("cameras.preset", "g", "preset", "Go to a preset: then press its number", do="prefix"),
        action("cameras.home", "h", "home", "Back to where the camera looks by itself", show=False),
        replace(
            action("cameras.smaller", "left_square_bracket", "radius", "Cover less", do="radius(-1)"),
            key_display="[ ]",
        ),
        action("cameras.larger", "right_square_bracket", "larger", "Cover more", do="radius(1)", show=False),
        action("cameras.rule", "u", "rule", "Accept what the rule allows by itself, or ask each time"),
        action(
            "cameras.cancel", "X", "cancel stuck", "Give back every assignment that is not live; asks once"
        ),
        action("cameras.find", "f", "look again", "Look for cameras again", show=False),
        action("cameras.back", "escape", "back", "Close the preview", show=False),
        *(
            action(
                f"cameras.preset_{number}",
                str(number),
                str(number),
                "",
                do=f"preset({number})",
                show=False,
                priority=True,
                group=PRESET,
            )
            for number in range(1, 10)
        ),
    ]

    # -- keys

    @property
    def connected(self) -> bool:
        """Whether the marketplace can be asked."""
        return self.api is not None and self.store.offline is None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        desk, link = self.desk, self.shown
        operation = desk.operation
        offered = operation is not None and operation.offer is not None
        controls = desk.current.controls if desk.current is not None else frozenset()
        who = self.store.who.value
        may = self.connected and (who is None or who.may("sessions:operate"))
        direction = parameters[0] if parameters else None
        zooms = direction in ("in", "out")
        allowed = {
            "accept": offered,
            "decline": offered,
            "go": (operation is None and link is not None and may)
            if direction is True
            else operation is not None and not operation.stopping,
            "move": bool(controls & ({"ptz", "zoom"} if zooms else {"ptz", "gimbal"})),
            "prefix": "ptz" in controls and bool(desk.current and desk.current.presets),
            "preset": self._prefixed is not None,
            "home": bool(controls & {"ptz", "gimbal"}),
            "radius": link is not None,
            "cancel": may and bool(self._stuck()),
            "back": desk.opened is not None or self._prefixed is not None,
            "find": not desk.finding,
        }
        return allowed.get(action, True)

    def on_camera_cards_opened(self, event: CameraCards.Opened) -> None:
        self._open(event.key)

    def on_camera_cards_chosen(self) -> None:
        self.due()

    def on_descendant_focus(self) -> None:
        self.due()

    def _open(self, key: str) -> None:
        self._word = ""
        self._work(self.desk.open(key), "preview")
        self.desk.opened = key
        self.set_class(True, "-opened")
        self.query_one(Pad).focus()
        self.due()

    def action_back(self) -> None:
        if self._prefixed is not None:
            self._unprefix()
            return
        self.desk.opened = None
        self._work(self.desk.shut(), "preview")
        self.set_class(False, "-opened")
        self.cards.focus()
        self.due()

    def action_find(self) -> None:
        self._find()

    def action_move(self, direction: str) -> None:
        self._order(self.desk.press(direction))
        self.due()

    def action_home(self) -> None:
        self._order(self.desk.home())

    def action_prefix(self) -> None:
        self._unprefix()
        self._prefixed = self.set_timer(PREFIX_SECONDS, self._unprefix)
        self.refresh_bindings()
        self.due()

    def _unprefix(self) -> None:
        if self._prefixed is not None:
            self._prefixed.stop()
            self._prefixed = None
            self.refresh_bindings()
            self.due()

    def action_preset(self, number: int) -> None:
        self._unprefix()
        self._order(self.desk.preset(number))

    def _order(self, work: Coroutine[Any, Any, PtzResult | None]) -> None:
        async def told() -> None:
            result = await work
            if result is not None:
                self._word = OUTCOMES.get(str(result.outcome), "")
                self.due()

        self.run_worker(told(), name="move", group="move", exit_on_error=True)

    # -- online

    def action_go(self, online: bool) -> None:
        if not online:
            self._go_offline()
            return
        link = self.shown
        if link is not None:
            self._failure = ""
            self._operating = self.run_worker(
                self._operate(link), name="operate", group="operate", exclusive=True, exit_on_error=True
            )

    def _go_offline(self) -> None:
        operation = self.desk.operation
        if operation is None or self._operating is None:
            return
        status, worker = operation.status, self._operating

        async def sure() -> None:
            live = status is not None and status.session_id is not None
            facts = ("The session stays open, unpaid, until its consumer ends it.",)
            if not live or await self.confirmed(Question("Stop publishing?", facts, "stop", "go on")):
                worker.cancel()

        self._work(sure(), "offline")

    async def _operate(self, link: CameraLink) -> None:
        api, who = self.api, self.store.who.value
        if api is None or who is None or who.workspace_id is None:
            return
        try:
            if not await link.open():
                return
            terms = self.desk.terms(link, self.store.workspace.value)
            if terms is None:
                self._failure = "Where is it? Set the circle on the map: 1, then space and enter"
                return
            await self.desk.operate(link, api, who.workspace_id, terms, await self._signer())
        except LuxxonError as error:
            self._failure = error.message
            self.app.notify(f"the camera is offline: {error.message}", severity="error")
        finally:
            if self.desk.opened != link.found.key and self.desk.operation is None:
                await link.close()
            self.due()

    async def _signer(self) -> Callable[[str], str] | None:
        """Who signs telemetry: the wallet, where it is the workspace's."""
        who, workspace = self.store.who.value, self.store.workspace.value
        if who is None or not who.is_wallet or workspace is None:
            return None
        wallet = await self.console_app.wallet()
        if wallet is None or wallet.address.lower() != workspace.wallet_address.lower():
            return None
        return wallet.sign_message

    def action_accept(self) -> None:
        self._answer(True)

    def action_decline(self) -> None:
        self._answer(False)

    def _answer(self, accepted: bool) -> None:
        if self.desk.operation is not None:
            self.desk.operation.answer(accepted)

    def action_rule(self) -> None:
        self.desk.by_rule = not self.desk.by_rule
        self.due()

    def action_radius(self, by: int) -> None:
        desk, workspace = self.desk, self.store.workspace.value
        desk.radius = stepped(desk.radius_of(self.shown, workspace), by)
        if desk.operation is not None and self.connected:
            self.call(self._tell_radius(desk.radius), "the circle was not changed", group="cover")
        self.due()

    async def _tell_radius(self, radius: float) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        operation, api, who = self.desk.operation, self.api, self.store.who.value
        point = self._where(operation.link) if operation is not None else None
        if api is None or who is None or who.workspace_id is None or point is None:
            return
        await api.workspaces.update(
            who.workspace_id, coverage_lat=point.lat, coverage_lng=point.lng, coverage_radius_meters=radius
        )

    def _stuck(self) -> list[SessionView]:
        """Assignments that are not live."""
        views = self.store.sessions.value.values()
        return [view for view in views if view.side == "operator" and view.state == "ASSIGNED"]

    def action_cancel(self) -> None:
        self.call(self._cancel(), "nothing was cancelled")

    async def _cancel(self) -> None:
        many, api = len(self._stuck()), self.api
        facts = ("Whoever asked is told; nobody pays.",)
        words = "1 assignment" if many == 1 else f"{many} assignments"
        if api is not None and await self.confirmed(
            Question(f"Give back {words} that did not go live?", facts, "give back", "keep")
        ):
            await api.sessions.cancel_all_assignments()
            self.notify(f"{words} given back", timeout=4)

    def things(self) -> Iterable[Thing]:
        for key, link in self.desk.links.items():
            yield Thing(f"Camera  {link.found.name}", link.found.title, partial(self._open, key))
