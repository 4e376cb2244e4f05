"""The half of the Cameras screen that speaks with the marketplace: going online, assignments, the circle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from luxxon_core.kernel.errors import InvalidState, LuxxonError
from luxxon_tui.map.operate import stepped
from luxxon_tui.operate.acting import Acting, Identities
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.screens.cameras_view import CamerasView
from luxxon_tui.store import Side
from luxxon_tui.views import SessionView
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.question import Question

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon

SETTLE_SECONDS = 0.6
"""After the last key, before another radius is told."""


class CamerasOnline(CamerasView):
    """Offers cameras, each by itself; several may be online at once."""

    IDENTITIES: ClassVar[Callable[[Luxxon], Identities]] = Identities

    def __init__(self) -> None:
        super().__init__()
        self._by_console: dict[str, str] = {}
        """The workspace of each camera that is offered by the console's own client, by the camera's key."""

    def on_mount(self) -> None:  # beside that of every screen
        self._end_acting = self.store.watch(("who",), self._acting_changed)

    def on_unmount(self) -> None:  # beside that of every screen
        self._end_acting()

    def _acting_changed(self) -> None:
        """The console's client acts for another workspace, or is gone: what it has offered goes offline."""
        who = self.store.who.value
        for key, workspace_id in tuple(self._by_console.items()):
            if (who is None or who.workspace_id != workspace_id) and (worker := self._operating.get(key)):
                del self._by_console[key]
                worker.cancel()
                name = self.desk.links[key].found.name if key in self.desk.links else "a camera"
                self.app.notify(f"{name} is offline: the console acts for another workspace", timeout=8)

    @property
    def connected(self) -> bool:
        """Whether the marketplace can be asked."""
        return self.api is not None and self.store.offline is None

    def action_go(self, online: bool) -> None:
        link = self.shown
        if link is None:
            return
        if not online:
            self._go_offline(link)
            return
        link.trouble, key = "", link.found.key
        self._operating[key] = self.run_worker(
            self._operate(link), name="operate", group=f"operate:{key}", exclusive=True, exit_on_error=True
        )

    def _go_offline(self, link: CameraLink) -> None:
        operation, worker = self.desk.operation_of(link), self._operating.get(link.found.key)
        if operation is None or worker is None:
            return
        status = operation.status

        async def sure() -> None:
            live = status is not None and status.session_id is not None
            facts = ("The session stays open, unpaid, until its consumer ends it.",)
            if not live or await self.confirmed(Question("Stop publishing?", facts, "stop", "go on")):
                worker.cancel()

        self._work(sure(), "offline")

    async def _operate(self, link: CameraLink) -> None:
        desk, key, acting = self.desk, link.found.key, None
        try:
            if not await link.open():
                return
            terms = desk.terms(link, self.store.workspace.value)
            if terms is None:
                link.trouble = "Where is it? Set the circle on the map: 1, then space and enter"
                self.store.side.set(Side.OPERATE)  # on the other side these keys would ask for a camera
                return
            acting = await self._acting(link)
            if acting is not None:
                sign = await self._signer(acting)
                await desk.operate(
                    link, acting.api, acting.workspace_id, terms, sign, lost=partial(self._lost, link)
                )
        except LuxxonError as error:
            link.trouble = error.message
            self.app.notify(f"{link.found.name} is offline: {error.message}", severity="error")
        finally:
            self._claims.pop(key, None)
            self._by_console.pop(key, None)
            if acting is not None and acting.close is not None:
                await acting.close()
            if desk.opened != link.found.key and link.found.key not in desk.operations:
                await link.close()
            self.due()

    def _lost(self, link: CameraLink, reason: str) -> None:
        """It has gone offline by itself, and is tried again."""
        self.app.notify(f"{link.found.name} is offline until it is back: {reason}", severity="error")

    async def _acting(self, link: CameraLink) -> Acting | None:
        """Who the camera is: by its own key, else the console's workspace while no other camera has that,
        else one that is made for it; None where that is not wanted."""
        api, who = self.api, self.store.who.value
        if api is None or who is None:
            return None
        identities, name = type(self).IDENTITIES(api), link.found.name
        if (own := await identities.own(link.found)) is not None:
            self._claim(link, own.workspace_id)
            return own
        if who.workspace_id is not None and who.workspace_id not in self._claims.values():
            self._claim(link, who.workspace_id)
            self._by_console[link.found.key] = who.workspace_id
            workspace = self.store.workspace.value
            return Acting(api, who.workspace_id, workspace.wallet_address if workspace else None)
        wallet = await self.console_app.wallet() if who.is_wallet else None
        if wallet is None:
            raise InvalidState(
                "camera:workspace", "a workspace has one camera online: give this one an api_key of its own"
            )
        facts = (
            "A workspace has one camera online, and another camera has yours.",
            f"One named {name} is made and belongs to your wallet; it costs nothing.",
        )
        if not await self.confirmed(Question(f"Make a workspace for {name}?", facts, "make it", "not now")):
            return None
        config = self.store.config.value
        made = await identities.enrolled(link.found, wallet, config.environment if config else "TEST")
        self._claim(link, made.workspace_id)
        return made

    def _claim(self, link: CameraLink, workspace_id: str) -> None:
        if workspace_id in self._claims.values():
            raise InvalidState("camera:workspace", "another camera is online with the same key")
        self._claims[link.found.key] = workspace_id

    async def _signer(self, acting: Acting) -> Callable[[str], str] | None:
        """Who signs telemetry: the wallet, where it is the workspace's."""
        who = self.store.who.value
        if who is None or not who.is_wallet or acting.wallet_address is None:
            return None
        wallet = await self.console_app.wallet()
        if wallet is None or wallet.address.lower() != acting.wallet_address.lower():
            return None
        return wallet.sign_message

    # -- assignments

    def action_accept(self) -> None:
        self._answer(True)

    def action_decline(self) -> None:
        self._answer(False)

    def _answer(self, accepted: bool) -> None:
        operation = self.desk.asked(self.shown)
        if operation is not None:
            operation.answer(accepted)

    def action_rule(self) -> None:
        self.desk.by_rule = not self.desk.by_rule
        self.due()

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

    # -- what is offered

    def action_radius(self, by: int) -> None:
        desk, workspace, link = self.desk, self.store.workspace.value, self.shown
        if link is None:
            return
        radius = desk.radii[link.found.key] = stepped(desk.radius_of(link, workspace), by)
        if desk.operation_of(link) is not None:
            self.call(
                self._tell_radius(link, radius),
                "the circle was not changed",
                group=f"cover:{link.found.key}",
            )
        self.due()

    async def _tell_radius(self, link: CameraLink, radius: float) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        operation = self.desk.operation_of(link)
        if operation is not None:
            await operation.cover(radius)
            self.due()

    def action_profile(self) -> None:
        link = self.shown
        if link is not None:
            self._work(self._choose_profile(link), "profile")

    async def _choose_profile(self, link: CameraLink) -> None:
        """Choose among what the camera offers; it is shown, and published, from then on."""
        options = [
            (one.token, f"{one.width}×{one.height}  {one.frame_rate:g} fps  {one.codec}")
            for one in link.profiles
        ]
        now = link.profile.token if link.profile else None
        chosen = await self.app.push_screen_wait(Choose(f"Profile of {link.found.name}", options, now))
        if chosen is not None and chosen != now:
            await self.desk.switch(link, chosen)
            self.due()
