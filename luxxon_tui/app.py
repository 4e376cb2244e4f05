"""The console as a program: themes, keys that hold everywhere, and a clean way in and out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.geo import Point
from luxxon_tui.context import CameraFacts, ConsoleContext
from luxxon_tui.feed import EmptyFeed, EventFeed, SessionFeed
from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.themes import PALETTES, textual_themes
from luxxon_tui.video import SessionVideo, VideoFeed
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.footer import key_name
from luxxon_tui.widgets.header import TABS

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon


INTERRUPTED = 130


class ConsoleApp(App[int]):
    """The console.

    Args:
        api: client of the server; None shows the empty console.
        session_id: session to watch.
        context: what no endpoint says.
        clock: the time of day; fixed in tests.
        feed: takes the place of following ``api``.
        open_video: takes the place of the session's own stream.
    """

    TITLE = "luxxon"
    DEFAULT_MODE = "live"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    Screen { background: $background; color: $foreground; }
    Toast { background: $surface; border-left: outer $accent; color: $foreground; }
    CommandPalette > Vertical { background: $surface; width: 64; max-width: 100%; }
    CommandPalette #--input { border: blank; padding-left: 1; }
    CommandPalette SearchIcon { display: none; }
    CommandPalette CommandList { border: blank; max-height: 16; background: $surface; }
    CommandPalette CommandList > .option-list--option { color: $foreground; }
    CommandPalette CommandList > .option-list--option-highlighted { background: $panel; color: $lx-bright; }
    CommandPalette > .command-palette--help-text { color: $lx-muted; text-style: not bold; }
    CommandPalette > .command-palette--highlight { color: $accent; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "keys", show=False, tooltip="What the keys do"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
        *(
            Binding(
                tab.key,
                f"switch_mode('{tab.name.lower()}')",
                tab.name.lower(),
                show=False,
                tooltip=f"The {tab.name} screen" if len(TABS) > 1 else "",  # one screen: not worth a line
            )
            for tab in TABS
        ),
    ]

    def __init__(
        self,
        api: Luxxon | None = None,
        session_id: UUID | None = None,
        *,
        context: ConsoleContext | None = None,
        clock: Clock = utc_now,
        feed: SessionFeed | None = None,
        open_video: Callable[[], VideoFeed] | None = None,
    ) -> None:
        super().__init__()
        self._facts = context or ConsoleContext()
        self._clock = clock
        self._api = api
        self._session_id = session_id
        self._feed = feed
        self._video = open_video
        for theme in textual_themes():
            self.register_theme(theme)
        self.add_mode("live", self._live_screen)
        self.theme = self._facts.theme if self._facts.theme in PALETTES else "luxxon-dark"

    def _live_screen(self) -> Screen[None]:
        feed = self._feed or (
            EventFeed(self._api, self._session_id, self._clock) if self._api else EmptyFeed()
        )
        return LiveScreen(feed, self._video or self._session_video, self._facts, self._clock)

    def _session_video(self) -> VideoFeed:
        assert self._api is not None and self._session_id is not None, "a picture needs a session"
        return SessionVideo(self._api, self._session_id)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for binding in explained(screen):
            if binding.action == "command_palette":
                continue

            async def run(action: str = binding.action) -> None:
                await self.run_action(action, default_namespace=screen)

            title = binding.description[0].upper() + binding.description[1:]
            yield SystemCommand(title, binding.tooltip, run)
        for name in PALETTES:
            if name != self.theme:
                word = name.removeprefix("luxxon-")
                help_text = f"Switch to the {word} theme"
                yield SystemCommand(f"Theme: {word}", help_text, partial(self._theme, name))

    def _theme(self, name: str) -> None:
        self.theme = name

    def action_keys(self) -> None:
        """What the keys do where the focus is."""
        self.push_screen(Card(keys(self.screen)))

    async def action_quit(self) -> None:
        self.exit(0)


def explained(screen: Screen[object]) -> list[Binding]:
    """The active bindings of a screen that say what they do, one for each action."""
    found: dict[str, Binding] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip:
            found.setdefault(binding.action.removeprefix("app."), binding)
    return list(found.values())


def keys(screen: Screen[object]) -> list[Row]:
    """The active keys of a screen with what they do."""
    entries = [(key_name(binding), binding.tooltip) for binding in explained(screen)]
    wide = max(len(name) for name, _ in entries)
    listed = [
        row(Span(f"{name:>{wide}}", "text", bold=True), Span(f"  {what}", "muted")) for name, what in entries
    ]
    return [row(Span("Keys", "bright", bold=True)), EMPTY, *listed]


async def run_console(api: Luxxon | None, session_id: UUID | None, context: ConsoleContext) -> int:
    """Show the console in the running event loop until the user leaves; the process's exit code.

    Cancelled, it gives the terminal back before it raises. A session that is still LIVE is left as it is:
    whoever opened it ends it.
    """
    app = ConsoleApp(api, session_id, context=context)
    running = asyncio.create_task(app.run_async(), name="console-app")
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():  # an app that has only begun to start does not hear the first call
            app.exit()
            await asyncio.wait((running,), timeout=0.2)
        raise
    return app.return_code or 0


def demo_context(
    *,
    workspace: str,
    place: str | None,
    chain_name: str,
    camera: str,
    operator: str,
    at: Point,
    radius_m: float | None,
) -> ConsoleContext:
    """What a demo knows: it opened the camera itself, at the very point that it asks for."""
    facts = CameraFacts(name=camera, kind=camera, operator=operator, point=at, radius_m=radius_m)
    return ConsoleContext(workspace=workspace, place=place, chain_name=chain_name, camera=facts)


def main() -> int:
    """Open the console by itself, without a session; the process's exit code.

    SIGINT, SIGTERM and, where there is one, SIGHUP close it with the terminal given back.
    """

    async def alone() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:  # Windows has no SIGHUP
                continue
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            return await run_console(None, None, ConsoleContext())
        return INTERRUPTED

    return asyncio.run(alone())
