"""The wall: every session that is live, side by side. ``enter`` enlarges one.

It stands over the Live screen, in its tab. Only tiles that can be seen are fetched and decoded.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.places import place_of
from luxxon_tui.rows import Row, Span, figure, row, section
from luxxon_tui.screens.pane import Empty, ScreenPane
from luxxon_tui.screens.scene import Scene
from luxxon_tui.screens.wall_tiles import MOST, Tile, arranged, frame_seconds
from luxxon_tui.video import SignalMeter
from luxxon_tui.views import LiveView, Phase, SessionView
from luxxon_tui.widgets.lines import Lines

MOVE = "Move between previews"


class Wall(Container):
    """Tiles in a grid that is as good as the room allows."""

    DEFAULT_CSS = "Wall { layout: grid; grid-gutter: 0 2; height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        action("wall.open", "enter", "enlarge", "Show this session alone"),
        *(
            action(f"wall.{name}", name, "move", MOVE, do=f"move('{name}')", show=False, group=MOVE)
            for name in ("left", "right", "up", "down")
        ),
        action("wall.next", "pagedown", "next", "The next sessions, where there are more than eight"),
        action("wall.previous", "pageup", "previous", "The sessions before", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.page = 0
        self._ids: tuple[str, ...] = ()

    # -- tiles

    @property
    def tiles(self) -> list[Tile]:
        """Those on the screen, in their order."""
        return [tile for tile in self.query(Tile) if tile.session_id in self._ids]

    @property
    def chosen(self) -> Tile | None:
        """The one that has the focus."""
        return next((tile for tile in self.tiles if tile.has_focus), None)

    def hold(self, sessions: list[SessionView]) -> None:
        """Have a tile for each, and no others; the focus stays where it is, or goes to a neighbour."""
        ids = tuple(session.id for session in sessions)
        if ids == self._ids:
            return
        screen, before, chosen = self.wall_screen, self._ids, self.chosen
        kept = {tile.session_id: tile for tile in self.tiles}
        place = before.index(chosen.session_id) if chosen is not None else 0
        self._ids = ids
        fresh = [screen.made(one) for one in ids if one not in kept]
        if fresh:
            self.mount_all(fresh)
        every = {tile.session_id: tile for tile in [*kept.values(), *fresh]}
        if ids and (chosen is None or chosen.session_id not in ids):
            every[ids[min(place, len(ids) - 1)]].focus(scroll_visible=False)
        for one, tile in kept.items():  # last: what has the focus would give it to the first that there is
            if one not in ids:
                tile.remove()
        self.share()

    def share(self) -> None:
        """Share the room."""
        if self._ids and self.size:
            grid = arranged(len(self._ids), *self.size)
            self.styles.grid_size_columns, self.styles.grid_size_rows = grid

    @property
    def wall_screen(self) -> WallScreen:
        screen = self.screen
        assert isinstance(screen, WallScreen)
        return screen

    def on_resize(self) -> None:
        self.share()
        self.call_after_refresh(self.wall_screen.redraw)

    def on_descendant_focus(self) -> None:
        self.wall_screen.due()

    def on_tile_chosen(self) -> None:
        self.action_open()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("next", "previous"):
            return self.wall_screen.pages > 1
        return True

    def action_open(self) -> None:
        if self.chosen is not None:
            self.wall_screen.leave(self.chosen.session_id)

    def action_move(self, direction: str) -> None:
        tiles, chosen = self.tiles, self.chosen
        tiles.sort(key=lambda tile: self._ids.index(tile.session_id))
        if not tiles:
            return
        columns = self.styles.grid_size_columns or 1
        step = {"left": -1, "right": 1, "up": -columns, "down": columns}[direction]
        at = (tiles.index(chosen) + step) if chosen is not None else 0
        if 0 <= at < len(tiles):
            tiles[at].focus()

    def action_next(self) -> None:
        self.page += 1
        self.wall_screen.redraw()

    def action_previous(self) -> None:
        self.page -= 1
        self.wall_screen.redraw()


class WallScreen(ScreenPane):
    """Live sessions in the order in which they were asked for."""

    NAME = "Live"
    WATCHES = ("sessions", "places")
    PARTS = (Wall,)
    TICKS = True
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        action("wall.leave", "escape", "back", "Back to one session"),
        Binding("g", "leave", show=False),
    ]

    def body(self) -> ComposeResult:
        yield Lines(id="head")
        yield Wall(id="wall")

    @property
    def wall(self) -> Wall:
        return self.query_one(Wall)

    @property
    def live(self) -> list[SessionView]:
        return sorted(self.store.live, key=lambda view: (view.created_at, view.id))

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.live) // MOST))

    def empty(self) -> Empty | None:
        if self.live:
            return None
        return Empty("nothing is live", ("esc goes back, 1 Map asks for a place",))

    def made(self, session_id: str) -> Tile:
        """A tile for a session."""
        app = self.console_app
        return Tile(
            session_id,
            partial(app.open_video, session_id),
            SignalMeter(app.clock),
            lambda: frame_seconds(len(self.wall.tiles)),
        )

    def draw(self) -> None:
        live, wall = self.live, self.wall
        wall.page %= self.pages
        wall.hold(live[wall.page * MOST : (wall.page + 1) * MOST])
        known = {session.id: session for session in live}
        for tile in wall.tiles:
            tile.start()
            if tile.is_mounted and tile.size:
                tile.show(self._scene(known[tile.session_id], tile), self._place(known[tile.session_id]))
        page, pages = wall.page, self.pages
        self.query_one("#head", Lines).redraw(lambda width: head(width, live, page, pages))

    def _scene(self, session: SessionView, tile: Tile) -> Scene:
        store, app = self.store, self.console_app
        view = LiveView(Phase.LIVE, store.link.value, session, store.as_of.value)
        return Scene(view, tile.signal(), app.facts, self.now(), tile.picture.driver_name)

    def _place(self, session: SessionView) -> str:
        return place_of(self.store, session.requested)

    def leave(self, session_id: str | None) -> None:
        """Back to the Live screen, to a session or to the one that it showed."""
        if session_id is not None:
            self.store.watched.set(session_id)
        self.dismiss()

    def rest(self) -> None:
        """Fetch nothing while nothing can be seen."""
        if not self.on_stage:
            for tile in self.query(Tile):
                tile.stop()

    def on_screen_suspend(self) -> None:
        self.call_later(self.rest)

    def action_leave(self) -> None:
        self.leave(None)


def head(width: int, live: list[SessionView], page: int, pages: int) -> list[Row]:
    """How many there are, and what they cost together."""
    ours = [session for session in live if session.side == "consumer"]
    rate = sum(session.rate_micro for session in ours)
    many = f"{len(live)} live" if pages == 1 else f"{len(live)} live, page {page + 1} of {pages}"
    cost = figure(fmt.usdc(rate, fmt.RATE), "USDC/s")
    return [section(width, "Wall", row(Span(f"{many}   ", "muted"), *(cost if ours else ())))]
