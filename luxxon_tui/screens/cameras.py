"""The Cameras screen: what has a lens here, moved by keys, and offered to the marketplace."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType

from luxxon_core.kernel.errors import StartError
from luxxon_tui.actions import action
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.screens.cameras_add import AddCamera
from luxxon_tui.screens.cameras_cards import CameraCards
from luxxon_tui.screens.cameras_online import CamerasOnline
from luxxon_tui.screens.cameras_parts import Pad
from luxxon_tui.screens.pane import Thing
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.question import Question

if TYPE_CHECKING:
    from luxxon_core.controls.schemas import PtzResult

PREFIX_SECONDS = 4.0
PRESET = "Go to a preset: g, then its number"
OUTCOMES = {
    "UNSUPPORTED": "cannot do that",
    "REJECTED": "refused that",
    "FAILED": "did not answer",
    "NOT_ALLOWED": "not allowed",
}


class CamerasScreen(CamerasOnline):
    """Moves the cameras, offers them, and keeps those that the user has added."""

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
        action("cameras.profile", "p", "profile", "Choose the size in which it is shown and published"),
        action("cameras.rule", "u", "rule", "Accept what the rule allows by itself, or ask each time"),
        action("cameras.add", "plus", "add", "Add a camera by its URL, or a file; it is looked at first"),
        action(
            "cameras.rename", "n", "name", "Name the camera; one that was found is kept by that", show=False
        ),
        action("cameras.remove", "D", "remove", "Forget a camera that was added; asks once", show=False),
        action(
            "cameras.cancel", "X", "cancel stuck", "Give back every assignment that is not live; asks once"
        ),
        action("cameras.find", "f", "look again", "Look for cameras again", show=False),
        action("cameras.back", "escape", "back", "Close the preview"),
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        desk, link = self.desk, self.shown
        operation = desk.operation_of(link)
        offered = desk.asked() is not None
        controls = desk.current.controls if desk.current is not None else frozenset()
        who = self.store.who.value
        may = self.connected and (who is None or who.may("sessions:operate"))
        direction = parameters[0] if parameters else None
        zooms = direction in ("in", "out")
        apart = link is not None and operation is None
        allowed = {
            "accept": offered,
            "decline": offered,
            "go": (apart and may) if direction is True else operation is not None and not operation.stopping,
            "move": bool(controls & ({"ptz", "zoom"} if zooms else {"ptz", "gimbal"})),
            "prefix": "ptz" in controls and bool(desk.current and desk.current.presets),
            "preset": self._prefixed is not None,
            "home": bool(controls & {"ptz", "gimbal"}),
            "radius": link is not None,
            "profile": link is not None and len(link.profiles) > 1,
            "rename": apart and link is not None and (link.found.own or not link.found.configured),
            "remove": apart and link is not None and link.found.own,
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
        if self.desk.links[key].asks:
            self._work(self._add(self.desk.links[key]), "own")
            return
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

    # -- the user's own

    def action_add(self) -> None:
        self._work(self._add(), "own")

    async def _add(self, found: CameraLink | None = None) -> None:
        key = await self.app.push_screen_wait(AddCamera(self.desk, found))
        if key is not None:
            self.due()
            self.cards.choose(key)
            self.notify(f"{self.desk.links[key].found.name} is kept", timeout=4)

    def action_rename(self) -> None:
        link = self.shown
        if link is not None:
            self._work(self._rename(link), "own")

    async def _rename(self, link: CameraLink) -> None:
        from luxxon_core.camera_file import name_of

        found, wrong = link.found, ""
        typed: str | None = found.name
        while True:
            facts = (
                "it is kept, with its secrets apart"
                if not found.configured
                else "as it is called from now on"
            )
            ask = Ask(f"Name {found.name}", facts, wrong=wrong, value=typed or "")
            typed = await self.app.push_screen_wait(ask)
            if typed is None:
                return
            try:
                await self.desk.rename(link, name_of(typed))
            except StartError as error:
                wrong = error.message
                continue
            self.cards.choose(link.found.key)
            return

    def action_remove(self) -> None:
        link = self.shown
        if link is not None:
            self.call(self._remove(link), "not removed")

    async def _remove(self, link: CameraLink) -> None:
        facts = ("The console forgets it, and what opens it. The camera itself is not touched.",)
        if await self.confirmed(Question(f"Remove {link.found.name}?", facts, "remove", "keep")):
            await self.desk.remove(link)
            self.set_class(self.desk.opened is not None, "-opened")
            self.cards.focus()

    def things(self) -> Iterable[Thing]:
        for key, link in self.desk.links.items():
            yield Thing(f"Camera  {link.found.name}", link.found.title, partial(self._open, key))
