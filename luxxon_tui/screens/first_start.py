"""The first start: from nothing to a marketplace, and who one is there. Its outcome is a profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.connect.opening import HOME
from luxxon_tui.connect.profiles import EMBEDDED
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens import first_start_work as work
from luxxon_tui.screens.first_start_connect import ConnectScreen
from luxxon_tui.screens.first_start_pages import Page, Place
from luxxon_tui.store import Readiness

if TYPE_CHECKING:
    from luxxon_core.profiles import ProfileTable

FIRST_SECONDS = 60
"""Length of the first session."""


class FirstStart(ConnectScreen):
    """*Try it here*, and the choice between that and *Connect*."""

    def __init__(self) -> None:
        super().__init__()
        self._webcam = False
        self._cost: int | None = None
        self._profile: ProfileTable | None = None

    def page(self) -> Page:
        made: dict[Place, Callable[[], Page]] = {
            Place.WELCOME: pages.welcome,
            Place.CAMERA: pages.camera,
            Place.STARTING: pages.starting,
            Place.READY: self._ready_page,
        }
        return made[self.place]() if self.place in made else super().page()

    def _ready_page(self) -> Page:
        pool = self.console.store.pool_micro or 0
        return pages.ready(webcam=self._webcam, cost=self._cost, seconds=FIRST_SECONDS, pool=pool)

    # -- try it here

    def _choose_try(self) -> None:
        self._go(Place.CAMERA)

    def _choose_testcard(self) -> None:
        self._webcam = False
        self._start()

    def _choose_webcam(self) -> None:
        self._webcam = True
        self._start()

    def _start(self) -> None:
        from luxxon_core.profiles import ProfileTable

        self._go(Place.STARTING)
        known = self.console.facts.profiles.get(EMBEDDED) or ProfileTable(embedded=True)
        self._profile = structs.replace(known, camera="webcam" if self._webcam else None)
        self.console.open_profile(EMBEDDED, self._profile)

    def _choose_again(self) -> None:
        self._wrong, self._phases = None, []
        if self._profile is not None:
            self.console.open_profile(EMBEDDED, self._profile)
        self._draw()

    def heard(self) -> None:
        """The embedded marketplace has come further."""
        if self.place is not Place.STARTING or not self.is_mounted:
            return
        store = self.console.store
        readiness = store.readiness.value
        if readiness is Readiness.FAILED and store.failure.value is not None:
            self._fail(replace(store.failure.value, remedy="its log is on Activity; try again, or go back"))
        elif readiness is Readiness.READY and (not self._phases or self._phases[-1][0] != "looking for it"):
            self._doing("looking for it")
            self.run_worker(self._settle(), name="settle", group="step", exclusive=True)
        elif readiness is Readiness.LOADING and store.progress.value:
            self._doing(store.progress.value)

    async def _settle(self) -> None:
        """The marketplace runs: wait for its camera, ask for a price, and keep the profile."""
        api = self.console.api
        if api is None:
            return
        try:
            await work.camera_online(api, self._camera_trouble)
            lat, lng = HOME
            quote = await api.pricing.quote(lat=lat, lng=lng, duration_seconds=FIRST_SECONDS)
            self._cost = int(quote.estimated_total_micro_usdc)
        except LuxxonError as error:
            self._fail(work.explained(error, "the camera"))
            return
        assert self._profile is not None
        await self._keep(EMBEDDED, self._profile)
        self._enter(Place.READY)

    def _camera_trouble(self) -> str | None:
        """Why the marketplace's own camera cannot be opened, as its operator has said last."""
        return work.camera_trouble(self.console.store.server_log.value)

    def _choose_watch(self) -> None:
        self._step(self._watch(), "the camera was not asked for")

    async def _watch(self) -> None:
        api, (lat, lng) = self.console.api, HOME
        assert api is not None
        self._doing("asking for the camera")
        who = self.console.store.who.value
        session = await api.sessions.create(
            lat=lat,
            lng=lng,
            max_duration_seconds=FIRST_SECONDS,
            workspace_id=who.workspace_id if who else None,
        )
        await api.sessions.dispatch(session.id)
        self.dismiss()
        self.console.watch_session(str(session.id))

    def _choose_look(self) -> None:
        self.dismiss()
