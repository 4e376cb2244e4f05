"""Lines of a form that is made while the console runs: text, secrets, switches and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input

from luxxon_core.kernel.text import plain
from luxxon_tui.operate.fields import NO, YES, FormField, Sort
from luxxon_tui.rows import Row, Span, cut, row
from luxxon_tui.widgets.checks import Checks
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.field import AddressField, Field
from luxxon_tui.widgets.lines import Lines


class Pick(Lines, can_focus=True):
    """One of a few, chosen on a card: ``space`` and a click open it.

    Args:
        title: of the card.
        chosen: what is chosen at first; empty for nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("space", "choose", "choose")]

    def __init__(self, title: str, options: Sequence[str], chosen: str) -> None:
        super().__init__(self._shown, ground="surface")
        self._title, self._options, self.chosen = title, tuple(options), chosen

    def _shown(self, width: int) -> list[Row]:
        line = cut(
            row(
                Span("▎" if self.has_focus else "  ", "accent", on="raised"),
                Span(self.chosen or "choose", "text" if self.chosen else "faint", on="raised"),
                Span(" ▾", "muted", on="raised"),
            ),
            width,
        )
        return [row(line, Span(" " * (width - sum(len(span.text) for span in line)), on="raised"))]

    def action_choose(self) -> None:
        options = [(one, "") for one in self._options]
        self.app.push_screen(Choose(self._title, options, self.chosen or None), self._chose)

    def _chose(self, name: str | None) -> None:
        if name is not None:
            self.choose(name)

    def choose(self, name: str) -> None:
        self.chosen = name
        self.redraw()

    def on_click(self) -> None:
        self.action_choose()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()


class Form(VerticalScroll, can_focus=False):
    """A line for each field; of those that do not fit, the one in hand is scrolled to."""

    DEFAULT_CSS = """
    Form { height: auto; max-height: 58vh; scrollbar-size-vertical: 1; }
    Form Horizontal { height: 1; }
    Form .label { width: 25; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.fields: tuple[FormField, ...] = ()
        self.wrong: Mapping[str, str] = {}
        """What is wrong with which of them."""
        self._controls: dict[str, Widget] = {}
        self._begun: dict[Widget, str] = {}
        self._made = False
        """Whether all of them stand: making them can be cut off by what is asked for next."""
        self._typed: Set[str] = frozenset()
        """Lines that were typed into before they were filled last."""

    async def fill(self, fields: Sequence[FormField], *, keep: bool = False) -> None:
        """Take other lines.

        Args:
            keep: what was typed into lines that are there again stays.
        """
        typed = self.edited if keep else {}
        same = (
            keep
            and self._made
            and [_shape(line) for line in fields] == [_shape(line) for line in self.fields]
        )
        begun = {line.name: typed.get(line.name, line.text) for line in fields}
        self.fields, self.wrong, self._typed = tuple(fields), {}, typed.keys() & begun.keys()
        if not same:
            await self._make(begun)
            return
        for name, text in begun.items():
            self._begun[self._controls[name]] = text
            _put(self._controls[name], text)

    async def _make(self, begun: Mapping[str, str]) -> None:
        self._controls = {line.name: _control(line, begun[line.name]) for line in self.fields}
        self._begun = {self._controls[name]: text for name, text in begun.items()}
        self._made = False
        await self.remove_children()
        for line in self.fields:  # one by one: all at once would hold up the keys
            await self.mount(Horizontal(*self._pair(line)))
        self._made = True

    def _pair(self, line: FormField) -> ComposeResult:
        label = Lines(partial(self._label, line), ground="surface")
        label.add_class("label")
        yield label
        yield self._controls[line.name]

    def _label(self, line: FormField, width: int) -> list[Row]:
        title = Span(line.title, "muted")
        wrong = row(Span("✕ ", "bad"), Span(line.title, "text")) if line.name in self.wrong else row(title)
        return [cut(wrong, width - 1)]

    @property
    def texts(self) -> dict[str, str]:
        """What stands in each line."""
        return {name: _text(control) for name, control in self._controls.items()}

    @property
    def edited(self) -> dict[str, str]:
        """The same, of lines that somebody has typed into."""
        texts, begun = self.texts, {line.name: line.text for line in self.fields}
        return {name: text for name, text in texts.items() if name in self._typed or text != begun[name]}

    @property
    def here(self) -> FormField | None:
        """The line in hand."""
        return next((line for line in self.fields if self._controls[line.name].has_focus), None)

    def mark(self, wrong: Mapping[str, str]) -> None:
        """Say at which lines something is wrong."""
        self.wrong = wrong
        for label in self.query(".label").results(Lines):
            label.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._begun.get(event.input) == event.value:  # as it was made
            event.stop()

    def begin(self) -> None:
        """Take the focus where it is needed: at what is wrong, else at what opens the camera."""
        wrong = next((line for line in self.fields if line.name in self.wrong), None)
        line = wrong or self._credentials() or (self.fields[0] if self.fields else None)
        if line is not None:
            self.screen.set_focus(self._controls[line.name])

    def _credentials(self) -> FormField | None:
        """The first secret, or the name before it where there is none yet."""
        for number, line in enumerate(self.fields):
            if line.hidden:
                before = self.fields[number - 1] if number else line
                return before if before.sort is Sort.TEXT and not (before.text or before.fallback) else line
        return None


def _control(line: FormField, text: str) -> Widget:
    if line.sort is Sort.SWITCH:
        return Checks([("", line.hint)], [""] if text == YES else [])
    if line.sort is Sort.CHOICE:
        return Pick(line.title, [label for label, _ in line.choices], text)
    if line.hidden:
        return Field(text, placeholder=plain(line.hint or line.fallback), password=True)
    return AddressField(text, placeholder=plain(line.fallback or line.hint))


def _text(control: Widget) -> str:
    if isinstance(control, Checks):
        return YES if control.ticked else NO
    if isinstance(control, Pick):
        return control.chosen
    assert isinstance(control, Field), "made here"
    return control.value


def _put(control: Widget, text: str) -> None:
    if text == _text(control):
        return
    if isinstance(control, Field):
        control.value = text
    elif isinstance(control, Checks):
        control.action_tick()
    elif isinstance(control, Pick):
        control.choose(text)


def _shape(line: FormField) -> FormField:
    return replace(line, text="", value=None)
