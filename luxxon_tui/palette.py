"""The command palette: every action and every object, found by a few letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher
from textual.markup import escape

from luxxon_core.kernel.text import plain
from luxxon_tui import format as fmt
from luxxon_tui.actions import explained
from luxxon_tui.screens.table import SCREENS
from luxxon_tui.themes import PALETTES

if TYPE_CHECKING:
    from luxxon_tui.app import ConsoleApp

ENOUGH = 40
"""Objects of a kind that are offered before anything is typed."""


class Command(NamedTuple):
    title: str
    help: str
    run: Callable[[], object]
    first: bool = True
    """Whether it is offered before anything is typed."""


class Palette(Provider):
    """Actions of the open screen, the screens, the sessions, what each open screen can find, themes."""

    async def discover(self) -> Hits:
        for each in self._commands():
            if each.first:
                title = plain(each.title)
                yield DiscoveryHit(Content(title), each.run, title, help=escape(plain(each.help)))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for each in self._commands():
            title = plain(each.title)
            score = max(matcher.match(title), 0.8 * matcher.match(each.help))
            if score > 0:
                yield Hit(score, _lit(matcher, title), each.run, title, help=escape(plain(each.help)))

    def _commands(self) -> Iterator[Command]:
        from luxxon_tui.app import ConsoleApp

        app = self.app
        assert isinstance(app, ConsoleApp)
        yield from self._actions(app)
        for entry in SCREENS:
            if entry.mode != app.current_mode:
                yield Command(entry.name, entry.does, partial(app.action_screen, entry.mode))
        yield from _objects(app)
        yield from places(app)
        for name in PALETTES:
            if name != app.theme:
                word = name.removeprefix("luxxon-").replace("-", " ")
                help_text = f"Switch to the {word} theme"
                yield Command(f"Theme: {word}", help_text, partial(app.action_theme, name))

    def _actions(self, app: ConsoleApp) -> Iterator[Command]:
        for binding in explained(self.screen):
            if binding.group is not None or binding.action == "command_palette":
                continue

            async def run(action: str = binding.action) -> None:
                await app.run_action(action, default_namespace=self.screen)

            title = binding.description[0].upper() + binding.description[1:]
            yield Command(title, binding.tooltip, run)


def _lit(matcher: Matcher, title: str) -> Content:
    """A title with the letters that were typed lit; never as markup: some are names that others gave."""
    content, (_, offsets) = Content(title), matcher.fuzzy_search.match(matcher.query, title)
    for at in offsets:
        if not title[at].isspace():
            content = content.stylize(matcher.match_style, at, at + 1)
    return content


class Places(Palette):
    """Workspaces and profiles alone: what the mark beside the workspace's name opens."""

    def _commands(self) -> Iterator[Command]:
        from luxxon_tui.app import ConsoleApp

        assert isinstance(self.app, ConsoleApp)
        yield from places(self.app)


def places(app: ConsoleApp) -> Iterator[Command]:
    """Where else the console could be."""
    who = app.store.who.value
    for workspace_id, name, role in who.memberships if who else ():
        if who is not None and workspace_id != who.workspace_id:
            switch = partial(app.switch_workspace, workspace_id)
            yield Command(f"Workspace: {name}", f"Act for it, as {role.lower()}", switch)
    for name, profile in app.facts.profiles.items():
        if name != app.server.profile_name:
            where = "a marketplace on this machine" if profile.embedded else profile.url or ""
            yield Command(f"Profile: {name}", where, partial(app.open_profile, name, profile))
    vault = app.connected.vault if app.connected else None
    if vault is not None and not vault.locked.value:
        yield Command("Lock the wallet", "Forget its key until the passphrase is given again", vault.lock)


def _objects(app: ConsoleApp) -> Iterator[Command]:
    from luxxon_tui.screens.pane import ScreenPane

    zone = app.facts.zone
    newest = sorted(app.store.sessions.value.values(), key=lambda view: view.created_at, reverse=True)
    for number, view in enumerate(newest):
        at = view.requested
        place = f"{at.lat:.4f}, {at.lng:.4f}" if at else "no place"
        told = f"{view.state}, {view.side}, asked {fmt.time_of_day(view.created_at, zone)}"
        title = f"Session {fmt.short_id(view.id)}  {place}"
        yield Command(title, told, partial(app.watch_session, view.id), number < ENOUGH)
    for stack in app._screen_stacks.values():
        for screen in stack[:1]:
            if isinstance(screen, ScreenPane):
                for number, thing in enumerate(screen.things()):
                    yield Command(thing.title, thing.help, thing.open, number < ENOUGH)
