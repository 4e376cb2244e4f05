"""The card of a new webhook: where to, and which events."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input

from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.widgets.checks import Checks
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal

EVENTS = {
    "session.state": "asked, assigned, live, over",
    "window.opened": "from here on nothing is charged",
    "window.closed": "charged again",
    "settlement.state": "paid, and confirmed on chain",
    "telemetry.sample": "the camera's place, once a second",
    "video.connected": "the operator's video has come",
    "video.disconnected": "it has gone",
    "quality.degraded": "the picture is black or frozen",
    "quality.restored": "it is good again",
}
FIRST = tuple(name for name in EVENTS if name != "telemetry.sample")


class Wish(NamedTuple):
    """What a new webhook is to be."""

    url: str = ""
    events: tuple[str, ...] = FIRST


class WebhookCard(Modal[Wish | None]):
    """URL and events of a new webhook. Dismisses with them, or None.

    Args:
        wish: what stands there at first.
        wrong: what the server said of it.
    """

    CSS = """
    WebhookCard { align: center middle; background: $background 60%; }
    WebhookCard > Vertical {
        width: 66; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border-left: outer $accent; padding: 1 2;
    }
    WebhookCard Field, WebhookCard Checks { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave"), ("enter", "create", "Create")]

    def __init__(self, wish: Wish | None = None, wrong: str = "") -> None:
        super().__init__()
        self._wish, self._wrong = wish or Wish(), wrong

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(self._head, id="head", ground="surface")
            yield Field(self._wish.url, placeholder="https://example.com/luxxon", id="url")
            yield Checks(tuple(EVENTS.items()), self._wish.events)
            yield Lines(self._keys, ground="surface")

    def _head(self, width: int) -> list[Row]:
        from textwrap import wrap

        title = row(Span("New webhook", "bright", bold=True))
        if not self._wrong:
            return [title, row(Span("Events are sent there as they happen, signed.", "muted")), EMPTY]
        said = wrap(self._wrong, max(8, width - 2), max_lines=3, placeholder=" …")
        first, *others = [row(Span(line)) for line in said]
        return [title, row(Span("✕ ", "bad"), first), *(row("  ", line) for line in others), EMPTY]

    def _keys(self, _width: int) -> list[Row]:
        return [
            row(
                Span(" enter ", "hint", bold=True, on="accent", action="screen.create"),
                Span("create ", "ink", bold=True, on="accent", action="screen.create"),
                Span("   tab", "text", bold=True), Span(" events   ", "muted"),
                Span("space", "text", bold=True), Span(" tick   ", "muted"),
                Span("esc", "text", bold=True, action="screen.leave"),
                Span(" not now", "muted", action="screen.leave"),
            )
        ]  # fmt: skip

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_create()

    def action_create(self) -> None:
        """What is wrong with it the server knows best."""
        self.dismiss(Wish(self.query_one("#url", Field).value.strip(), self.query_one(Checks).ticked))

    def action_leave(self) -> None:
        self.dismiss(None)
