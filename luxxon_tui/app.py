"""The console: themes, keys that hold everywhere, and what its screens ask for."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, TextArea

from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import LuxxonError, StartError
from luxxon_tui.actions import action, explained, key_rows, keymap
from luxxon_tui.connect.server_link import ServerLink
from luxxon_tui.context import ConsoleContext
from luxxon_tui.feed import SessionFeed, StoreFeed
from luxxon_tui.palette import Palette, Places
from luxxon_tui.places import keep_named
from luxxon_tui.screens.table import FIRST_START, SCREENS, Entry, entry_of, first_start
from luxxon_tui.store import Readiness, Side, Store
from luxxon_tui.style import APP_CSS
from luxxon_tui.themes import PALETTES, textual_themes
from luxxon_tui.video import NoVideo, SessionVideo, VideoFeed
from luxxon_tui.wary import WaryApp
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.header import HeaderView
from luxxon_tui.widgets.modal import Modal
from luxxon_tui.widgets.question import Question, question_card
from luxxon_tui.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from textual.driver import Driver

    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.profiles import ProfileTable
    from luxxon_tui.connect.opening import Connected
    from luxxon_tui.screens.pane import ScreenPane
    from luxxon_tui.store.follow import Follower


WELCOME = "welcome"
"""The mode of the first start: nothing is under it, which need not be made, nor its code loaded, before."""
NEEDED_SOON = tuple(f"luxxon_tui.picture.{name}" for name in ("drivers", "source", "quadrant", "halfblock"))
"""What the first picture needs: imported beside the loop, before it comes."""
GC_THRESHOLDS = 20_000, 20, 50


class ConsoleApp(WaryApp):
    """The console: one store, one screen for each row of the table, and what holds on all of them.

    Args:
        api: client of the server; None shows the empty console.
        watch: session to show first.
        facts: what no endpoint says.
        clock: the time of day; fixed in tests.
        store: one that is filled already, for tests; ``api`` is not followed then.
        feed: takes the place of the store's sessions on the Live screen.
        open_video: takes the place of a session's own stream.
        first: the screen to open, as in the table, in lower case.
        profile: the server to connect to, where there is no ``api``.
    """

    TITLE = "luxxon"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {Palette}  # noqa: RUF012  # Textual's own declaration
    CSS = APP_CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            action(
                f"app.{entry.mode}",
                entry.key,
                entry.mode,
                entry.does,
                do=f"screen('{entry.mode}')",
                show=False,
                group="Show a screen",
            )
            for entry in SCREENS
        ),
        action("app.flip", "ctrl+r", "flip", "Flip between Request and Operate", show=False),
        action("app.keys", "question_mark", "keys", "What the keys do here", show=False),
        action("app.retry", "r", "retry", "Ask the server again now", priority=True),
        action("app.leave", "q", "quit", "Leave the console; asks while something is live"),
        action(
            "app.suspend",
            "ctrl+z",
            "suspend",
            "Back to the shell for a while; its fg brings the console back",
            show=False,
            priority=True,
        ),
        Binding("ctrl+c,ctrl+q", "leave", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        api: Luxxon | None = None,
        watch: UUID | None = None,
        *,
        facts: ConsoleContext | None = None,
        clock: Clock = utc_now,
        store: Store | None = None,
        feed: SessionFeed | None = None,
        open_video: Callable[[], VideoFeed] | None = None,
        first: str | None = None,
        profile: ProfileTable | None = None,
        profile_name: str = "",
    ) -> None:
        self.store = store or Store()
        if watch is not None:
            self.store.watched.set(str(watch))
        self.facts = facts or ConsoleContext()
        self._first = first or ("live" if watch or feed else SCREENS[0].mode)
        welcomes = self.facts.fresh and FIRST_START is not None and (api is None or store is not None)
        self.DEFAULT_MODE = WELCOME if welcomes else self._first  # type: ignore[misc]  # per console
        super().__init__()
        self._beside = Workers(self)
        self.clock = clock
        self.server = ServerLink(self.store, clock, self._passphrase, self.facts.unlock_minutes)
        self.server.notice = partial(self.notify, title="this machine", timeout=8)
        self._begin = (api, profile_name, profile) if store is None else (None, "", None)
        self._feed = feed
        self._video = open_video
        self._leaving: Card | None = None
        self._typed: str | None = None
        """A passphrase that was typed a moment ago, until it is used."""
        self.embeds = self._begin[0] is not None
        """Whether the server is a marketplace of this console's own, or will be once it is opened."""
        self.alone = False
        """Whether the process is the console's: what is loaded then stays, and is kept out of the garbage
        collector's way, whose full rounds would hold up the loop for a tenth of a second."""
        self.painted = asyncio.Event()
        """Set when the first frame stands: what it does not need waits for it, code above all."""
        self.loaded = False
        """Whether the code of every screen is there."""
        for theme in textual_themes():
            self.register_theme(theme)
        for entry in SCREENS:
            self.add_mode(entry.mode, partial(_made, entry))
        self.add_mode(WELCOME, Screen)
        self.theme = self.facts.theme if self.facts.theme in PALETTES else "luxxon-dark"

    def get_driver_class(self) -> type[Driver]:
        usual = super().get_driver_class()
        if sys.platform == "win32":
            return usual
        from luxxon_tui.picture.answering import driver_for

        return driver_for(usual)

    def on_mount(self) -> None:
        if self.current_mode == WELCOME and (welcome := first_start()) is not None:
            self.push_screen(welcome, self._welcomed)
        elif self._begin[0] is not None or self._begin[2] is not None:
            self.store.readiness.set(Readiness.LOADING)  # as the first frame says
        self.run_worker(keep_named(self.store), name="places", exit_on_error=True)
        # The shell's terminal has nothing of it any more; a layout that stays the same writes nothing
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))

    def _connect(self) -> None:
        """Begin with the server that was given."""
        api, name, profile = self._begin
        if api is not None:
            self.run_worker(self.server.follow(api), name="server", group="server", exclusive=True)
        elif self.current_mode != WELCOME and profile is not None:
            self.open_profile(name, profile)

    async def _welcomed(self, _: None) -> None:
        """The first start is over: there is something to show."""
        if self.current_mode == WELCOME:
            await self.switch_mode("live" if self.store.watched.value else self._first)

    def on_ready(self) -> None:
        """The first frame stands: what it did not need is loaded now."""
        self.painted.set()
        self._connect()
        self.run_worker(self._load_screens(), name="screens", exit_on_error=True)

    async def _load_screens(self) -> None:
        """Import the screens that are not open yet, so that each opens at once, and take the user's keys.

        In a thread: an import may take longer than the console may stand still.
        """
        loaded = {entry.mode: await asyncio.to_thread(entry.load) for entry in SCREENS}
        for module in NEEDED_SOON:
            await asyncio.to_thread(import_module, module)
        if self.alone:
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            gc.enable()
        self.loaded = True
        if not self.facts.keymap:
            return
        places = {mode: list(screen.bindings()) for mode, screen in loaded.items()}
        checked = keymap(self.facts.keymap, {"app": self.BINDINGS, **places})
        self.set_keymap(dict(checked.keys))
        for fault in checked.faults:
            self.notify(fault, title="keymap", severity="warning", timeout=10)

    # -- the server

    @property
    def workers(self) -> Workers:
        """What runs beside the screens."""
        return self._beside

    @property
    def api(self) -> Luxxon | None:
        """The client of the server; None while there is none."""
        return self.server.api

    @property
    def follower(self) -> Follower | None:
        return self.server.follower

    @property
    def connected(self) -> Connected | None:
        """The open profile."""
        return self.server.connected

    def open_profile(self, name: str, profile: ProfileTable, *, passphrase: str | None = None) -> None:
        """Leave the server, and connect to another one; ``passphrase`` answers the first question for one."""
        self._typed, self.embeds = passphrase, self._begin[0] is not None or profile.embedded
        self.run_worker(self.server.open(name, profile), name="server", group="server", exclusive=True)

    def switch_workspace(self, workspace_id: str) -> None:
        """Act for another workspace of the wallet; a toast says where that is refused."""

        async def told() -> None:
            try:
                await self.server.act_for(workspace_id)
            except LuxxonError as error:
                self.notify(f"not switched: {error.message}", severity="error")

        self.run_worker(told(), name="workspace", exit_on_error=True)

    async def wallet(self) -> LocalWallet | None:
        """The wallet that has signed in, its passphrase asked for while it is locked; None where there is
        none, or it is not given. For use in a worker.

        Raises:
            InvalidInput: the keystore cannot be read.
        """
        return await self.server.wallet()

    async def _passphrase(self, path: Path, wrong: str) -> str | None:
        typed, self._typed = self._typed, None
        if typed is not None and not wrong:
            return typed
        words: str | None = await self.push_screen_wait(
            Ask("Open the wallet", str(path), wrong=wrong, secret=True)
        )
        return words

    # -- what screens ask for

    def feed_for(self, session_id: str | None) -> SessionFeed:
        """What the Live screen follows."""
        return self._feed or StoreFeed(self.store, session_id, self)

    def open_video(self, session_id: str | None) -> VideoFeed:
        """The stream of a session."""
        if self._video is not None:
            return self._video()
        if self.api is None or session_id is None:
            return NoVideo()
        return SessionVideo(self.api, UUID(session_id))

    def watch_session(self, session_id: str) -> None:
        """Show a session on the Live screen."""
        self.store.watched.set(session_id)
        self.run_worker(self.run_action("app.screen('live')"), name="show", exit_on_error=True)

    def has(self, mode: str) -> bool:
        """Whether there is such a screen."""
        return entry_of(mode) is not None

    def header_view(self) -> HeaderView:
        """What the header says now."""
        return HeaderView.of(self.store, self.facts, self.clock())

    # -- actions

    def action_command_palette(self) -> None:
        """Not over a card: what it asks about, or for, must be the same when it is answered."""
        if not isinstance(self.screen, Modal):
            super().action_command_palette()

    async def action_screen(self, mode: str) -> None:
        """Show a screen; under a card, nothing."""
        entry = entry_of(mode)
        if entry is None or mode == self.current_mode or isinstance(self.screen, ModalScreen):
            return
        await asyncio.to_thread(entry.load)
        await self.switch_mode(mode)

    def action_workspaces(self) -> None:
        """Choose among workspaces and profiles."""
        self.push_screen(CommandPalette(providers=[Places], placeholder="Workspaces and profiles"))

    def action_flip(self) -> None:
        self.store.side.set(self.store.side.value.other)

    def action_side(self, name: str) -> None:
        self.store.side.set(Side[name])

    async def action_quit(self) -> None:
        self.action_leave()

    def action_keys(self) -> None:
        """What the keys do where the focus is."""
        self.push_screen(Card(key_rows(explained(self.screen))))

    def action_retry(self) -> None:
        feed = self._feed
        if feed is not None:
            feed.retry()
        self.server.retry()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "retry":  # only where it helps, and never instead of a letter that is typed
            lost = self.store.offline is not None or self.store.readiness.value is Readiness.FAILED
            return lost and not isinstance(self.focused, Input | TextArea)
        return True

    def running_sessions(self) -> int:
        return len(self.store.live)

    def action_leave(self) -> None:
        """Leave; while something is live it is asked once, and a second time of asking is an answer."""
        live = self.store.live
        if not live or self.store.offline is not None or self._leaving is not None:
            self.exit(0)
            return
        many = "a session is" if len(live) == 1 else f"{len(live)} sessions are"
        self._leaving = question_card(
            Question(f"Leave while {many} live?", (self._what_leaving_does(),), "leave", "stay")
        )
        self.push_screen(self._leaving, self._left)

    def _what_leaving_does(self) -> str:
        connected = self.connected
        if connected is not None and connected.embedded_url is not None:
            return "This marketplace stops with the console: it ends, and is paid as it is."
        return self.facts.leaving

    def _left(self, sure: bool | None) -> None:
        self._leaving = None
        if sure:
            self.exit(0)

    def action_suspend(self) -> None:
        """Stop until the shell says ``fg``; not where something would stand still with the console."""
        from luxxon_tui import suspending

        why = suspending.needed_here(self)
        if why:
            self.notify(why, title="not suspended", severity="warning", timeout=6)
        else:
            self.action_suspend_process()

    def action_theme(self, name: str) -> None:
        """Another theme, kept for the next time."""
        self.theme = name
        if self.facts.remember:
            self.run_worker(self._keep(theme=name), name="keep", exit_on_error=True)

    async def _keep(self, **values: str) -> None:
        """Write choices into the user's file, beside the loop."""
        from luxxon_core.profiles import keep

        try:
            await asyncio.to_thread(partial(keep, **values))
        except StartError as error:
            self.notify(error.message, title="not kept", severity="warning")


def _made(entry: Entry) -> ScreenPane:
    return entry.load()()
