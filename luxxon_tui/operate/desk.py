"""What the Cameras screen knows beside the store: the cameras, the open one, those that are online.

It has no widgets: the screen hands it what the user does, and draws what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import StartError
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.rules import Rules
from luxxon_tui.operate.aside import Aside, Home
from luxxon_tui.operate.fields import FormField
from luxxon_tui.operate.finding import Fault, Finder, FoundCamera, Wanted
from luxxon_tui.operate.hold import Hold, home_of, order_of
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.operate.operation import Operation, Terms

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.controls.schemas import Order, PtzResult
    from luxxon_core.operator.marketplace import MarketplaceApi
    from luxxon_core.plugins import PanelType
    from luxxon_core.workspaces.schemas import Workspace
    from luxxon_tui.views import SessionView

DEFAULT_RADIUS_M = 500.0
PRESETS = 9


class CameraDesk:
    """Args:
    told: called after each change that comes by itself.
    arrived: called when an assignment waits for an answer.
    """

    def __init__(
        self, finder: Finder, clock: Clock, told: Callable[[], None], arrived: Callable[[], None]
    ) -> None:
        self._finder, self._clock, self._told, self._arrived = finder, clock, told, arrived
        self._aside, self._home = Aside(), Home()
        self.links: dict[str, CameraLink] = {}
        self.faults: tuple[Fault, ...] = ()
        self.finding = False
        self.found = False
        """Whether all places have been looked at once."""
        self.opened: str | None = None
        """The camera whose preview is on."""
        self.operations: dict[str, Operation] = {}
        """Of the cameras that are online, or on their way, by the camera's key."""
        self.past: dict[str, SessionView] = {}
        """Sessions of cameras that were online before."""
        self.by_rule = False
        self.radii: dict[str, float] = {}
        """Metres that the user chose, by the camera's key; otherwise the camera's or the workspace's own."""
        self.hold = Hold()
        self._ordering = 0

    # -- cameras

    async def find(self) -> None:
        """Look for cameras; what was found before stays."""
        self.finding = True
        self.faults = ()
        self._told()
        try:
            await self._aside.run(self._finder.find(lambda one: self._home.tell(self._took, one)))
            await asyncio.sleep(0)  # what it told last
        finally:
            self.finding, self.found = False, True
            self._told()

    def _took(self, one: FoundCamera | Fault) -> None:
        if isinstance(one, Fault):
            self.faults = (*self.faults, one)
        elif one.key not in self.links:
            self.links[one.key] = CameraLink(one, self._aside, self._told)
        self._told()

    async def look(self) -> None:
        """A picture of each camera that has none yet, one camera after the other."""
        for link in list(self.links.values()):
            if not link.seen:
                await link.look()

    def link(self, key: str | None) -> CameraLink | None:
        return None if key is None else self.links.get(key)

    @property
    def current(self) -> CameraLink | None:
        """The open one."""
        return self.link(self.opened)

    async def open(self, key: str) -> None:
        """Have the preview of a camera, and of no other."""
        self.opened = key
        link = self.links[key]
        link.kept = True
        await self.rest(but=key)
        if await link.open() and self.opened == key:
            await link.watch(True)

    async def shut(self) -> None:
        """No preview."""
        self.opened = None
        await self.rest()

    async def rest(self, *, but: str | None = None) -> None:
        """Close every camera but one; one that is online stays open, unwatched."""
        for key, link in list(self.links.items()):
            if key == but:
                continue
            online = key in self.operations
            link.kept = online
            if online:
                await link.watch(False)
            elif link.is_open:
                await link.close()

    @property
    def panels(self) -> Sequence[PanelType]:
        """What plugins want to be shown."""
        return self._finder.panels

    # -- moving

    async def press(self, direction: str) -> PtzResult | None:
        """An arrow or a zoom key; None where there is nothing to say of it."""
        link = self.current
        if link is None or not self.hold.press(direction, monotonic()) or self._ordering > 1:
            return None
        order, link.aim = order_of(direction, link.controls, link.aim)
        return None if order is None else await self._told_to(link, order)

    async def home(self) -> PtzResult | None:
        """Back to where it looks by itself."""
        link = self.current
        order = home_of(link.controls) if link is not None else None
        if link is None or order is None:
            return None
        link.aim = (0.0, 0.0)
        return await self._told_to(link, order)

    async def preset(self, number: int) -> PtzResult | None:
        """To one of the first nine presets."""
        from luxxon_core.controls.schemas import GotoPreset

        link = self.current
        if link is None or not 0 < number <= len(link.presets[:PRESETS]):
            return None
        return await self._told_to(link, GotoPreset(link.presets[number - 1].token))

    async def _told_to(self, link: CameraLink, order: Order) -> PtzResult | None:
        self._ordering += 1
        try:
            return await link.order(order)
        finally:
            self._ordering -= 1

    # -- online

    def terms(self, link: CameraLink, workspace: Workspace | None) -> Terms | None:
        """How a camera would be offered; None while nobody knows where it is."""
        from luxxon_core.operator.presence import Location

        table = link.found.table
        location, follows = (table.location, table.follow) if table is not None else (None, False)
        if location is None and not follows:
            own = workspace
            if own is not None and own.coverage_lat is not None and own.coverage_lng is not None:
                location = Location(own.coverage_lat, own.coverage_lng)
            elif "position" not in link.capabilities:
                return None
        terms = Terms(location, self.radius_of(link, workspace))
        if table is None:
            return terms
        return replace(
            terms,
            rules=table.accept.rules(),
            device_kind=table.device_kind,
            controls=table.controls,
            microphone=table.microphone,
            privacy=table.privacy,
        )

    def radius_of(self, link: CameraLink | None, workspace: Workspace | None) -> float:
        """Metres that are covered, or would be."""
        if link is not None and (chosen := self.radii.get(link.found.key)) is not None:
            return chosen
        if link is not None and link.found.table is not None:
            return link.found.table.radius_meters
        saved = None if workspace is None else workspace.coverage_radius_meters
        return saved or DEFAULT_RADIUS_M

    def rules_of(self, link: CameraLink | None) -> Rules:
        """What is accepted by itself."""
        table = None if link is None else link.found.table
        return Rules() if table is None else table.accept.rules()

    async def operate(
        self,
        link: CameraLink,
        api: MarketplaceApi,
        workspace_id: str,
        terms: Terms,
        sign: Callable[[str], str] | None,
        *,
        lost: Callable[[str], None],
    ) -> None:
        """Be online with a camera until cancelled; others may be online beside it.

        Raises:
            LuxxonError: as :meth:`Operation.run`.
        """
        operation = self.operations[link.found.key] = Operation(
            api,
            link,
            workspace_id,
            terms,
            self._aside,
            clock=self._clock,
            by_rule=lambda: self.by_rule,
            told=self._of_operation,
            lost=lost,
            sign=sign,
        )
        link.kept = True
        self._told()
        try:
            await operation.run()
        finally:
            self.past |= operation.sessions
            del self.operations[link.found.key]
            link.kept = self.opened == link.found.key
            self._told()

    def operation_of(self, link: CameraLink | None) -> Operation | None:
        """That of a camera; None while it is not online."""
        return None if link is None else self.operations.get(link.found.key)

    def asked(self, first: CameraLink | None = None) -> Operation | None:
        """The operation whose assignment waits for an answer: that of ``first``, else the longest."""
        waiting = [one for one in self.operations.values() if one.offer is not None]
        of_first = next((one for one in waiting if one.link is first), None)
        return of_first or min(waiting, key=_came_at, default=None)

    @property
    def sessions(self) -> dict[str, SessionView]:
        """Sessions that the cameras' own streams have told of."""
        return self.past | {
            key: view for one in self.operations.values() for key, view in one.sessions.items()
        }

    async def switch(self, link: CameraLink, token: str) -> None:
        """Show and publish another profile of a camera."""
        await link.switch(token)
        operation = self.operation_of(link)
        if operation is not None and link.profile is not None:
            await operation.switch(link.profile)

    # -- the user's own

    async def wanted(self, text: str) -> Wanted:
        """What somebody names; raises as :meth:`Finder.wanted`."""
        return await self._aside.run(self._finder.wanted(text))

    async def kinds(self) -> Sequence[tuple[str, str]]:
        """Key and title of each type of camera."""
        return await self._aside.run(self._finder.kinds())

    async def form(self, wanted: Wanted, config: BaseModel | None) -> Sequence[FormField]:
        """What a camera may be told before it is tried."""
        return await self._aside.run(wanted.form(config))

    async def tried(self, wanted: Wanted, values: Mapping[str, Any]) -> CameraLink:
        """The camera with these fields, not opened yet; it is none of the desk's before :meth:`keep`.

        Raises:
            LuxxonError: its type does not take them.
        """
        return CameraLink(await self._aside.run(wanted.camera(values)), self._aside, self._told)

    async def keep(self, link: CameraLink, name: str, place: Point | None = None) -> None:
        """Write a camera that was tried, or found, into the user's file under a name.

        Raises:
            StartError: the name is taken or none, or the file cannot be written.
        """
        from luxxon_core.camera_file import keep_camera

        found = link.found
        if f"={name}" in self.links:
            raise StartError("camera:taken", f"there is a camera {name} already")
        at = None if place is None else (place.lat, place.lng)
        await asyncio.to_thread(keep_camera, name, found.type_key, found.config, at)
        from luxxon_core.operator.config import operate_table

        table = found.table
        if place is not None:
            table = operate_table(name, {"lat": place.lat, "lng": place.lng})
        kept = replace(found, key=f"={name}", name=name, table=table, configured=True, own=True)
        self._renamed(link, kept)

    async def rename(self, link: CameraLink, name: str) -> None:
        """Call one of the user's own cameras something else; one that was found is kept by it.

        Raises:
            StartError: as :meth:`keep`, or it is not the user's own.
        """
        from luxxon_core.camera_file import rename_camera

        if not link.found.configured:
            await self.keep(link, name)
            return
        await asyncio.to_thread(rename_camera, link.found.name, name)
        self._renamed(link, replace(link.found, key=f"={name}", name=name))

    def _renamed(self, link: CameraLink, found: FoundCamera) -> None:
        before, link.found = link.found.key, found
        every = (*self.links.values(), link)  # where it was found stands another, which could not be opened
        self.links = {one.found.key: one for one in every if one.found.key != before}
        if before in self.radii:
            self.radii[found.key] = self.radii.pop(before)
        if self.opened == before:
            self.opened = found.key
        self._told()

    async def remove(self, link: CameraLink) -> None:
        """Take one of the user's own cameras away, its secrets too.

        Raises:
            StartError: it is not the user's own, or the file cannot be edited.
        """
        from luxxon_core.camera_file import forget_camera

        await asyncio.to_thread(forget_camera, link.found.name)
        self.links.pop(link.found.key, None)
        if self.opened == link.found.key:
            self.opened = None
        await link.close()
        self._told()

    def _of_operation(self, arrived: bool) -> None:
        self._told()
        if arrived:
            self._arrived()

    async def close(self) -> None:
        """Let every camera go, and end the thread."""
        self.opened = None
        for link in self.links.values():
            if link.is_open:
                await link.close()
        await self._aside.close()


def _came_at(operation: Operation) -> float:
    return operation.offer.came_at.timestamp() if operation.offer is not None else 0.0
