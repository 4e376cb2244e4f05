"""The card that adds a camera: it is tried, its picture shown, and only then it is kept.

An address is all that most cameras need. What else a type may be told, or has to be, stands in a form that
is made of its ``Config``: it comes when the camera refuses what opens it, when something is missing, or is
asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input

from luxxon_core.kernel.errors import InvalidInput, LuxxonError, StartError
from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.map import links
from luxxon_tui.operate.fields import Sort, WrongFields, values_of
from luxxon_tui.operate.finding import Wanted
from luxxon_tui.operate.link import CameraLink
from luxxon_tui.rows import EMPTY, Row, Span, cut, row
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.field import AddressField, Field
from luxxon_tui.widgets.form import Form
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal
from luxxon_tui.widgets.picture import Picture

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_tui.operate.desk import CameraDesk

SHOW_SECONDS = 0.1
LOOK_SECONDS = 15.0
"""How long a first picture may take."""
SPACES = {Sort.SWITCH: "tick", Sort.CHOICE: "choose"}
"""What ``space`` does in a line."""


class AddCamera(Modal[str | None]):
    """Dismisses with the key of the camera that was kept, or None.

    Args:
        desk: is told of the camera once it is kept.
        found: a camera that was found, and wants to be told what opens it.
    """

    CSS = """
    AddCamera { align: center middle; background: $background 60%; }
    AddCamera > VerticalScroll {
        width: 64; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border-left: outer $accent; padding: 1 2; scrollbar-size-vertical: 1;
    }
    AddCamera .line { height: 1; width: 1fr; }
    AddCamera .line .label { width: 10; }
    AddCamera Picture { width: 40; height: 11; margin: 0 0 1 10; display: none; }
    AddCamera.-seen Picture { display: block; }
    AddCamera .after { display: none; }
    AddCamera.-seen .after { display: block; }
    AddCamera Form { display: none; }
    AddCamera.-asked Form { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Leave"),
        ("ctrl+o", "more", "More"),
        ("enter", "look", "Look"),
    ]

    def __init__(self, desk: CameraDesk, found: CameraLink | None = None) -> None:
        super().__init__()
        self._desk, self._found = desk, found
        self._link: CameraLink | None = None
        self._wanted: Wanted | None = None
        """What was tried last, or is asked about."""
        self._wrong = self._doing = ""
        self._number = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Lines(self._title, ground="surface")
            if self._found is None:
                yield from self._blank("address", "rtsp://user:password@host/path, or a file")
            yield Form(id="form")
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

    async def on_mount(self) -> None:
        self.set_interval(SHOW_SECONDS, self._show)
        found = self._found
        if found is None:
            self.set_focus(self.query_one("#address", Field))
            return
        self._say(wrong=found.reason)
        wanted = Wanted(found.found.source_type, found=found.found)
        self._work(self._ask(wanted, found.found.config), "ask")

    @property
    def _form(self) -> Form:
        return self.query_one("#form", Form)

    @property
    def _asks(self) -> bool:
        """Whether the form can be seen."""
        return self.has_class("-asked")

    # -- what it says

    def _title(self, width: int) -> list[Row]:
        title = "Add a camera" if self._found is None else f"Sign in to {self._found.found.name}"
        return [cut(row(Span(title, "bright", bold=True)), width), EMPTY]

    def _status(self, width: int) -> list[Row]:
        if self._wrong:
            return [cut(row(Span("✕ ", "bad"), self._wrong), width), EMPTY]
        if self._doing:
            return [cut(row(Span("◐ ", "accent"), Span(self._doing, "muted")), width), EMPTY]
        here = self._form.here if self._asks else None
        if here is not None and here.name in self._form.wrong:
            wrong = row(Span("✕ ", "bad"), f"{here.title}: {self._form.wrong[here.name]}")
            return [cut(wrong, width), EMPTY]
        link = self._link
        if link is None or link.profile is None:
            hint = (here.hint if here is not None else "") or "what opens it is kept apart from the settings"
            return [cut(row(Span(hint, "faint")), width), EMPTY]
        best = link.profile
        size = f"{best.width}×{best.height} {best.frame_rate:g} fps {fmt.codec(best.codec)}"
        return [cut(row(Span("● ", "ok"), link.found.title, Span(f"  {size}", "muted")), width), EMPTY]

    def _keys(self, width: int) -> list[Row]:
        goes = "keeps it, from the last line" if self.has_class("-seen") else "looks at it"
        told = row(
            Span("enter", "text", bold=True), Span(f" {goes}   ", "muted"), *self._more_keys(),
            Span("esc", "text", bold=True, action="screen.leave"),
            Span(" not now", "muted", action="screen.leave"),
        )  # fmt: skip
        return [EMPTY, cut(told, width)]

    def _more_keys(self) -> Row:
        if not self._asks:
            more = Span("^o", "text", bold=True, action="screen.more")
            return row(more, Span(" more   ", "muted", action="screen.more"))
        here = self._form.here
        space = SPACES.get(here.sort) if here is not None else None
        return row(
            Span("tab", "text", bold=True), Span(" next   ", "muted"),
            *([Span("space", "text", bold=True), Span(f" {space}   ", "muted")] if space else []),
        )  # fmt: skip

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

    def _work(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.run_worker(work, name=name, group="add", exclusive=True)

    def on_descendant_focus(self) -> None:
        self._say(wrong=self._wrong, doing=self._doing)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "address" and self._link is not None:
            self._work(self._anew(), "forget")
        elif self._wrong:
            self._say()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "address":
            if event.value.strip():
                self._work(self._try_address(event.value), "try")
        elif event.input.id == "name":
            self.set_focus(self.query_one("#place", Field))
        elif event.input.id != "place":
            self.action_look()
        elif not self._doing:
            self._work(self._keep(), "keep")

    def action_look(self) -> None:
        """Try the camera as the form has it, and as the address is by now."""
        wanted = self._wanted
        if not self._asks or self._doing or wanted is None:
            return
        address = self.query("#address").results(Field)
        text = next((field.value for field in address), "")
        if text.strip() != wanted.text:
            self._work(self._try_address(text), "try")
        else:
            form = self._form
            self._work(self._try(wanted, values_of(form.fields, form.texts)), "try")

    def action_more(self) -> None:
        """Ask for everything that the type of camera may be told."""
        known = self._found is None or self._link is not None
        if known and not self._asks and not self._doing:
            self._work(self._more(), "more")

    async def _more(self) -> None:
        if (link := self._link) is not None and (wanted := self._wanted) is not None:
            await self._forget()
            await self._ask(wanted, link.found.config)
            return
        field = self.query_one("#address", Field)
        if not field.value.strip():
            kinds = await self._desk.kinds()
            wide = max((len(key) for key, _ in kinds), default=0) + 2
            options = [(key, " " * (wide - max(8, len(key))) + title) for key, title in kinds]
            chosen = await self.app.push_screen_wait(Choose("What kind of camera?", options))
            if chosen is None:
                return
            field.value = chosen
        try:
            wanted = await self._desk.wanted(field.value)
        except LuxxonError as error:
            self._say(wrong=error.message)
            return
        await self._ask(wanted, None)

    async def _ask(
        self, wanted: Wanted, config: BaseModel | None, wrong: Mapping[str, str] | None = None
    ) -> None:
        """Show the form; what was typed into one of the same type stays."""
        same = self._wanted is not None and self._wanted.key == wanted.key
        fields = await self._desk.form(wanted, config)
        self._wanted = wanted if config is None else wanted.settled(config)
        await self._form.fill(fields, keep=same)
        self._form.mark(wrong or {})
        self.set_class(True, "-asked")
        self._say(wrong=self._wrong)
        self._form.begin()

    async def _try_address(self, text: str) -> None:
        """By its address, and by what was typed beside it."""
        try:
            wanted = await self._desk.wanted(text)
        except LuxxonError as error:
            await self._anew()
            self._say(wrong=error.message)
            return
        if self._wanted is not None and self._wanted.key != wanted.key:
            await self._anew()
        await self._try(wanted, values_of(self._form.fields, self._form.edited))

    async def _try(self, wanted: Wanted, values: Mapping[str, Any]) -> None:
        """Open it, and wait for a picture."""
        await self._forget()
        self._say(doing="looking at it")
        try:
            link = await self._desk.tried(wanted, values)
        except LuxxonError as error:
            self._say(wrong=error.message)
            wrong = error.wrong if isinstance(error, WrongFields) else {}
            if self._asks and wanted is self._wanted:
                self._form.mark(wrong)
                self._form.begin()
            elif not wrong.keys() <= wanted.said.keys():
                await self._ask(wanted, None, wrong)
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
            if link.refused:
                await self._ask(wanted, link.found.config)
            return
        self._show_camera(wanted, link)

    def _show_camera(self, wanted: Wanted, link: CameraLink) -> None:
        self._wanted, self._link = wanted, link
        self.set_class(False, "-asked")
        self.set_class(True, "-seen")
        self._say()
        name = self.query_one("#name", Field)
        name.value = name.value or _suggested(link)
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

    async def _anew(self) -> None:
        """Another camera is meant: what was told of the one before does not hold."""
        self._wanted = None
        self.set_class(False, "-asked")
        await self._form.fill(())
        await self._forget()

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


def _suggested(link: CameraLink) -> str:
    from luxxon_core.camera_file import name_of

    try:
        return name_of(link.found.name)
    except StartError:  # a device may be called anything
        return link.found.type_key
