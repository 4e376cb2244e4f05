"""The half of the Live screen that hands a session on: to a player, a phone, a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui import format as fmt
from luxxon_tui.screens.pane import ScreenPane
from luxxon_tui.themes import palette_of
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.phone import phone_card

if TYPE_CHECKING:
    from luxxon_core.links.schemas import Link
    from luxxon_tui.context import ConsoleContext
    from luxxon_tui.feed import SessionFeed
    from luxxon_tui.screens.scene import Scene


class LiveLinks(ScreenPane):
    """Of the session that is shown; a link is made anew each time, and whoever has it can watch and end."""

    scene: Scene
    _feed: SessionFeed | None
    _facts: ConsoleContext

    def action_copy_url(self) -> None:
        session = self.scene.session
        if session is not None and session.stream_url is not None:
            self.app.copy_to_clipboard(session.stream_url)
            self.notify("stream URL copied: whoever has it can watch", timeout=4)

    def action_phone(self) -> None:
        self.run_worker(self._on_phone(), name="phone", group="link", exclusive=True, exit_on_error=True)

    def action_browser(self) -> None:
        self.run_worker(self._in_browser(), name="browser", group="link", exclusive=True, exit_on_error=True)

    async def _on_phone(self) -> None:
        made = await self._link()
        if made is not None:
            until = fmt.time_of_day(made.expires_at, self._facts.zone)
            rows = phone_card(made.url, made.side, until, palette_of(self.app), self.size.height)
            self.app.push_screen(Card(rows))

    async def _in_browser(self) -> None:
        made = await self._link()
        if made is not None:
            self.app.open_url(made.url)

    async def _link(self) -> Link | None:
        """A link to the session; None where it was refused, or another session is shown by now, or none."""
        feed = self._feed
        assert feed is not None, "a session is shown"
        try:
            made = await feed.link()
        except LuxxonError as error:
            self.notify(f"no link: {error.message}", severity="error")
            return None
        return made if self.scene.live and feed is self._feed else None
