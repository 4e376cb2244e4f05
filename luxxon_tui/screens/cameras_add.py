"""The card that adds a camera: its address is tried, its picture shown, and only then it is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input

from luxxon_core.kernel.errors import InvalidInput, LuxxonError
from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.map import links
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.rows import EMPTY, Row, Span, cut, row
from luxxon_tui.widgets.field import AddressField, Field
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal
from luxxon_tui.widgets.picture import Picture

if TYPE_CHECKING:
    from luxxon_tui.operate.desk import CameraDesk

SHOW_SECONDS = 0.1
LOOK_SECONDS = 15.0
"""How long a first picture may take."""


class AddCamera(Modal[str | None]):
    """Dismisses with the key of the camera that was kept, or None.

    Args:
        desk: is told of the camera once it is kept.
    """

    CSS = """
    AddCamera { align: center middle; background: $background 60%; }
    AddCamera > VerticalScroll {
        width: 64; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border-left: outer $accent; padding: 1 2; scrollbar-size-vertical: 1;
    }
    AddCamera .line { height: 1; width: 1fr; }
    AddCamera .label { width: 10; }
    AddCamera Picture { width: 40; height: 11; margin: 0 0 1 10; display: none; }
    AddCamera.-seen Picture { display: block; }
    AddCamera .after { display: none; }
    AddCamera.-seen .after { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave")]

    def __init__(self, desk: CameraDesk) -> None:
        super().__init__()
        self._desk = desk
        self._link: CameraLink | None = None
        self._wrong = self._doing = ""
        self._number = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Lines(
                lambda _width: [row(Span("Add a camera", "bright", bold=True)), EMPTY], ground="surface"
            )
            yield from self._blank("address", "rtsp://user:password@host/path, or a file")
            yield Lines(self._status, id="status", ground="surface")
            yield Picture(id="probe")
            yield from self._blank("name", "roof", after=True)
            yield from self._blank("place", "lat, lng or a map link; empty: as the workspace", after=True)
            yield Lines(self._keys, id="keys", ground="surface")

    def _blank(self, name: str, hint: str, *, after: bool = False) -> ComposeResult:
        with Horizontal(classes="line after" if after else "line"):
            label = Lines(lambda _width: [row(Span(name, "muted"))], ground="surface")
            label.add_class("label")
            yield label
            kind = AddressField if name == "address" else Field
            yield kind(placeholder=hint, id=name)

    def on_mount(self) -> None:
        self.set_interval(SHOW_SECONDS, self._show)
        self.set_focus(self.query_one("#address", Field))

    # -- what it says

    def _status(self, width: int) -> list[Row]:
        if self._wrong:
            return [cut(row(Span("✕ ", "bad"), self._wrong), width), EMPTY]
        if self._doing:
            return [cut(row(Span("◐ ", "accent"), Span(self._doing, "muted")), width), EMPTY]
        link = self._link
        if link is None or link.profile is None:
            return [cut(row(Span("what opens it is kept apart from the settings", "faint")), width), EMPTY]
        best = link.profile
        size = f"{best.width}×{best.height} {best.frame_rate:g} fps {fmt.codec(best.codec)}"
        return [cut(row(Span("● ", "ok"), link.found.title, Span(f"  {size}", "muted")), width), EMPTY]

    def _keys(self, width: int) -> list[Row]:
        goes = "keeps it, from the last line" if self.has_class("-seen") else "looks at it"
        told = row(
            Span("enter", "text", bold=True), Span(f" {goes}   ", "muted"),
            Span("esc", "text", bold=True, action="screen.leave"),
            Span(" not now", "muted", action="screen.leave"),
        )  # fmt: skip
        return [EMPTY, cut(told, width)]

    def _say(self, *, wrong: str = "", doing: str = "") -> None:
        self._wrong, self._doing = wrong, doing
        self.query_one("#status", Lines).redraw()
        self.query_one("#keys", Lines).redraw()

    def _show(self) -> None:
        link = self._link
        if link is not None and link.frame is not None and link.number != self._number:
            self._number = link.number
            self.query_one("#probe", Picture).show(link.frame)

    # -- what is done

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "address" and self._link is not None:
            self.run_worker(self._forget(), name="forget", group="add", exclusive=True)
        elif self._wrong:
            self._say()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "address":
            if event.value.strip():
                self.run_worker(self._try(event.value), name="try", group="add", exclusive=True)
        elif event.input.id == "name":
            self.set_focus(self.query_one("#place", Field))
        elif not self._doing:
            self.run_worker(self._keep(), name="keep", group="add", exclusive=True)

    async def _try(self, text: str) -> None:
        """Open it, and wait for a picture."""
        await self._forget()
        self._say(doing="looking at it")
        try:
            link = await self._desk.tried(text)
        except LuxxonError as error:
            self._say(wrong=error.message)
            return
        link.kept = True
        try:
            opened = await link.open()
            if opened and not await link.pictured(LOOK_SECONDS):
                opened, link.reason = False, link.reason or "it is open, and sends no picture"
        except asyncio.CancelledError:
            await link.close()
            raise
        if not opened:
            self._say(wrong=link.reason)
            await link.close()
            return
        self._link = link
        self.set_class(True, "-seen")
        self._say()
        name = self.query_one("#name", Field)
        name.value = name.value or link.found.type_key
        self.set_focus(name)

    async def _keep(self) -> None:
        from luxxon_core.camera_file import name_of

        link = self._link
        if link is None:
            return
        try:
            name = name_of(self.query_one("#name", Field).value)
            place = self._place(self.query_one("#place", Field).value)
            await self._desk.keep(link, name, place)
        except LuxxonError as error:
            self._say(wrong=error.message)
            self.set_focus(self.query_one("#place" if error.detail == "camera:place" else "#name", Field))
            return
        self._link = None
        await link.close()
        self.dismiss(link.found.key)

    @staticmethod
    def _place(text: str) -> Point | None:
        if not text.strip():
            return None
        point = links.parse(text)
        if point is None:
            raise InvalidInput("camera:place", "that is no place: 50.8466, 4.3528, or a map link")
        return point

    async def _forget(self) -> None:
        """Let go of what was tried before."""
        link, self._link = self._link, None
        self._number = 0
        self.set_class(False, "-seen")
        self.query_one("#probe", Picture).clear()
        self._say()
        if link is not None:
            await link.close()

    async def on_unmount(self) -> None:
        if self._link is not None:
            with suppress(RuntimeError):  # the console itself is being left, and the cameras' thread is gone
                await self._link.close()

    def action_leave(self) -> None:
        self.dismiss(None)
