"""Panels of plugins: their widgets below a section line, each so that its crash ends it alone.

What a plugin's widget raises, wherever Textual calls it, is told in its place, and the console goes on. A
widget that blocks the loop still holds up everything: that is the plugin's to avoid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import structlog
from textual._context import active_message_pump
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.css.stylesheet import Stylesheet
from textual.geometry import Spacing
from textual.layout import DockArrangeResult
from textual.message_pump import MessagePump
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import active_worker

from luxxon_core.kernel.clock import Clock
from luxxon_tui.rows import Row, Span, row, section
from luxxon_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.plugins import PanelType
    from luxxon_core.source import GeoPose, Health, MediaProfile

log = structlog.get_logger(__name__)

GUARDED = ("render_lines", "arrange", "get_content_width", "get_content_height")
"""What the compositor calls of a widget, outside its messages."""


@dataclass(frozen=True, slots=True)
class PanelCamera:
    """The camera that the screen shows, for a panel on Cameras."""

    name: str
    type_key: str
    online: bool
    profiles: tuple[MediaProfile, ...] = ()
    health: Health | None = None
    pose: GeoPose | None = None


@dataclass(frozen=True, slots=True)
class PanelContext:
    """What a plugin's widget is made with.

    Attributes:
        screen: which it is on, as in ``PanelType``.
        api: gives the SDK's client; None while there is no server.
        camera: gives the camera that is shown; None on other screens, and while there is none.
    """

    screen: str
    clock: Clock
    api: Callable[[], Luxxon | None]
    camera: Callable[[], PanelCamera | None] = lambda: None


class PluginPanel(Vertical):
    """One panel."""

    DEFAULT_CSS = """
    PluginPanel { height: auto; margin: 0 0 1 0; }
    PluginPanel > #held { height: auto; max-height: 12; }
    PluginPanel.-failed > #held { display: none; }
    PluginPanel > #why { display: none; }
    PluginPanel.-failed > #why { display: block; }
    """

    def __init__(self, panel: PanelType, context: PanelContext) -> None:
        super().__init__()
        self.panel, self._facts = panel, context
        self.reason = ""
        """Why it shows nothing more."""

    def compose(self) -> ComposeResult:
        title = self.panel.title
        yield Lines(lambda width: [section(width, title)])
        yield Vertical(id="held")
        yield Lines(self._why, id="why")

    async def on_mount(self) -> None:
        try:
            widget = self.panel.widget(self._facts)
            if not isinstance(widget, Widget):
                raise TypeError(f"{type(widget).__name__} is no Textual widget")
            _check_css(widget, self.app.get_css_variables())
            self.guard(widget)
            await self.query_one("#held").mount(widget)
        except Exception as error:  # noqa: BLE001 - a plugin's, told in its place
            self.fail(error)

    def guard(self, widget: Widget) -> None:
        """Have what the compositor calls of a widget, and of those in it, end this panel, not the screen."""
        if "render_lines" in widget.__dict__:
            return
        for name in GUARDED:
            setattr(widget, name, self._guarded(widget, name, getattr(widget, name)))

    def _guarded(self, widget: Widget, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def called(*given: Any, **named: Any) -> Any:
            if name == "arrange":  # asked before its children are measured or drawn
                for child in widget.children:
                    self.guard(child)
            if not self.reason:
                try:
                    return method(*given, **named)
                except Exception as error:  # noqa: BLE001 - a plugin's, told in its place
                    self.fail(error)
            return _nothing(name, *given)

        return called

    def fail(self, error: Exception) -> None:
        """Show no more of it, but why."""
        if self.reason:
            return
        # Not what it says: that may be a URL with a password.
        self.reason = f"its plugin failed ({type(error).__name__})"
        log.error("panel.failed", panel=self.panel.key, error=type(error).__name__)
        self.call_later(self._failed)

    def _failed(self) -> None:
        self.add_class("-failed")
        self.query_one("#why", Lines).redraw()
        self.query("#held").remove()

    def _why(self, width: int) -> list[Row]:
        told = wrap(self.reason, max(8, width - 2))
        return [
            row(Span("✕ " if n == 0 else "  ", "bad"), Span(line, "muted")) for n, line in enumerate(told)
        ]


class PluginPanels(Vertical):
    """All panels of a screen; nothing where there are none."""

    DEFAULT_CSS = "PluginPanels { height: auto; } PluginPanels.-none { display: none; }"

    def __init__(self, context: PanelContext, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, classes="-none")
        self._facts = context
        self._shown: set[str] = set()

    def fill(self, panels: Sequence[PanelType]) -> None:
        """Show the panels that are for this screen and not shown yet."""
        fresh = [one for one in panels if one.screen == self._facts.screen and one.key not in self._shown]
        if fresh:
            self._shown |= {one.key for one in fresh}
            self.remove_class("-none")
            self.mount(*(PluginPanel(one, self._facts) for one in fresh))


def contained(error: Exception) -> bool:
    """Whether what an app is to die of comes out of a plugin's panel, which has ended it then."""
    worker = active_worker.get(None)
    pump: MessagePump | None = active_message_pump.get(None) if worker is None else worker.node
    while pump is not None:
        if isinstance(pump, PluginPanel):
            pump.fail(error)
            return True
        pump = pump._parent
    return False


def _nothing(name: str, *given: Any) -> Any:
    """What a widget that has failed answers the compositor."""
    if name == "render_lines":
        crop = given[0]
        return [Strip.blank(crop.width)] * crop.height
    return DockArrangeResult([], set(), Spacing()) if name == "arrange" else 0


def _check_css(widget: Widget, variables: dict[str, str]) -> None:
    """Raise for style sheets that do not parse: among the app's own they would be everybody's fault."""
    for kind in type(widget).__mro__:
        css = kind.__dict__.get("DEFAULT_CSS")
        if css and not kind.__module__.startswith(("textual.", "luxxon_tui.")):
            sheet = Stylesheet(variables=variables)
            sheet.add_source(css)
            sheet.parse()
